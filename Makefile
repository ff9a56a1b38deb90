# truthtag: `make help` lists what can be made.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= all
CONFIG ?= config/config.yaml
KILLS ?= 200
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONDOR := $(VENV)/htcondor
SNAKEMAKE = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) --configfile "$(CONFIG)"
# Expanded in a recipe, when the environment is there.
RESULTS = $$($(BIN)/python -c '$(RESULTS_OF)' "$(CONFIG)")
RESULTS_OF := import sys, yaml; print(yaml.safe_load(open(sys.argv[1])).get("results", "results").rstrip("/"))
# Whole or not at all: what is interrupted here must not look like a report.
WRITE_REPORT = PYTHONWARNINGS=ignore::RuntimeWarning $(SNAKEMAKE) $(1) --report "$${report%.html}.part.html" \
	&& mv "$${report%.html}.part.html" "$$report"
# Tests that start the whole workflow; `make test-fast` leaves them out.
SLOW := slow
# Live bars on a terminal, plain lines in a file.
LIVE := $(shell test -t 2 && echo --logger rich)

.PHONY: help run report test test-fast lint format test-faults test-kills test-htcondor test-slurm bench lock docs clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 26
	@echo "  CORES=8 CONFIG=config/paper.yaml PYTHON=python3.12 change what they use"

$(READY): envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "truthtag needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1). Try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## Make all figures and tables and the HTML report, and say what came out
	$(SNAKEMAKE) $(LIVE)
	@results="$(RESULTS)"; report="$$results/report.html"; \
	if [ ! -e "$$report" ] || [ -n "$$(find "$$results"/tables "$$results"/figures -newer "$$report" 2>/dev/null)" ]; then \
		$(call WRITE_REPORT,--quiet all) || exit; \
	fi; \
	$(BIN)/truthtag inspect "$$results"

report: $(READY) ## Write the HTML report of a finished run anew
	@report="$(RESULTS)/report.html"; $(call WRITE_REPORT)

# Tests go to the cores one by one, in the order of conftest.py: slow ones first. Each has one core:
# with more threads, products of small matrices take half as long again.
test test-fast: export OPENBLAS_NUM_THREADS = 1

test: $(READY) ## Run all tests, on all cores
	$(BIN)/python -m pytest --numprocesses auto --dist load --maxschedchunk 1

test-fast: $(READY) ## Run the tests that take no whole workflow, in a minute and a half
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not $(SLOW)"

test-faults: $(READY) ## Run the workflow on bad machines: no space, no rights, odd paths; some minutes
	$(BIN)/python -m pytest tests/faults/machine.py

test-kills: $(READY) ## Kill the workflow KILLS times at random moments, and compare what comes out
	PYTHONPATH="$(CURDIR):$(CURDIR)/tests" $(BIN)/python -m faults.kills --kills $(KILLS)

# Beside the environment: where there is no pool, it would say so at every start of Snakemake.
test-htcondor: $(READY) ## Look at the jobs that the profile for HTCondor makes, without a pool
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target $(CONDOR) htcondor==24.12.24 snakemake-executor-plugin-htcondor==0.3.0
	PYTHONPATH="$(CURDIR)/$(CONDOR)" $(BIN)/python -m pytest tests/test_htcondor.py

# A Slurm of one node is started for these, and stopped; where none can be, they are skipped.
test-slurm: $(READY) ## Run the tiny workflow on a real Slurm, started for it
	tests/slurm/install.sh
	$(BIN)/python -m pytest tests/slurm

lint: $(READY) ## Check format, style, types and workflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(READY) ## Bring all files into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# The second runs the workflow on 10,000, 100,000 and 1,000,000 events; EVENTS=... for others.
bench: $(READY) ## Measure speed against plain references, and how cost grows with events
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.scaling $(if $(EVENTS),--events $(EVENTS))

lock: $(READY) ## Write the locked environment anew, from what is installed
	$(BIN)/python envs/lock.py

docs: $(READY) ## Write the pages and pictures that are made from code and results
	$(BIN)/python docs/config_page.py
	$(BIN)/python docs/architecture_picture.py
	$(BIN)/python docs/resources_table.py
	$(BIN)/python docs/pictures.py

clean: ## Remove results, environment and caches
	rm -rf $(VENV) .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
