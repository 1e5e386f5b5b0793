# `make` alone lists what can be done.
ifeq ($(OS),Windows_NT)
$(error this needs Linux, macOS or WSL (Windows Subsystem for Linux))
endif
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# A version that the tests run on, with venv, which Debian and Ubuntu pack separately.
USABLE := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c '$(USABLE)' 2>/dev/null && echo $$p && break; done)
# Else Debian 12's pip warns of how it builds a package.
export PIP_USE_PEP517 := 1

# For `make test`: in how many processes, each of which needs about 2 GB of memory.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

# For `make demo-models`: how many rooms to train on (varied ones, and as the demo's own), of how many
# of them with the tiny SAM's own masks, where to work, and minutes for each model.
VARIED ?= 3000
PLAIN ?= 1600
OWN_MASKS ?= 700
WORK ?= .cache/demo-models
MINUTES ?= 90

# For `make export`: coco, yolo, png, label-studio, cvat or fiftyone.
FORMAT ?= coco

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv/installed: requirements.txt constraints.txt pyproject.toml
	@# A .venv that works stays, whichever Python made it; one whose Python is gone is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -c '$(USABLE)' 2>/dev/null || { \
		echo "error: Python 3.11, 3.12 or 3.13 with venv is needed (on Debian and Ubuntu: apt-get install python3-venv); make PYTHON=/path/to/python names one" >&2; exit 1; }
	@echo "installing into .venv: a few minutes the first time"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
		"$(PYTHON)" -m venv $$(test -x $(BIN)/python || echo --clear) .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@# The command `maskquery`, which runs the code of this folder.
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# What the extra `explore` needs, in the versions that are tested.
.venv/installed-explore: .venv/installed requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt \
		$$(grep -oE '^(fastapi|uvicorn)==[^ ]+' requirements-dev.txt)
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# TypeScript checks the explorer's scripts; its versions and hashes are in the lock file.
.venv/installed-scripts: .venv/installed-dev tests/explore/scripts/package-lock.json
	@mkdir -p .venv/scripts && cp tests/explore/scripts/package*.json .venv/scripts/
	@cd .venv/scripts && ../bin/npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: repro
repro: .venv/installed  ## check, run what is out of date in the pipeline, print the metrics
	@# The stages' commands are `python -m ...`, with the python that comes first on the PATH.
	@$(BIN)/maskquery check --mend
	@PATH="$$(cd $(BIN) && pwd):$$PATH" dvc repro
	@$(MAKE) --no-print-directory metrics

.PHONY: metrics
metrics: .venv/installed  ## print the metrics of each class
	@$(BIN)/maskquery metrics

.PHONY: test
test: .venv/installed-dev  ## run all tests (WORKERS=2)
	@$(PYTEST)

.PHONY: test-fast
test-fast: .venv/installed-dev  ## run the tests that take no more than two minutes together
	@$(PYTEST) -m "not slow"

.PHONY: check
check: .venv/installed-dev .venv/installed-scripts  ## format, lint, types, import rules and docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-logo
	$(BIN)/node .venv/scripts/node_modules/typescript/bin/tsc --noEmit --project tests/explore/scripts
	@$(MAKE) --no-print-directory docs

.PHONY: docs
docs: .venv/installed-dev  ## build the documentation into .cache/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: format
format: .venv/installed-dev  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: explore
explore: .venv/installed-explore  ## look at images, masks and scores in a browser (ARGS="--port 8765")
	@$(BIN)/maskquery explore $(ARGS)

.PHONY: review
review: .venv/installed  ## what this working tree does to the results, against BASE (default main)
	@PATH="$$(cd $(BIN) && pwd):$$PATH" maskquery review $(or $(BASE),main)

.PHONY: export
export: .venv/installed  ## predictions in another tool's format, into data/export (FORMAT=coco ARGS="--objects masks")
	@$(BIN)/maskquery export $(FORMAT) $(ARGS)

.PHONY: bench
bench: .venv/installed-dev  ## measure what the README claims, into benchmarks/results/ (ARGS="masks memory")
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: cache
cache: .venv/installed  ## what the cache of finished work holds, and how much of it is needed
	@$(BIN)/maskquery cache list

.PHONY: cache-gc
cache-gc: .venv/installed  ## remove what nothing needs from the cache of finished work (ARGS="--size 20GB --dry-run")
	@$(BIN)/maskquery cache gc $(ARGS)

.PHONY: demo-models
demo-models: .venv/installed-dev  ## render rooms, train both tiny models (VARIED, PLAIN, WORK, MINUTES), ship them
	$(BIN)/python -m demo.rooms --seeds 100000:$$((100000 + $(PLAIN))) --out "$(WORK)/rooms"
	$(BIN)/python -m demo.rooms --seeds 110000:$$((110000 + $(VARIED))) --out "$(WORK)/rooms"
	$(BIN)/python -m demo.train_sam --rooms "$(WORK)/rooms" --work "$(WORK)/sam" --minutes $(MINUTES)
	$(BIN)/python -m demo.training_masks --rooms "$(WORK)/rooms" --count $(OWN_MASKS) --out "$(WORK)/masks.zarr"
	$(BIN)/python -m demo.train_clip --rooms "$(WORK)/rooms" --masks "$(WORK)/masks.zarr" \
		--work "$(WORK)/clip" --minutes $(MINUTES)
	$(BIN)/python -m demo.ship --sam "$(WORK)/sam" --clip "$(WORK)/clip"
