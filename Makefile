# `make` alone prints the verbs. Everything is installed into .venv from requirements.lock, with hashes.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
BROKERS ?= 1
# Test processes side by side in the suites that share one PostgreSQL server; the others run alone.
WORKERS ?= auto

.PHONY: help setup up down reset test check unit kafka test-kafka bench lock

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the environment in .venv (done by the others when needed)

$(LOCKED): requirements.lock
	@python=; for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed and was not found; install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	echo "== making $(VENV) with $$("$$python" --version), about 90 packages (once)"; \
	"$$python" -m venv --clear $(VENV) || { echo "The venv module of $$python does not work; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "== installing what requirements.lock names, checked by hash"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --require-hashes -r requirements.lock
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	@echo "== installing salescycle"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

up: $(READY) ## start everything here: PostgreSQL, broker, services, a small demo (DEMO=0 leaves it out); Ctrl-C stops it
	@exec $(BIN)/salescycle up

down: $(READY) ## stop what `make up` left running (also after a crash)
	@$(BIN)/salescycle down

reset: $(READY) ## stop everything and delete its data (asks first)
	@$(BIN)/salescycle reset

test: check ## all checks and all tests that need no Java
	$(BIN)/python -m pytest tests/unit tests/arch tests/pg -n $(WORKERS) --dist loadfile
	$(BIN)/python -m pytest tests/e2e tests/chaos

unit: $(READY) ## only the tests that need no server: seconds
	$(BIN)/python -m pytest

check: $(READY) ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

kafka: $(READY) ## fetch Apache Kafka by Maven and run it on loopback (BROKERS=3 for three); Ctrl-C stops it
	@exec $(BIN)/salescycle kafka --brokers $(BROKERS)

test-kafka: $(READY) ## the broker-facing tests against Apache Kafka, one broker and three (needs Java 17 and Maven)
	$(BIN)/python -m pytest tests -m kafka
	$(BIN)/python -m tests.support.on_apache_kafka tests -m broker

bench: $(READY) ## measure, each figure beside its limit (ROWS="append http" for some)
	$(BIN)/python -m tests.bench $(ROWS)

lock: $(READY) ## resolve the dependencies again into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --upgrade --quiet -o requirements.lock
