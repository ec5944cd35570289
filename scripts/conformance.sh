#!/usr/bin/env bash
# Runs every suite on mounted volumes, and what is compared with them on ext4 and on other FUSE
# filesystems, and writes one table to docs/conformance.md: suite, version, passed, failed, skipped
# with the reasons. Exit code 1 when anything failed; the table is written all the same.
# Usage: scripts/conformance.sh [PROGRAM...]
#   PROGRAM   test programs of fuse-tests to run (default: all); the table then goes to stdout
# Environment: as scripts/test.sh; VOLFS_BIN is the program to test (default: the release build);
#   VOLFS_TEST_ROUNDS and the like make the suites longer.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

programs=("$@")
work=$PWD/target/conformance
mkdir -p "$work"
build=${VOLFS_BIN:+no}
export VOLFS_BIN=${VOLFS_BIN:-$(built_volfs)}
export VOLFS_CONFORMANCE=$work/results
scratch=$(mktemp -d "${TMPDIR:-/tmp}/volfs-test.XXXXXX")
chmod 755 "$scratch"
trap 'remove_scratch "$scratch"' EXIT
trap 'exit 130' INT TERM

# libfuse's own example of a filesystem that mirrors a folder, from Debian's source package: apt
# verifies it.
build_passthrough() {
    local apt=$work/apt program=$work/passthrough_hp
    [ ! -x "$program" ] || return 0
    mkdir -p "$apt/source"
    (
        private_apt "$apt"
        cd "$apt/source"
        apt-get update -qq
        apt-get source -qq --download-only fuse3 >/dev/null
    )
    tar -xf "$apt"/source/fuse3_*.orig.tar.xz -C "$apt/source" --strip-components 1
    g++ -O2 -std=c++17 -D_FILE_OFFSET_BITS=64 -I/usr/include/fuse3 -o "$program" \
        "$apt/source/example/passthrough_hp.cc" -lfuse3 -lpthread
    rm -rf "$apt"
}

# $1: name in the table  $2: log  $3: command and options; source and mount point are appended
control_run() {
    env TMPDIR="$scratch" VOLFS_TEST_PASSTHROUGH="$3" VOLFS_TEST_PASSTHROUGH_NAME="$1" \
        cargo test -p fuse-tests --test suites -- --ignored --nocapture control_on 2>&1 | tee "$2"
}

scripts/setup.sh
scripts/setup.sh conformance
build_passthrough
[ -n "$build" ] || cargo build --quiet --release
rm -f "$VOLFS_CONFORMANCE"
touch "$VOLFS_CONFORMANCE"

# With what the tests print: pjdfstest's skipped cases on volfs and on ext4, side by side, and the
# counts of the others.
selection=("${programs[@]/#/--test=}")
[ ${#programs[@]} -gt 0 ] || selection=(--lib --tests)
env TMPDIR="$scratch" cargo test --no-fail-fast -p fuse-tests "${selection[@]}" \
    -- --show-output --test-threads "${VOLFS_TEST_THREADS:-2}" 2>&1 | tee "$work/log" || true

case " ${programs[*]:-suites} " in *" suites "*)
    libfuse=$(dpkg-query -W -f '${Version}' libfuse3-dev)
    control_run "passthrough_hp (libfuse $libfuse)" "$work/log-passthrough" \
        "$work/passthrough_hp --foreground"
    control_run "bindfs $(bindfs --version | sed 's/^bindfs //')" "$work/log-bindfs" \
        "bindfs -f -o suid,dev"
    ;;
esac

version=$("$VOLFS_BIN" --version | sed 's/^volfs //')
status=0
cargo run --quiet -p fuse-tests --bin volfs-test-conformance -- \
    "$version" "$VOLFS_CONFORMANCE" "$work/log" >"$work/table" || status=$?
[ ${#programs[@]} = 0 ] || {
    cat "$work/table"
    exit "$status"
}
{
    sed '/<!-- written by/,$d' docs/conformance.md
    echo "<!-- written by scripts/conformance.sh -->"
    echo "volfs $version, Linux $(uname -r), $(. /etc/os-release && echo "$PRETTY_NAME")," \
        "$(date -u +%F)."
    echo
    cat "$work/table"
    echo
    echo "The programs behind these lines, as Debian packages:" \
        "$(dpkg-query -W -f '${Package} ${Version}, ' postgresql-15 mariadb-server-core sysbench \
            redis-server sqlite3 fio docker.io podman e2fsprogs xfsprogs | sed 's/, $/./')"
} >"$work/page"
cp "$work/page" docs/conformance.md
echo "docs/conformance.md is written"
exit "$status"
