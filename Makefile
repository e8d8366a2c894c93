# pictrawl. `make demo` and `make test` need Python 3.11 or newer and make; everything else they fetch themselves, into .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# Without its caches every process compiles all of its libraries again: a worker or a command starts in 7 s of CPU time instead of 3.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The newest Python that runs; `make PYTHON=/path/to/python3 ...` overrides.
FIND_PYTHON = for name in python3.13 python3.12 python3.11 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$name" && break; done
# Many tests wait: more processes than cores. Each costs 15 s of CPU time for the collection of the tests and its own servers.
JOBS ?= 6
# Drills wait more than they work; more of them at once would stall each other on two cores.
DRILL_JOBS ?= 4
# Each has a Chromium, a server and its own data.
BROWSER_JOBS ?= 2
# Folders of tests that `make test` leaves to other targets.
SLOW := tests/drills tests/browser
PYTHON ?= $(shell $(FIND_PYTHON))

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --all-extras \
	$(if $(UPGRADE),--upgrade)

.PHONY: demo test browser drills check style types layers references locks serve bench lock clean help

demo: $(STAMP) ## build a small dataset from a server on this machine, and show what happened
	$(BIN)/pictrawl demo $(ARGS)

test: $(STAMP) ## run the tests and measure their coverage; ARGS="tests/app -k name" runs some of them
	@$(BIN)/coverage erase
	@PYTHONHASHSEED=0 $(BIN)/coverage run -m pytest --numprocesses=$(JOBS) --dist=worksteal $(SLOW:%=--ignore=%) $(ARGS); tests=$$?; \
	$(BIN)/coverage combine --quiet; $(BIN)/coverage report $(if $(ARGS),--fail-under=0); coverage=$$?; \
	[ $$tests -eq 0 ] && [ $$coverage -eq 0 ]

browser: $(STAMP) ## look at every page with Chromium; ARGS="-k sign_in" runs some
	$(BIN)/python -m pytest tests/browser --numprocesses=$(BROWSER_JOBS) --dist=worksteal $(ARGS)

drills: $(STAMP) ## break processes, Redis and PostgreSQL on purpose, and see that nothing is lost; ARGS="-k redis" runs some
	$(BIN)/python -m pytest tests/drills --numprocesses=$(DRILL_JOBS) --dist=worksteal --override-ini=faulthandler_timeout=600 $(ARGS)

check: style types layers references locks ## what must hold before a commit

style: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

references: $(STAMP)
	$(BIN)/python docs/reference/generate.py --check
	$(BIN)/python -m tests.log_events --check

locks: $(STAMP)
	$(BIN)/pytest -k lock tests/test_packaging.py

serve: $(STAMP) ## run the API and a worker on loopback
	$(BIN)/pictrawl serve $(ARGS)

bench: $(STAMP) ## measure it beside img2dataset, in about an hour; ARGS="--rows keep --images 1000" is faster
	$(BIN)/python benchmarks/compare.py $(ARGS)

lock: $(STAMP) ## recompile both locks from pyproject.toml; UPGRADE=1 takes the newest versions
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## remove what was built, .venv included
	rm -rf $(VENV) .venv-newest dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "make %-7s %s\n", $$1, $$2}'

# uv is taken from the lock, with its hashes, and installs the rest; where it fails, pip does.
$(STAMP): requirements-dev.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.11 or newer found (looked for python3.13, python3.12, python3.11, python3)." \
		"Install one, or say where it is: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) does not run or is too old: $$("$(PYTHON)" --version 2>&1); pictrawl needs Python 3.11 or newer" >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: $(PYTHON) has no venv or ensurepip module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "installing into $(VENV) ..."
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
