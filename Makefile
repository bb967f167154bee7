# Every target sets up what it needs: a virtual environment in .venv, and PostgreSQL for the full tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup servers demo demo-gang demo-hosted serve check lint types contracts unit test bench clean

help: ## Show what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet 'torch==2.13.0'
	@$(BIN)/python -m pip install --quiet --editable '.[dev,s3]'
	@touch $@

setup: $(STAMP) ## Create .venv with everything installed

servers: ## Install PostgreSQL (the tests start their own private server)
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; \
	  else echo "PostgreSQL is needed: sudo apt-get install postgresql" >&2; exit 1; fi; }

demo: setup ## Start everything, send a photograph, show the clip and the reasons
	@$(BIN)/python -m examples.demo

demo-gang: setup ## Three clips share a gang of four CPU ranks: pauses and degree changes in their histories
	@$(BIN)/python -m examples.demo_gang

demo-hosted: setup ## Rented models and a running engine, played by the shipped strict fakes
	@$(BIN)/python -m examples.demo_hosted

serve: setup ## Run the whole stack on this machine
	@$(BIN)/i2v serve

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ." >&2; exit 1; }

types: setup
	@$(BIN)/mypy

contracts: setup
	@$(BIN)/lint-imports

unit: setup
	@$(BIN)/pytest tests/unit -q

check: lint types contracts unit ## Fast: lint, types, import contracts, unit tests

test: setup servers lint types contracts ## Everything: also real Ray, PostgreSQL and the OpenAI client
	@$(BIN)/pytest tests/unit tests/integration tests/gpu -q -n logical --dist loadfile
	@$(BIN)/pytest tests/e2e

bench: setup servers ## Measure, with a peer in the same run; JSON in benchmarks/results
	@$(BIN)/python -m benchmarks

clean: ## Remove the environment and local state
	rm -rf $(VENV) .i2v
