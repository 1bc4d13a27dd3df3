# eailkit: make setup | course | test | test-whole | lab | bench | format | clean
# TORCH_INDEX=URL takes torch and torchvision, and nothing else, from that package index (CPU-only builds, for example).
PYTHON ?= python3
VENV   ?= .venv
PROFILE ?= quick
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 2

.PHONY: help setup course test test-whole lab bench format clean
help:
	@echo "make setup    the environment in $(VENV) (nothing to do when it is up to date)"
	@echo "make course   execute all notebooks; report in runs/<time>/index.html"
	@echo "make test     style, stripped notebooks, tests"
	@echo "make test-whole   the tests that take minutes: whole tables, kills, full-size towers"
	@echo "make lab      JupyterLab on the notebooks, on this machine only"
	@echo "make bench    the recorded results (hours on a CPU; resumable)"
	@echo "make format   ruff format, ruff --fix, nbstripout"
	@echo "options       PYTHON=python3.12  TORCH_INDEX=URL  PROFILE=quick|bench  JOBS=2 (at once: tests, notebooks)"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python " + v + ", but eailkit needs 3.11 or newer: make setup PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifdef TORCH_INDEX
	$(BIN)/python -m pip install --quiet --no-deps --index-url "$(TORCH_INDEX)" -c constraints.txt torch torchvision
endif
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip check >/dev/null || $(BIN)/python -m pip check
	@touch $@

course: $(STAMP)
	$(BIN)/eailkit course --profile $(PROFILE) $(if $(filter-out file,$(origin JOBS)),--jobs $(JOBS))

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not whole" -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-whole: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m whole -n $(JOBS) --dist loadfile --no-loadscope-reorder

lab: $(STAMP)
	PLOTLY_RENDERER=plotly_mimetype $(BIN)/jupyter lab --ip=127.0.0.1 --notebook-dir=notebooks \
	  --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate \
	  --LabApp.extension_manager=readonly

bench: $(STAMP)
	$(BIN)/python -m benchmarks

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout notebooks/*.ipynb

clean:
	rm -rf runs $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
