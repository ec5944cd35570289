#!/usr/bin/env bash
# volfs beside other filesystems on the same disk, in the same minutes: fio, files, a compiler, and
# databases, in interleaved rounds. Writes docs/benchmarks.md, its chart, and
# target/bench/results.json.
# Usage: scripts/bench.sh [--quick] [--peers LIST] [--only LIST] [FOLDER]
#        scripts/bench.sh --list
#        scripts/bench.sh --micro|--cost|--snapshots [FOLDER]
#        (default FOLDER: a temporary one; needs 32 GiB, --micro 4 GiB)
#   --quick      small and short, and only prints: shows that everything works
#   --peers      of btrfs,xfs,zfs,bindfs (default: all; "" for none); ext4, what lies below, is always
#                there
#   --only       workloads by their short names, and only prints
#   --block-sizes  of 4,8,16,32,64,128 KiB: volumes with such blocks beside ext4, and only prints
#   --list       prints the workloads: short name, name, what it does
#   --micro      each layer beside what the machine could do at best
#   --cost       counts instead: what a commit costs in requests, system calls, flushes and bytes
#   --snapshots  the time that snapshots, clones and rollbacks take; what pgbench waits for at worst
#                beside checkpoints, collections of garbage and snapshots; memory
# Environment: VOLFS_ROUNDS (default 4: two in each order). VOLFS_ATTEMPTS (3): how often a run is
#   taken at most where the host takes processors away. VOLFS_AGAINST: another binary of volfs,
#   measured in the same rounds. VOLFS_SECONDS of each run of pgbench with --snapshots (default 20),
#   where VOLFS_FILL_GIB (0) is what else lies in the volume.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

usage() {
    sed -n '2,22s/^# //p' "$0" >&2
    exit 2
}

mode=peers quick="" only="" peers=btrfs,xfs,zfs,bindfs block_sizes="" folder=""
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    --peers) peers=${2?--peers needs a list} && shift ;;
    --only) only=${2:?--only needs a list} && shift ;;
    --block-sizes) block_sizes=${2:?--block-sizes needs a list} && peers="" && shift ;;
    --list) mode=list ;;
    --micro) mode=micro ;;
    --cost) mode=cost ;;
    --snapshots) mode=snapshots ;;
    -*) usage ;;
    *) folder=$1 ;;
    esac
    shift
done
if [ "$mode" = list ]; then
    exec cargo run --quiet --release -p volfs-bench -- list
fi
[ "$(id -u)" = 0 ] || { echo "bench: run as root" >&2; exit 1; }

scratch=$(mktemp -d "${folder:-${TMPDIR:-/tmp}}/volfs-bench.XXXXXX")
chmod 755 "$scratch"

if [ "$mode" = micro ]; then
    scripts/setup.sh build
    trap 'remove_scratch "$scratch"' EXIT
    trap 'exit 130' INT TERM
    export CRITERION_HOME=$PWD/target/bench/criterion
    rm -rf "$CRITERION_HOME"
    TMPDIR=$scratch cargo bench --quiet -p volfs-bench --features micro --bench layers -- --quiet
    cargo run --quiet --release -p volfs-bench -- micro "$CRITERION_HOME"
    exit
fi

scripts/setup.sh build
scripts/setup.sh databases
if [ -z "${VOLFS_BIN:-}" ]; then
    cargo build --quiet --release
    VOLFS_BIN=$(built_volfs)
    export VOLFS_BIN
fi
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo "of no package"; }

if [ "$mode" = peers ]; then
    scripts/setup.sh bench
    # The other servers end with the benchmark; Postgres has left it when it runs.
    cleanup_peers() {
        set +e
        local data pool
        for data in "$scratch"/mnt/*/pg; do stop_postgres "$data" immediate; done
        for pool in "$scratch"/volfs*; do stop_pool "$pool"; done
        remove_scratch "$scratch"
    }
    trap cleanup_peers EXIT
    trap 'exit 130' INT TERM
    results=target/bench
    arguments=(--volfs "$VOLFS_BIN" --jobs bench/fio --folder "$scratch" --results "$results"
        --source "${CARGO_TARGET_DIR:-target}/suites/redis-source" --peers "${peers:-ext4}"
        --rounds "${VOLFS_ROUNDS:-4}" --attempts "${VOLFS_ATTEMPTS:-3}"
        ${VOLFS_AGAINST:+--against "$VOLFS_AGAINST"}
        ${quick:+--quick} ${only:+--only "$only"} ${block_sizes:+--block-sizes "$block_sizes"})
    cargo run --quiet --release -p volfs-bench -- run "${arguments[@]}"
    [ -z "$quick$only$block_sizes" ] || exit 0
    cp "$results/ratios.svg" docs/benchmarks.svg
    {
        sed '/<!-- written by/,$d' docs/benchmarks.md
        echo "<!-- written by scripts/bench.sh -->"
        echo "Measured $(date -u +%F) with $("$VOLFS_BIN" --version) at commit" \
            "$(git rev-parse --short HEAD), Linux $(uname -r), $(nproc) cores," \
            "$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) of memory," \
            "$(fio --version)," \
            "PostgreSQL $(version_of postgresql-15), MariaDB $(version_of mariadb-server-core)," \
            "Redis $(version_of redis-server), SQLite $(version_of libsqlite3-0)."
        echo
        cat "$results/table.md"
    } >"$results/page"
    cp "$results/page" docs/benchmarks.md
    echo "docs/benchmarks.md is written"
    exit
fi

scale=30
export VOLFS_POOL=$scratch/pool
volume=$scratch/mnt/bench
cleanup() {
    set +e
    stop_postgres "$volume/pg" immediate 2>/dev/null
    remove_scratch "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir -p "$volume"
"$VOLFS_BIN" volume create bench >/dev/null
# Garbage is collected when a benchmark asks for it.
[ "$mode" != snapshots ] || echo "gc_percent = 0" >>"$VOLFS_POOL/pool.toml"
"$VOLFS_BIN" mount bench "$volume"

socket_of() { echo "$scratch/socket-$(basename "$1")"; }

prepare_postgres() {
    install -d -o postgres -g postgres -m 0700 "$1/pg"
    as_postgres "$PG/initdb" -D "$1/pg" --auth=trust >/dev/null
    start_postgres "$1/pg" "$(socket_of "$1")"
    as_postgres "$PG/pgbench" -h "$(socket_of "$1")" -i -q -s "$scale" postgres >/dev/null 2>&1
}

memory_mib() {
    awk -v key="$1:" '$1 == key { printf "%.0f\n", $2 / 1024 }' "/proc/$(daemon_pid "$VOLFS_POOL")/status"
}

# What the daemon's system calls per commit are, counted by strace over 2048 commits.
# $1: name  $2...: a command that makes so many
commits=2048
cost_of() {
    local name=$1 pid tracer
    shift
    pid=$(daemon_pid "$VOLFS_POOL")
    strace -f -qq -o "$scratch/calls" -p "$pid" &
    tracer=$!
    until grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$pid/status"; do
        kill -0 "$tracer" || { echo "bench: strace cannot trace the daemon" >&2; return 1; }
        sleep 0.1
    done
    "$@" >/dev/null
    kill -INT "$tracer"
    wait "$tracer" || true # It ends by the signal.
    # A call that another thread's call interrupts has two lines, the second with the result.
    awk -v name="$name" -v n="$commits" '
        / <unfinished \.\.\.>$/ { next }
        {
            call = $2 == "<..." ? $3 : $2
            sub(/\(.*/, "", call)
            calls[call]++
            all++
            if (call ~ /^pwrite/) { writes++; bytes += $NF }
        }
        END {
            flushes = calls["fdatasync"] + calls["fsync"]
            printf "%-34s %9.2f %9.2f %9.2f %9.2f %9.2f %9.0f\n", name, calls["read"] / n,
                writes / n, flushes / n, calls["futex"] / n, all / n, bytes / n
        }' "$scratch/calls"
}

fio_commits() {
    rm -f "$volume/cost"
    fio --name=cost --directory="$volume" --filename=cost --ioengine=psync --refill_buffers \
        --bs=8k --size=$((commits * 8))k --fallocate=none --minimal "$@"
}

pgbench_commits() {
    as_postgres "$PG/pgbench" -h "$(socket_of "$volume")" -n -c 1 -t "$commits" postgres 2>/dev/null
}

if [ "$mode" = cost ]; then
    # The journal gets the files that it will use over and over: each is filled with zeros once, 32
    # MiB that would be counted for whatever is measured at that moment.
    fio --name=warm --directory="$volume" --filename=warm --ioengine=psync --direct=1 --bs=32k \
        --size=160m --rw=write --fallocate=none --minimal >/dev/null
    rm "$volume/warm"
    printf '%-34s %9s %9s %9s %9s %9s %9s\n' "per commit" requests writes flushes futexes \
        "all calls" bytes
    cost_of "8 KiB append, fdatasync each" fio_commits --rw=write --fdatasync=1
    cost_of "8 KiB append, fsync each" fio_commits --rw=write --fsync=1
    cost_of "8 KiB O_DIRECT O_DSYNC write" fio_commits --rw=write --direct=1 --sync=dsync
    scale=5
    prepare_postgres "$volume"
    # Pages are written whole for the first time behind a checkpoint: not in the midst of this.
    sql "$(socket_of "$volume")" checkpoint
    cost_of "pgbench TPC-B, 1 client" pgbench_commits
    exit
fi

. scripts/bench-stalls.sh
bench_stalls
echo "daemon memory: $(memory_mib VmRSS) MiB resident, $(memory_mib VmHWM) MiB at most"
