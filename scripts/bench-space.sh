#!/usr/bin/env bash
# What space costs: the collection of garbage beside pgbench, and many snapshots.
#   gc         pgbench TPC-B in a pool that collects by itself and in one that does not, in turn: how
#              much of the disk each takes of what is alive, throughput, the daemon's memory; then what
#              is left after all snapshots are gone, beside a fresh copy of the same data
#   snapshots  1,000 snapshots of a volume: how long the first ten and all take, pgbench with and
#              without them in turn, listing, removing, opening
#   df         how long accounting takes for 20 million pointers to blocks of 4 KiB, four to each block
# Usage: scripts/bench-space.sh gc|snapshots|df [FOLDER]
#        (default FOLDER: a temporary one; needs 20 GiB)
# Environment: VOLFS_ROUNDS (default 5), VOLFS_SECONDS of each run (default 120), VOLFS_SCALE (30),
#   VOLFS_SNAPSHOTS (1000), VOLFS_VOLUME_MIB (2048), VOLFS_POINTERS (20000000).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

part=${1:-}
case $part in gc | snapshots | df) ;; *)
    sed -n '2,12s/^# //p' "$0" >&2
    exit 2
    ;;
esac
rounds=${VOLFS_ROUNDS:-5} seconds=${VOLFS_SECONDS:-120} scale=${VOLFS_SCALE:-30}
snapshots=${VOLFS_SNAPSHOTS:-1000} volume_mib=${VOLFS_VOLUME_MIB:-2048}
pointers=${VOLFS_POINTERS:-20000000}

scripts/setup.sh build
scripts/setup.sh databases
if [ -z "${VOLFS_BIN:-}" ]; then
    cargo build --quiet --release
    VOLFS_BIN=$(built_volfs)
    export VOLFS_BIN
fi
scratch=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/volfs-bench.XXXXXX")
chmod 755 "$scratch"
names=()
cleanup() {
    set +e
    local name
    for name in "${names[@]}"; do
        stop_postgres "$scratch/mnt/$name/pg" immediate 2>/dev/null
    done
    remove_scratch "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Milliseconds of a command, with a digit behind the point.
timed() {
    local start=${EPOCHREALTIME/./}
    "$@" >/dev/null
    awk -v us="$((${EPOCHREALTIME/./} - start))" 'BEGIN { printf "%.1f\n", us / 1000 }'
}

# $1: pool  $2...: command
at() {
    local pool=$scratch/$1/pool
    shift
    "$VOLFS_BIN" --pool "$pool" "$@"
}

# A number of df's JSON. $1: pool  $2: field
space() { at "$1" df --format json | sed -n "s/^  \"$2\": \([0-9]*\).*/\1/p"; }

# A pool of its own with a mounted volume and a Postgres on it. $1: name  $2: line of settings
prepare() {
    names+=("$1")
    mkdir -p "$scratch/mnt/$1" "$scratch/$1"
    at "$1" volume create bench >/dev/null
    [ -z "${2:-}" ] || echo "$2" >>"$scratch/$1/pool/pool.toml"
    at "$1" mount bench "$scratch/mnt/$1"
    local data=$scratch/mnt/$1/pg
    install -d -o postgres -g postgres -m 0700 "$data"
    as_postgres "$PG/initdb" -D "$data" --auth=trust >/dev/null
    start_postgres "$data" "$scratch/socket-$1"
    as_postgres "$PG/pgbench" -h "$scratch/socket-$1" -i -q -s "$scale" postgres >/dev/null 2>&1
}

tps() {
    as_postgres "$PG/pgbench" -h "$scratch/socket-$1" -n -c 8 -j 2 -T "$seconds" postgres \
        2>/dev/null | awk '/^tps/ { printf "%.0f\n", $3 }'
}

memory_mib() {
    awk -v key="$2:" '$1 == key { printf "%.0f\n", $2 / 1024 }' \
        "/proc/$(daemon_pid "$scratch/$1/pool")/status"
}

# While a process runs: what the segments take of what is alive in them, in percent, a line every ten
# seconds. $1: pool  $2: process
watch_space() {
    local live garbage
    while kill -0 "$2" 2>/dev/null; do
        read -r live garbage < <(at "$1" df --format json |
            awk -F '[:,]' '/^  "(live|garbage)"/ { printf "%d ", $2 } END { print "" }')
        [ -z "${garbage:-}" ] || awk -v l="$live" -v g="$garbage" \
            'BEGIN { printf "%.0f %.0f\n", (l + g) * 100 / l, (l + g) / 1048576 }'
        sleep 10
    done
}

bench_gc() {
    local round name load
    prepare off "gc_percent = 0"
    prepare on "gc_percent = 30"
    echo "$rounds rounds of $seconds s each, scale $scale, 8 clients"
    for ((round = 1; round <= rounds; round++)); do
        for name in off on; do
            tps "$name" >>"$scratch/tps.$name" &
            load=$!
            watch_space "$name" "$load" >>"$scratch/space.$name"
            wait "$load"
            echo "round $round, $name: $(tail -n 1 "$scratch/tps.$name") tps," \
                "$(tail -n 1 "$scratch/space.$name" | awk '{ print $1 " % of live, " $2 " MiB" }')"
        done
    done
    for name in off on; do
        echo "collection $name: $(median <"$scratch/tps.$name") tps, at most" \
            "$(cut -d ' ' -f 1 "$scratch/space.$name" | sort -n | tail -n 1) % of what is alive," \
            "daemon $(memory_mib "$name" VmHWM) MiB resident at most"
    done
    paste "$scratch/tps.on" "$scratch/tps.off" | awk '{ printf "%.3f\n", $1 / $2 }' | sort -n |
        awk '{ v[NR] = $1 } END { printf "throughput with it: %.2f (%.2f-%.2f)\n",
            v[int((NR + 1) / 2)], v[1], v[NR] }'
    bench_fresh_copy
}

# Snapshots between changes, then all removed and collected, beside a copy into a new pool.
bench_fresh_copy() {
    local number before
    for ((number = 1; number <= 5; number++)); do
        at off snapshot create "bench@s$number" >/dev/null
        seconds=5 tps off >/dev/null
    done
    stop_postgres "$scratch/mnt/off/pg"
    before=$(($(space off live) + $(space off garbage)))
    for ((number = 1; number <= 5; number++)); do at off snapshot rm "bench@s$number" >/dev/null; done
    echo "a collection took $(timed at off gc) ms," \
        "daemon $(memory_mib off VmHWM) MiB resident at most"
    names+=(copy)
    mkdir -p "$scratch/mnt/copy" "$scratch/copy"
    at copy volume create bench >/dev/null
    at copy mount bench "$scratch/mnt/copy"
    cp -a "$scratch/mnt/off/." "$scratch/mnt/copy/"
    sync -f "$scratch/mnt/copy/pg/PG_VERSION"
    at copy umount bench
    at copy mount bench "$scratch/mnt/copy"
    at copy gc >/dev/null
    echo "$before" "$(space off live)" "$(space off garbage)" "$(space copy live)" \
        "$(space copy garbage)" | awk '{
            printf "segments: %.0f MiB with snapshots, %.0f MiB without, %.0f MiB in a copy: %.3f\n",
                $1 / 1048576, ($2 + $3) / 1048576, ($4 + $5) / 1048576, ($2 + $3) / ($4 + $5) }'
}

bench_snapshots() {
    local round name number
    prepare none
    prepare many
    for name in none many; do
        fio --name=fill --directory="$scratch/mnt/$name" --filename=fill --ioengine=psync --bs=1m \
            --rw=write --size="${volume_mib}m" --end_fsync=1 --refill_buffers \
            --buffer_compress_percentage=50 --minimal >/dev/null
    done
    for ((number = 1; number <= snapshots; number++)); do
        head -c 16384 /dev/urandom | dd of="$scratch/mnt/many/fill" bs=16k \
            seek=$((RANDOM % (volume_mib * 64))) conv=notrunc,fdatasync status=none
        timed at many snapshot create "bench@s$number" >>"$scratch/create"
    done
    head -n 10 "$scratch/create" | percentile 99 >"$scratch/first"
    tail -n 100 "$scratch/create" | percentile 99 >"$scratch/last"
    echo "snapshot create, ms: first ten at most $(cat "$scratch/first"), all p99" \
        "$(percentile 99 <"$scratch/create"), last hundred p99 $(cat "$scratch/last"), median" \
        "$(median <"$scratch/create")"
    for ((round = 1; round <= rounds; round++)); do
        for name in none many; do tps "$name" >>"$scratch/tps.$name"; done
    done
    paste "$scratch/tps.many" "$scratch/tps.none" | awk '{ printf "%.3f %s %s\n", $1 / $2, $1, $2 }' |
        sort -n | awk '{ v[NR] = $1; m = m " " $2; n = n " " $3 } END {
            printf "pgbench with them: %.2f (%.2f-%.2f);%s tps, without:%s\n",
                v[int((NR + 1) / 2)], v[1], v[NR], m, n }'
    for number in 1 2 3 4 5 6 7 8 9; do
        timed at many snapshot ls >>"$scratch/ls"
        timed at many snapshot rm "bench@s$((number * snapshots / 10))" >>"$scratch/rm"
    done
    echo "snapshot ls $(median <"$scratch/ls") ms, snapshot rm $(median <"$scratch/rm") ms (at most" \
        "$(sort -n "$scratch/rm" | tail -n 1))"
    stop_postgres "$scratch/mnt/many/pg"
    at many daemon stop --force >/dev/null
    echo "mount of a pool that nobody serves: $(timed at many mount bench "$scratch/mnt/many") ms," \
        "daemon $(memory_mib many VmRSS) MiB resident"
}

# A file of blocks that are all different, and three copies that share them: a walk has to see each
# pointer, and each block once.
bench_df() {
    local file=$scratch/mnt/wide/file mib=$((pointers / 4 / 256)) copy
    names+=(wide)
    mkdir -p "$scratch/mnt/wide" "$scratch/wide"
    at wide volume create --block-size 4K bench >/dev/null
    at wide mount bench "$scratch/mnt/wide"
    fio --name=fill --filename="$file" --ioengine=psync --bs=1m --rw=write --size="${mib}m" \
        --end_fsync=1 --refill_buffers --buffer_compress_percentage=75 --buffer_compress_chunk=4k \
        --minimal >/dev/null
    for copy in 1 2 3; do cp --reflink=auto "$file" "$file.$copy"; done
    at wide snapshot create bench@first >/dev/null
    for copy in cold warm warm; do
        [ "$copy" = warm ] || at wide daemon stop --force >/dev/null
        [ "$copy" = warm ] || at wide mount bench "$scratch/mnt/wide"
        echo "df of $((mib * 256 * 4)) pointers, $copy: $(timed at wide df) ms, daemon" \
            "$(memory_mib wide VmHWM) MiB resident at most"
    done
}

echo "$(nproc) cores, $(df --output=fstype "$scratch" | tail -n 1) below, $(uname -r)," \
    "load before: $(cut -d ' ' -f 1 /proc/loadavg)"
"bench_$part"
