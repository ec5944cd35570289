#!/usr/bin/env bash
# Feeds the decoders with mutated bytes, by libFuzzer, on the stable toolchain.
# Usage: scripts/fuzz.sh [--seconds N] [TARGET...]
#   --seconds N   how long each target runs (default 10)
#   TARGET        as in fuse-tests/fuzz/fuzz_targets (default: all)
# What is found lies in target/fuzz/found/TARGET: put it into fuse-tests/fuzz/seeds/TARGET as crash-*
# together with the fix. What was learned stays in target/fuzz/corpus and is used by the next run.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
}

seconds=10
targets=()
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=${2:-} && shift 2 || usage ;;
    -*) usage ;;
    *) targets+=("$1") && shift ;;
    esac
done
case $seconds in '' | *[!0-9]*) usage ;; esac
if [ ${#targets[@]} = 0 ]; then
    mapfile -t targets < <(cd fuse-tests/fuzz/fuzz_targets && ls | sed 's/\.rs$//')
fi

scripts/setup.sh build
if ! command -v cargo-fuzz >/dev/null; then
    cargo install --quiet --locked cargo-fuzz@0.13.2
fi

# No sanitizer: it would need a nightly toolchain, and the decoders are safe Rust. Overflows and
# debug assertions panic.
options=(--fuzz-dir fuse-tests/fuzz --sanitizer none --target-dir target/fuzz)
log=target/fuzz/build.log
mkdir -p target/fuzz
lock=fuse-tests/fuzz/Cargo.lock
before=$(cksum <"$lock")
if ! cargo fuzz build "${options[@]}" 2>"$log"; then
    cat "$log" >&2
    exit 1
fi
if [ "$(cksum <"$lock")" != "$before" ]; then
    echo "fuzz: $lock was out of date, and was brought up to date: commit it" >&2
    exit 1
fi

programs=target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release
failed=()
for target in "${targets[@]}"; do
    seeds=fuse-tests/fuzz/seeds/$target
    corpus=target/fuzz/corpus/$target
    found=target/fuzz/found/$target
    log=target/fuzz/$target.log
    mkdir -p "$corpus" "$found"
    # One input takes neither 64 MiB at once nor 5 seconds; longer ones find nothing new.
    if "$programs/$target" "$corpus" "$seeds" -max_total_time="$seconds" -max_len=9000 \
        -malloc_limit_mb=64 -rss_limit_mb=1024 -timeout=5 \
        -artifact_prefix="$found/" -print_final_stats=1 >"$log" 2>&1; then
        awk -v target="$target" '/number_of_executed_units/ { runs = $2 }
            / cov: / { for (at = 1; at < NF; at++) if ($at == "cov:") edges = $(at + 1) }
            END { printf "%-12s %9d executions, %5d edges\n", target, runs, edges }' "$log"
    else
        tail -n 40 "$log" >&2
        failed+=("$target")
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzzing: FAILED in ${failed[*]}; the inputs are in target/fuzz/found"
    exit 1
fi
echo "fuzzing: ${#targets[@]} targets, $seconds s each, nothing found"
