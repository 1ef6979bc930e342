# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

# Every target runs the set-up first. `make` without a target lists all targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup install uninstall demo pictures test test-long fresh steady lint format contracts artefacts mutate bench soak fuzz lock clean

PYTHON ?=
BIN := .venv/bin
SHELL_FILES := tools/setup tools/packages.sh tools/contracts tools/headers tools/install tools/fresh/init.sh .ci/run
SETUP = @PYTHON="$(PYTHON)" tools/setup

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what a developer needs: apt packages (as root), .venv, npm packages
	$(SETUP) test lint

install: ## install fs-tunnel for users of this host, without what developers need (root)
	@PYTHON="$(PYTHON)" tools/install

uninstall: ## remove what make install installed (root)
	@tools/install --remove

demo: ## download a file through a tunnel, in network namespaces (root)
	$(SETUP) demo
	@$(BIN)/python -m tools.demo

pictures: ## make the pictures of the page in docs/
	$(SETUP) test
	@$(BIN)/python -m tools.pictures

test: ## run all tests but the long walks; tests with network namespaces need root
	$(SETUP) test
	@tools/contracts install
	@$(BIN)/python -m pytest -q -rs --durations=20 $(PYTEST_ARGS)

test-long: ## run the long walks: each step of a crash, long fuzzing, bare systems (two hours)
	$(SETUP) test fresh
	@tools/contracts install
	@$(BIN)/python -m pytest -q -rs --durations=20 -m long $(PYTEST_ARGS)
	@FS_TEST_EXAMPLES=10 $(BIN)/python -m pytest -q -rs --durations=20 \
		$(addprefix tests/,dataplane fuzz market/core net/core net/fullnode proto wire)
	@$(BIN)/python -m tools.fresh --allow-missing $(FRESH_ARGS)

fresh: ## run make demo and make test on bare systems; FRESH_ARGS=--help (root)
	$(SETUP) fresh
	@$(BIN)/python -m tools.fresh $(FRESH_ARGS)

RUNS ?= 10
steady: ## run all tests RUNS (10) times beside a busy load; logs in build/steady (root)
	$(SETUP) test
	@$(BIN)/python -m tools.steady --runs $(RUNS)

lint: ## run ruff, mypy --strict, import-linter, shellcheck, slither and prose checks
	$(SETUP) lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/reuse lint --lines
	@if command -v shellcheck >/dev/null || [ "$$(id -u)" = 0 ]; then \
		echo shellcheck $(SHELL_FILES); shellcheck -x $(SHELL_FILES); \
	else echo "shellcheck is not installed, so the shell files were not checked"; fi
	$(BIN)/python -m tools.state_diagram --check
	$(BIN)/python -m tools.import_diagram --check
	$(BIN)/python -m tools.prose
	$(BIN)/codespell *.md contracts docs fs_* packaging tests tools
	tools/contracts lint

contracts: ## check only the contracts: lint, forge's tests, gas, artefacts
	$(SETUP) lint
	@tools/contracts lint
	@tools/contracts test

artefacts: ## write ABI, bytecode and gas of the contracts, to be committed
	$(SETUP) lint
	@tools/contracts artefacts

mutate: ## check that some test fails for every small change to the contracts (30 min)
	$(SETUP) lint
	@tools/contracts install
	@$(BIN)/python -m tools.mutate $(MUTATE_ARGS)

format: ## format the code, and apply ruff's safe fixes
	$(SETUP) lint
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	tools/contracts forge fmt

bench: ## compare speed and memory with other tunnels; BENCH_ARGS=--help (root)
	$(SETUP) bench
	@$(BIN)/python -m tools.bench $(BENCH_ARGS)

MINUTES ?= 30
soak: ## repeat the protocol and interop tests for MINUTES (30), and fuzz the contracts
	$(SETUP) test
	@FOUNDRY_FUZZ_RUNS=20000 FOUNDRY_INVARIANT_RUNS=500 FOUNDRY_INVARIANT_DEPTH=200 \
		tools/contracts forge test --fuzz-seed 0x$$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
	@$(BIN)/python -m tools.soak --minutes $(MINUTES)

SECONDS_EACH ?= 60
fuzz: ## fuzz every parser with atheris, for SECONDS_EACH (60)
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
lock: ## update requirements/*.txt from setup.cfg and requirements/*.in
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

clean: ## remove everything that make created, including .venv
	rm -rf .venv build contracts/node_modules tests/net/*/node_modules *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
