#!/usr/bin/env bash
# Outages for as long as one likes, with new seeds: the first half of the time under a pool on a
# simulated medium (power loss, SIGKILL, failing and full media; says how many crash points were
# tried), the second half under real mounts (SIGKILL of the daemon). The seed of a violation is
# printed: VOLFS_SEEDS repeats one of the first half, VOLFS_TEST_SEED one of the second.
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
VOLFS_SOAK_MINUTES=$half cargo test --release --lib pool::tests::crash::soak -- --nocapture

export VOLFS_TEST_LIMIT=1800
round=0
while [ "$SECONDS" -lt "$end" ]; do
    round=$((round + 1)) seed=$(date +%s)
    echo "== round $round, VOLFS_TEST_SEED=$seed"
    for family in sigkill power_loss recovery orphans snapshot rollback cut; do
        VOLFS_TEST_SEED=$seed VOLFS_TEST_ROUNDS=10 scripts/test.sh mounted "$family" || {
            echo "soak: failed in round $round; repeat with VOLFS_TEST_SEED=$seed" >&2
            exit 1
        }
    done
done
VOLFS_TEST_ENTRIES=1000000 scripts/test.sh mounted listing_is_stable
echo "soak: $round rounds passed"
