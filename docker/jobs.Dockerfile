# The programs: contracts/, models/ and jobs/, with the extra [jobs], Java and Spark. Also what Spark's
# master and workers and MLflow run in. Knows nothing of Airflow, save in the target `runner`.
FROM python:3.11.14-slim-bookworm AS jobs

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/nightshift \
    PYSPARK_PYTHON=/usr/local/bin/python3 \
    SPARK_CONF_DIR=/opt/nightshift/configs/spark \
    NIGHTSHIFT_CONFIG=/opt/nightshift/configs/nightshift.yaml \
    MLFLOW_DISABLE_TELEMETRY=true

# Debian keeps one version of a package at a time: a pin here would break on its next update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/nightshift
COPY pyproject.toml constraints.txt docker/requirements_of.py /tmp/build/
# psycopg2 is what MLflow and the Iceberg catalog speak to PostgreSQL with.
RUN python /tmp/build/requirements_of.py /tmp/build/pyproject.toml jobs > /tmp/build/requirements.txt \
    && echo psycopg2-binary >> /tmp/build/requirements.txt \
    && pip install --constraint /tmp/build/constraints.txt --requirement /tmp/build/requirements.txt \
    && rm -r /tmp/build

RUN useradd --create-home --uid 50000 nightshift \
    && install --directory --owner nightshift /opt/nightshift/data /opt/airflow
COPY pyproject.toml pyproject.toml
COPY configs configs
COPY contracts contracts
COPY models models
COPY jobs jobs
USER 50000
CMD ["python", "-m", "jobs.cli", "--help"]

# Airflow's scheduler with its LocalExecutor, whose tasks start the programs above. On a cluster each
# task has a container of its own instead, and this target is not needed.
FROM jobs AS runner

ENV NIGHTSHIFT_PROJECT=/opt/nightshift \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/nightshift/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False

USER 0
COPY pyproject.toml constraints.txt docker/requirements_of.py /tmp/build/
RUN python /tmp/build/requirements_of.py /tmp/build/pyproject.toml airflow > /tmp/build/requirements.txt \
    && pip install --constraint /tmp/build/constraints.txt --requirement /tmp/build/requirements.txt \
    && rm -r /tmp/build
COPY dags dags
USER 50000
CMD ["airflow", "scheduler"]
