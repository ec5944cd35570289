#!/usr/bin/env bash
# Repeats the tests that kill the daemon, each round with a new seed, until the time is over or
# one fails. The seed of a failing round is printed; VOLFS_TEST_SEED repeats it.
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

export VOLFS_TEST_LIMIT=1800
end=$((SECONDS + minutes * 60)) round=0
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
