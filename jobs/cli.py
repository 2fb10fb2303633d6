"""The ``nightshift`` command: everything the DAGs do, without Airflow.

Exit codes: 0 done, 2 bad usage or configuration, 3 data refused, 4 gate refused, 1 anything else.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts import night
from contracts.errors import NightshiftError
from contracts.night import Program
from jobs.running import console
from jobs.running.program import say_error
from jobs.running.settings import Settings, load_settings
from jobs.running.steps import Result

app = typer.Typer(
    name="nightshift",
    help="Every night, from raw event logs to a scored row for every user.",
    epilog="Exit codes: 0 done · 2 bad usage or configuration · 3 data refused · "
    "4 gate refused · 1 anything else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

NIGHTLY, MODEL, OPERATE = "A night, step by step", "The model", "All of it"

Cutoff = Annotated[
    str, typer.Option(help="First day that the model may not see.", metavar="YYYY-MM-DD")
]
Since = Annotated[
    str | None,
    typer.Option(help="First day to read, for a bulk load.", metavar="YYYY-MM-DD"),
]
Config = Annotated[
    Path | None, typer.Option(help="Default: $NIGHTSHIFT_CONFIG or configs/nightshift.yaml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")]
AirflowPort = Annotated[int, typer.Option(help="Port of Airflow's pages.")]
MlflowPort = Annotated[int, typer.Option(help="Port of MLflow's pages.")]


def main() -> None:
    app()


# ---- a night, step by step -----------------------------------------------------------------------


@app.command(rich_help_panel=NIGHTLY)
def ingest(cutoff: Cutoff, since: Since = None, config: Config = None, json: Json = False) -> None:
    """Read the raw logs of the day before the cutoff into `events`."""
    _program(night.INGEST, cutoff, config, json, _given("--since", since))


@app.command(rich_help_panel=NIGHTLY)
def sessions(
    cutoff: Cutoff, since: Since = None, config: Config = None, json: Json = False
) -> None:
    """Cut each user's events into `sessions`."""
    _program(night.SESSIONS, cutoff, config, json, _given("--since", since))


@app.command(rich_help_panel=NIGHTLY)
def sequences(
    cutoff: Cutoff,
    full: Annotated[bool, typer.Option("--full", help="Rebuild from all events.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Bring every user's row of `sequences` up to the cutoff."""
    _program(night.SEQUENCES, cutoff, config, json, ["--full"] if full else [])


@app.command(rich_help_panel=NIGHTLY)
def series(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Count units per item and day into `series`."""
    _program(night.SERIES, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def score(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Score every user with the champion into `scores`."""
    _program(night.SCORE, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def demand(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Forecast units per item and day into `demand`."""
    _program(night.DEMAND, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def publish(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Audit the night's rows, then switch the warehouse tables in one transaction."""
    _program(night.PUBLISH, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def report(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Write the night's HTML page."""
    _program(night.REPORT, cutoff, config, json)


# ---- the model -----------------------------------------------------------------------------------


@app.command(rich_help_panel=MODEL)
def train(
    cutoff: Cutoff,
    encoder: Annotated[
        str, typer.Option(help="transformer, lstm or gru: the file of configs/models to train by.")
    ] = night.ENCODERS[0],
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="VERSION",
            help="Go on from a version of the same encoder: champion, its number, "
            "or models:/NAME@champion. Default: start anew.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Default: the configuration's.", show_default=False)
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes; one for each GPU, if any.")] = 2,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Stop after the epoch that exceeds it. Default: the configuration's."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Train a candidate model on everything known before the cutoff, and register it.

    Learns from the label windows that closed two of the longest horizons before the cutoff,
    chooses the best epoch on the window after, and leaves the last one to `nightshift evaluate`.

    Killed or stopped, it goes on from its newest checkpoint when it is started again with the
    same arguments. Its curves and its model card are in MLflow.
    """
    if encoder not in night.ENCODERS:
        raise typer.BadParameter(f"{encoder!r} is not one of {', '.join(night.ENCODERS)}")
    arguments = ["--encoder", encoder, *_given("--from", start_from), *_given("--epochs", epochs)]
    arguments += _given("--max-minutes", max_minutes)
    _program(night.TRAIN, cutoff, config, json, arguments, devices=devices)


@app.command(rich_help_panel=MODEL)
def evaluate(
    cutoff: Cutoff,
    version: Annotated[
        list[str] | None, typer.Option(help="Version to judge; default: every candidate.")
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Judge candidates, champion and baselines on the same matured cutoffs."""
    chosen = [part for each in version or [] for part in ("--version", each)]
    _program(night.EVALUATE, cutoff, config, json, chosen)


@app.command(rich_help_panel=MODEL)
def promote(
    cutoff: Cutoff,
    by: Annotated[str | None, typer.Option(help="Who asks for it.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Move `champion` to the best candidate that the gate admits, or say why not."""
    _program(night.PROMOTE, cutoff, config, json, _given("--by", by))


@app.command(rich_help_panel=MODEL)
def rollback(
    by: Annotated[str | None, typer.Option(help="Who asks for it.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Give `champion` back to the version that had it before."""
    _program(night.ROLLBACK, None, config, json, _given("--by", by))


# ---- all of it -----------------------------------------------------------------------------------


@app.command("night", rich_help_panel=OPERATE)
def whole_night(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Run all of a night, from raw logs to published tables, without Airflow."""
    from jobs.night import run_night

    def body(settings: Settings) -> tuple[int, dict[str, Any]]:
        def run(program: Program, arguments: list[str]) -> Result:
            return console.run_shown(program, arguments, settings, as_json=json)

        code, said = run_night(cutoff, settings, run)
        return code, said if json else {"tables": said["tables"], "seconds": said.get("seconds")}

    _guarded("night", config, json, body)


@app.command(rich_help_panel=OPERATE)
def demo(
    config: Config = None,
    json: Json = False,
    airflow_port: AirflowPort = 8080,
    mlflow_port: MlflowPort = 5000,
) -> None:
    """The main job end to end on real shopping logs: train, promote, one night in Airflow."""
    from jobs.demo.demo import run_demo

    _guarded(
        "demo",
        config,
        json,
        lambda settings: run_demo(settings, airflow_port=airflow_port, mlflow_port=mlflow_port),
        is_shown=True,
    )


@app.command(rich_help_panel=OPERATE)
def up(
    config: Config = None,
    json: Json = False,
    airflow_port: AirflowPort = 8080,
    mlflow_port: MlflowPort = 5000,
) -> None:
    """Start Airflow and MLflow with their web pages, and print addresses and login."""
    from jobs.services.services import start

    _guarded(
        "up",
        config,
        json,
        lambda settings: (
            0,
            start(settings, airflow_port=airflow_port, mlflow_port=mlflow_port).said(),
        ),
    )


@app.command(rich_help_panel=OPERATE)
def down(config: Config = None, json: Json = False) -> None:
    """Stop what `up` started, and make sure that nothing is left of it."""
    from jobs.services.services import stop

    _guarded("down", config, json, lambda settings: (0, {"stopped": stop(settings)}))


@app.command(rich_help_panel=OPERATE)
def status(config: Config = None, json: Json = False) -> None:
    """Say which nights are in the lake and the warehouse, and which model is champion."""
    from jobs.status import read_status

    _guarded("status", config, json, lambda settings: (0, read_status(settings)))


@app.command(rich_help_panel=OPERATE)
def replay(
    cutoff: Annotated[str, typer.Argument(help="A past night.", metavar="CUTOFF")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Rebuild a past night from the snapshots it read, and prove it equal by hash."""
    _program(night.REPLAY, cutoff, config, json)


@app.command(rich_help_panel=OPERATE)
def vacuum(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List, and remove nothing.")] = False,
    older_than_hours: Annotated[
        int | None, typer.Option(min=1, help="Default: the configuration's lake.vacuum_hours.")
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Remove files that killed runs have left and nothing names."""
    from jobs.vacuum import run_vacuum

    _guarded(
        "vacuum",
        config,
        json,
        lambda settings: (0, run_vacuum(settings, hours=older_than_hours, is_dry_run=dry_run)),
    )


@app.command(rich_help_panel=OPERATE)
def doctor(config: Config = None, json: Json = False) -> None:
    """Check all that Nightshift needs here, and say what to do about what is missing."""
    from jobs.doctor import examine

    _guarded("doctor", config, json, examine, is_shown=True)


sources = typer.Typer(help="Mappings from raw logs to `events`.", no_args_is_help=True)
app.add_typer(sources, name="sources", rich_help_panel=OPERATE)


@sources.command("check")
def check(
    file: Annotated[str, typer.Argument(help="A raw log: a path or a URI.")],
    source: Annotated[
        str | None, typer.Option(help="Mapping; default: the configuration's.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows to read.")] = 10_000,
    config: Config = None,
    json: Json = False,
) -> None:
    """Read a log's first rows against a mapping, and say what became of them."""
    from jobs.check_source import check_source, show_check

    def body(settings: Settings) -> tuple[int, dict[str, Any]]:
        code, said = check_source(file, settings, source=source, rows=rows)
        if not json:
            show_check(said)
        return code, said

    _guarded("sources check", config, json, body, is_shown=True)


# ---- how each command is run ---------------------------------------------------------------------


def _program(
    program: Program,
    cutoff: str | None,
    config: Path | None,
    as_json: bool,
    arguments: list[str] | None = None,
    *,
    devices: int = 1,
) -> None:
    def body(settings: Settings) -> tuple[int, dict[str, Any]]:
        told = night.night_arguments(cutoff) if cutoff else ["--json"]
        given = [*told, *(arguments or [])]
        result = console.run_shown(program, given, settings, devices=devices, as_json=as_json)
        return result.exit_code, result.summary

    _guarded(program.name, config, as_json, body, is_shown=True)


def _guarded(
    job: str,
    config: Path | None,
    as_json: bool,
    body: Callable[[Settings], tuple[int, dict[str, Any]]],
    *,
    is_shown: bool = False,
) -> None:
    """Run a command's body, print what it says, and exit with its code.

    ``is_shown``: a person has already seen on the way all that the summary says.
    """
    try:
        code, summary = body(load_settings(config))
    except NightshiftError as error:
        raise typer.Exit(say_error(job, error, as_json=as_json)) from None
    except KeyboardInterrupt:
        print(f"{job}: interrupted", file=sys.stderr)
        raise typer.Exit(130) from None
    if summary and (as_json or not (code or is_shown)):
        console.show_summary(summary, as_json=as_json)
    raise typer.Exit(code)


def _given(flag: str, value: str | int | float | None) -> list[str]:
    return [] if value is None else [flag, str(value)]


if __name__ == "__main__":
    main()
