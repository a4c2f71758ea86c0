# Every target sets itself up: .venv is made from requirements.lock, and again only when that or pyproject.toml changes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

EXPERIMENT ?= prod_discovery
SIZE ?=
FORCE ?=
TARGET ?=
PROMETHEUS ?=
TESTS ?= tests
PYTEST_ARGS ?=

BIN := .venv/bin
STAMP := .venv/.stamp
# A tree that was copied or moved has a .venv whose scripts point to the old place.
$(shell [ -f $(STAMP) ] && [ "$$(cat $(STAMP))" != "$(CURDIR)" ] && rm -rf .venv)

# Some containers forbid Python to keep its bytecode, which makes every command several times slower to start.
unexport PYTHONDONTWRITEBYTECODE
ifdef LASTFM_DIR
export LASTFM_DIR
endif
OK_ML := $(BIN)/ok-ml $(if $(SIZE),--size $(SIZE))

.PHONY: help setup run ui incident test test-full check bench bench-ingest bench-alarms calibrate screenshots dashboard lock clean distclean

help:  ## Show this list
	@echo "Targets (each installs what it needs on first use):"
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo
	@echo "  make run SIZE=tiny                   the shortest way to see something served"
	@echo "  make run EXPERIMENT=complete_journey a real data set; FORCE=1 does everything again"
	@echo "  make run EXPERIMENT=lastfm_artists LASTFM_DIR=/folder/with/the/files"

setup: $(STAMP)  ## Only install

$(STAMP): requirements.lock pyproject.toml .ci/setup
	@.ci/setup

run: $(STAMP)  ## Run an experiment from its log to what is served (SIZE, EXPERIMENT, FORCE); without SIZE the default one
	@OK_ML_SIZE=$${OK_ML_SIZE:-default} exec $(OK_ML) run $(EXPERIMENT) $(if $(FORCE),--force)

ui: $(STAMP)  ## Start everything that goes on by itself; Ctrl-C ends it (SIZE)
	@exec $(OK_ML) ui

incident: $(STAMP)  ## Replay an incident on a living network: a broken day, a change of taste, and what checks are worth
	@exec $(BIN)/python -m drills.incident

test: $(STAMP)  ## Run the tests; those marked daemon or full are left out
	@exec $(BIN)/python -m pytest -p tests.suite_times -m "not daemon and not full" $(PYTEST_ARGS) $(TESTS)

test-full: $(STAMP)  ## Run every test, also those that drive the real daemon
	@exec $(BIN)/python -m pytest -p tests.suite_times $(PYTEST_ARGS) $(TESTS)

check: $(STAMP)  ## Lint, types, layers, configuration
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Error: some files are not formatted; mend it with .venv/bin/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/ok-ml validate

bench: $(STAMP)  ## Measure (TARGET names one; default: all)
	@exec $(BIN)/python -m bench $(TARGET)

bench-ingest: $(STAMP)  ## Measure how fast a raw log comes in, beside polars and Spark
	@exec $(BIN)/python -m bench ingest

bench-alarms: $(STAMP)  ## Plant 20 kinds of faults, and count false alarms in 20 quiet years (about 40 minutes)
	@exec $(BIN)/python -m bench alarms

calibrate: $(STAMP)  ## Find the limit of an experiment's bands for a rate of false alarms (EXPERIMENT, ARGS)
	@exec $(BIN)/python -m bench.calibration $(EXPERIMENT) $(ARGS)

screenshots: $(STAMP)  ## Take pictures of the pages with headless Chromium
	@exec $(BIN)/python -m bench.screenshots

dashboard: $(STAMP)  ## Draw the Grafana dashboards of what runs (needs Prometheus; PROMETHEUS names one that runs)
	@exec $(BIN)/python -m ops.picture $(if $(PROMETHEUS),--prometheus $(PROMETHEUS))

lock: ## Write requirements.lock anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "Error: uv is needed, e.g. pipx install uv" >&2; exit 3; }
	@uv pip compile pyproject.toml --all-extras --python-version 3.11 --no-emit-index-url --generate-hashes --quiet -o requirements.lock

clean:  ## Remove what runs left (.ok_ml) and the tools' caches; .venv stays
	@if [ -x $(BIN)/ok-ml ]; then $(BIN)/ok-ml clean --yes; else rm -rf .ok_ml; fi
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build

distclean: clean  ## Also remove .venv
	@rm -rf .venv *.egg-info
