# Every target makes its own set-up first; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint format bench soak fuzz lock clean

PYTHON ?=
BIN := .venv/bin
SHELL_FILES := tools/setup .ci/run

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## apt packages (as root), .venv and the locked packages
	@PYTHON="$(PYTHON)" tools/setup

demo: setup ## a download through the tunnel, in network namespaces (root)
	@$(BIN)/python -m tools.demo

test: setup ## all tests; those with network namespaces need root
	@$(BIN)/python -m pytest -rs $(PYTEST_ARGS)

lint: setup ## ruff, mypy --strict, import-linter, shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	@if command -v shellcheck >/dev/null || [ "$$(id -u)" = 0 ]; then \
		echo shellcheck $(SHELL_FILES); shellcheck $(SHELL_FILES); \
	else echo "shellcheck is not installed: the shell files were not checked"; fi
	$(BIN)/python -m tools.state_diagram --check

format: setup ## put the code into ruff's form, with the mends it is sure of
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup ## speed and memory beside other tunnels; BENCH_ARGS=--help (root)
	@$(BIN)/python -m tools.bench $(BENCH_ARGS)

MINUTES ?= 30
soak: setup ## the tests of protocol and interop again and again, for MINUTES (30)
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
	$(UV) $(LOCK_ARGS) --extra dev --extra devchain setup.cfg -o requirements/lock.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/interop.in -o requirements/interop.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/fuzz.in -o requirements/fuzz.txt
	$(UV) $(LOCK_ARGS) requirements/slither.in -o requirements/slither.txt
	$(UV) $(LOCK_ARGS) --no-deps requirements/uv.in -o requirements/uv.txt

clean: ## remove what make made, .venv included
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
