#!/usr/bin/env bash
# Fetches libchdb, the ClickHouse engine as a C library, once: one pinned version, both checksums checked.
#
#   scripts/fetch-libchdb.sh [DIRECTORY]     default: the user's cache, where tests and the demo look
#
# It comes from the npm package @chdb/lib-linux-x64-gnu through npm. Does nothing when the right file is there.
set -euo pipefail

readonly version=26.5.3
readonly package_sha256=b874e449710950da3abd7e20376f7bb3387d9e03adcc7082f022be18dfdf316a
readonly library_sha256=4330da79405733f7572f27c1442f46c03a08301f00859dce0368645731b1e1dc
directory=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/plumbline/libchdb/$version}

fail() {
    echo "fetch-libchdb.sh: $*" >&2
    exit 1
}

has_sha256() {
    [ -f "$2" ] && echo "$1  $2" | sha256sum --check --status
}

has_sha256 $library_sha256 "$directory/libchdb.so" && exit 0
case $(uname -s)-$(uname -m) in
    Linux-x86_64) ;;
    *) fail "libchdb $version is pinned for Linux on x86_64 only, this is $(uname -s) on $(uname -m)" ;;
esac
command -v npm >/dev/null || fail "npm is not installed: install Debian's package npm"

mkdir -p "$directory"
work=$(mktemp -d "$directory/fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "fetching libchdb $version into $directory" >&2
(cd "$work" && npm pack --silent "@chdb/lib-linux-x64-gnu@$version" </dev/null >/dev/null)
package=$(find "$work" -maxdepth 1 -name '*.tgz')
[ -n "$package" ] || fail "npm gave no package"
has_sha256 $package_sha256 "$package" || fail "the package's checksum is not the pinned one: $(sha256sum "$package")"
member=$(tar --list --gzip --file "$package" | sed -n '/\/libchdb\.so$/p')
[ -n "$member" ] || fail "the package holds no libchdb.so"
tar --extract --gzip --to-stdout --file "$package" "$member" >"$work/libchdb.so"
has_sha256 $library_sha256 "$work/libchdb.so" || fail "the checksum of libchdb.so is not the pinned one"
chmod 0755 "$work/libchdb.so"
sync "$work/libchdb.so"
mv -f "$work/libchdb.so" "$directory/libchdb.so"
