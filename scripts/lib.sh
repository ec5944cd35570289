# Shared by the scripts beside it; sourced, never run. shellcheck shell=bash

# Postgres 15 as Debian packages it; another one may come first in PATH.
PG=/usr/lib/postgresql/15/bin

# The binary that `cargo build --release` makes, made or not yet.
built_volfs() { realpath -m "${CARGO_TARGET_DIR:-target}/release/volfs"; }

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# $1: share in percent; of the numbers on stdin the one below which so many lie
percentile() { sort -n | awk -v p="$1" '{ v[NR] = $1 } END { print v[int((NR * p + 99) / 100)] }'; }

# The daemon's process id, nothing when none answers. $1: pool
daemon_pid() {
    timeout 10 "$VOLFS_BIN" --pool "$1" daemon status --format json 2>/dev/null |
        sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' | head -n 1
}

# Mount points at or below a folder, innermost first. $1: folder
mounts_below() {
    awk -v folder="$1" '$2 == folder || index($2, folder "/") == 1 { print $2 }' /proc/mounts |
        tac
}

# Ends a pool's daemon and with it all its mounts, politely if it lets itself. $1: pool
stop_pool() {
    [ -e "$1/pool.toml" ] || return 0
    timeout 60 "$VOLFS_BIN" --pool "$1" daemon stop --force >/dev/null 2>&1 && return 0
    local pid
    pid=$(daemon_pid "$1")
    [ -z "$pid" ] || kill -9 "$pid"
}

# Removes a scratch folder with all that is mounted in it. $1: folder
remove_scratch() {
    local pool mount
    for pool in "$1"/pool "$1"/*/pool "$1"/*/disk/pool; do stop_pool "$pool"; done
    for mount in $(mounts_below "$1"); do
        umount -f "$mount" 2>/dev/null || umount -l "$mount"
    done
    # Bare mount points are immutable while their volume is mounted.
    find "$1" -xdev -maxdepth 4 -type d -path '*/mnt/*' -exec chattr -i {} + 2>/dev/null
    rm -rf "$1"
}

# In front of a command: run it as postgres, in the same process.
postgres_user=(setpriv --reuid postgres --regid postgres --init-groups --)

as_postgres() { "${postgres_user[@]}" "$@"; }

# Starts Postgres on a data folder, with a socket folder of its own, and waits for it.
# $1: data folder  $2: socket folder (made here)
start_postgres() {
    [ -d "$2" ] || install -d -o postgres -g postgres "$2"
    local options="-k $2 -c listen_addresses= -c shared_buffers=128MB -c max_wal_size=1GB"
    as_postgres "$PG/pg_ctl" -D "$1" -l "$2/log" -w -t 60 -o "$options" start >/dev/null 2>&1 || {
        tail -n 20 "$2/log" >&2
        return 1
    }
}

# $1: data folder  $2: mode, fast or immediate
stop_postgres() {
    [ -e "$1/postmaster.pid" ] || return 0
    as_postgres "$PG/pg_ctl" -D "$1" -m "${2:-fast}" -t 30 stop >/dev/null
}

# One statement, unaligned. $1: socket folder  $2: SQL
sql() {
    as_postgres "$PG/psql" -h "$1" -X -q -A -t -v ON_ERROR_STOP=1 -c "$2" postgres
}

# Lets apt fetch Debian's source packages, too: a configuration of its own, made from the machine's,
# which is not touched. Exports APT_CONFIG. $1: folder for lists and archives
private_apt() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg targets target
    # shellcheck disable=SC2016 # the fields are apt's
    targets=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | grep -E ' bookworm(-security|-updates)? ' | sort -u)
    mkdir -p "$1"/{lists,archives}/partial
    while read -r target; do
        printf '%s [signed-by=%s] %s\n' deb "$keyring" "$target" deb-src "$keyring" "$target"
    done <<<"$targets" >"$1/sources.list"
    cat >"$1/apt.conf" <<EOF
Dir::Etc::SourceList "$1/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$1/lists";
Dir::Cache "$1";
APT::Sandbox::User "root";
EOF
    export APT_CONFIG=$1/apt.conf
}
