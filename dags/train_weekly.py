"""### Train, judge and promote, every week

Trains a candidate for each encoder asked for, judges every candidate, the champion and the
baselines on the same matured cutoffs, and moves the alias `champion` only where the written rule
holds. Nothing is promoted because nothing better was there.

- **Reads** `events`, `sequences` and `series` as of the cutoff. **Writes** runs and versions in
  MLflow.
- **`promote` red with exit code 4** means that the gate refused: the old champion goes on scoring.
- **`train_demand`** trains and judges the demand forecaster, and **`promote_demand`** makes it
  champion; red with exit code 4 it was refused, and the nights go on with the one before.
- **`read_promotions`** brings a new plan of promotions into the lake first, for it to learn from.
- **`require_approval`** makes both promotions wait for a person, under *Required Actions*, with
  versions, differences and links; where nothing would change nobody is asked.
- **Anything else red?** See `docs/runbooks/train_weekly.md`.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, CronDataIntervalTimetable, Param, task

from contracts.night import (
    ENCODERS,
    EVALUATE,
    NO_VERSION,
    PROMOTE,
    PROMOTIONS,
    REVIEW,
    TRAIN,
    TRAIN_DEMAND,
    night_arguments,
    train_arguments,
)
from dags.programs import (
    CUTOFF,
    FILTERS,
    START,
    TIME_ZONE,
    TRAINING_POOL,
    ProgramOperator,
    RefusalsAreFinal,
    TellingOperator,
    python_command,
    python_task,
    spark_task,
    torchrun_command,
)

PROMOTE_DEMAND = f"{PROMOTE.name}_demand"
REVIEWED = f"ti.xcom_pull(task_ids='{REVIEW.name}')"
# Whoever agreed under Required Actions; the run where nobody was asked.
WHO = (
    "{{ ((ti.xcom_pull(task_ids='approve') or {}).get('responded_by_user') or {}).get('name') "
    "or 'airflow ' ~ run_id }}"
)
COUNT = {"type": "integer", "minimum": 1}
OPTIONAL = {**COUNT, "type": ["null", "integer"]}


def agreed(model: str) -> str:
    """The version that the question showed, or ``none``: no other is promoted in its place."""
    return f"{{{{ ({REVIEWED} or {{}}).get('{model}', {{}}).get('version') or '{NO_VERSION}' }}}}"


with DAG(
    dag_id="train_weekly",
    schedule=CronDataIntervalTimetable("0 8 * * 0", timezone=TIME_ZONE),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    params={
        "cutoff": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Cutoff",
            description="First day that training may not see. Empty: the day the run is for.",
        ),
        "encoders": Param(
            list(ENCODERS[:2]),
            type="array",
            items={"type": "string", "enum": list(ENCODERS)},
            examples=list(ENCODERS),
            minItems=1,
            title="Encoders",
            description="One candidate is trained for each.",
        ),
        "epochs": Param(None, **OPTIONAL, title="Epochs", description="Empty: as configured."),
        "devices": Param(2, **COUNT, title="Devices", description="A process each: GPUs, or CPU."),
        "max_minutes": Param(None, **OPTIONAL, title="Minutes", description="At most, for each."),
        "start_from": Param(
            None,
            type=["null", "string"],
            title="Go on from",
            description="champion, or a version's number; of the same encoder. Empty: anew.",
        ),
        "read_promotions": Param(
            False,
            type="boolean",
            title="A new plan of promotions",
            description="Bring it into the lake before demand is trained.",
        ),
        "require_approval": Param(
            False, type="boolean", title="Ask first", description="Wait for a person to agree."
        ),
    },
    default_args={
        "owner": "ml-platform",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": RefusalsAreFinal(),
        "execution_timeout": timedelta(hours=12),
        "pool": TRAINING_POOL,
    },
    user_defined_filters=FILTERS,
    doc_md=__doc__,
    tags=["weekly", "training"],
):

    @task
    def choose(cutoff: str, params: dict[str, Any]) -> list[list[str]]:
        """The command of each training asked for."""
        given = {name: str(params[name] or "") for name in ("epochs", "max_minutes", "start_from")}
        devices = str(params["devices"])
        return [
            torchrun_command(
                TRAIN, train_arguments(cutoff, encoder=encoder, **given), devices=devices
            )
            for encoder in params["encoders"]
        ]

    @task.branch
    def ask(params: dict[str, Any], review: dict[str, Any]) -> list[str]:
        """Does a person have to agree? Only where something would change."""
        is_asked = params["require_approval"] and review["changes"]
        return ["approve"] if is_asked else [PROMOTE.name, PROMOTE_DEMAND]

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def has_plan(params: dict[str, Any]) -> bool:
        """Is there a new plan of promotions?"""
        return bool(params["read_promotions"])

    train = ProgramOperator.partial(
        task_id=TRAIN.name, doc=TRAIN.meaning, max_active_tis_per_dagrun=1
    ).expand(command=choose(CUTOFF))
    promotions = spark_task(PROMOTIONS, night_arguments(CUTOFF))
    train_demand = spark_task(TRAIN_DEMAND, [*night_arguments(CUTOFF), "--hold"])
    train_demand.trigger_rule = "none_failed"
    evaluate = python_task(EVALUATE, night_arguments(CUTOFF))
    review = TellingOperator(
        task_id=REVIEW.name,
        doc=REVIEW.meaning,
        command=python_command(REVIEW, night_arguments(CUTOFF)),
        trigger_rule="all_done_min_one_success",  # one that failed keeps the other from nothing
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject=f"Promote {{{{ {REVIEWED}['subject'] }}}}?",
        body=f"{{{{ {REVIEWED}['question'] }}}}",
        response_timeout=timedelta(days=3),
        execution_timeout=None,
    )
    asked = ask(review=review.output)
    for task_id, model, more in (
        (PROMOTE.name, "users", []),
        (PROMOTE_DEMAND, "demand", ["--demand"]),
    ):
        arguments = [*night_arguments(CUTOFF), "--by", WHO, "--version", agreed(model), *more]
        promote = python_task(PROMOTE, arguments, task_id=task_id)
        promote.trigger_rule = "none_failed_min_one_success"
        asked >> promote
        approve >> promote

    has_plan() >> promotions >> train_demand
    train >> evaluate
    [evaluate, train_demand] >> review
    asked >> approve
