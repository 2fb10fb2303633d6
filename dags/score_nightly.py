"""### Score every user, every night

From the raw logs of the day that has just ended to a scored row for every user in the warehouse.

- **Reads** the raw logs of the ingestion days since the last night, and the champion model.
- **Writes** `events`, `sessions`, `sequences`, `series`, `scores`, `demand` and
  `demand_by_category` in the lake, and `user_scores`, `user_recommendations`, `item_demand` and
  `category_demand` in the warehouse. Each run replaces what it wrote for the same cutoff, so
  clearing and running again is always safe.
- **A red task** says in the last lines of its log what was found, what was expected and what to do.
  What the data or the gate refused is not tried again; anything else is, twice.
- **Starts at 06:00** in the deployment's time zone.
- **Late by 08:00?** Yesterday's tables still answer. See `docs/runbooks/score_nightly.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from contracts.night import NIGHT, night_arguments
from dags.programs import (
    CUTOFF,
    FILTERS,
    NIGHT_POOL,
    NIGHT_PRIORITY,
    RETRIES,
    START,
    TIME_ZONE,
    RefusalsAreFinal,
    python_task,
    spark_task,
)

with DAG(
    dag_id="score_nightly",
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone=TIME_ZONE),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    params={
        "cutoff": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Cutoff",
            description="First day that the night may not see. Empty: the day the run is for.",
        ),
    },
    default_args={
        "owner": "ml-platform",
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": RefusalsAreFinal(),
        "execution_timeout": timedelta(hours=2),
        "pool": NIGHT_POOL,
        "priority_weight": NIGHT_PRIORITY,
    },
    user_defined_filters=FILTERS,
    doc_md=__doc__,
    tags=["nightly", "scoring"],
):
    start = {"spark": spark_task, "python": python_task}
    tasks = {
        step.program.name: start[step.program.engine](step.program, night_arguments(CUTOFF))
        for step in NIGHT
    }
    for step in NIGHT:
        for before in step.after:
            tasks[before] >> tasks[step.program.name]
