# Each target does its whole set-up. Needed: make (GNU 3.81 or newer) and Python 3.11 or newer.
#   make test PYTHON=python3.13 ARGS="-k replay"    picks the interpreter, and passes arguments on

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo "$$python" && break; done)
endif

# With $(PYTHON) empty this is what the user reads, instead of a shell's complaint.
SETUP = @test -n "$(PYTHON)" || { echo "foretell: error: no Python 3.11 or newer with ensurepip (on Debian: python3-venv) was found; install one, or say PYTHON=/path/to/python" >&2; exit 1; }; \
	"$(PYTHON)" .ci/venv.py $(VENV)

.PHONY: help demo test check format clean

help:
	@echo "make demo    the race: Foretell against asking when the dice land"
	@echo "make test    the tests"
	@echo "make check   style, types, hygiene and packaging"
	@echo "make format  put the code into its format"
	@echo "make clean   remove what the others made"

demo:
	$(SETUP) server
	@$(BIN)/foretell demo $(ARGS)

test:
	$(SETUP) server dev
	@$(BIN)/pytest -n auto --dist worksteal $(ARGS)

check:
	$(SETUP) server dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/hygiene.py
	$(BIN)/python .ci/packaging.py
	cd build/wheel && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p foretell
	$(BIN)/python .ci/compiled.py

format:
	$(SETUP) server dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
