# `make` installs everything and runs the pipeline of params.yaml; `make test` installs likewise and runs the tests that
# take minutes in all, `make test-all` every test. `make docs` builds the documentation into build/docs.
# `make page` builds the page for browsers, with Node.js; installing does so too where npm is there.
# `make ui` serves sweeps and models on this machine until Ctrl-C.
# Needs Python 3.11, 3.12 or 3.13, git and make. Set PYTHON to choose the interpreter.

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(firstword $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(FITS)' 2> /dev/null && echo $$python; done) python3)
VENV := .venv
INSTALLED := $(VENV)/.installed
BUILD_PAGE := cd stages/push/web && npm ci --silent && npm run --silent build
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true

.PHONY: run ui page install test test-all arm lint types docs

run: $(INSTALLED)
	@git rev-parse --git-dir > /dev/null 2>&1 || { echo "error: DVC needs a git repository, and this folder is none, \
	such as one that was unpacked from a ZIP. Run git init, or clone it instead; then make again."; exit 1; }
	dvc repro

ui: $(INSTALLED)
	python -m flows.ui

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(FITS)' || { echo "error: EDAC needs Python 3.11, 3.12 or 3.13, as TensorFlow does; got $$($(PYTHON) \
	--version 2>&1). Install one beside it, such as python3.13 with its venv, and run make PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@if command -v npm > /dev/null; then $(BUILD_PAGE) || echo "notice: the page for browsers was not built; try make page"; \
		else echo "notice: no npm here, so edac try and the transport web have no page; install Node.js, then make page"; fi
	touch $@

page: $(INSTALLED)
	$(BUILD_PAGE)

test: $(INSTALLED)
	pytest

test-all: $(INSTALLED)
	pytest -m 'not arm and not network and not slow'

arm: $(INSTALLED)
	pytest -m arm

lint: $(INSTALLED)
	ruff check .
	ruff format --check .

types: $(INSTALLED)
	mypy

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "Open build/docs/index.html. For the search: python -m http.server --directory build/docs"
