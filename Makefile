# One door for work. `make demo` and `make test` need only Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Compiled modules are what makes a second start quick; some build machines forbid them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check fmt bench up down clean docs lock
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-7s %s\n", $$1, $$2}'

$(STAMP): requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "QL-RF needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing QL-RF and its dependencies into $(VENV) (once; about 1.5 GB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $(STAMP)

demo: $(STAMP) ## discover, score and publish two tenants of a local AWS API
	@$(BIN)/qlrf demo

test: $(STAMP) ## run the tests
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(STAMP) ## format, lint, types, imports, contracts, dbt, Dagster definitions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy & types=$$!; \
	$(BIN)/lint-imports --no-cache && $(BIN)/python -m tests.tools.check; rest=$$?; \
	wait $$types && exit $$rest

fmt: $(STAMP) ## format and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

docs: $(STAMP) ## write the generated parts of the docs again
	@$(BIN)/python -m tests.tools.docs

bench: $(STAMP) ## measure, each number beside its floor in the same run
	@ONLY=$(ONLY) $(BIN)/python -m bench

up: $(STAMP) ## start database, daemon and Dagster UI
	@$(BIN)/qlrf up

down: $(STAMP) ## stop what `up` started
	@$(BIN)/qlrf down

lock: ## resolve pyproject.toml into requirements.lock (hashes, no URLs)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --extra dev pyproject.toml -o requirements.lock
	@echo uv hatchling editables | tr ' ' '\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements.lock - -o bootstrap.lock

clean: ## remove state and caches (not the virtualenv)
	rm -rf .qlrf .pytest_cache .mypy_cache .ruff_cache .hypothesis dbt_project/target dbt_project/logs build dist
