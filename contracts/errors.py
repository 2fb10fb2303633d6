"""Every error that Nightshift raises on purpose, and the exit code that it ends a program with.

NightshiftError (Exception)       exit 1  anything else that went wrong, said clearly
+-- ConfigError (ValueError)      exit 2  the caller or the configuration asks for the impossible
|   +-- UnknownKeyError                   a key that the configuration does not have
|   +-- CutoffError                       a cutoff that is no date, is to come, or has no data
|   +-- OtherMoneyError                   spend was counted by another definition than the setting's
|   +-- TooLittleMemoryError              a training that does not fit into memory
+-- DataError (ValueError)        exit 3  the data broke a promise: stop, page the producer
|   +-- MissingRawError                   no raw file for an ingestion day
|   +-- EmptyDayError                     raw files without one line
|   +-- StaleDayError                     a day whose files bring nothing but what is long known
|   +-- BadLinesError                     more unreadable lines than allowed
|   +-- ConservationError                 lines that are neither events, duplicates nor quarantined
|   +-- MissingColumnsError               a column that the mapping names is not in the log
|   +-- MissingPartitionError             a stage before has not committed what this one reads
|   +-- MissingSnapshotError              what a run once read is not there any more, or not whole
|   +-- DamagedMetadataError              a table's newest metadata file is cut, empty or gone
|   +-- ReplayError                       a past night, rebuilt, is not what was committed
|   +-- AuditError                        rows that must not be published
|   +-- DamagedWarehouseError             a database file whose blocks are not what was written
|   +-- VanishedWarehouseError            nights were published there, and the tables are gone
|   +-- LossNotFiniteError                a training whose loss is no number
|   +-- DamagedModelError                 a version's file, cut or hostile or not the one judged
+-- GateError                     exit 4  the gate refused
|   +-- PromotionRefusedError             the written rule does not hold for the candidate
|   +-- NotAdmittedError                  a version that no signed verdict admits, whoever names it
|   +-- NoChampionError                   nothing was ever promoted, so nothing may score
|       +-- NoPreviousChampionError       no champion before this one to go back to
+-- BusyError                     exit 1  another run holds this night
|   +-- TrainingBusyError                 another training holds the folder of these arguments
+-- TrainingStoppedError          exit 1  a training was told to stop; started again, it goes on
+-- ProcessLostError              exit 1  one of a training's processes ended before the others
+-- UnreachableError              exit 1  a server or folder that must answer does not
+-- UnknownOutcomeError           exit 1  a commit was sent, and what came of it cannot be asked

A message says where, what was found, what was expected, and what to do next. Whatever a driver or a
library put into it, no password of a URI is shown.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import ClassVar

from contracts.addresses import hide_passwords


class NightshiftError(Exception):
    """An error whose message is meant for the person who started the program."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        where: str,
        *,
        found: str,
        expected: str,
        do: str,
        details: Mapping[str, object] | None = None,
    ) -> None:
        where, found, expected, do = map(hide_passwords, (where, found, expected, do))
        super().__init__(f"{where}: found {found}, expected {expected}. {do}")
        self.where, self.found, self.expected, self.do = where, found, expected, do
        self.details = dict(details or {})  # what `--json` says besides the message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.__dict__)


def _rebuild(kind: type[NightshiftError], message: str, state: dict[str, object]) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class ConfigError(NightshiftError, ValueError):
    exit_code = 2


class UnknownKeyError(ConfigError):
    def __init__(self, file: str, *, key: str, known: list[str]) -> None:
        super().__init__(
            file,
            found=f"the key {key!r}",
            expected=f"one of {', '.join(sorted(known))}",
            do=f"{_nearest(key, known)}Correct the spelling or remove the key.",
        )


def _nearest(key: str, known: list[str]) -> str:
    """``key`` may be `section.name`: the name is what was misspelt."""
    near = get_close_matches(key.rpartition(".")[2], sorted(known), n=1)
    return f"Did you mean {near[0]}? " if near else ""


class CutoffError(ConfigError):
    pass


class OtherMoneyError(ConfigError):
    """``counted`` is None of what was made before there was a choice."""

    def __init__(self, where: str, *, counted: str | None, money: str, do: str) -> None:
        super().__init__(
            where,
            found=f"spend counted {counted}" if counted else "no word on how spend was counted",
            expected=f"spend counted {money}, as the setting money says",
            do=f"{do}, or set money to what it was (docs/money.md).",
        )


class TooLittleMemoryError(ConfigError):
    def __init__(
        self, where: str, *, wanted: str, setting: str, value: int, room: str = "a step of training"
    ) -> None:
        super().__init__(
            where,
            found=f"no memory left ({wanted})" if wanted else "no memory left",
            expected=f"room for {room}",
            do=f"Lower {setting} from {value} to {max(value // 2, 1)}, then run this again.",
        )


class DataError(NightshiftError, ValueError):
    exit_code = 3


class MissingRawError(DataError):
    """``folders``: of the ingestion days without a file, or of the one log that has none."""

    def __init__(self, *folders: str) -> None:
        where, *others = folders
        super().__init__(
            where,
            found="no raw file" + (f", nor in {', '.join(others)}" if others else ""),
            expected="at least one for "
            + ("each of these ingestion days" if others else "this ingestion day"),
            do=f"Check that the collector delivered the day{'s' if others else ''}, "
            "then run this again. If the shop was closed, say so with ingest.closed_days or "
            "ingest.closed_weekdays.",
        )


class EmptyDayError(DataError):
    def __init__(self, folder: str) -> None:
        super().__init__(
            folder,
            found="0 lines",
            expected="at least 1 for this ingestion day",
            do="Check that the collector delivered the day, then run this again; "
            "to accept a day without events, set ingest.allow_empty_days to true.",
        )


class StaleDayError(DataError):
    """``repeats``: a file, and the one of an earlier day that has its content."""

    def __init__(
        self, folder: str, *, lines: int, came_before: int, stale: int, repeats: Mapping[str, str]
    ) -> None:
        found = f"nothing new in {lines} lines ({came_before} came before"
        if stale:
            found += f", {stale} happened long before the newest known event"
        for file, was in sorted(repeats.items())[:3]:
            found += f"; {file} holds what {was} held"
        super().__init__(
            folder,
            found=found + ")",
            expected="events of this ingestion day",
            do="Nothing was committed. Ask the collector for the day's own files, then run this "
            "again; to accept the day as it is, set ingest.max_old_fraction to 1.0.",
        )


class BadLinesError(DataError):
    """``show`` is a command that prints such lines, where there is one."""

    def __init__(
        self,
        folder: str,
        *,
        bad: int,
        lines: int,
        max_bad_fraction: float,
        reasons: dict[str, int],
        show: str | None = None,
    ) -> None:
        by_count = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        said = [f"{reason} {count}" for reason, count in by_count[:3]]
        if rest := by_count[3:]:
            said.append(f"{len(rest)} other reasons {sum(count for _, count in rest)}")
        super().__init__(
            folder,
            found=f"{bad} bad lines of {lines} ({', '.join(said)})",
            expected=f"at most {max_bad_fraction:.2%}",
            do="Nothing was committed. "
            + (f"See examples of each with `{show}`. " if show else "")
            + "Mend the file or its mapping, then run this again.",
        )


class ConservationError(DataError):
    def __init__(self, where: str, *, found: str) -> None:
        super().__init__(
            where,
            found=found,
            expected="lines = events + duplicates + quarantined, as counted and as written",
            do="Nothing was committed. Were the raw files changed meanwhile? Run this again.",
        )


class MissingColumnsError(DataError):
    def __init__(self, where: str, *, missing: list[str], present: list[str], mapping: str) -> None:
        super().__init__(
            where,
            found=f"the columns {', '.join(sorted(present)) or '(none)'}",
            expected=f"also {', '.join(sorted(missing))}",
            do=f"Correct the mapping in {mapping}, or ask the collector for the column.",
        )


class MissingPartitionError(DataError):
    def __init__(self, table: str, *, partition: str, producer: str) -> None:
        super().__init__(
            f"{table}/{partition}",
            found="no committed partition",
            expected="one, committed whole",
            do=f"Run `{producer}` first, then run this again.",
        )


class MissingSnapshotError(DataError):
    def __init__(self, table: str, *, snapshot_id: int, found: str) -> None:
        super().__init__(
            f"{table} at snapshot {snapshot_id}",
            found=found,
            expected="the snapshot, with every file that it names",
            do="Neither a night nor `nightshift vacuum` removes one: look for another program "
            "that expires snapshots or removes files, and restore them from a copy.",
        )


class DamagedMetadataError(DataError):
    """``before`` is the metadata file before it; empty where that one is not whole either."""

    def __init__(self, table: str, *, file: str, reason: str, before: str) -> None:
        super().__init__(
            f"the table {table}",
            found=f"a damaged metadata file {file or '(of this catalog)'} ({reason})",
            expected="the one that its newest commit wrote",
            do=f"The one before it is whole: {before}. `nightshift lake restore {table}` goes back "
            "to it; then run the job of the lost commit again."
            if before
            else "Restore the lake's folder and its catalog from a backup of the same moment.",
        )


class ReplayError(DataError):
    pass


class AuditError(DataError):
    pass


class DamagedWarehouseError(DataError):
    def __init__(self, file: str, *, reason: str) -> None:
        super().__init__(
            file,
            found=f"a damaged file ({reason})",
            expected="a DuckDB database whose every block is as it was written",
            do="Nothing was published. Restore the file from a backup. Without one, move the file "
            "away and publish the nights to keep again, oldest first: the first with "
            "`nightshift publish --cutoff DATE --new-warehouse`, the others without that flag.",
        )


class VanishedWarehouseError(DataError):
    def __init__(self, address: str, *, newest: str) -> None:
        super().__init__(
            address,
            found="no tables",
            expected=f"those that this deployment published, up to the night {newest}",
            do="Nothing was published. Mount the disk, restore the backup, or correct "
            "warehouse.uri. To begin a new warehouse, run "
            "`nightshift publish --cutoff DATE --new-warehouse`.",
        )


class LossNotFiniteError(DataError):
    def __init__(
        self, where: str, *, losses: Mapping[str, float], files: list[str], learning_rate: float
    ) -> None:
        said = ", ".join(f"{name} {value}" for name, value in losses.items())
        super().__init__(
            where,
            found=said,
            expected="numbers",
            do=f"Look at the events of the users in {', '.join(files)}: an amount may be absurd. "
            f"If they are sound, lower learning_rate (it is {learning_rate:g}).",
        )


class DamagedModelError(DataError):
    def __init__(self, where: str, *, found: str, expected: str) -> None:
        super().__init__(
            where,
            found=found,
            expected=expected,
            do="Nothing was made with it. Restore the file from a copy, go back to the champion "
            "before with `nightshift rollback`, or train, evaluate and promote again; "
            "and find out who writes to MLflow's folder.",
        )


class GateError(NightshiftError):
    exit_code = 4


class PromotionRefusedError(GateError):
    def __init__(self, model: str, *, reasons: list[str]) -> None:
        super().__init__(
            model,
            found="; ".join(reasons),
            expected="the promotion rule to hold for every head",
            do="The champion alias did not move. Read the evaluation report, train again, "
            "and evaluate the new candidate.",
        )


class NotAdmittedError(GateError):
    """``hint`` names the variable that lets a person try it all the same, where there is one."""

    def __init__(self, where: str, *, found: str, hint: str | None = None) -> None:
        super().__init__(
            where,
            found=found,
            expected="a version that the gate admitted and a promotion signed",
            do="An alias alone admits nothing. Run `nightshift evaluate` and `nightshift promote` "
            "(`nightshift train-demand` for demand), or `nightshift rollback`."
            + (f" To try a candidate, set {hint}=1." if hint else ""),
        )


class NoChampionError(GateError):
    def __init__(self, model: str) -> None:
        super().__init__(
            model,
            found="no version with the alias champion",
            expected="one that passed the gate",
            do="Run `nightshift train`, `nightshift evaluate` and `nightshift promote`; "
            "nothing is scored without a champion.",
        )


class NoPreviousChampionError(NoChampionError):
    def __init__(self, model: str, *, champion: str) -> None:
        NightshiftError.__init__(
            self,
            f"{model} version {champion}",
            found="no champion before it",
            expected="one to go back to",
            do="Promote another version with `nightshift promote`, or `nightshift train-demand` "
            "for demand; the alias champion did not move.",
        )


class BusyError(NightshiftError):
    pass


class TrainingBusyError(BusyError):
    """``pid`` and ``host`` are those of the training that holds the folder."""

    def __init__(self, folder: str, *, pid: str, host: str, since: str) -> None:
        super().__init__(
            folder,
            found=f"a training with the same arguments: process {pid} on {host}, since {since}",
            expected="one at a time, for they would share checkpoints",
            do=f"Wait until it ends, or stop it with `kill {pid}` on {host}; "
            "then run this again: it goes on from the newest checkpoint, if one is left.",
        )


class TrainingStoppedError(NightshiftError):
    def __init__(self, signal: str, *, step: int, total: int) -> None:
        again = "run this again with the same arguments"
        super().__init__(
            f"after step {step} of {total}" if total else "before the first step",
            found=signal,
            expected="to be let finish",
            do=f"The step is saved: {again}, and it goes on there."
            if total
            else f"Nothing is saved yet: {again}.",
        )


class ProcessLostError(NightshiftError):
    def __init__(self, where: str, *, reason: str) -> None:
        super().__init__(
            where,
            found=f"that another process of the training has ended ({reason})",
            expected="all of them to go on",
            do="Run this again with the same arguments: it goes on from its newest checkpoint. "
            "If that process was killed for its memory, lower batch_size or --devices.",
        )


class UnreachableError(NightshiftError):
    def __init__(self, what: str, *, address: str, reason: str, do: str) -> None:
        super().__init__(f"{what} at {address}", found=reason, expected="an answer", do=do)


class UnknownOutcomeError(NightshiftError):
    def __init__(self, where: str, *, run_key: str, reason: str) -> None:
        super().__init__(
            where,
            found=f"no answer to the commit of {run_key}, and then {reason}",
            expected="the commit's answer, or the ledger's",
            do="The night is published whole or not at all, and the ledger knows which: "
            f"`SELECT * FROM publish_ledger WHERE run_key = '{run_key}'`. "
            "Once the warehouse answers, run this again: a night that is there is replaced whole.",
        )
