#!/bin/sh
# What the entry points of official database images do: as root, give the data folder its owner and
# mode, and step down; as that owner, make a cluster if there is none, let a temporary server take
# the first statements, and become the server. Logs are links to the container's output.
set -eu

home=/var/lib/postgresql
data=$home/data
logs=$home/log

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$data" "$logs"
    chown -R postgres:postgres "$home"
    find "$data" ! -user postgres -exec chown postgres {} +
    chmod 0700 "$data"
    ln -sf /dev/stdout "$logs/access.log"
    ln -sf /dev/stderr "$logs/error.log"
    # The pipes to the engine are root's.
    chown postgres /dev/stdout /dev/stderr
    exec $STEP_DOWN "$0" "$@"
fi

if [ ! -s "$data/PG_VERSION" ]; then
    initdb --username=postgres --auth=trust --data-checksums --no-instructions -D "$data"
    pg_ctl -D "$data" -w -o "-c listen_addresses= -k /tmp" start
    psql -h /tmp -U postgres -v ON_ERROR_STOP=1 -c "create table visits (number int)"
    pg_ctl -D "$data" -m fast -w stop
    echo "the cluster is new" >"$logs/access.log"
fi
echo "the server runs as $(id -u)" >"$logs/error.log"
exec "$@"
