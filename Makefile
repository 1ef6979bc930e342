# Every target makes its own set-up first; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo pictures test lint format contracts artefacts mutate bench soak fuzz lock clean

PYTHON ?=
BIN := .venv/bin
SHELL_FILES := tools/setup tools/packages.sh tools/contracts .ci/run
SETUP = @PYTHON="$(PYTHON)" tools/setup

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## all that a developer needs: apt packages (as root), .venv, packages of npm
	$(SETUP) test lint

demo: ## a download through the tunnel, in network namespaces (root)
	$(SETUP) demo
	@$(BIN)/python -m tools.demo

pictures: ## those of the page in docs/, of an example
	$(SETUP) test
	@$(BIN)/python -m tools.pictures

test: ## all tests; those with network namespaces need root
	$(SETUP) test
	@tools/contracts test
	@$(BIN)/python -m tools.tests $(PYTEST_ARGS)

lint: ## ruff, mypy --strict, import-linter, prose, codespell, shellcheck, slither
	$(SETUP) lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	@if command -v shellcheck >/dev/null || [ "$$(id -u)" = 0 ]; then \
		echo shellcheck $(SHELL_FILES); shellcheck -x $(SHELL_FILES); \
	else echo "shellcheck is not installed: the shell files were not checked"; fi
	$(BIN)/python -m tools.state_diagram --check
	$(BIN)/python -m tools.import_diagram --check
	$(BIN)/python -m tools.prose
	$(BIN)/codespell *.md contracts docs fs_* packaging tests tools
	tools/contracts lint

contracts: ## the contracts alone: lint, forge's tests, gas, artefacts
	$(SETUP) lint
	@tools/contracts lint
	@tools/contracts test

artefacts: ## take ABI, bytecode and gas of the contracts as they are, to be committed
	$(SETUP) lint
	@tools/contracts artefacts

mutate: ## does a test fail for every small change to the contracts? (half an hour)
	$(SETUP) lint
	@tools/contracts install
	@$(BIN)/python -m tools.mutate $(MUTATE_ARGS)

format: ## put the code into ruff's form, with the mends it is sure of
	$(SETUP) lint
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	tools/contracts forge fmt

bench: ## speed and memory beside other tunnels; BENCH_ARGS=--help (root)
	$(SETUP) bench
	@$(BIN)/python -m tools.bench $(BENCH_ARGS)

MINUTES ?= 30
soak: ## the tests of protocol and interop again and again, for MINUTES (30); contracts at length
	$(SETUP) test
	@FOUNDRY_FUZZ_RUNS=20000 FOUNDRY_INVARIANT_RUNS=500 FOUNDRY_INVARIANT_DEPTH=200 \
		tools/contracts forge test --fuzz-seed 0x$$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
	@$(BIN)/python -m tools.soak --minutes $(MINUTES)

SECONDS_EACH ?= 60
fuzz: ## every parser against atheris, for SECONDS_EACH (60)
	$(SETUP) test
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --require-hashes \
		--only-binary :all: -r requirements/fuzz.txt
	@set -e; for target in $$($(BIN)/python -m tests.fuzz.run --list); do \
		echo "== $$target"; \
		$(BIN)/python -m tests.fuzz.run $$target -max_total_time=$(SECONDS_EACH) -verbosity=0 \
			-print_final_stats=1; done
	@$(BIN)/python -m tests.fuzz.native.build $(SECONDS_EACH)

UV := build/uv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header
USER_EXTRAS := --extra devchain --extra network
lock: ## renew requirements/*.txt from setup.cfg and requirements/*.in
	@[ -x build/uv/bin/uv ] || $(or $(PYTHON),python3) -m venv build/uv
	@build/uv/bin/python -m pip --disable-pip-version-check install -qq --require-hashes \
		--only-binary :all: -r requirements/uv.txt
	$(UV) $(LOCK_ARGS) $(USER_EXTRAS) --extra dev setup.cfg -o requirements/lock.txt
	$(UV) $(LOCK_ARGS) $(USER_EXTRAS) -c requirements/lock.txt setup.cfg -o requirements/install.txt
	$(UV) $(LOCK_ARGS) -c requirements/lock.txt requirements/demo.in -o requirements/demo.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/interop.in -o requirements/interop.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/fuzz.in -o requirements/fuzz.txt
	$(UV) $(LOCK_ARGS) requirements/slither.in -o requirements/slither.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/uv.in -o requirements/uv.txt

clean: ## remove what make made, .venv included
	rm -rf .venv build contracts/node_modules tests/net/*/node_modules *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
