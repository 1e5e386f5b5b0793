# `make` alone lists what can be done.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.PHONY: repro
repro: .venv/installed  ## run what is out of date in the pipeline, then print the metrics
	$(BIN)/dvc repro
	$(BIN)/dvc metrics show

.PHONY: test
test: .venv/installed-dev  ## run all tests
	$(BIN)/python -m pytest

.PHONY: check
check: .venv/installed-dev  ## format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

.PHONY: format
format: .venv/installed-dev  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: .venv/installed-dev  ## measure what the README claims, into benchmarks/results/
	$(BIN)/python -m benchmarks.mask_store
