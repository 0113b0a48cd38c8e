# Everything a developer, CI or a newcomer runs. Needs CPython 3.11 or later (with venv and pip), git and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --no-build-isolation --only-binary :all:

.PHONY: help demo play test check measure fuzz bench soak proto lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/run.stamp ## a simulated node gets a key from a real broker (TEE=tdx|azure-snp|azure-tdx; GPUS=8; what breaks: BREAK=debug|old-tcb|replay|...)
	@$(BIN)/python -m deploy.demo.run $(if $(BREAK),--break $(BREAK)) $(if $(GPUS),--gpus $(GPUS)) $(if $(TEE),--tee $(TEE))

play: $(VENV)/run.stamp ## a whole simulated site, up until Ctrl-C, with ten things to try
	@$(BIN)/python -m deploy.demo.play

test: $(VENV)/dev.stamp ## the whole test suite (under six minutes on two cores)
	@$(BIN)/python -m pytest -n $(or $(JOBS),auto) --dist worksteal

check: $(VENV)/dev.stamp ## format, lint, types, import contracts, proto lint, breaking changes and drift
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/buf lint
	@$(BIN)/buf breaking --against proto/baseline.binpb
	@$(BIN)/python proto/generate.py --check

bench: $(VENV)/dev.stamp ## speed as ratios: a release, SNP verification
	@$(BIN)/python -m tests.bench

soak: $(VENV)/dev.stamp ## kill -9 at every point of a release, under load: make soak ROUNDS=20
	@$(BIN)/python -m tests.soak.crash $(or $(ROUNDS),20)

fuzz: $(VENV)/fuzz.stamp ## fresh examples for the properties, then coverage-guided fuzzing: make fuzz SECONDS=300
	@$(BIN)/python -m tests.fuzz $(or $(SECONDS),300)

measure: $(VENV)/dev.stamp ## measures in a table: make measure TOPIC=product|log|snp|tdx|gpu|collateral|skeleton (LONG=1: full counts)
	@$(BIN)/python -m tests.measure $(TOPIC) $(if $(LONG),--long)

proto: $(VENV)/dev.stamp ## regenerate the Python beside proto/sealgate/v1/*.proto
	@$(BIN)/python proto/generate.py

lock: ## renew requirements/*.txt from pyproject.toml (needs uv on the PATH)
	@compile="uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet"; \
	dev="--extra server --extra operator --extra gpu --extra data --extra test --extra check"; \
	$$compile pyproject.toml requirements/build.in --extra server --extra operator -o requirements/run.txt && \
	$$compile pyproject.toml -c requirements/run.txt -o requirements/base.txt && \
	$$compile pyproject.toml requirements/build.in $$dev -c requirements/run.txt -o requirements/dev.txt && \
	$$compile pyproject.toml requirements/build.in $$dev --extra fuzz -c requirements/dev.txt -o requirements/fuzz.txt

$(VENV)/fuzz.stamp: requirements/fuzz.txt $(VENV)/dev.stamp
	@echo "installing the pinned fuzzer into $(VENV) (once)"
	@$(PIP) -r requirements/fuzz.txt
	@touch $@

clean: ## remove what the other targets made
	@rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Sealgate needs Python 3.11 or later; this is %d.%d. Name a newer one: make PYTHON=python3.12 ..." % v[:2])'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python could not make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "installing the pinned packages into $(VENV) (once)"
	@$(PIP) -r requirements/run.txt
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-build-isolation --no-deps --no-index -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "installing the pinned developer tools into $(VENV) (once)"
	@$(PIP) -r requirements/dev.txt
	@touch $@
