# `make` alone lists what can be done.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)

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

.venv/installed: requirements.txt constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 found: install it, or run make with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing into .venv: a few minutes the first time"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-explore: .venv/installed requirements-explore.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-explore.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt requirements-explore.txt requirements-s3.txt requirements-ray.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.PHONY: repro
repro: .venv/installed  ## run what is out of date in the pipeline, then print the metrics
	@# The stages' commands are `python -m ...`, with the python that comes first on the PATH.
	@PATH="$$(cd $(BIN) && pwd):$$PATH" dvc repro
	@$(MAKE) --no-print-directory metrics

.PHONY: metrics
metrics: .venv/installed  ## print the figures of each class
	@$(BIN)/python -c "import json, pandas; \
		classes = json.load(open('metrics/details.json'))['classes']; \
		classes = {name: {k: v for k, v in own.items() if not isinstance(v, dict)} \
			for name, own in classes.items()}; \
		table = pandas.DataFrame.from_dict(classes, orient='index', dtype=object); \
		print(table.fillna('-').to_string())"

.PHONY: test
test: .venv/installed-dev  ## run all tests
	@$(BIN)/python -m pytest

.PHONY: check
check: .venv/installed-dev  ## format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-logo

.PHONY: format
format: .venv/installed-dev  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: explore
explore: .venv/installed-explore  ## look at images, masks and scores in a browser (ARGS="--port 8765")
	@$(BIN)/python -m explore $(ARGS)

.PHONY: review
review: .venv/installed  ## what this working tree does to the results, against BASE (default main)
	@PATH="$$(cd $(BIN) && pwd):$$PATH" python -m review $(or $(BASE),main)

.PHONY: export
export: .venv/installed  ## predictions in another tool's format, into data/export (FORMAT=coco ARGS="--objects masks")
	@$(BIN)/python -m formats.export $(FORMAT) $(ARGS)

.PHONY: bench
bench: .venv/installed-dev  ## measure what the README claims, into benchmarks/results/ (ARGS="masks memory")
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: cache
cache: .venv/installed  ## what the side cache holds, and how much of it is needed
	@$(BIN)/python -m retrieval.cache_cleaning list

.PHONY: cache-gc
cache-gc: .venv/installed  ## remove what nothing needs from the side cache (ARGS="--size 20GB --dry-run")
	@$(BIN)/python -m retrieval.cache_cleaning gc $(ARGS)

.PHONY: demo-models
demo-models: .venv/installed-dev  ## render rooms, train both tiny models (VARIED, PLAIN, WORK, MINUTES), ship them
	$(BIN)/python -m demo.rooms --seeds 100000:$$((100000 + $(PLAIN))) --out "$(WORK)/rooms"
	$(BIN)/python -m demo.rooms --seeds 110000:$$((110000 + $(VARIED))) --out "$(WORK)/rooms"
	$(BIN)/python -m demo.train_sam --rooms "$(WORK)/rooms" --work "$(WORK)/sam" --minutes $(MINUTES)
	$(BIN)/python -m demo.training_masks --rooms "$(WORK)/rooms" --count $(OWN_MASKS) --out "$(WORK)/masks.zarr"
	$(BIN)/python -m demo.train_clip --rooms "$(WORK)/rooms" --masks "$(WORK)/masks.zarr" \
		--work "$(WORK)/clip" --minutes $(MINUTES)
	$(BIN)/python -m demo.ship --sam "$(WORK)/sam" --clip "$(WORK)/clip"
