# Every target makes its own set-up first; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo pictures test test-long steady lint format contracts artefacts mutate bench soak fuzz lock clean

PYTHON ?=
BIN := .venv/bin
SHELL_FILES := tools/setup tools/contracts .ci/run

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## apt packages (as root), .venv and the locked packages, js-libp2p
	@PYTHON="$(PYTHON)" tools/setup

demo: setup ## a download through the tunnel, in network namespaces (root)
	@$(BIN)/python -m tools.demo

pictures: setup ## those of the page in docs/, of an example
	@$(BIN)/python -m tools.pictures

test: setup ## all tests but the long walks; those with network namespaces need root
	@tools/contracts install
	@$(BIN)/python -m pytest -q -rs --durations=20 $(PYTEST_ARGS)

test-long: setup ## the long walks: every step of a crash with every verb, fuzzing at length (an hour)
	@tools/contracts install
	@$(BIN)/python -m pytest -q -rs --durations=20 -m long $(PYTEST_ARGS)
	@FS_TEST_EXAMPLES=10 $(BIN)/python -m pytest -q -rs --durations=20 \
		$(addprefix tests/,dataplane fuzz market/core net/core net/fullnode proto wire)

RUNS ?= 10
steady: setup ## all tests, RUNS (10) times beside a busy load; logs in build/steady (root)
	@$(BIN)/python -m tools.steady --runs $(RUNS)

lint: setup ## ruff, mypy --strict, import-linter, shellcheck, slither
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	@if command -v shellcheck >/dev/null || [ "$$(id -u)" = 0 ]; then \
		echo shellcheck $(SHELL_FILES); shellcheck $(SHELL_FILES); \
	else echo "shellcheck is not installed: the shell files were not checked"; fi
	$(BIN)/python -m tools.state_diagram --check
	tools/contracts lint

contracts: setup ## the contracts alone: lint, forge's tests, gas, artefacts
	@tools/contracts lint
	@tools/contracts test

artefacts: setup ## take ABI, bytecode and gas of the contracts as they are, to be committed
	@tools/contracts artefacts

mutate: setup ## does a test fail for every small change to the contracts? (half an hour)
	@tools/contracts install
	@$(BIN)/python -m tools.mutate $(MUTATE_ARGS)

format: setup ## put the code into ruff's form, with the mends it is sure of
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	tools/contracts forge fmt

bench: setup ## speed and memory beside other tunnels; BENCH_ARGS=--help (root)
	@$(BIN)/python -m tools.bench $(BENCH_ARGS)

MINUTES ?= 30
soak: setup ## the tests of protocol and interop again and again, for MINUTES (30); contracts at length
	@FOUNDRY_FUZZ_RUNS=20000 FOUNDRY_INVARIANT_RUNS=500 FOUNDRY_INVARIANT_DEPTH=200 \
		tools/contracts forge test --fuzz-seed 0x$$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
	@$(BIN)/python -m tools.soak --minutes $(MINUTES)

SECONDS_EACH ?= 60
fuzz: setup ## every parser against atheris, for SECONDS_EACH (60)
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --require-hashes \
		--only-binary :all: -r requirements/fuzz.txt
	@set -e; for target in $$($(BIN)/python -m tests.fuzz.run --list); do \
		echo "== $$target"; \
		$(BIN)/python -m tests.fuzz.run $$target -max_total_time=$(SECONDS_EACH) -verbosity=0 \
			-print_final_stats=1; done
	@$(BIN)/python -m tests.fuzz.native.build $(SECONDS_EACH)

UV := build/uv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header
lock: ## renew requirements/*.txt from setup.cfg and requirements/*.in
	@[ -x build/uv/bin/uv ] || $(or $(PYTHON),python3) -m venv build/uv
	@build/uv/bin/python -m pip --disable-pip-version-check install -qq --require-hashes \
		--only-binary :all: -r requirements/uv.txt
	$(UV) $(LOCK_ARGS) --extra dev --extra devchain --extra network setup.cfg -o requirements/lock.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/interop.in -o requirements/interop.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/fuzz.in -o requirements/fuzz.txt
	$(UV) $(LOCK_ARGS) requirements/slither.in -o requirements/slither.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/uv.in -o requirements/uv.txt

clean: ## remove what make made, .venv included
	rm -rf .venv build contracts/node_modules tests/net/*/node_modules *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
