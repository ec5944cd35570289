#!/usr/bin/env bash
# What an operation costs as things grow: times as JSON, a table, and a chart of them beside the first
# point. Without a part all of them are measured, and docs/growth.svg is written.
#   data       a file of 1 to 16 GiB: overwrites with fsync, cold reads, snapshots, opening, recovery
#   files      1,000 to 1,000,000 small files: create, stat, rename, unlink, cold look-ups
#   snapshots  1 to 1,000 of a volume: the next one, an overwrite behind each, opening
#   age        a file that is overwritten at random, up to 16 times: overwrites, reads, its segments
# Beside what depends on the disk the same is done on a plain file of the same size, or on as many
# plain files, and the cost is told in multiples of that.
# Usage: scripts/bench-growth.sh [all|data|files|snapshots|age] [FOLDER]
#        (default FOLDER: a temporary one; needs three times the largest file)
# Environment: VOLFS_SIZES_GIB ("1 2 4 8 16"), VOLFS_FILES ("1000 10000 100000 1000000"),
#   VOLFS_SNAPSHOTS ("1 10 100 1000"), VOLFS_OVERWRITES ("0 1 2 4 8 16"), VOLFS_SECONDS of each run of
#   fio (default 10).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

part=${1:-all}
case $part in all | data | files | snapshots | age) ;; *)
    sed -n '2,16s/^# //p' "$0" >&2
    exit 2
    ;;
esac
seconds=${VOLFS_SECONDS:-10}
sizes=${VOLFS_SIZES_GIB:-1 2 4 8 16} files=${VOLFS_FILES:-1000 10000 100000 1000000}
snapshots=${VOLFS_SNAPSHOTS:-1 10 100 1000} overwrites=${VOLFS_OVERWRITES:-0 1 2 4 8 16}

scripts/setup.sh build
scripts/setup.sh databases
if [ -z "${VOLFS_BIN:-}" ]; then
    cargo build --quiet --release
    VOLFS_BIN=$(built_volfs)
    export VOLFS_BIN
fi
scratch=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/volfs-bench.XXXXXX")
chmod 755 "$scratch"
trap 'remove_scratch "$scratch"' EXIT
trap 'exit 130' INT TERM
points=$scratch/points plain=$scratch/plain pool="" mount=""

at() { "$VOLFS_BIN" --pool "$pool" "$@"; }

# A pool of its own with a mounted volume, and the last one's end. $1: name
begin() {
    [ -z "$pool" ] || stop_pool "$pool"
    pool=$scratch/$1/pool mount=$scratch/mnt/$1
    mkdir -p "$scratch/$1" "$mount"
    at volume create bench >/dev/null
    at mount bench "$mount"
}

# Milliseconds of a command.
timed() {
    local start=${EPOCHREALTIME/./}
    "$@" >/dev/null
    awk -v us="$((${EPOCHREALTIME/./} - start))" 'BEGIN { printf "%.1f\n", us / 1000 }'
}

# One point of a curve. $1: curve  $2: what grows  $3: how much there is  $4: value  $5: its unit
# $6: the same of the disk, or of nothing
point() {
    printf '%-44s %9s %-10s %10s %-5s %s\n' "$1" "$3" "$2" "$4" "$5" "${6:+disk $6}"
    printf '{"curve": "%s", "of": "%s", "at": %s, "value": %s, "unit": "%s", "disk": %s}\n' \
        "$1" "$2" "$3" "$4" "$5" "${6:-null}" >>"$points"
}

# Microseconds of an operation of 8 KiB, for some seconds and once over the file at most: what is read
# for a second time is cold no more. $1: file  $2...: options of fio
micros() {
    local file=$1
    shift
    fio --name=growth --filename="$file" --ioengine=psync --bs=8k --runtime="$seconds" \
        --refill_buffers --buffer_compress_percentage=50 --buffer_compress_chunk=4k \
        --randrepeat=0 --minimal "$@" | awk -F ';' '{ printf "%.1f\n", 1e6 / ($8 + $49) }'
}

# New bytes, half compressible, from the front. $1: file  $2: GiB before  $3: GiB behind it
fill() {
    # Longer first, or fio empties the file before it writes behind what is there.
    truncate -s "$3g" "$1"
    fio --name=fill --filename="$1" --ioengine=psync --bs=1m --rw=write --offset="$2g" \
        --size="$(($3 - $2))g" --end_fsync=1 --refill_buffers --randrepeat=0 \
        --buffer_compress_percentage=50 --buffer_compress_chunk=4k --fallocate=none --minimal \
        >/dev/null
}

# Milliseconds of a mount of a pool that nobody serves, with nothing of it in memory.
# $1: how its daemon ends
reopen() {
    case $1 in
    well) at daemon stop --force >/dev/null ;;
    killed)
        kill -9 "$(daemon_pid "$pool")"
        umount -l "$mount"
        ;;
    esac
    sync
    echo 3 >/proc/sys/vm/drop_caches
    timed at mount bench "$mount"
}

# Milliseconds of such a mount, the middle one of three.
open_ms() {
    local number
    for number in 1 2 3; do reopen well; done | median
}

# The same behind a kill, each with the same to replay: 40 MiB, at which no checkpoint begins yet.
recovery_ms() {
    local number
    for number in 1 2 3; do
        reopen well >/dev/null
        micros "$mount/file" --rw=randwrite --fsync=1 --number_ios=5000 --runtime=25 >/dev/null
        reopen killed
    done | median
}

# MiB that the daemon had at most since it was started.
daemon_mib() {
    awk '$1 == "VmHWM:" { printf "%.0f\n", $2 / 1024 }' "/proc/$(daemon_pid "$pool")/status"
}

overwrite_some() {
    head -c 8192 /dev/urandom |
        dd of="$mount/file" bs=8k seek=$((RANDOM * 3)) conv=notrunc,fdatasync status=none
}

# Milliseconds of a snapshot in the middle of ten, with a block changed and synced before each.
snapshot_ms() {
    local number
    for ((number = 1; number <= 10; number++)); do
        overwrite_some
        timed at snapshot create "bench@$1-$number"
    done | median
}

measure_data() {
    local size before=0 own
    begin data
    for size in $sizes; do
        fill "$mount/file" "$before" "$size"
        fill "$plain" "$before" "$size"
        before=$size
        point "open and mount" GiB "$size" "$(open_ms)" ms
        # As many of each size: what the first ones bring into the host's page cache serves the later
        # ones, and more so in a small file.
        own=$(micros "$plain" --rw=randread --number_ios=20000)
        point "random read 8 KiB, cold" GiB "$size" \
            "$(micros "$mount/file" --rw=randread --number_ios=20000)" us "$own"
        own=$(micros "$plain" --rw=randwrite --fsync=1)
        point "overwrite 8 KiB, fsync" GiB "$size" \
            "$(micros "$mount/file" --rw=randwrite --fsync=1)" us "$own"
        point "snapshot create" GiB "$size" "$(snapshot_ms "$size")" ms
        point "daemon at most" GiB "$size" "$(daemon_mib)" MiB
        point "mount behind a kill" GiB "$size" "$(recovery_ms)" ms
    done
    rm "$plain"
}

measure_files() {
    local count before=0 line tree=$scratch/tree
    local -A own
    begin files
    mkdir "$tree"
    for count in $files; do
        for line in "$mount" "$tree"; do
            cargo run --quiet --release -p volfs-bench -- fill-folder "$line" "$before" "$count"
        done
        before=$count
        at daemon stop --force >/dev/null
        sync
        echo 3 >/proc/sys/vm/drop_caches
        at mount bench "$mount"
        while IFS=, read -r -a line; do
            own[${line[0]}]=${line[1]}
        done < <(cargo run --quiet --release -p volfs-bench -- time-folder "$tree" "$count")
        while IFS=, read -r -a line; do
            point "${line[0]}" files "$count" "${line[1]}" us "${own[${line[0]}]}"
        done < <(cargo run --quiet --release -p volfs-bench -- time-folder "$mount" "$count")
        point "daemon at most" files "$count" "$(daemon_mib)" MiB
    done
    rm -r "$tree"
}

measure_snapshots() {
    local count number=0 own
    begin snapshots
    fill "$mount/file" 0 1
    fill "$plain" 0 1
    for count in $snapshots; do
        for ((; number < count; number++)); do
            overwrite_some
            at snapshot create "bench@s$number" >/dev/null
        done
        point "snapshot create" snapshots "$count" "$(snapshot_ms "$count")" ms
        own=$(micros "$plain" --rw=randwrite --fsync=1)
        point "overwrite 8 KiB, fsync" snapshots "$count" \
            "$(micros "$mount/file" --rw=randwrite --fsync=1)" us "$own"
        point "open and mount" snapshots "$count" "$(open_ms)" ms
        point "daemon at most" snapshots "$count" "$(daemon_mib)" MiB
    done
    rm "$plain"
}

# Databases overwrite their pages at random, and sync now and then.
overwrite_all() {
    fio --name=age --filename="$1" --ioengine=psync --bs=8k --rw=randwrite --size=2g --fdatasync=256 \
        --refill_buffers --buffer_compress_percentage=50 --buffer_compress_chunk=4k --randrepeat=0 \
        --minimal >/dev/null
}

measure_age() {
    local times done=0 own
    begin age
    fill "$mount/file" 0 2
    fill "$plain" 0 2
    for times in $overwrites; do
        for ((; done < times; done++)); do
            overwrite_all "$mount/file"
            overwrite_all "$plain"
        done
        reopen well >/dev/null
        own=$(micros "$plain" --rw=read --bs=1m)
        point "sequential read 1 MiB, cold" overwritten "$times" \
            "$(micros "$mount/file" --rw=read --bs=1m)" us "$own"
        reopen well >/dev/null
        own=$(micros "$plain" --rw=randread)
        point "random read 8 KiB, cold" overwritten "$times" "$(micros "$mount/file" --rw=randread)" \
            us "$own"
        own=$(micros "$plain" --rw=randwrite --fsync=1)
        point "overwrite 8 KiB, fsync" overwritten "$times" \
            "$(micros "$mount/file" --rw=randwrite --fsync=1)" us "$own"
        at gc --dry-run >/dev/null # Behind a checkpoint: the sizes are those of what is published.
        point "pool on disk" overwritten "$times" "$(du -sm "$pool/segments" | cut -f 1)" MiB
    done
    rm "$plain"
}

echo "$(nproc) cores, $(df --output=fstype "$scratch" | tail -n 1) below, $(uname -r)," \
    "load before: $(cut -d ' ' -f 1 /proc/loadavg)"
case $part in
all) for one in data files snapshots age; do "measure_$one"; done ;;
*) "measure_$part" ;;
esac
mkdir -p target/bench
cp "$points" "target/bench/growth-$part.json"
chart=docs/growth.svg
[ "$part" = all ] || chart=target/bench/growth-$part.svg
cargo run --quiet --release -p volfs-bench -- growth "target/bench/growth-$part.json" "$chart"
