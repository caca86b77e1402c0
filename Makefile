# Every target sets up .venv by itself, if it is missing, broken or older than pyproject.toml.

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# memtui and what it needs to run; and what it needs to be tested and checked.
RUNTIME := $(VENV)/.runtime.stamp
DEV := $(VENV)/.dev.stamp

.DELETE_ON_ERROR:
.PHONY: help demo run test faults witness check bench screenshots reasons

help:
	@echo 'make demo         open memtui on a practice process; needs no root'
	@echo 'make run          open memtui (make run ARGS="--pid 1234")'
	@echo 'make test         run the tests; those on the kernel need root'
	@echo 'make faults       kill memtui and its guard 1,000 times (RUNS=N); needs root'
	@echo 'make witness      hold 10,000 transactions a method against strace (RUNS=N); needs root'
	@echo 'make check        ruff, mypy and import-linter'
	@echo 'make bench        measure'
	@echo 'make screenshots  draw the screenshots anew'
	@echo 'make reasons      write the table of reasons into docs/reasons.md'
	@echo 'Another Python: make demo PYTHON=python3.12'

demo: $(RUNTIME)
	@$(VENV)/bin/memtui demo $(ARGS)

run: $(RUNTIME)
	@$(VENV)/bin/memtui $(ARGS)

# A test of the screen waits for a third of its time.
WORKERS = $(shell expr $$(nproc 2>/dev/null || echo 2) '*' 3 / 2)

# What only computes and draws runs side by side. Of what watches the kernel, what is alone with its own
# processes runs beside what changes the machine: see tests/conftest.py.
test: $(DEV)
ifdef ARGS
	$(PY) -m pytest --ignore=tests/bench $(ARGS)
else
	$(PY) -m pytest -n $(WORKERS) --dist worksteal tests/unit tests/ui
	$(PY) -m pytest -n 2 --dist loadgroup tests/faults tests/kernel tests/terminal
endif

RUNS ?= 1000

faults: $(DEV)
	MEMTUI_REQUIRE_KERNEL=1 MEMTUI_FAULT_RUNS=$(RUNS) $(PY) -m pytest tests/faults $(ARGS)

witness: $(DEV)
	$(PY) -m tests.witness --runs $(if $(filter command,$(origin RUNS)),$(RUNS),10000) $(ARGS)

check: $(DEV)
	$(VENV)/bin/ruff check memtui tests
	$(VENV)/bin/ruff format --check memtui tests
	$(VENV)/bin/mypy --strict
	@# Its cache overlooks imports that came since (import-linter 2.16).
	$(VENV)/bin/lint-imports --no-logo --no-cache

bench: $(DEV)
	$(PY) -m tests.bench $(ARGS)

screenshots: $(DEV)
	$(PY) screenshots/make.py $(ARGS)

reasons: $(DEV)
	$(PY) -m tests.readme

# A virtual environment whose interpreter is gone or has no pip is made anew, stamp or not.
ifeq ($(shell $(PY) -c 'import pip' 2>/dev/null && echo whole),)
.PHONY: $(RUNTIME)
endif

$(RUNTIME): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo 'memtui: $(PYTHON) is missing or older than Python 3.10: name another, as in make PYTHON=python3.12' >&2; \
	  exit 1; }
	@$(PY) -c 'import pip' 2>/dev/null || $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  echo 'memtui: $(PYTHON) has no ensurepip: installing python3-venv' && \
	  apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv </dev/null && \
	  $(PYTHON) -c 'import ensurepip' 2>/dev/null; } || { \
	  echo 'memtui: $(PYTHON) has no ensurepip: as root run apt-get install python3-venv, then make again' >&2; \
	  exit 1; }
	@$(PY) -c 'import pip' 2>/dev/null || { echo 'memtui: making $(VENV)' && $(PYTHON) -m venv --clear $(VENV); }
	@echo 'memtui: installing what it needs to run'
	@$(PIP) install --quiet --editable .
	@touch $@

$(DEV): $(RUNTIME)
	@echo 'memtui: installing what it needs to be tested'
	@# Dependency groups came with pip 25.1.
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@$(PIP) install --quiet --group dev
	@touch $@
