# Everything a person does with this tree. `make` alone says what there is.

PYTHON ?= python3
export PYTHON

# How many tests run at a time, each with servers of its own.
WORKERS ?= 2
python := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test lint bench chaos setup setup-dev servers format lock clean

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | awk -F '\t' '{printf "make %-10s %s\n", $$1, $$2}'

run: setup ## set up and start everything in one process
	@exec $(python) app.py

test: setup-dev servers ## the tests, on servers of their own (ARGS='-k claim' for some)
	@$(python) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: setup-dev ## style, format and types
	@failed=0; \
	$(python) -m ruff check . || failed=1; \
	$(python) -m ruff format --check . || failed=1; \
	$(python) -m mypy || failed=1; \
	exit $$failed

bench: setup servers ## how fast it is
	@$(python) -m bench $(ARGS)

chaos: setup servers ## what becomes of 10,000 jobs while everything dies (ARGS='jobs=300 seed=7')
	@$(python) -m chaos $(ARGS)

setup: ## what the program needs, in .venv
	@scripts/setup.sh requirements.lock

setup-dev: ## that, and what its tests need
	@scripts/setup.sh requirements-dev.lock

servers: ## MariaDB and Redis for the tests, installed but not started
	@scripts/servers.sh

format: setup-dev ## put the code in shape
	@$(python) -m ruff check --fix .
	@$(python) -m ruff format .

lock: setup ## write the lock files again from pyproject.toml
	@scripts/lock.sh

clean: ## remove what was made here, data/ excepted
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
