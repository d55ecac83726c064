#!/usr/bin/env bash
# Fetches the Odoo that tests read: Debian's package, unpacked into the user's cache, never installed. Its Python
# libraries come from Python's registry into a directory of their own. Then makes one database with the modules that
# the pack `odoo` reads, which tests copy. Does nothing when all is there.
#
#   scripts/fetch-odoo.sh           fetch and make
#   scripts/fetch-odoo.sh --where   print the directory; does nothing else
#
# Debian carries Odoo in its rolling suite only. When it offers a newer version than the one pinned here, that one is
# taken: its checksum is then the one that Debian has signed.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly root=$PWD
PATH=$PATH:/usr/sbin

readonly package=odoo-19
readonly version=19.0.0+dfsg-1
readonly package_sha256=9d2f598b0555db17e291d48ed24df184c70823c053c4c5ed53c467ca7f629bbf
# Invoices, stock and sales, and what they need.
readonly modules=base,account,stock,sale,sale_stock
# Translations, accounts of countries, and Odoo's own tests: most of a gigabyte, and never loaded.
readonly left_out=(--exclude='*/i18n' --exclude='*/static/tests' --exclude='*/addons/l10n_*' --exclude='*/addons/test_*')

fail() {
    echo "fetch-odoo.sh: $*" >&2
    exit 1
}

# Everything that decides what comes out is part of the name. A change of it makes all anew, beside the old.
digest=$(printf '%s\n' "$modules" "${left_out[@]}" | cat - tests/odoo/requirements.txt tests/odoo/setup.py | sha256sum | cut -c 1-12)
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/plumbline/odoo
readonly directory=$cache/$version-$digest

if [ "${1:-}" = --where ]; then
    echo "$directory"
    exit 0
fi
[ ! -e "$directory/complete" ] || exit 0
mkdir -p "$cache"
# Two runs on one machine: the second waits and then finds it there.
exec 9>"$cache/lock"
flock 9
[ ! -e "$directory/complete" ] || exit 0

work=$(mktemp -d "$cache/fetch-XXXXXX")
server=
postgres=
clean_up() {
    [ -z "$server" ] || { kill -QUIT "$server" 2>/dev/null && timeout 10 tail --pid="$server" -f /dev/null; } || true
    rm -rf "$work" "$postgres"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# The system's own package manager, with lists of its own: the system's are not touched.
apt_here() {
    local command=$1
    shift
    "$command" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" \
        -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@"
}

fetch_package() {
    local archive
    command -v apt-get >/dev/null || fail "apt-get is not there: the Odoo of the tests comes from Debian"
    # shellcheck disable=SC2016
    archive=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1)
    [ -n "$archive" ] || fail "this system names no archive of Debian"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    touch "$work/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive sid main" >"$work/sources.list"
    apt_here apt-get update --quiet --quiet
    cd "$work"
    apt_here apt-get download --quiet --quiet "$package=$version" 2>/dev/null ||
        apt_here apt-get download --quiet --quiet "$package" || fail "Debian does not offer \`$package\`"
    cd "$root"
    deb=$(find "$work" -maxdepth 1 -name "${package}_*.deb")
    case $deb in
        *_"${version/:/%3a}"_*) echo "$package_sha256  $deb" | sha256sum --check --status || fail "the checksum of the package is not the pinned one" ;;
        *) echo "Debian no longer offers $package $version: taking ${deb##*/}" >&2 ;;
    esac
}

unpack() {
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --directory "$work" "${left_out[@]}" ./usr/lib/python3/dist-packages
    mv "$work/usr/lib/python3/dist-packages" "$work/app"
    rm -rf "$deb" "$work/usr"
    python3 -m venv --copies "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement tests/odoo/requirements.txt
}

# A PostgreSQL for the making of the database only. Its own user must reach it, so it is not in the cache.
start_postgres() {
    local port
    port=$(scripts/private-server.sh port)
    postgres=$(mktemp -d "${TMPDIR:-/tmp}/plumbline-odoo-XXXXXX")
    chmod 0755 "$postgres"
    scripts/private-server.sh init postgres "$postgres" "$port"
    scripts/private-server.sh run postgres "$postgres" >"$postgres/log" 2>&1 </dev/null &
    server=$!
    until scripts/private-server.sh ready postgres "$postgres"; do
        kill -0 "$server" 2>/dev/null || { cat "$postgres/log" >&2; fail "postgres ended"; }
        sleep 0.1
    done
    url=$(scripts/private-server.sh url postgres "$port")
    # Odoo refuses to work as the superuser.
    psql --quiet "$url" --command "CREATE ROLE odoo LOGIN CREATEDB PASSWORD 'plumbline'" \
        --command "CREATE DATABASE template_odoo OWNER odoo TEMPLATE template0"
    scripts/private-odoo.sh config "$work" "$work/files" "$port" template_odoo 0 >"$work/odoo.conf"
}

# Odoo writes what it does into a log that is shown only when it fails.
odoo() {
    env PYTHONPATH="$work/app" PYTHONWARNINGS=ignore "$work/venv/bin/python" -m odoo "$@" >>"$work/log" 2>&1 ||
        { tail -n 40 "$work/log" >&2; fail "odoo $1 failed"; }
}

make_database() {
    odoo server --config "$work/odoo.conf" --init "$modules" --stop-after-init --no-http </dev/null
    ODOO_KEYS=$work/keys.json odoo shell --config "$work/odoo.conf" --no-http <tests/odoo/setup.py
    [ -s "$work/keys.json" ] || { tail -n 40 "$work/log" >&2; fail "tests/odoo/setup.py did not come to its end"; }
    pg_dump --format=custom --no-owner --no-privileges --dbname="${url%/*}/template_odoo" --file="$work/template.dump"
}

echo "fetching Odoo into $directory and making its database: two minutes, once" >&2
fetch_package
unpack
start_postgres
make_database
rm -f "$work/sources.list" "$work/status" "$work/odoo.conf"
rm -rf "$work/lists" "$work/cache" "$directory"
mv -T "$work" "$directory"
touch "$directory/complete"
sync -f "$directory/complete"
