#!/usr/bin/env bash
# Everything that must hold before a change is merged. Ends with a line "N passed, N failed".
# Usage: scripts/test.sh [all|unit|mounted] [FILTER]
#   unit      format, lints, documentation, tests that mount nothing, a short fuzz run
#   mounted   tests in fuse-tests with the release build; FILTER as cargo test takes it
# Environment: VOLFS_TEST_THREADS (default 2), VOLFS_TEST_ROUNDS, VOLFS_TEST_SEED,
#   VOLFS_TEST_ENTRIES, VOLFS_TEST_LIMIT: see fuse-tests. VOLFS_FUZZ_SECONDS: of each target.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

part=${1:-all} filter=${2:-}
case $part in all | unit | mounted) ;; *)
    sed -n '2,7s/^# //p' "$0" >&2
    exit 2
    ;;
esac

# Everything the tests make lies in here, so that an interrupted run leaves nothing either.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/volfs-test.XXXXXX")
chmod 755 "$scratch"
log=$scratch/log
failed_steps=()
VOLFS_BIN=$(built_volfs)
export VOLFS_BIN
trap 'remove_scratch "$scratch"' EXIT
trap 'exit 130' INT TERM

step() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    if "$@" 2>&1 | tee -a "$log"; then
        echo "== $name: ok, $((SECONDS - start)) s"
    else
        echo "== $name: FAILED, $((SECONDS - start)) s"
        failed_steps+=("$name")
        return 1
    fi
}

unit_tests() {
    step format cargo fmt --all --check
    step "format of the fuzz targets" cargo fmt --manifest-path fuse-tests/fuzz/Cargo.toml --check
    step lints cargo clippy --quiet --workspace --all-targets --features volfs-bench/micro \
        -- -D warnings
    step documentation env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace
    step "unit tests" cargo test --quiet --no-fail-fast --workspace --exclude fuse-tests \
        -- ${filter:+"$filter"}
    [ -n "$filter" ] || step fuzzing scripts/fuzz.sh --seconds "${VOLFS_FUZZ_SECONDS:-3}"
}

mounted_tests() {
    step "release build" cargo build --quiet --release || return
    step "mounted tests" env TMPDIR="$scratch" cargo test --no-fail-fast -p fuse-tests \
        -- --test-threads "${VOLFS_TEST_THREADS:-2}" ${filter:+"$filter"}
}

# "test result: ok. 12 passed; 0 failed; ..." of every test binary, summed. A step that failed
# without a failed test (a build, a lint) counts as one failure, and so does a run of no test: a
# filter that matches nothing, perhaps because a test has another name now, has shown nothing.
report() {
    local passed failed
    read -r passed failed < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$log")
    local step
    for step in "${failed_steps[@]}"; do
        case $step in *tests) [ "$failed" -gt 0 ] || failed=1 ;; *) failed=$((failed + 1)) ;; esac
    done
    [ $((passed + failed)) -gt 0 ] || {
        echo "no test has run${filter:+: none matches '$filter'}"
        failed=1
    }
    grep -E '^    [a-z_:]+$' "$log" | sort -u | sed 's/^ */failed: /'
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

df -h . "$scratch" | awk 'NR == 1 || !seen[$1]++'
scripts/setup.sh || exit 1
touch "$log"
[ "$part" = mounted ] || unit_tests
[ "$part" = unit ] || mounted_tests
report
