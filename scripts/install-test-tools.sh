#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks; does nothing when all is there.
#
# Debian packages: PostgreSQL and MariaDB servers, Prometheus and its Alertmanager, none started as a system service; an
# SMTP server; a library that sets clocks. From the package registries
# of Rust, Python and Node.js: cargo-nextest, and the two ClickHouse clients that the tests speak to the embedded
# engine with (into the user's cache, nothing global).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly nextest_version=0.9.143
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/plumbline
PATH=$PATH:/usr/sbin:$HOME/.cargo/bin

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || echo postgresql
    command -v mariadbd >/dev/null || echo mariadb-server
    command -v mariadb-admin >/dev/null || echo mariadb-client
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || echo faketime
    command -v prometheus >/dev/null && command -v promtool >/dev/null || echo prometheus
    command -v prometheus-alertmanager >/dev/null || echo prometheus-alertmanager
    /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || echo python3-aiosmtpd
    python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
    command -v node >/dev/null && command -v npm >/dev/null || echo npm
}

# Debian starts a new server at once unless this policy file says no. It is put back as it was.
install_packages() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 0755 $policy
    fi
    as_root apt-get update --quiet
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@" </dev/null
}

install_nextest() {
    echo "installing cargo-nextest $nextest_version from source: a few minutes, once" >&2
    cargo install cargo-nextest --locked --version "$nextest_version"
}

# A directory that is complete or absent: made beside its place, then renamed.
install_python_client() {
    local target=$cache/clients/python-$1 new
    [ -x "$target/bin/python" ] && return
    mkdir -p "$cache/clients"
    new=$(mktemp -d "$cache/clients/new-XXXXXX")
    python3 -m venv --copies "$new"
    "$new/bin/pip" install --quiet --disable-pip-version-check --requirement tests/clients/requirements.txt
    mv -T "$new" "$target"
}

install_node_client() {
    local target=$cache/clients/node-$1 new
    [ -d "$target/node_modules" ] && return
    mkdir -p "$cache/clients"
    new=$(mktemp -d "$cache/clients/new-XXXXXX")
    cp tests/clients/package.json "$new/"
    (cd "$new" && npm install --no-package-lock --no-audit --no-fund --loglevel=error </dev/null)
    mv -T "$new" "$target"
}

mapfile -t packages < <(missing_packages)
[ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
cargo nextest --version >/dev/null 2>&1 || install_nextest
# The names carry the wanted versions, so that a change of them installs anew.
install_python_client "$(sed -n 's/^clickhouse-connect==//p' tests/clients/requirements.txt)"
install_node_client "$(sed -n 's/.*"@clickhouse\/client": "\(.*\)".*/\1/p' tests/clients/package.json)"
