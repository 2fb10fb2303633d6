#!/bin/sh
# Run by the postgres image the first time: one database each for MLflow and the lake's catalog.
set -eu
for name in mlflow catalog; do
    createdb --username "$POSTGRES_USER" "$name"
done
