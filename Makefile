# Two commands matter, `make demo` and `make test`; each is complete on a fresh clone.
# Everything is made in .venv/ and target/; nothing outside this directory is touched.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ---------------------------------------------------------------- settings
# The interpreter that .venv is made from: the first of these that is 3.11 or newer (`make PYTHON=...` overrides).
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
LOCKED := $(if $(CI),--locked)

export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME

# One cargo profile and one target directory serve the Rust tests, clippy and the wheel. Only `make bench` measures
# without the assertions.
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS := true
export CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS := true

RUST_SOURCES = $(shell find crates -name '*.rs' -o -name '*.toml') $(wildcard Cargo.toml Cargo.lock) pyproject.toml
# The binding has no Rust tests of its own (it cannot be linked without an interpreter); pytest tests it.
RUST_TESTED := --workspace --exclude elsewhere-python

say = @printf '\n\033[1m== %s\033[0m\n' '$(1)'

.PHONY: help
help:
	@echo 'make demo     build, then run the demo (examples/demo.py)'
	@echo 'make test     build, then run every check and every test'
	@echo 'make build    only build and install into .venv'
	@echo 'make lint     only the checks that run nothing: formatting, clippy, ruff, types, walls'
	@echo 'make bench    measure against a multiprocessing.Pipe loop (BENCH="--quick" for a smoke test)'
	@echo 'make nightly  the checks that take long or need more tools'
	@echo 'make format   format Rust and Python'
	@echo 'make lock     write requirements/dev.txt from dev.in (needs uv)'
	@echo 'make clean    remove .venv, target and what was built in place'

# ---------------------------------------------------------------- environment and build
$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@command -v cargo >/dev/null || { echo 'cargo is needed: install stable Rust (rustup)' >&2; exit 1; }
	rm -rf $(VENV)
	@PATH="$${PATH#$(CURDIR)/$(BIN):}" $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/requirements: requirements/dev.txt $(STAMPS)/venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	touch $@

# An editable install: Python sources are used where they stand, so only a change in Rust builds anew.
$(STAMPS)/build: $(RUST_SOURCES) $(STAMPS)/requirements
	rm -f $(STAMPS)/build-optimised
	$(BIN)/maturin develop --release --quiet $(LOCKED)
	touch $@

.PHONY: build
build: $(STAMPS)/build

.PHONY: clean
clean:
	rm -rf $(VENV) target dist python/elsewhere/_core*.so
