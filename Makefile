# Everything runs from .venv/bin. `make setup` makes it, with the locked versions, and is instant when nothing changed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo check test test-more test-faults bench docs lock wheel

BIN := .venv/bin
# Out of `make test`, in `make test-more`: they take minutes each.
MORE := tests/whole/test_cluster.py tests/whole/test_submit.py tests/features/test_jobs.py tests/test_stream.py
# Two processes with a Spark each: planning, most of what small tests take, is done by one core.
SPREAD := --numprocesses 2 --dist loadfile --no-loadscope-reorder
UV_VERSION := 0.13.9
UV := $(or $(shell command -v uv),.uv/bin/uv)
# Python is a prerequisite, never downloaded.
export UV_PYTHON_DOWNLOADS := never
# Of all Pythons by these names, the first that is 3.11.
FIND_PYTHON = for p in $(PYTHON) python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && command -v "$$p" && break; done || true
MISSING = { echo "missing: $(1)" >&2; exit 1; }

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv with the locked versions (Horovod is built once: minutes), fetch Spark's JARs

demo: setup ## Run the whole way on the test shop, and print the report's path
	@$(BIN)/offerlake demo

check: setup ## Lint, format, types, layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

test: setup ## Run the tests
	@$(BIN)/pytest $(SPREAD) $(addprefix --ignore ,$(MORE))

test-more: setup ## Run the others: a small cluster of processes, spark-submit, jobs day after day; many minutes
	@$(BIN)/pytest $(MORE)

test-faults: setup ## Kill real processes twenty times at random, and look whether anything is lost or doubled
	@KILLS=20 $(BIN)/pytest tests/faults

bench: setup ## Run every benchmark: the figures of README and docs
	@failed=0; for script in benchmarks/[a-z]*.py; do echo "== $$script"; \
	  $(BIN)/python "$$script" --dir out/bench || failed=1; done; exit $$failed

docs: setup ## Write docs/tables.md and docs/user_features.md anew from the contracts
	@$(BIN)/offerlake tables --markdown > docs/tables.md
	@$(BIN)/offerlake features --markdown > docs/user_features.md

lock: setup $(UV) ## Resolve the versions anew and write requirements.lock
	@$(UV) lock --quiet --upgrade --python $(BIN)/python
	@$(UV) export --quiet --all-extras --all-groups --no-emit-project --format requirements-txt -o requirements.lock

wheel: setup ## Build dist/offerlake-*.whl, jobs and settings in it
	@$(BIN)/python -m hatchling build -t wheel

.uv/bin/uv:
	@python=$$($(FIND_PYTHON)); test -n "$$python" || $(call MISSING,Python 3.11 (on Debian: apt-get install python3.11-dev python3.11-venv))
	@"$$($(FIND_PYTHON))" -m venv .uv || $(call MISSING,the module venv of Python 3.11 (on Debian: apt-get install python3.11-venv))
	@.uv/bin/pip install --quiet uv==$(UV_VERSION)

.venv/.ready: pyproject.toml requirements.lock lib/offerlake/jars.py lib/offerlake/blas.py | $(UV)
	@python=$$($(FIND_PYTHON)); test -n "$$python" || $(call MISSING,Python 3.11 (on Debian: apt-get install python3.11-dev python3.11-venv))
	@"$$($(FIND_PYTHON))" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
	  || $(call MISSING,the headers of Python 3.11 that Horovod is built with (on Debian: apt-get install python3.11-dev))
	@java=$${JAVA_HOME:+$$JAVA_HOME/bin/}java; \
	  version=$$("$$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' || true); test "$${version:-0}" -ge 17 \
	  || $(call MISSING,a JDK 17 (on Debian: apt-get install openjdk-17-jdk-headless; or set JAVA_HOME to one))
	@command -v "$${CXX:-g++}" >/dev/null \
	  || $(call MISSING,the C++ compiler that Horovod is built with (on Debian: apt-get install g++))
	@$(UV) venv --quiet --allow-existing --python "$$($(FIND_PYTHON))" .venv
	@$(UV) pip sync --quiet --python $(BIN)/python requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m offerlake.jars >/dev/null
	@$(BIN)/python -m offerlake.blas >/dev/null
	@touch $@
