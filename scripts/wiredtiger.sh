#!/usr/bin/env bash
# Builds WiredTiger 11.3.1, the engine of MongoDB 8.0, from its source on PyPI, and our client with it.
# The tests take it by VOLFS_TEST_WIREDTIGER, the folder that this prints. Takes some minutes once.
# Usage: scripts/wiredtiger.sh
set -euo pipefail
cd "$(dirname "$0")/.."

version=11.3.1
scripts/setup.sh build >&2
scripts/setup.sh engines >&2
tools=$(realpath "${CARGO_TARGET_DIR:-target}/tools")
folder=$tools/wiredtiger-$version
if [ ! -x "$folder/wt" ]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/volfs-wiredtiger.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    /usr/bin/python3 -m venv "$work/venv"
    pip=("$work/venv/bin/python" -m pip --disable-pip-version-check --quiet)
    "${pip[@]}" install "cmake==3.31.10" >&2
    "${pip[@]}" download --no-deps --no-binary :all: -d "$work" "wiredtiger==$version" >&2
    tar -xzf "$work/wiredtiger-$version.tar.gz" -C "$work"
    mkdir "$work/build"
    (
        cd "$work/build" &&
            "$work/venv/bin/cmake" -DCMAKE_BUILD_TYPE=Release -DENABLE_PYTHON=0 -DENABLE_STATIC=1 \
                -DENABLE_SHARED=0 -DENABLE_STRICT=0 -DENABLE_TCMALLOC=0 -DENABLE_SNAPPY=0 \
                -DENABLE_LZ4=0 -DENABLE_ZLIB=0 -DENABLE_ZSTD=0 "../wiredtiger-$version" &&
            make -j"$(nproc)" wiredtiger_static wt
    ) >"$work/log" 2>&1 || { tail -n 30 "$work/log" >&2 && exit 1; }
    mkdir -p "$folder"
    cc -O2 -std=gnu11 -I"$work/build/include" -o "$folder/wiredtiger-client" \
        fuse-tests/clients/wiredtiger.c "$work/build/libwiredtiger.a" -lpthread -ldl -lm
    cp "$work/build/wt" "$folder/wt"
fi
echo "$folder"
