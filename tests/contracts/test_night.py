"""The order of a night, and the arguments of its programs."""

import itertools
from pathlib import Path

from contracts.errors import ConfigError, DataError, GateError
from contracts.night import (
    DATA,
    NIGHT,
    PROGRAMS,
    REFUSALS,
    night_arguments,
    train_arguments,
)


def test_a_step_comes_after_all_that_it_waits_for():
    """Run one after another in the order written, no step starts too early."""
    done: set[str] = set()
    for step in NIGHT:
        assert {*step.after} <= done, step.program.name
        done.add(step.program.name)


def test_a_night_begins_with_the_data_and_ends_with_the_report():
    """The data's steps are the first of the night, in the same order."""
    assert NIGHT[: len(DATA)] == DATA
    assert NIGHT[-1].program.name == "report"


def test_publishing_waits_for_every_table_of_the_night():
    """Whatever is not behind `publish` is before it, directly or not."""
    after = {step.program.name: {*step.after} for step in NIGHT}
    before = {"publish"}
    for _ in NIGHT:
        before |= set(itertools.chain.from_iterable(after[name] for name in before))

    assert before == {*after} - {"report"}


def test_commands_and_files_are_unique():
    """No two programs answer to one name."""
    assert len({program.command for program in PROGRAMS}) == len(PROGRAMS)
    assert len({program.file for program in PROGRAMS}) == len(PROGRAMS)


def test_every_program_is_a_file():
    """A program that was moved would be missed only by whoever starts it next."""
    project = Path(__file__).resolve().parents[2]

    assert [program.file for program in PROGRAMS if not (project / program.file).is_file()] == []


def test_refusals_are_the_exit_codes_of_the_errors_that_a_retry_cannot_mend():
    """The numbers here and those of the errors are the same."""
    assert {*REFUSALS} == {ConfigError.exit_code, DataError.exit_code, GateError.exit_code}


def test_training_is_told_only_what_was_given():
    """An empty field of a form leaves the configuration's value."""
    told = train_arguments("2017-11-28", encoder="lstm", max_minutes="5")

    assert told == [*night_arguments("2017-11-28"), "--encoder", "lstm", "--max-minutes", "5"]
    again = train_arguments("2017-11-28", encoder="lstm", start_from="champion")
    assert again[-2:] == ["--from", "champion"]
