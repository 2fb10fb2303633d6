# Each target makes the environment first, where it is missing. `make` alone lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo test exact fuzz chaos bench bench-peers bench-training bench-demand bench-business bench-two-years bench-scoring bench-memory check format up down images clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make the environment: Java 17 or newer, then .venv with the locked packages

$(READY): pyproject.toml constraints.txt bin/require-java bin/require-python
	@bin/require-java
	@bin/require-python $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[airflow,jobs,demo,dev]'
	@touch $(READY)

demo: $(READY) ## the main job, end to end, on real shopping logs
	$(BIN)/nightshift demo

test: check ## everything that can be checked: format, lint, types, import rules, then all tests (PROCESSES=2)
	$(BIN)/python -m pytest --numprocesses $(or $(PROCESSES),2) --dist loadfile --no-loadscope-reorder

exact: $(READY) ## sessions and sequences of whole real logs against plain Python (REES46=its file)
	$(BIN)/python -m pytest -s -m exact tests/jobs

fuzz: $(READY) ## break a million lines (FUZZ_SEED=word for other ones): none is lost, nothing crashes
	$(BIN)/python -m pytest -s -m fuzz tests/jobs

chaos: $(READY) ## long: every program killed at every point, readers beside publishers, many histories
	$(BIN)/python -m pytest -m chaos

bench: $(READY) ## ratios against peers on made-up events (SIZE=small or full); docs/benchmarks.md
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.spark --size $(or $(SIZE),small)
	$(BIN)/python -m benchmarks.publish --size $(or $(SIZE),small)

bench-training: $(READY) ## an epoch against plain PyTorch and, with SIZE=full, replay-rec; DATA="file …"
	$(BIN)/python -m benchmarks.training --size $(or $(SIZE),small) --data $(DATA)

bench-demand: $(READY) ## WAPE of demand beside simple rules and, with SIZE=full, AutoETS and AutoTheta
	test -x .venv-forecasters/bin/python || $(PYTHON) -m venv .venv-forecasters
	.venv-forecasters/bin/python -m pip install --quiet statsforecast==2.1.1
	$(BIN)/python -m benchmarks.demand --size $(or $(SIZE),small)

bench-scoring: $(READY) ## users a second against plain PyTorch and, with SIZE=full, replay-rec; DATA="file …"
	$(BIN)/python -m benchmarks.scoring --size $(or $(SIZE),small) --data $(DATA)

bench-memory: $(READY) ## peak memory of a training on 0.1 and on 2 million made-up users (minutes)
	$(BIN)/python -m benchmarks.memory

bench-business: $(READY) ## purchase, churn, spend and baskets against LightGBM (SIZE=full: 3 seeds)
	$(BIN)/python -m benchmarks.business --size $(or $(SIZE),small) --data \
		$$($(BIN)/python -c 'from jobs.write_raw import package_tables; print(package_tables()[0].parent)')

bench-two-years: $(READY) ## LightGBM with and without the year before, on a made-up shop of two years
	$(BIN)/python -m benchmarks.two_years --size $(or $(SIZE),small)

bench-peers: $(READY) ## the environment of the peers that need one of their own: .venv-peers
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet 'replay-rec[torch]==0.22.0' lightning==2.6.6 torch==2.13.0

check: $(READY) ## format, lint, strict types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## put every file into the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

up: $(READY) ## start Airflow and MLflow with their pages on this machine
	$(BIN)/nightshift up

down: $(READY) ## stop what `make up` started
	$(BIN)/nightshift down

images: ## build the two images of production (needs a Docker engine)
	docker build --file docker/airflow.Dockerfile --tag nightshift-airflow:0.1.0 .
	docker build --file docker/jobs.Dockerfile --tag nightshift-jobs:0.1.0 .

clean: ## remove the demo's data: raw logs, lake, warehouse, MLflow and Airflow
	@if [ -x $(BIN)/nightshift ]; then $(BIN)/nightshift down; fi
	rm -rf data
