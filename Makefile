# Two commands: `make demo` shows the main job on the embedded data, `make test` checks everything. Both set up what they need, once.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
# A process for each core, so one thread for each process; the tests of a file share its fixtures in one process.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: help demo test test-slow test-all test-lowest lint format docs bench clean

help:
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/installed ## seven methods trained, examined, compared and reported on the embedded data, four minutes on two cores
	$(BIN)/overfocus demo --out $(DEMO)

test: .venv/installed-dev lint ## what must be green: format, lint, types, tests
	$(PYTEST)

# In the order of tests/conftest.py, which puts the longest files first.
test-slow: .venv/installed-dev ## the slow tests alone, about a quarter of an hour on two cores
	$(PYTEST) -m slow --no-loadscope-reorder --durations=20

test-all: test test-slow ## both

# Needs uv, and a Python 3.10 (OLDEST=path). Compiling an objective wants a newer torch than 2.7 and is left out there.
OLDEST ?= python3.10
test-lowest: ## the fast tests with the oldest Python and the oldest versions that are promised
	uv venv --clear --python $(OLDEST) .venv-lowest
	uv pip install --python .venv-lowest --resolution lowest-direct --editable '.[timm,parquet]' 'pytest>=8.2' 'pytest-xdist>=3.6'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n auto --dist loadfile

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: .venv/installed-dev ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/installed-dev ## the documentation, into site/
	$(BIN)/mkdocs build --strict

bench: .venv/installed-dev ## side by side with the peers, on an idle machine: about half an hour on two cores
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/all.py

clean:
	rm -rf .venv runs .pytest_cache .ruff_cache
