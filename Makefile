# `make run` and `make test` work on a fresh clone: each builds .venv first if it has to.

PYTHON ?= python3
# How many tests or notebooks run at a time: one for each processor and 5 GB of memory, 2 to 4; 2
# where the system doesn't tell.
JOBS ?= $(or $(shell awk -v n="$$(nproc)" '/^MemAvailable:/ { most = int($$2 / 5000000); \
  if (most < n) n = most; if (n < 2) n = 2; if (n > 4) n = 4; print n }' /proc/meminfo 2>&-),2)
JOBS := $(JOBS)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JUPYTER := course_utils/classroom/jupyterlab

# Tests and notebooks run JOBS at a time, so each gets one thread.
# COURSE_STRICT makes a check raise where its answer is wrong.
PARALLEL := OMP_NUM_THREADS=1 JUPYTER_PREFER_ENV_PATH=1 COURSE_STRICT=1
PYTEST := env $(PARALLEL) $(BIN)/python -m pytest -q -n $(JOBS) --no-loadscope-reorder
# The limits of a cell and of a kernel's start only end a hang.
NBVAL := -p tests.nbval_kernels --nbval-lax --nbval-current-env --nbval-cell-timeout 3600 \
  --nbval-kernel-startup-timeout 600

# Numbers must be the same on every processor, so notebooks are compared as on an ordinary one, not
# with the instructions with which they were run, and every second process of the unit tests plays
# it, too (conftest.py). Older ones take a quarter longer: try them before a release, with
# make test OTHER_PROCESSOR="ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41"
OTHER_PROCESSOR ?= ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
export OTHER_PROCESSOR

# Hundreds of processes import the same modules, so what Python compiles is kept.
export PYTHONDONTWRITEBYTECODE :=

# Python's own pip may be years old, and takes three times as long for the same packages.
PIP := pip>=26.3

# What takes seconds to import. pip would compile all modules, one by one; half are never imported.
IMPORTED := import ipykernel.kernelapp, nbconvert, papermill; \
  from course_utils.exercises import all_checks; all_checks()

# What `make check` leaves to `make test`: whole notebooks, browsers, sandboxes, renders, training.
LONG := audit class_reports classroom curriculum devices exercises explain feature_visualization \
  figures gradebook gradients grading grading_% guide imagenet imagenet_techniques incremental \
  jupyterlab learn look_alikes_data mutants notebooks_elsewhere odd_answers odd_values pages portraits_data \
  rendering_% site sly_answers tank_yard_data timm_networks torchvision training trial widgets zoo
QUICK_TESTS = $(filter-out $(LONG:%=tests/test_%.py),$(wildcard tests/test_*.py))
NOTEBOOK ?= 02

.DEFAULT_GOAL := help
.PHONY: help run learn progress test check lint format data train clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */make \1|/' | \
	  while IFS='|' read -r name what; do printf '  %-12s %s\n' "$$name" "$$what"; done

run: $(READY)  ## execute all notebooks; results and HTML in build/
	@$(BIN)/course run --jobs $(JOBS)

learn: $(READY)  ## make or update your own notebooks in learner/ and open JupyterLab
	@$(BIN)/course learn

progress: $(READY)  ## show which exercises you have passed
	@$(BIN)/course progress

test: $(READY)  ## everything: unit tests, every notebook twice, then the style check
	@status=0; times=; \
	part() { \
	  title=$$1; shift; printf '\n== %s\n' "$$title"; began=$$(date +%s); result=passed; \
	  "$$@" || { result=FAILED; status=1; }; \
	  times="$$times$$(printf '%-24s %-6s %4d s' "$$title" $$result $$(($$(date +%s) - began)))\n"; \
	}; \
	part 'unit tests, QUICK' $(PYTEST) --dist loadgroup tests; \
	part 'notebooks, compared' env $(OTHER_PROCESSOR) $(PYTEST) --dist loadfile $(NBVAL) notebooks; \
	part 'style' $(MAKE) --no-print-directory lint; \
	printf "\n$$times"; exit $$status

check: $(READY)  ## in two minutes: style, the quick unit tests, one notebook (NOTEBOOK=02)
	@$(MAKE) --no-print-directory lint
	@$(PYTEST) --dist loadgroup $(NBVAL) $(wildcard notebooks/$(NOTEBOOK)_*.ipynb) $(QUICK_TESTS)

lint: $(READY)  ## check style, formatting (notebooks too) and types
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . && $(BIN)/basedpyright

format: $(READY)  ## repair what `make lint` complains about, as far as possible
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

data: $(READY)  ## render the pictures anew (hours; resumable)
	$(BIN)/python -m data.rendering

train: $(READY)  ## train the networks anew
	$(BIN)/python -m data.training

clean:  ## remove .venv, build/ and caches; your own copy in learner/ stays
	rm -rf $(VENV) build .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "The course needs Python 3.11 or newer, but $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	  exit 1; }
	@echo "Installing the course's packages into $(VENV); the first time this takes minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --upgrade \
	  '$(PIP)' || echo "Going on with the pip that Python brings."
	@quiet=--quiet; [ -t 1 ] && quiet=; \
	$(BIN)/python -m pip install --disable-pip-version-check $$quiet --no-compile \
	  -r requirements.txt
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  --no-deps --no-build-isolation --editable .
	@cp $(JUPYTER)/jupyter_nbconvert_config.py $(VENV)/etc/jupyter/
	@$(BIN)/python -c '$(IMPORTED)'
	@touch $@
