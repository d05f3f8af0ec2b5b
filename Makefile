# Needs Python 3.10 to 3.13 with its venv module, nothing else; `make PYTHON=python3.12 demo` chooses another one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# a process for each core; one that has finished takes tests over from another
PARALLEL := --numprocesses auto --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: help demo test test-fast check format benchmark results clean

help:
	@echo "make demo       sample a labelled grid from the model that comes with the package"
	@echo "make test       run every test;  make test-fast  leaves the slow ones out"
	@echo "make check      format, lint, types, import contracts, tests"
	@echo "make benchmark  speed against diffusers, same weights: minutes on an idle machine"
	@echo "make results    measure again what docs/results.md says: hours, and it goes on where it was stopped"
	@echo "make format     put the code into the format that check expects"
	@echo "make clean      remove $(VENV) and caches"

demo: $(VENV)/installed
	$(BIN)/python sample.py --classes 0-9 --seeds 0-9 --sampler dpmpp-2m --steps 13 --guidance 1.6 \
		--guidance_interval 0.2,5 --out samples/demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(PARALLEL)

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.unet --out benchmark.json
	$(BIN)/python -m benchmarks.data_loading

results: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.results

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable ".[dev,eval,plots]"
	touch $@
