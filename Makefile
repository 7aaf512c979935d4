# Hookline. `make help` lists what there is; everything runs in .venv, which `make setup` fills from requirements.lock.
.DEFAULT_GOAL := help
.PHONY: help setup demo up example test test-quick fuzz lint types fmt bench bench-full bench-compare chaos lock wheel sbom docs clean distclean
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
ARGS ?=

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv and install what the lock names, hashes checked

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Hookline needs Python 3.11 or later, this is %s: make PYTHON=python3.11 …" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "setting up .venv (once; about a minute with downloads) …"
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Run the whole pipeline on a real Kafka and a real ClickHouse, with a busy shop, faults and a reconciliation (KEEP=1: it stays up to be clicked)
	@.venv/bin/hookline demo $(if $(filter-out 0,$(KEEP)),--keep) $(ARGS)

up: $(READY) ## Start everything on this machine until Ctrl-C
	@.venv/bin/hookline up $(ARGS)

example: $(READY) ## Show what a store does with its webhooks: NAME=erp|low-stock|marketing|slack|dashboard (half a minute)
	@$(PY) -m examples $(NAME) $(ARGS)

test: $(READY) ## Run all tests (real Kafka, real ClickHouse engine)
	@$(PY) -m pytest $(ARGS)

test-quick: $(READY) ## Run the tests that need no service
	@$(PY) -m pytest -m unit $(ARGS)

fuzz: $(READY) ## Try hostile input for long: URLs, Avro, headers, JSON, filters, signatures, cursors (FACTOR=50 times the tests' share)
	@HOOKLINE_FUZZ=$(or $(FACTOR),50) $(PY) -m pytest tests/fuzz --timeout 3600 $(ARGS)

lint: $(READY) ## Check style: ruff, all rules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: $(READY) ## Check types: mypy, strict
	@.venv/bin/mypy

fmt: $(READY) ## Format, and mend what can be mended
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format .

bench: $(READY) ## Measure, each figure three times over: rates, CPU per delivery, latency, the console (about 7 minutes)
	@$(PY) -m benchmarks $(ARGS)

bench-full: $(READY) ## The same with 100,000 webhooks, 800 hung calls, two dispatchers, 100 M attempts (about an hour)
	@$(PY) -m benchmarks --full $(ARGS)

bench-compare: $(READY) ## Two results side by side: A=old.json B=new.json
	@$(PY) -m benchmarks.compare "$(A)" "$(B)"

chaos: $(READY) ## Break everything on purpose and count: FAULT=…, SEED=…, ROUNDS=…; all of it takes some 40 minutes
	@$(PY) -m tests.chaos $(ARGS)

lock: $(READY) ## Compile requirements.lock anew from pyproject.toml
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --extra embedded --extra otel --extra dev pyproject.toml --output-file requirements.lock

wheel: $(READY) ## Build the wheel and the source distribution into dist/
	@.venv/bin/uv build --quiet --no-build-isolation --python $(PY) --out-dir dist .
	@ls dist/hookline-*

sbom: $(READY) ## Write the bill of materials of a release (CycloneDX, from requirements.lock) into dist/
	@$(PY) -m deploy.sbom dist/hookline.cdx.json
	@echo dist/hookline.cdx.json

docs: $(READY) ## Build the documentation site into build/site, strictly
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo build/site/index.html

clean: ## Remove caches and the local stack's state
	@rm -rf .hookline .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove the virtual environment too
	@rm -rf .venv
