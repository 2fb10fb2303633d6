"""The ``nightshift`` command: everything the DAGs do, without Airflow.

Exit codes: 0 done, 2 bad usage or configuration, 3 data refused, 4 gate refused, 1 anything else.
"""

from typing import Annotated, Any

import typer

from contracts import night
from contracts.night import Program
from jobs.running import console
from jobs.running.commands import (
    AirflowPort,
    Config,
    Cutoff,
    Json,
    MlflowPort,
    Since,
    given,
    run_body,
    run_night_program,
)
from jobs.running.settings import Settings
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


def main() -> None:
    app()


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from jobs.running.code_version import package_version

        print(f"nightshift {package_version()}")
        raise typer.Exit


@app.callback()
def about(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Every night, from raw event logs to a scored row for every user."""


# ---- a night, step by step -----------------------------------------------------------------------


@app.command(rich_help_panel=NIGHTLY)
def ingest(cutoff: Cutoff, since: Since = None, config: Config = None, json: Json = False) -> None:
    """Read the raw logs of the day before the cutoff into `events`."""
    run_night_program(night.INGEST, cutoff, config, json, given("--since", since))


@app.command(rich_help_panel=NIGHTLY)
def sessions(
    cutoff: Cutoff, since: Since = None, config: Config = None, json: Json = False
) -> None:
    """Cut each user's events into `sessions`."""
    run_night_program(night.SESSIONS, cutoff, config, json, given("--since", since))


@app.command(rich_help_panel=NIGHTLY)
def sequences(
    cutoff: Cutoff,
    full: Annotated[bool, typer.Option("--full", help="Rebuild from all events.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Bring every user's row of `sequences` up to the cutoff."""
    run_night_program(night.SEQUENCES, cutoff, config, json, ["--full"] if full else [])


@app.command(rich_help_panel=NIGHTLY)
def series(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Count units per item and day into `series`."""
    run_night_program(night.SERIES, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def promotions(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Bring a new plan of promotions into `promotions`; no step of a night: run it when it comes.

    The source's mapping says where the plan is. `nightshift train-demand` then learns from it.
    """
    run_night_program(night.PROMOTIONS, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def score(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Score every user with the champion into `scores`."""
    run_night_program(night.SCORE, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def demand(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Forecast units per item and day into `demand`."""
    run_night_program(night.DEMAND, cutoff, config, json)


@app.command(rich_help_panel=NIGHTLY)
def publish(
    cutoff: Cutoff,
    new_warehouse: Annotated[
        bool, typer.Option("--new-warehouse", help="Make the tables where they are gone.")
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Audit the night's rows, then switch the warehouse tables in one transaction."""
    chosen = ["--new-warehouse"] if new_warehouse else []
    run_night_program(night.PUBLISH, cutoff, config, json, chosen)


@app.command(rich_help_panel=NIGHTLY)
def report(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Write the night's HTML page."""
    run_night_program(night.REPORT, cutoff, config, json)


# ---- the model -----------------------------------------------------------------------------------


@app.command(rich_help_panel=MODEL)
def train(
    cutoff: Cutoff,
    encoder: Annotated[
        str,
        typer.Option(help="transformer, lstm, gru or cnn: the file of configs/models to train by."),
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
    arguments = ["--encoder", encoder, *given("--from", start_from), *given("--epochs", epochs)]
    arguments += given("--max-minutes", max_minutes)
    run_night_program(night.TRAIN, cutoff, config, json, arguments, devices=devices)


@app.command("train-demand", rich_help_panel=MODEL)
def train_demand(
    cutoff: Cutoff,
    hold: Annotated[bool, typer.Option("--hold", help="Judge, and promote nothing.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Train a demand forecaster, judge it on the last weeks, promote it where the rule holds.

    Learns from the days before the two last horizons, fits its quantiles on the next one, and is
    judged on the last. Until one has been promoted, nights forecast demand by weekday means.
    """
    run_night_program(night.TRAIN_DEMAND, cutoff, config, json, ["--hold"] if hold else [])


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
    run_night_program(night.EVALUATE, cutoff, config, json, chosen)


@app.command(rich_help_panel=MODEL)
def promote(
    cutoff: Cutoff,
    by: Annotated[str | None, typer.Option(help="Who asks for it.")] = None,
    version: Annotated[
        str | None, typer.Option(help="This one, or nothing; `none`: none was agreed to.")
    ] = None,
    demand: Annotated[bool, typer.Option("--demand", help="Of the demand forecasters.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Move `champion` to the best candidate that the gate admits, or say why not."""
    chosen = [*given("--by", by), *given("--version", version), *(["--demand"] if demand else [])]
    run_night_program(night.PROMOTE, cutoff, config, json, chosen)


@app.command(rich_help_panel=MODEL)
def review(cutoff: Cutoff, config: Config = None, json: Json = False) -> None:
    """Show what a promotion would change: versions, differences with intervals, links."""
    run_night_program(night.REVIEW, cutoff, config, json)


@app.command(rich_help_panel=MODEL)
def rollback(
    by: Annotated[str | None, typer.Option(help="Who asks for it.")] = None,
    demand: Annotated[bool, typer.Option("--demand", help="Of the demand forecasters.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Give `champion` back to the version that had it before."""
    chosen = ["--demand"] if demand else []
    run_night_program(night.ROLLBACK, None, config, json, [*given("--by", by), *chosen])


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

    run_body("night", config, json, body)


@app.command(rich_help_panel=OPERATE)
def demo(
    config: Config = None,
    json: Json = False,
    airflow_port: AirflowPort = 8080,
    mlflow_port: MlflowPort = 5000,
) -> None:
    """The main job end to end on real shopping logs: train, promote, one night in Airflow."""
    from jobs.demo.demo import run_demo

    run_body(
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

    run_body(
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

    run_body("down", config, json, lambda settings: (0, {"stopped": stop(settings)}))


@app.command(rich_help_panel=OPERATE)
def status(config: Config = None, json: Json = False) -> None:
    """Say which nights are in the lake and the warehouse, and which model is champion."""
    from jobs.status import read_status

    run_body("status", config, json, lambda settings: (0, read_status(settings)))


@app.command(rich_help_panel=OPERATE)
def replay(
    cutoff: Annotated[str, typer.Argument(help="A past night.", metavar="CUTOFF")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Rebuild a past night from the snapshots it read, and prove it equal by hash."""
    run_night_program(night.REPLAY, cutoff, config, json)


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

    run_body(
        "vacuum",
        config,
        json,
        lambda settings: (0, run_vacuum(settings, hours=older_than_hours, is_dry_run=dry_run)),
    )


@app.command(rich_help_panel=OPERATE)
def doctor(config: Config = None, json: Json = False) -> None:
    """Check all that Nightshift needs here, and say what to do about what is missing."""
    from jobs.doctor import examine

    run_body("doctor", config, json, examine, is_shown=True)


lake = typer.Typer(help="The lake's tables.", no_args_is_help=True)
app.add_typer(lake, name="lake", rich_help_panel=OPERATE)


@lake.command("restore")
def restore(
    table: Annotated[str, typer.Argument(help="A table of the lake.", metavar="TABLE")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Go back to the metadata file before a damaged one; a table that is whole stays as it is."""
    from jobs.restore_table import restore_table

    run_body("lake restore", config, json, lambda settings: (0, restore_table(settings, table)))


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

    run_body("sources check", config, json, body, is_shown=True)


if __name__ == "__main__":
    main()
