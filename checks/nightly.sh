#!/usr/bin/env bash
# What `make nightly` runs: what takes long, or needs tools that take minutes to build. Every step runs, also after one
# that failed; the last lines say which failed. Settings: FUZZ_SECONDS (per target), SIMULATION_SEEDS, ONE_CORE_RUNS,
# TWIN_PROGRAMS (per type), KILLS.
set -uo pipefail
cd "$(dirname "$0")/.."

FUZZ_SECONDS=${FUZZ_SECONDS:-3600}
SIMULATION_SEEDS=${SIMULATION_SEEDS:-1000000}
ONE_CORE_RUNS=${ONE_CORE_RUNS:-10}
TWIN_PROGRAMS=${TWIN_PROGRAMS:-1000}
KILLS=${KILLS:-500}
TOOLS=$PWD/.tools
export PATH=$TOOLS/bin:$PATH

failed=()
step() { # title, then the command
  printf '\n\033[1m== %s\033[0m\n' "$1"
  "${@:2}" || failed+=("$1")
}

# Tools come from the registry at a fixed version, into .tools/.
tool() { # crate, version, program
  [ -x "$TOOLS/bin/$3" ] || cargo install --quiet --locked --root "$TOOLS" "$1@$2"
}

dependencies() {
  tool cargo-deny 0.20.2 cargo-deny && cargo deny --workspace check "$@"
}

fuzz() {
  tool cargo-fuzz 0.13.2 cargo-fuzz || return
  local target status=0
  for target in $(cargo fuzz list); do
    cargo fuzz run -O --debug-assertions -s none "$target" -- \
      -max_total_time="$FUZZ_SECONDS" -rss_limit_mb=512 -timeout=1 -max_len=65536 -print_final_stats=1 || status=1
  done
  return $status
}

simulation() {
  ELSEWHERE_SEEDS=$SIMULATION_SEEDS cargo test --release --package elsewhere-proto --test simulation -- --nocapture
}

one_core() {
  local run
  for run in $(seq "$ONE_CORE_RUNS"); do
    taskset --cpu-list 0 .venv/bin/python -m pytest -q || return
    echo "one core: run $run of $ONE_CORE_RUNS passed"
  done
}

twins() {
  ELSEWHERE_PROGRAMS=$TWIN_PROGRAMS .venv/bin/python -m pytest -q tests/test_twins.py
}

kills() {
  ELSEWHERE_KILLS=$KILLS .venv/bin/python -m pytest -q -o faulthandler_timeout=0 \
    -k 'killed_at_any_instant or scribbles' tests/test_memory_faults.py tests/test_scribblers.py
}

installation() {
  local folder
  folder=$(mktemp -d) || return
  .venv/bin/python -m venv "$folder" && "$folder/bin/pip" install --quiet . && (
    cd / && "$folder/bin/python" -c 'import elsewhere; assert elsewhere.get(elsewhere.send([1])[0]) == 1; print("pip install . works")'
  )
  local status=$?
  rm -rf "$folder"
  return $status
}

# A smoke test: whether the other libraries can still be measured.
peers() {
  make bench-peers BENCH="--effort smoke --json target/peers.json" && make build
}

# Likewise the libraries whose names the dialects have.
seeds() {
  make bench-seeds BENCH="--effort smoke --json target/seeds.json" && make build
}

# A build without optimisation must say so when it is imported.
debug_build() {
  local folder
  folder=$(mktemp -d) || return
  cp -r python/elsewhere "$folder" && rm -f "$folder"/elsewhere/_core*.so &&
    cargo build --quiet --package elsewhere-python && cp target/debug/lib_core.so "$folder/elsewhere/_core.abi3.so" &&
    (cd "$folder" && "$OLDPWD/.venv/bin/python" -c 'import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import elsewhere
assert [one.category for one in caught] == [RuntimeWarning], caught
print(caught[0].message)')
  local status=$?
  rm -rf "$folder"
  return $status
}

step 'make test' make test
step 'make docs' make docs
step 'licences, sources and bans' dependencies licenses sources bans
step 'advisories (fetches the RustSec database)' dependencies advisories
step 'pip install .' installation
step 'a debug build warns' debug_build
step 'benches beside other libraries' peers
step 'benches beside the libraries of the dialects' seeds
step 'shared memory in every order of events' make loom
step 'shared memory under ThreadSanitizer' make tsan
step 'long simulation' simulation
step 'long programs on twins' twins
step 'many killed while arrays are on their way' kills
step 'hosts by exec throughout' .venv/bin/python -m pytest -q --transports exec,local
step 'hosts over sockets throughout' .venv/bin/python -m pytest -q --transports socket tests
step 'hosts without the package throughout' .venv/bin/python -m pytest -q --transports bare -k bare tests
step 'tensors of torch' make test-tensors
step 'every interpreter of this machine' .venv/bin/python -m pytest -q --interpreters all tests/test_interpreters.py
step 'every CPython at hand' .venv/bin/python -m checks.matrix -q
step 'one core, again and again' one_core
step 'fuzzing' fuzz

echo
if [ ${#failed[@]} -gt 0 ]; then
  printf 'nightly: failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'nightly: all steps passed'
