#!/usr/bin/env bash
# Outages for as long as one likes, with new seeds: the first half of the time under a pool on a
# simulated medium (first an outage at every effect of fixed scripts, and of every recovery from
# that; then power loss, SIGKILL, failing and full media at random; says how many crash points were
# tried), the second half under real mounts (SIGKILL of the daemon, databases). The seed of a
# violation is printed: VOLFS_SEEDS repeats one of the first half, VOLFS_TEST_SEED one of the second.
# Usage: scripts/soak.sh [--minutes N]    (default 60)
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=60
case ${1:-} in
"") ;;
--minutes) minutes=${2:?--minutes needs a number} ;;
*)
    echo "usage: scripts/soak.sh [--minutes N]" >&2
    exit 2
    ;;
esac

scripts/setup.sh build
end=$((SECONDS + minutes * 60)) half=$(awk "BEGIN { print $minutes / 2 }")
echo "== simulated media for $half minutes"
VOLFS_SOAK_MINUTES=$half cargo test --release --lib -- --nocapture \
    pool::tests::crash::an_outage_at_any_effect pool::tests::bad_days::power_loss
# What is left of the first half, and a minute at least.
half=$(awk "BEGIN { left = $half - $SECONDS / 60; print (left > 1 ? left : 1) }")
VOLFS_SOAK_MINUTES=$half cargo test --release --lib pool::tests::crash::soak -- --nocapture

# $1: rounds of each test  $2: which tests
repeat() {
    VOLFS_TEST_SEED=$seed VOLFS_TEST_ROUNDS=$1 scripts/test.sh mounted "$2" || {
        echo "soak: failed in round $round; repeat with VOLFS_TEST_SEED=$seed" >&2
        exit 1
    }
}

export VOLFS_TEST_LIMIT=1800
newer_wiredtiger=$(scripts/wiredtiger.sh)
round=0
while [ "$SECONDS" -lt "$end" ]; do
    round=$((round + 1)) seed=$(date +%s)
    echo "== round $round, VOLFS_TEST_SEED=$seed"
    for family in sigkill power_loss recovery orphans snapshot rollback cut; do
        repeat 10 "$family"
    done
    # What each of these does in a round takes longer.
    for family in postgres:: mariadb:: page_writes; do
        repeat 4 "$family"
    done
    for engine in sqlite redis lmdb rocksdb wiredtiger qdrant graph_store; do
        VOLFS_TEST_SEED=$seed VOLFS_TEST_ROUNDS=10 VOLFS_TEST_RECORDS=1000 \
            scripts/test.sh mounted "$engine::" || {
            echo "soak: failed in round $round; repeat with VOLFS_TEST_SEED=$seed" >&2
            exit 1
        }
    done
    VOLFS_TEST_WIREDTIGER=$newer_wiredtiger VOLFS_TEST_SEED=$seed VOLFS_TEST_ROUNDS=10 \
        VOLFS_TEST_RECORDS=1000 scripts/test.sh mounted wiredtiger:: || {
        echo "soak: failed in round $round; repeat with VOLFS_TEST_SEED=$seed" >&2
        exit 1
    }
done
for test in listing_is_stable listings_of_a_busy a_large_folder_is folders_of_a_folder; do
    VOLFS_TEST_ENTRIES=1000000 scripts/test.sh mounted $test
done
# A million operations on one file for each block size, a copy of 10 GiB, longer asynchronous jobs.
VOLFS_TEST_SEED=$(date +%s)
export VOLFS_TEST_SEED VOLFS_TEST_LIMIT=7200
VOLFS_TEST_OPERATIONS=1000000 scripts/test.sh mounted fsx_
VOLFS_TEST_OPERATIONS=1000000 scripts/test.sh mounted exercise_
VOLFS_TEST_COPY_MIB=10240 scripts/test.sh mounted large_copies_share_blocks
VOLFS_TEST_MIB=512 scripts/test.sh mounted clients::
echo "soak: $round rounds passed"
