# The part of bench.sh that looks for stalls: what pgbench waits for at worst beside checkpoints,
# collections of garbage and snapshots, and how long these take. Sourced, never run.
# shellcheck shell=bash disable=SC2154 # what it uses is bench.sh's

phase_seconds=${VOLFS_SECONDS:-20}
# The longest write or fsync in the daemon beside its own work.
stall_bar_ms=100
# What the kernel holds of a mount before it writes.
kernel_dirty_mib=256

# Microseconds of a command that are added to a file. $1: file  $2...: arguments of volfs
timed_volfs() {
    local file=$1 start=${EPOCHREALTIME/./}
    shift
    "$VOLFS_BIN" "$@" >/dev/null 2>"$scratch/said" || cat "$scratch/said" >&2
    echo $((${EPOCHREALTIME/./} - start)) >>"$file"
}

as_ms() { awk '{ printf "%.1f\n", $1 / 1000 }'; }

# Nanoseconds that requests of a kind took, or an operation, 0 when there was none; the most where a
# phase outlasted an interval of the stats. $1: JSON of stats  $2: kind  $3: which of them: max_ns,
# p99_ns or p50_ns
nanoseconds() {
    tr -d '\n ' <"$1" | tr '{}' '\n' |
        sed -n "s/.*\"request\":\"${2// /}\".*\"$3\":\([0-9]*\).*/\1/p" | sort -n | tail -n 1 |
        grep . || echo 0
}

# Runs pgbench, and something else over and over beside it. Writes the longest transaction, and the
# volume's longest write and fsync, in milliseconds, and what pgbench has done.
# $1: name  $2...: what is done
phase() {
    local name=$1 socket log watch load longest tps checkpoints
    shift
    socket=$(socket_of "$volume") log=$(socket_of "$volume")/$1
    sql "$socket" checkpoint
    "$VOLFS_BIN" stats --watch="$phase_seconds" --format json bench >"$scratch/change" &
    watch=$!
    as_postgres "$PG/pgbench" -h "$socket" -n -c 8 -j 2 -T "$phase_seconds" -l \
        --log-prefix="$log" postgres >"$scratch/pgbench" 2>/dev/null &
    load=$!
    sleep 1
    while kill -0 "$load" 2>/dev/null; do "$@"; done
    wait "$load"
    until [ -s "$scratch/change" ]; do sleep 0.1; done
    kill "$watch"
    wait "$watch" 2>/dev/null || true # It ends by the signal.
    longest=$(cat "$log".* | cut -d ' ' -f 3 | sort -n | tail -n 1 | as_ms)
    rm "$log".*
    cp "$scratch/change" "$scratch/during-$name"
    tps=$(awk '/^tps/ { printf "%.0f", $3 }' "$scratch/pgbench")
    checkpoints=$(sed -n 's/.*"checkpoints":\([0-9]*\).*/\1/p' "$scratch/change" |
        awk '{ all += $1 } END { print all + 0 }')
    echo "$name,$tps,$checkpoints,$longest,$(nanoseconds "$scratch/change" write max_ns)," \
        "$(nanoseconds "$scratch/change" fsync max_ns)" >>"$scratch/phases"
}

# What every command costs: a process, and a call to the daemon.
rest() { timed_volfs "$scratch/empty" daemon status && sleep 0.2; }

# An account of the space begins with a checkpoint.
make_checkpoint() { timed_volfs "$scratch/df" df && sleep 0.5; }

collect_garbage() { timed_volfs "$scratch/gc" gc && sleep 0.5; }

# $1: name of the kind  $2...: options
make_snapshot() {
    local kind=$1
    shift
    number=$((number + 1))
    timed_volfs "$scratch/$kind" snapshot create "$@" "bench@$kind-$number"
    sleep 0.05
}

make_clone() {
    number=$((number + 1))
    timed_volfs "$scratch/clone" clone bench@idle-1 "clone-$number"
    sleep 0.2
}

# A volume of its own, mounted: what is asked of it is counted from here on. $1: name
add_volume() {
    mkdir -p "$scratch/mnt/$1"
    "$VOLFS_BIN" volume create "$1" >/dev/null
    "$VOLFS_BIN" mount "$1" "$scratch/mnt/$1"
}

# In front of fio's other options: bytes that the pool has never held.
new_bytes=(--name=write --ioengine=psync --refill_buffers --randrepeat=0 --fallocate=none --minimal
    --buffer_compress_percentage=50 --buffer_compress_chunk=4k)

# Commits of 8 KiB one behind the other while 1 GiB is written and synced, in the same volume and
# beside it.
commit_beside_stream() {
    local log stream
    echo "commits of 8 KiB beside a stream of 1 GiB               p50      p99    p99.9      max    ms"
    for stream in log stream; do
        add_volume log
        [ "$stream" = log ] || add_volume stream
        fio "${new_bytes[@]}" --filename="$scratch/mnt/log/log" --thread --bs=8k --rw=write --size=1g \
            --fdatasync=1 >/dev/null &
        log=$!
        fio "${new_bytes[@]}" --filename="$scratch/mnt/$stream/large" --bs=1m --rw=write --size=1g \
            --end_fsync=1 >/dev/null
        # What it has written is measured until here.
        "$VOLFS_BIN" stats --format json log >"$scratch/commits"
        kill "$log"
        wait "$log" || true # It ends by the signal.
        printf '%-50s' "in $([ "$stream" = log ] && echo "the same" || echo "another") volume"
        for one in p50_ns p99_ns p999_ns max_ns; do
            printf ' %8s' "$(nanoseconds "$scratch/commits" fsync "$one" |
                awk '{ printf "%.2f", $1 / 1e6 }')"
        done
        echo
        "$VOLFS_BIN" umount log
        "$VOLFS_BIN" volume rm --now log >/dev/null
    done
}

# Snapshots beside a writer at full speed, which flush what the kernel holds for it: that much may
# be written meanwhile.
snapshots_beside_writer() {
    local writer rate bar
    fio "${new_bytes[@]}" --filename="$scratch/mnt/stream/large" --bs=1m --rw=write --size=2g \
        --time_based --runtime="$phase_seconds" >"$scratch/writer" &
    writer=$!
    sleep 1
    while kill -0 "$writer" 2>/dev/null; do
        number=$((number + 1))
        timed_volfs "$scratch/streamed" snapshot create "stream@s-$number"
        sleep 0.2
    done
    wait "$writer"
    rate=$(cut -d ';' -f 48 "$scratch/writer" | awk '{ printf "%d", $1 / 1024 }')
    bar=$((kernel_dirty_mib * 1000 / rate + 100))
    judge "snapshot create beside a writer of $rate MiB/s, p99" "$scratch/streamed" 99 "$bar"
}

# Two states in turn, with the mount there and nobody in it.
roll_back() {
    local state
    for state in idle-1 flushed-10 idle-1 flushed-10 idle-1 flushed-10 idle-1 flushed-10; do
        timed_volfs "$scratch/rollback" rollback "bench@$state"
        # Something of the new state is in the kernel's caches when it goes.
        cat "$volume"/pg/base/*/* >/dev/null
    done
}

# $1: what  $2: file of microseconds  $3: share in percent, 100 for the longest  $4: bar in ms, or
# none
judge() {
    local ms
    ms=$(percentile "$3" <"$2" | as_ms)
    awk -v what="$1" -v ms="$ms" -v bar="${4:-}" -v n="$(wc -l <"$2")" \
        -v median="$(median <"$2" | as_ms)" 'BEGIN {
            printf "%-52s %8.1f %8.1f %6d %6s  %s\n", what, median, ms, n, bar,
                bar == "" ? "" : ms <= bar + 0 ? "met" : "MISSED" }'
}

# The same of what the daemon has timed itself. $1: what  $2: file of stats  $3: operation  $4: bar
judge_inside() {
    awk -v what="$1" -v median="$(nanoseconds "$2" "$3" p50_ns)" \
        -v p99="$(nanoseconds "$2" "$3" p99_ns)" -v max="$(nanoseconds "$2" "$3" max_ns)" -v bar="$4" '
        BEGIN { printf "%-52s %8.1f %8.1f %6.1f %6s  %s\n", what, median / 1e6, p99 / 1e6, max / 1e6,
            bar, p99 <= bar * 1e6 ? "met" : "MISSED" }'
}

bench_stalls() {
    local number
    prepare_postgres "$volume"
    [ "${VOLFS_FILL_GIB:-0}" = 0 ] ||
        fio "${new_bytes[@]}" --filename="$volume/fill" --bs=1m --rw=write --size="${VOLFS_FILL_GIB}g" \
            --end_fsync=1 >/dev/null
    for ((number = 0; number < 10;)); do make_snapshot idle; done
    phase "nothing" rest
    phase "checkpoints" make_checkpoint
    phase "collections of garbage" collect_garbage
    number=0 && phase "snapshots --no-flush" make_snapshot unflushed --no-flush
    number=0 && phase "snapshots" make_snapshot flushed
    number=0 && phase "clones" make_clone
    stop_postgres "$volume/pg"
    roll_back
    echo "milliseconds                                           median  p99/max  times    bar"
    judge "daemon status beside pgbench, p99" "$scratch/empty" 99
    judge "snapshot create, idle, at most" "$scratch/idle" 100 250
    judge "snapshot create --no-flush beside pgbench, p99" "$scratch/unflushed" 99 20
    judge "snapshot create beside pgbench, p99" "$scratch/flushed" 99 250
    judge "clone beside pgbench, p99" "$scratch/clone" 99 10
    judge "rollback of the mounted volume, at most" "$scratch/rollback" 100 200
    echo
    "$VOLFS_BIN" stats --format json bench >"$scratch/all"
    echo "milliseconds in the daemon, without the command      median      p99    max    bar"
    judge_inside "snapshot create --no-flush beside pgbench" "$scratch/during-snapshots --no-flush" \
        "snapshot create" 20
    judge_inside "snapshot create beside pgbench" "$scratch/during-snapshots" "snapshot create" 250
    judge_inside "clone beside pgbench" "$scratch/during-clones" clone 10
    judge_inside "rollback of the mounted volume" "$scratch/all" rollback 200
    echo
    number=0
    commit_beside_stream
    snapshots_beside_writer
    echo
    awk -F ', *' -v bar="$stall_bar_ms" '
        NR == 1 { alone = ($5 > $6 ? $5 : $6) / 1e6
            printf "%-26s %7s %11s %12s %9s %9s  bar %d ms\n", "pgbench beside", "tps",
                "checkpoints", "longest ms:", "write", "fsync", bar }
        { most = ($5 > $6 ? $5 : $6) / 1e6
          printf "%-26s %7d %11d %12.1f %9.1f %9.1f  %s\n", $1, $2, $3, $4, $5 / 1e6, $6 / 1e6,
              most <= bar ? "met" : most <= alone ? "as long beside nothing" : "MISSED" }' \
        "$scratch/phases"
    echo "volfs gc took $(median <"$scratch/gc" | as_ms) ms, $(wc -l <"$scratch/gc") times"
}
