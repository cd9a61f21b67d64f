# What a developer and the gate run. A first `make test` or `make demo` on a bare machine sets everything up.

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

test: dev system lint types  ## Set up, then everything the gate runs
	$(PYTEST) -n $(WORKERS) --dist loadfile

demo: $(VENV)/.platform  ## Platform up, login, first job, platform down, in temporary folders
	@PATH="$(abspath $(BIN)):$$PATH" bash docs/demo.sh

unit: dev  ## The tests without browser, terminal and wheel
	$(PYTEST) -n $(WORKERS) --dist loadfile -m 'not e2e'

e2e: dev system  ## The tests with whole processes, a real browser and a real terminal
	$(PYTEST) -m e2e

generations: dev system  ## Released clients of earlier generations, all of them; installs them into .clients/
	CLIENTS="20.12.7 21.5.17 25.5.0 26.9.0" $(PYTEST) tests/e2e/test_earlier_clients.py

lint: dev  ## Style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: dev  ## Put imports and formatting right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: dev  ## Static types
	$(BIN)/mypy

bench: dev  ## How fast and how small it is, beside what is possible on this machine
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m bench

completions: dev  ## Write completions/ anew
	$(BIN)/python -m neuro_cli.complete completions

docs: dev  ## Write the generated parts of docs/ anew
	$(BIN)/python docs/generate.py

dist: dev  ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build --outdir dist

venv: $(VENV)/bin/python  ## Only the virtual environment

dev: $(VENV)/.dev

system:
	@.ci/setup

clean:  ## Remove everything that was built or installed here
	rm -rf $(VENV) .clients build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	.ci/venv $(VENV)

$(VENV)/.platform: $(VENV)/bin/python setup.cfg setup.py
	$(BIN)/python -m pip install -q --config-settings editable_mode=compat -e '.[platform]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python setup.cfg setup.py
	$(BIN)/python -m pip install -q --config-settings editable_mode=compat -e '.[platform,dev]'
	@touch $(VENV)/.platform $@

.PHONY: help test demo unit e2e generations lint format types bench completions docs dist venv dev system clean
