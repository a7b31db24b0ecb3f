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
PROFILING := PATH="$(CURDIR)/.tools/llvm/bin:$$PATH"

export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME

RUST_SOURCES = $(shell find crates -name '*.rs' -o -name '*.toml') $(wildcard Cargo.toml Cargo.lock) pyproject.toml
# The binding has no Rust tests of its own (it cannot be linked without an interpreter); pytest tests it.
RUST_TESTED := --workspace --exclude elsewhere-python

say = @printf '\n== %s\n' '$(1)'

.PHONY: help
help:
	@echo 'make demo     build, then run the demo (examples/demo.py)'
	@echo 'make test     build, then run every check and every test'
	@echo 'make build    only build and install into .venv'
	@echo 'make wheel    build the wheel as it is published: dist/elsewhere-*.whl'
	@echo 'make lint     only the checks that run nothing: formatting, clippy, ruff, types, walls'
	@echo 'make bench    measure beside the standard library and the limits of the machine (QUICK=1: in less than a minute)'
	@echo 'make bench-peers   the same beside RPyC, Pyro5, uactor and Ray, which it installs in .venv-peers'
	@echo 'make bench-seeds   the dialects beside the libraries whose names they have, which it installs in .venv-seeds'
	@echo 'make bench-report  write docs/measured, tables and plots, from what was measured last'
	@echo 'make docs     build the documentation: target/site/html/index.html'
	@echo 'make loom     the concurrent parts of the shared memory in every order of events'
	@echo 'make tsan     the tests of the shared memory under ThreadSanitizer'
	@echo 'make test-tensors  the tests with torch, which it installs in .venv-tensors (5 GB)'
	@echo 'make nightly  the checks that take long or need more tools'
	@echo 'make format   format Rust and Python'
	@echo 'make lock     write requirements/*.txt from *.in (needs uv)'
	@echo 'make clean    remove .venv, target and what was built in place'

# ---------------------------------------------------------------- environment and build
$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(PYTHON) is not Python 3.11 or newer' >&2; exit 1; }
	@command -v cargo >/dev/null || { echo 'cargo is needed: install stable Rust (rustup)' >&2; exit 1; }
	rm -rf $(VENV)
	@PATH="$${PATH#$(CURDIR)/$(BIN):}" $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/requirements: requirements/dev.txt $(STAMPS)/venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	touch $@

# Others beside what .venv has: its packages come behind their own.
.venv-peers/requirements .venv-seeds/requirements .venv-tensors/requirements: \
.venv-%/requirements: requirements/%.txt $(STAMPS)/venv
	rm -rf .venv-$*
	$(BIN)/python -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --require-hashes -r requirements/$*.txt
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> "$$(.venv-$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
	touch $@

# An editable install: Python sources are used where they stand, so only a change in Rust builds anew.
$(STAMPS)/build: $(RUST_SOURCES) $(STAMPS)/requirements
	rm -f $(STAMPS)/build-optimised
	$(BIN)/maturin develop --release --quiet $(LOCKED)
	touch $@

# The same as a wheel has it: what is measured is what users get. It is built twice, first to see what runs when
# training/train.py does what users do, then by what was seen; where LLVM's tool for that is not to be had, only once.
$(STAMPS)/build-optimised: $(RUST_SOURCES) $(wildcard training/*) $(STAMPS)/requirements
	rm -f $(STAMPS)/build
	profile=; if ./training/llvm_profdata.sh; then profile=--pgo; else echo 'building without a profile: slower' >&2; fi; \
		$(PROFILING) $(BIN)/maturin develop --profile wheel $$profile --quiet $(LOCKED)
	touch $@

.PHONY: build
build: $(STAMPS)/build

# What is published: dist/elsewhere-*.whl.
.PHONY: wheel
wheel: $(STAMPS)/requirements
	./training/llvm_profdata.sh
	$(PROFILING) $(BIN)/maturin build --profile wheel --pgo --quiet $(LOCKED) --out dist

# ---------------------------------------------------------------- the two commands
.PHONY: demo
demo: build
	$(BIN)/python examples/demo.py

.PHONY: test
test: build lint test-wheel test-rust test-python
	$(call say,all checks passed)

# ---------------------------------------------------------------- checks that run nothing of ours
.PHONY: lint lint-walls lint-python lint-rust
lint: lint-walls lint-python lint-rust

lint-walls: build
	$(call say,walls and shape of the sources)
	$(BIN)/python -m checks.walls
	$(BIN)/python -m checks.sources
	$(BIN)/python -m checks.proto_lints
	$(BIN)/python -m checks.public_names

lint-python: build
	$(call say,ruff)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(call say,types)
	$(BIN)/mypy
	$(BIN)/mypy examples benches training checks docs $(wildcard tests/typing)
	$(BIN)/python -m mypy.stubtest elsewhere._core --mypy-config-file pyproject.toml
	$(BIN)/basedpyright
	$(BIN)/python -m checks.complete_types
	$(BIN)/python -m checks.document_types

lint-rust: build
	$(call say,rustfmt)
	cargo fmt --all --check
	$(call say,clippy)
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	$(call say,rustdoc)
	RUSTDOCFLAGS='-D warnings' cargo doc $(LOCKED) --workspace --no-deps --document-private-items

# ---------------------------------------------------------------- tests
.PHONY: test-wheel
test-wheel: build
	$(call say,the wheel)
	$(BIN)/python -m checks.wheel

.PHONY: test-rust
test-rust: build
	$(call say,Rust tests)
	cargo test $(LOCKED) --release $(RUST_TESTED)

BARE_TESTS := $(addprefix tests/test_,$(addsuffix .py,calls values results arguments streams callbacks contexts))

# All of them as two halves beside each other, or in one run what PYTEST picks.
.PHONY: test-python
test-python: build
	$(call say,Python tests and the code in the documents)
	$(BIN)/python -m compileall -q python/elsewhere
	$(BIN)/python -m $(if $(PYTEST),pytest $(PYTEST),checks.two_halves)
	$(call say,what is central in hosts without the package)
	$(BIN)/python -m pytest --quiet --transports bare -k bare $(BARE_TESTS)

# torch with what it needs has more than all else together, so the ordinary tests do without.
.PHONY: test-tensors
test-tensors: build .venv-tensors/requirements
	.venv-tensors/bin/python -m pytest --quiet tests/test_tensors.py

# ---------------------------------------------------------------- measuring
# Bytecode is written first, as an installer does: where PYTHONDONTWRITEBYTECODE is set each start would compile anew.
BENCH_EFFORT := $(if $(QUICK),--effort quick)

PLOTS_VENV := .venv-plots

.PHONY: bench bench-ready bench-peers bench-seeds bench-report
bench-ready: export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS := false
bench-ready: export CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS := false
bench-ready: $(STAMPS)/build-optimised
	cargo build $(LOCKED) --release --quiet --package elsewhere-shm --example limits
	cargo build $(LOCKED) --release --quiet --package elsewhere-engine --example cipher
	$(BIN)/python -m compileall -q python/elsewhere benches

bench: bench-ready
	$(BIN)/python benches/run.py $(BENCH_EFFORT) $(BENCH)

bench-peers: bench-ready .venv-peers/requirements
	.venv-peers/bin/python benches/run.py --peers $(BENCH_EFFORT) $(BENCH)

# erised is in no registry; where it is installed by hand, it takes part.
bench-seeds: bench-ready .venv-seeds/requirements
	.venv-seeds/bin/python benches/run_seeds.py $(BENCH_EFFORT) $(BENCH)

$(PLOTS_VENV)/requirements: requirements/plots.txt $(STAMPS)/venv
	rm -rf $(PLOTS_VENV)
	$(BIN)/python -m venv $(PLOTS_VENV)
	$(PLOTS_VENV)/bin/python -m pip install --quiet --require-hashes -r requirements/plots.txt
	touch $@

bench-report: $(PLOTS_VENV)/requirements
	$(PLOTS_VENV)/bin/python benches/report.py

# ---------------------------------------------------------------- documentation
# In an environment of its own, so that `make test` need not install it. It reads the sources and needs no build.
DOCS_VENV := .venv-docs
SITE := target/site

$(DOCS_VENV)/requirements: requirements/docs.txt $(STAMPS)/venv
	rm -rf $(DOCS_VENV)
	$(BIN)/python -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --require-hashes -r requirements/docs.txt
	touch $@

# Every page anew: a warning about a page that did not change would otherwise be seen only once.
.PHONY: docs
docs: $(DOCS_VENV)/requirements
	rm -rf $(SITE)
	$(DOCS_VENV)/bin/python -m sphinx --builder html --nitpicky --fail-on-warning --keep-going --quiet \
		--doctree-dir $(SITE)/doctrees docs $(SITE)/html
	$(DOCS_VENV)/bin/python -m checks.built_site $(SITE)/html

# ---------------------------------------------------------------- races in shared memory
# Each in a target directory of its own: the flags would otherwise have everything built anew, back and forth.
.PHONY: loom tsan
loom: export CARGO_TARGET_DIR := target/loom
loom: export RUSTFLAGS := --cfg loom
loom:
	cargo test $(LOCKED) --release --package elsewhere-shm --lib models

# The sanitizer is not stable, hence the bootstrap. The standard library is not built with it, which the linker must be told;
# so only what our own code does is seen, and of that what it does in the tests' own threads, one test at a time.
tsan: export CARGO_TARGET_DIR := target/tsan
tsan: export TSAN_OPTIONS := suppressions=$(CURDIR)/crates/elsewhere-shm/tests/tsan.txt
tsan: export RUSTC_BOOTSTRAP := 1
tsan: export RUSTFLAGS := --cfg tsan -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer
tsan:
	cargo test $(LOCKED) --release --package elsewhere-shm --target x86_64-unknown-linux-gnu --lib --tests -- --test-threads=1

# ---------------------------------------------------------------- what takes long
.PHONY: nightly
nightly:
	./checks/nightly.sh

# ---------------------------------------------------------------- upkeep
.PHONY: format
format: $(STAMPS)/requirements
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock:
	cd requirements && for name in dev docs peers plots seeds tensors; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url \
			--no-emit-find-links --custom-compile-command 'make lock' "$$name.in" --output-file "$$name.txt"; \
	done

.PHONY: clean
clean:
	rm -rf $(VENV) .venv-* .tools target dist python/elsewhere/_core*.so
