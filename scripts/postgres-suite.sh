#!/usr/bin/env bash
# Makes the regression suite of the installed Postgres 15 from Debian's source package: takes its
# files out of it and compiles its one library. Nothing of it is installed.
# Usage: scripts/postgres-suite.sh [FOLDER]    (default target/suites/postgres-15)
#   FOLDER gets sql/, expected/, data/, parallel_schedule, resultmap, lib/ and, written last,
#   VERSION. A folder with the suite of the installed version is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

folder=${1:-target/suites/postgres-15}
libraries=/usr/lib/postgresql/15/lib
version=$(dpkg-query -W -f '${Version}' postgresql-15)
[ "$(cat "$folder/VERSION" 2>/dev/null)" != "$version" ] || exit 0

scratch=$(mktemp -d "${TMPDIR:-/tmp}/postgres-suite.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

echo "postgres-suite: fetching the source of postgresql-15 $version" >&2
private_apt "$scratch"
(
    cd "$scratch"
    apt-get update -qq
    apt-get source -qq --download-only "postgresql-15=$version" >/dev/null || {
        echo "postgres-suite: Debian has this version no more: upgrade postgresql-15" >&2
        exit 1
    }
    # Its dependencies are compilers for other purposes; the headers are all it takes.
    apt-get download -qq "postgresql-server-dev-15=$version" >/dev/null
    dpkg-deb -x postgresql-server-dev-15_*.deb headers
    tar -xf postgresql-15_*.orig.tar.* --strip-components=4 --wildcards '*/src/test/regress/*'
)

mkdir -p "$folder/lib"
rm -f "$folder/VERSION"
cp -r "$scratch"/{sql,expected,data,parallel_schedule,resultmap} "$folder"
gcc -O2 -fPIC -shared -I "$scratch/headers/usr/include/postgresql/15/server" \
    -o "$folder/lib/regress.so" "$scratch/regress.c"
cp "$libraries"/{autoinc,refint}.so "$folder/lib"
echo "$version" >"$folder/VERSION"
