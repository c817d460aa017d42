# Needs git, make and Python 3.11, 3.12 or 3.13; everything else goes into .venv.  `make` lists the targets.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A pyenv shim can be on PATH and still fail, so each candidate is run, not only looked up.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && { echo $$p; break; }; done)
# One torch thread a process: two workers with two threads each fight for two cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# Extra options for the tests, e.g. make test PYTEST_ARGS="-k steering".  The tests in tests/browser need Chromium and are
# skipped without; make test PYTEST_ARGS=tests/browser WORKBENCH_SCREENSHOTS=DIR keeps a picture of every page.
PYTEST_ARGS ?=
WORKERS ?= -n logical --maxprocesses=4 --dist=worksteal

.PHONY: help install models demo test test-fast check static lint format types imports doctest bench app notebooks clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 on PATH: install one, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "error: $(PYTHON) is not Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make virtual environments: install its venv package (Debian: python3-venv)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP)  ## make .venv with the project and its developer tools (the other targets do it when needed)

demo: $(STAMP)  ## steer a chat model and the shipped agent: tables and figures in four minutes
	$(BIN)/workbench demo

models: $(STAMP)  ## fetch the chat model that tests marked "real" read (94 MB, once); without a network they are skipped
	@$(BIN)/workbench models get smollm2-135m || echo "the tests on a real model will be skipped" >&2

test: $(STAMP) models  ## run the tests
	$(PYTEST) $(WORKERS) $(PYTEST_ARGS)

test-fast: $(STAMP) models  ## run the tests but the slow ones (trainings, whole runs, kills, pages, notebooks): minutes
	$(PYTEST) $(WORKERS) -m "not slow" $(PYTEST_ARGS)

check: static doctest test  ## all that CI runs: lint, format, types, import order, doctests, tests

static: lint types imports

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

doctest: $(STAMP)
	$(PYTEST) -q --doctest-modules workbench probes steering

format: $(STAMP)  ## format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## run the benchmarks
	$(BIN)/python tests/benchmarks/run.py

app: $(STAMP)  ## open the explorer in a browser
	$(BIN)/workbench app

notebooks: $(STAMP)  ## write each notebook's .ipynb from its .py, without outputs
	$(BIN)/python tests/notebooks/pairing.py

clean:  ## remove .venv, build outputs and caches (run folders stay)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +
