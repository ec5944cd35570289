#!/usr/bin/env bash
# volfs beside the filesystem that its pool lies on, in the same minutes: fio, pgbench, the time
# that snapshots and clones take, and the daemon's memory. The runs of a round are interleaved.
# Usage: scripts/bench.sh [--quick | --cost] [FOLDER]   (default FOLDER: a temporary one; needs 8 GiB)
#   --cost   counts instead of timing: what a commit costs in requests, system calls, flushes, bytes
# Environment: VOLFS_ROUNDS (default 3). VOLFS_AGAINST: another binary of volfs, measured in the same
#   rounds; then each line has its ratio to the filesystem below, too, with the spread of the rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

rounds=3 seconds=5 file_mib=1024 scale=30 bench_seconds=20 mode=time
if [ "${1:-}" = --cost ]; then
    mode=cost
    shift
elif [ "${1:-}" = --quick ]; then
    rounds=1 seconds=3 file_mib=256 scale=5 bench_seconds=5
    shift
fi
[ "$(id -u)" = 0 ] || { echo "bench: run as root" >&2; exit 1; }

scripts/setup.sh build
scripts/setup.sh databases
if [ -z "${VOLFS_BIN:-}" ]; then
    cargo build --quiet --release
    export VOLFS_BIN=$PWD/target/release/volfs
fi

rounds=${VOLFS_ROUNDS:-$rounds} against=${VOLFS_AGAINST:-}
scratch=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/volfs-bench.XXXXXX")
export VOLFS_POOL=$scratch/pool
volume=$scratch/mnt/bench plain=$scratch/plain
folders=("$volume" "$plain")
cleanup() {
    set +e
    local folder
    for folder in "${folders[@]}"; do stop_postgres "$folder/pg" immediate 2>/dev/null; done
    remove_scratch "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
chmod 755 "$scratch"
mkdir -p "$volume" "$plain"
"$VOLFS_BIN" volume create bench >/dev/null
"$VOLFS_BIN" mount bench "$volume"
if [ -n "$against" ]; then
    folders+=("$scratch/mnt/against")
    mkdir -p "$scratch/mnt/against" "$scratch/against"
    "$against" --pool "$scratch/against/pool" volume create bench >/dev/null
    "$against" --pool "$scratch/against/pool" mount bench "$scratch/mnt/against"
fi

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

line() { printf "%-34s %12s %12s %8s${5:+  %s}\n" "$@"; }

# Of numbers in pairs, the first divided by the second: the median, and with $1 the spread, too.
ratio() {
    awk '{ printf "%.3f\n", $1 / $2 }' | sort -n | awk -v spread="${1:-}" '
        { v[NR] = $1 }
        END {
            printf "%.2f", v[int((NR + 1) / 2)]
            if (spread) printf " (%.2f-%.2f)", v[1], v[NR]
        }'
}

# Runs a measurement in turn on all and prints the medians and their ratio, which is taken by round.
# $1: name  $2: unit  $3...: command that takes a folder as last argument and prints a number
compare() {
    local name=$1 unit=$2 round at ours theirs by_round=$scratch/round spread=""
    shift 2
    rm -f "$by_round".*
    for ((round = 0; round < rounds; round++)); do
        for at in "${!folders[@]}"; do "$@" "${folders[at]}" >>"$by_round.$at"; done
    done
    ours=$(median <"$by_round.0") theirs=$(median <"$by_round.1")
    if [ -n "$against" ]; then
        spread="$(paste "$by_round.0" "$by_round.1" | ratio spread), against:"
        spread+=" $(median <"$by_round.2"), $(paste "$by_round.2" "$by_round.1" | ratio spread)"
    fi
    line "$name, $unit" "$ours" "$theirs" "$(paste "$by_round.0" "$by_round.1" | ratio)" \
        ${spread:+"$spread"}
}

# One fio job; prints field $1 of fio's terse output. 7, 8: read KiB/s and IOPS; 48, 49: write.
fio_field() {
    local field=$1 folder=${!#}
    set -- "${@:2:$#-2}"
    sync -f "$plain"
    echo 3 >/proc/sys/vm/drop_caches
    fio --name=bench --directory="$folder" --ioengine=psync --refill_buffers --size="${file_mib}m" \
        --minimal "$@" | cut -d ';' -f "$field"
}

fio_mib() { fio_field "$@" | awk '{ printf "%.0f\n", $1 / 1024 }'; }

# Appends start with an empty file each time.
fio_append() {
    rm -f "${!#}"/append
    fio_field 49 --rw=write --bs=8k --fdatasync=1 --fallocate=none --filename=append \
        --runtime="$seconds" "${!#}"
}

socket_of() { echo "$scratch/socket-$(basename "$1")"; }

prepare_postgres() {
    install -d -o postgres -g postgres -m 0700 "$1/pg"
    as_postgres "$PG/initdb" -D "$1/pg" --auth=trust >/dev/null
    start_postgres "$1/pg" "$(socket_of "$1")"
    as_postgres "$PG/pgbench" -h "$(socket_of "$1")" -i -q -s "$scale" postgres >/dev/null 2>&1
}

pgbench_tps() {
    sql "$(socket_of "$1")" checkpoint
    as_postgres "$PG/pgbench" -h "$(socket_of "$1")" -n -c 8 -j 2 -T "$bench_seconds" postgres \
        2>/dev/null | awk '/^tps/ { printf "%.0f\n", $3 }'
}

# Milliseconds of a command, the median of ten. $1: command with %d for a number
latency() {
    local number start
    for number in 1 2 3 4 5 6 7 8 9 10; do
        start=${EPOCHREALTIME/./}
        # shellcheck disable=SC2059 # the argument is the format
        "$VOLFS_BIN" $(printf "$1" "$number") >/dev/null
        echo $(((${EPOCHREALTIME/./} - start) / 100))
    done | median | awk '{ printf "%.1f\n", $1 / 10 }'
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

echo "$(nproc) cores, $(df --output=fstype "$scratch" | tail -n 1) below, $(uname -r)," \
    "medians of $rounds, load before: $(cut -d ' ' -f 1 /proc/loadavg)"
line "" volfs below ratio ${against:+"its spread, and $against"}
timed=(--time_based --runtime="$seconds")
compare "1 MiB sequential write" MiB/s fio_mib 48 --rw=write --bs=1m --end_fsync=1 --filename=seq
compare "1 MiB sequential read" MiB/s fio_mib 7 --rw=read --bs=1m --filename=seq
compare "8 KiB random read" IOPS fio_field 8 --rw=randread --bs=8k --filename=seq "${timed[@]}"
compare "8 KiB random write, fsync each" IOPS \
    fio_field 49 --rw=randwrite --bs=8k --fsync=1 --filename=seq "${timed[@]}"
compare "8 KiB append, fdatasync each" IOPS fio_append
for folder in "${folders[@]}"; do
    rm -f "$folder"/{seq,append}
    prepare_postgres "$folder"
done
compare "pgbench TPC-B, scale $scale, 8 clients" tps pgbench_tps

echo
line "milliseconds" idle "pgbench" ""
snapshot_idle=$(latency "snapshot create bench@idle-%d")
clone_idle=$(latency "clone bench@idle-1 idle-clone-%d")
pgbench_tps "$volume" >"$scratch/tps" &
load=$!
sleep 2
snapshot_busy=$(latency "snapshot create bench@busy-%d")
clone_busy=$(latency "clone bench@busy-1 busy-clone-%d")
line "snapshot of the live volume" "$snapshot_idle" "$snapshot_busy" ""
line "clone of a snapshot" "$clone_idle" "$clone_busy" ""
wait "$load"
echo
echo "daemon memory: $(memory_mib VmRSS) MiB resident, $(memory_mib VmHWM) MiB at most"
