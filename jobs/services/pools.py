"""Airflow's pools: a training never takes a slot that a night needs.

A task that waits for a slot of its pool is `scheduled`: it has no token yet, and the greater
priority goes first. Airflow's LocalExecutor takes every task that it is given, however many run,
and starts them in the order in which they came; the token of each is made when it is taken. So
there are as many workers as slots: no task waits inside the executor.
"""

import os

NIGHT, TRAINING = "night", "training"  # as docker/compose.yaml makes them too
LONGEST_WAIT_SECONDS = 3 * 24 * 3600  # for which a queued task's token holds, whatever happens

# A task is a Spark driver or a training: more of them than cores only take each other's.
SLOTS = {NIGHT: max(2, min(4, os.cpu_count() or 2)), TRAINING: 1}
MEANING = {NIGHT: "Steps of a night.", TRAINING: "Steps of a training, one at a time."}


def pool_environment() -> dict[str, str]:
    """What Airflow's parts and the DAGs are told of the pools."""
    return {
        "AIRFLOW__CORE__PARALLELISM": str(sum(SLOTS.values())),
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(LONGEST_WAIT_SECONDS),
        # Of a task that runs; renewed while it does, save on a machine that was asleep.
        "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": str(LONGEST_WAIT_SECONDS),
        "NIGHTSHIFT_NIGHT_POOL": NIGHT,
        "NIGHTSHIFT_TRAINING_POOL": TRAINING,
    }
