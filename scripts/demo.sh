#!/usr/bin/env bash
# Shows the time machine on a real Postgres: snapshot under load, a migration that destroys data,
# the way back, a clone beside the original. Installs what is missing, builds, cleans up.
# Usage: scripts/demo.sh    (as root; everything lies in one temporary folder)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' blue=$'\e[1;34m' green=$'\e[1;32m' red=$'\e[1;31m' off=$'\e[0m'
else
    bold='' dim='' blue='' green='' red='' off=''
fi

chapter() { printf '\n%s━━ %s%s\n' "$blue" "$*" "$off"; }
say() { printf '%s\n' "$*"; }
good() { printf '%s✔ %s%s\n' "$green" "$*" "$off"; }
bad() { printf '%s✘ %s%s\n' "$red" "$*" "$off"; }

volfs() { "$VOLFS_BIN" "$@"; }

# Shows a command, runs it, and says how long it took.
run() {
    local start=${EPOCHREALTIME/./} shown="$*" took
    shown=${shown#quiet } shown=${shown#as_postgres } shown=${shown/#"$PG/"/}
    printf '%s$ %s%s\n' "$bold" "$shown" "$off"
    "$@"
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    printf '%s  (%d ms)%s\n' "$dim" "$took" "$off"
}

# Runs a command and shows what it printed only if it failed.
quiet() { "$@" >"$scratch/output" 2>&1 || { cat "$scratch/output" >&2 && return 1; }; }

# Fails the demo unless a value is as expected. $1: what  $2: is  $3: expected
expect() {
    if [ "$2" = "$3" ]; then
        good "$1: $2"
    else
        bad "$1: $2, expected $3"
        exit 1
    fi
}

[ "$(id -u)" = 0 ] || { echo "demo: run as root" >&2; exit 1; }
chapter "Preparing: programs and the release build"
scripts/setup.sh build
scripts/setup.sh databases
cargo build --release
VOLFS_BIN=$(built_volfs)
export VOLFS_BIN

scratch=$(mktemp -d "${TMPDIR:-/tmp}/volfs-demo.XXXXXX")
export VOLFS_POOL=$scratch/pool
data=$scratch/mnt/pgdata clone=$scratch/mnt/pgtest
load=
cleanup() {
    set +e
    [ -z "$load" ] || kill "$load" 2>/dev/null
    stop_postgres "$clone" immediate 2>/dev/null
    stop_postgres "$data" immediate 2>/dev/null
    remove_scratch "$scratch"
}
trap cleanup EXIT
trap 'bad "the demo failed in line $LINENO"' ERR
trap 'exit 130' INT TERM
chmod 755 "$scratch"
mkdir -p "$data" "$clone"
began=$SECONDS

chapter "1. A volume for Postgres"
say "A volume is a filesystem of its own. It is mounted where the database keeps its data."
run volfs volume create pgdata --owner "$(id -u postgres):$(id -g postgres)" --mode 0700 \
    --label app=shop
run volfs mount pgdata "$data"
grep " $data " /proc/mounts
run quiet as_postgres "$PG/initdb" -D "$data" --auth=trust --data-checksums
start_postgres "$data" "$scratch/socket"
good "Postgres $(sql "$scratch/socket" 'show server_version') runs on it"

chapter "2. Data worth keeping"
run quiet as_postgres "$PG/pgbench" -h "$scratch/socket" -i -q -s 10 postgres
accounts=$(sql "$scratch/socket" 'select count(*) from pgbench_accounts')
say "The shop has $accounts accounts, and customers keep buying:"
"${postgres_user[@]}" "$PG/pgbench" -n -h "$scratch/socket" -c 4 -T 600 postgres \
    >"$scratch/pgbench.log" 2>&1 &
load=$!
sleep 4

chapter "3. A snapshot, while four clients commit"
before=$(sql "$scratch/socket" 'select count(*) from pgbench_history')
run volfs snapshot create pgdata before-migration
after=$(sql "$scratch/socket" 'select count(*) from pgbench_history')
say "$before sales were committed before the command and $after after it."
sleep 2
run volfs snapshot ls pgdata

chapter "4. A migration goes wrong"
kill "$load" && wait "$load" 2>/dev/null || true
load=
migration="delete from pgbench_accounts where aid % 3 = 0;
update pgbench_accounts set abalance = 0; drop table pgbench_history;"
say "$migration"
sql "$scratch/socket" "$migration"
left=$(sql "$scratch/socket" 'select count(*) from pgbench_accounts')
bad "$left of $accounts accounts are left, their balances are 0, the history is gone"

chapter "5. The way back"
stop_postgres "$data"
run volfs rollback pgdata@before-migration
# It names the server that was running when the snapshot was taken.
rm -f "$data/postmaster.pid"
start_postgres "$data" "$scratch/socket"
expect "accounts" "$(sql "$scratch/socket" 'select count(*) from pgbench_accounts')" "$accounts"
sales=$(sql "$scratch/socket" 'select count(*) from pgbench_history')
if [ "$sales" -lt "$before" ] || [ "$sales" -gt "$after" ]; then
    bad "sales: $sales, expected $before to $after"
    exit 1
fi
good "sales: $sales, between $before and $after"
expect "sum of balances minus sum of sales" "$(sql "$scratch/socket" \
    'select (select sum(abalance) from pgbench_accounts) - (select sum(delta) from pgbench_history)')" 0
run quiet as_postgres "$PG/pg_amcheck" -h "$scratch/socket" --install-missing --heapallindexed postgres
good "pg_amcheck finds every table and index sound"
say "The state with the failed migration was kept, too:"
run volfs snapshot ls pgdata

chapter "6. A second Postgres, beside the first, to rehearse the migration"
run volfs clone pgdata@before-migration pgtest
run volfs mount pgtest "$clone"
rm -f "$clone/postmaster.pid"
start_postgres "$clone" "$scratch/socket-clone"
sql "$scratch/socket-clone" "$migration"
expect "accounts in the clone" \
    "$(sql "$scratch/socket-clone" 'select count(*) from pgbench_accounts')" "$left"
expect "accounts in the original" \
    "$(sql "$scratch/socket" 'select count(*) from pgbench_accounts')" "$accounts"

chapter "7. What it costs in space"
run volfs volume ls
logical=$({
    volfs volume ls --format json
    volfs snapshot ls --format json
} | awk -F '[:,]' '/"Size"/ { sum += $2 } END { printf "%.0f MiB", sum / 1048576 }')
say "Two volumes and two snapshots hold $logical of files."
say "On disk they take $(du -sm "$VOLFS_POOL/segments" | cut -f1) MiB of blocks, beside a journal of" \
    "$(du -sm "$VOLFS_POOL/journal" | cut -f1) MiB that is used over and over."

stop_postgres "$clone"
stop_postgres "$data"
run volfs umount pgtest
run volfs umount pgdata
chapter "Done in $((SECONDS - began)) s; everything is cleaned up now."
