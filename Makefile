# `make check` is what a change must pass; CI runs the same through .ci/run.
PYTHON ?= python

.DEFAULT_GOAL := check
.PHONY: check check-all format format-check lint types imports test test-all robust startup

check: format-check lint types imports test

check-all: format-check lint types imports test-all robust

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

format-check:
	$(PYTHON) -m ruff format --check .

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

imports:
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

test:
	$(PYTHON) -m pytest -n 2 --dist loadfile

test-all:
	$(PYTHON) -m pytest -m "slow or not slow"

# Every file of a folder of awkward videos, one row each; says so and stops where there is none.
robust:
	$(PYTHON) -m tests.robust

# Processor time of `david --help` against that of what it imports.
startup:
	$(PYTHON) -m tests.startup
