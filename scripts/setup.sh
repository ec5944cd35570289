#!/usr/bin/env bash
# Installs what the tests, the demo and the benchmarks need on Debian 12, and only what is missing.
# Usage: scripts/setup.sh [build|databases|engines|suites|conformance|bench|all]    (default: all;
#   quiet when nothing is missing)
#   engines       libraries of storage engines, and the clients of fuse-tests/clients, into target/tools
#   suites        Postgres' regression suite, into target/suites, and suites that are crates
#   conformance   what tests are compared with in docs/conformance.md; not part of all
#   bench         what scripts/bench.sh measures with, and filesystems that volfs is measured beside,
#                 and the source that it compiles, into target/suites; not part of all
set -euo pipefail
cd "$(dirname "$0")/.."

# A package is missing when its file is: that also accepts programs installed another way.
needs_build=(
    "gcc /usr/bin/gcc" "g++ /usr/bin/g++" "libc6-dev /usr/include/stdlib.h" "make /usr/bin/make" "git git"
    "libacl1-dev /usr/include/sys/acl.h"
)
needs_databases=(
    "postgresql-15 /usr/lib/postgresql/15/bin/pg_amcheck" "sqlite3 sqlite3"
    "redis-server redis-server" "redis-tools redis-cli" "fio fio" "fuse3 fusermount3"
    "docker.io /usr/sbin/dockerd" "strace strace" "e2fsprogs /usr/sbin/mkfs.ext4"
    "xfsprogs /usr/sbin/mkfs.xfs" "acl setfacl" "attr setfattr" "libcap2-bin /usr/sbin/setcap"
    "rsync rsync" "podman podman" "gosu gosu" "uidmap newuidmap"
    "mariadb-server-core /usr/sbin/mariadbd" "mariadb-client-core mariadb-check"
    "mariadb-backup mariadb-backup" "sysbench sysbench"
)
needs_engines=(
    "liblmdb-dev /usr/include/lmdb.h" "lmdb-utils mdb_stat" "librocksdb-dev /usr/include/rocksdb/c.h"
    "rocksdb-tools sst_dump" "libwiredtiger-dev /usr/include/wiredtiger.h" "wiredtiger wt"
    "openjdk-17-jdk-headless javac" "python3 /usr/bin/python3"
    "python3-venv /usr/lib/python3.11/ensurepip"
)
qdrant_edge=0.9.0
# What tests are compared with: docs/conformance.md.
needs_conformance=("libfuse3-dev /usr/include/fuse3/fuse.h" "bindfs bindfs")
# Filesystems that volfs is measured beside, and a client of SQLite.
needs_bench=(
    "btrfs-progs mkfs.btrfs" "xfsprogs /usr/sbin/mkfs.xfs" "bindfs bindfs" "zfs-fuse zfs-fuse"
    "python3 /usr/bin/python3" "libpython3.11-stdlib /usr/lib/python3.11/sqlite3/__init__.py"
)
# Test suites from crates.io, built once: name@version. `tools::tool` finds them.
tools=(pjdfstest@0.2.2 fsx@0.3.2)

missing_packages() {
    local need package file
    for need in "$@"; do
        package=${need%% *} file=${need#* }
        case $file in
        /*) [ -e "$file" ] ;;
        *) command -v "$file" >/dev/null ;;
        esac || echo "$package"
    done
}

# Packages start their services when they are installed; the tests start their own instead.
forbid_service_starts() {
    local policy=/usr/sbin/policy-rc.d
    [ ! -e $policy ] || return 0
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
}

# Debian creates a cluster with the first Postgres package unless it is told not to.
forbid_default_cluster() {
    case " $* " in *" postgresql-15 "*) ;; *) return 0 ;; esac
    [ ! -e /etc/postgresql-common/createcluster.conf ] || return 0
    apt_install postgresql-common
    sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 >/dev/null
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages "$@")
    [ ${#packages[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "setup: missing packages: ${packages[*]} (run scripts/setup.sh as root)" >&2
        exit 1
    fi
    echo "setup: installing ${packages[*]}" >&2
    apt-get update -qq
    forbid_service_starts
    forbid_default_cluster "${packages[@]}"
    apt_install "${packages[@]}"
}

build_clients() {
    local tools=${CARGO_TARGET_DIR:-target}/tools python marker
    mkdir -p "$tools"
    make --silent -C fuse-tests/clients OUT="$(realpath "$tools")"
    python=$tools/qdrant/bin/python marker=$tools/qdrant/qdrant-edge-$qdrant_edge
    [ ! -e "$marker" ] || return 0
    /usr/bin/python3 -m venv --clear "$tools/qdrant"
    "$python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        "qdrant-edge-py==$qdrant_edge"
    touch "$marker"
}

check_rust() {
    if ! command -v cargo >/dev/null; then
        echo "setup: cargo is missing; install Rust from https://rustup.rs" >&2
        exit 1
    fi
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
}

# `cargo install` would ask the registry each time.
install_tools() {
    local tool root=${CARGO_TARGET_DIR:-target}/tools
    for tool in "${tools[@]}"; do
        grep -qsF "\"${tool%@*} ${tool#*@} " "$root/.crates.toml" ||
            cargo install --quiet --locked --root "$root" "$tool"
    done
}

# Of Redis: the C files that make the server, and the makefiles. Debian's source package, of the
# version that it has at the time: all runs of a benchmark compile the same.
fetch_source() {
    local folder=${CARGO_TARGET_DIR:-target}/suites/redis-source parts
    [ ! -e "$folder" ] || return 0
    echo "setup: fetching the source of redis" >&2
    mkdir -p "$(dirname "$folder")"
    folder=$(realpath "$folder")
    parts=('*/src/*.[ch]' '*/src/Makefile' '*/src/*.sh' '*/deps/Makefile' '*/deps/hiredis/*'
        '*/deps/linenoise/*' '*/deps/lua/*' '*/deps/hdr_histogram/*')
    (
        . scripts/lib.sh
        scratch=$(mktemp -d "${TMPDIR:-/tmp}/redis-source.XXXXXX")
        trap 'rm -rf "$scratch"' EXIT
        private_apt "$scratch"
        cd "$scratch"
        apt-get update -qq
        apt-get source -qq --download-only redis >/dev/null
        mkdir source
        tar -xf redis_*.orig.tar.* -C source --strip-components=1 --wildcards "${parts[@]}"
        rm -rf "$folder.new"
        cp -r source "$folder.new"
    )
    mv "$folder.new" "$folder"
}

check_fuse() {
    [ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
    if [ ! -e /dev/fuse ]; then
        echo "setup: /dev/fuse is missing; this kernel or container has no FUSE" >&2
        exit 1
    fi
}

case ${1:-all} in
build)
    install_packages "${needs_build[@]}"
    check_rust
    ;;
databases) install_packages "${needs_databases[@]}" && check_fuse ;;
engines)
    install_packages "${needs_build[@]}" "${needs_engines[@]}"
    build_clients
    ;;
conformance) install_packages "${needs_conformance[@]}" ;;
bench)
    install_packages "${needs_build[@]}" "${needs_databases[@]}" "${needs_bench[@]}"
    fetch_source
    check_fuse
    ;;
suites)
    install_packages "${needs_build[@]}" "${needs_databases[@]}"
    scripts/postgres-suite.sh
    check_rust
    install_tools
    ;;
all)
    install_packages "${needs_build[@]}" "${needs_databases[@]}" "${needs_engines[@]}"
    build_clients
    scripts/postgres-suite.sh
    check_rust
    check_fuse
    install_tools
    ;;
*)
    echo "usage: scripts/setup.sh [build|databases|engines|suites|conformance|bench|all]" >&2
    exit 2
    ;;
esac
