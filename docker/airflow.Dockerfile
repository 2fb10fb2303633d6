# Airflow's own parts: API server, DAG processor, triggerer. Knows when things run, and none of our
# programs: only contracts/ and dags/, with the extra [airflow]. What runs tasks is jobs.Dockerfile's
# target `runner`.
FROM python:3.11.14-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/nightshift \
    NIGHTSHIFT_PROJECT=/opt/nightshift \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/nightshift/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False

WORKDIR /opt/nightshift
COPY pyproject.toml constraints.txt docker/requirements_of.py /tmp/build/
RUN python /tmp/build/requirements_of.py /tmp/build/pyproject.toml airflow > /tmp/build/requirements.txt \
    && pip install --constraint /tmp/build/constraints.txt --requirement /tmp/build/requirements.txt \
    && rm -r /tmp/build

RUN useradd --create-home --uid 50000 nightshift \
    && install --directory --owner nightshift /opt/airflow
COPY contracts contracts
COPY dags dags
USER 50000

EXPOSE 8080
CMD ["airflow", "api-server"]
