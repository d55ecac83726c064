#!/usr/bin/env bash
# Runs the tests: installs what is missing, starts private servers (PostgreSQL, MariaDB, and a PostgreSQL for Odoo), stops
# them.
#
#   scripts/test.sh                    everything, then checks that every promise was shown
#   scripts/test.sh NEXTEST-ARGUMENT…  what `cargo nextest run` selects with these, for instance -E 'test(lease)'
#
# All tests are built with the feature `fault-points`: the crash tests need it, and building the package a second
# time without it would take longer than all tests together. A binary built for use never has it.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin

scripts/install-test-tools.sh
scripts/fetch-libchdb.sh
scripts/fetch-odoo.sh

servers=$(mktemp -d "${TMPDIR:-/tmp}/plumbline-servers-XXXXXX")
chmod 0755 "$servers"
pids=()

# SIGQUIT ends PostgreSQL at once and lets it give back its shared memory; nothing of these servers is kept.
stop_servers() {
    local pid
    for pid in "${pids[@]}"; do kill -QUIT "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        timeout 10 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$servers"
}
trap stop_servers EXIT
trap 'exit 130' INT TERM HUP

start_server() {
    local engine=$1 directory=$servers/${2:-$1} port pid
    port=$(scripts/private-server.sh port)
    scripts/private-server.sh init "$engine" "$directory" "$port"
    scripts/private-server.sh run "$engine" "$directory" >"$directory/log" 2>&1 </dev/null &
    pid=$!
    pids+=("$pid")
    until scripts/private-server.sh ready "$engine" "$directory"; do
        kill -0 "$pid" 2>/dev/null || { cat "$directory/log" >&2; echo "test.sh: $engine ended" >&2; exit 1; }
        sleep 0.1
    done
    url=$(scripts/private-server.sh url "$engine" "$port")
}

start_server postgres
export PLUMBLINE_TEST_POSTGRES=$url
start_server mariadb
export PLUMBLINE_TEST_MARIADB=$url
start_server postgres odoo
export PLUMBLINE_TEST_ODOO_POSTGRES=$url

# A report of an earlier run must not pass for this one's.
rm -f target/nextest/default/junit.xml
cargo nextest run --features fault-points "$@" </dev/null
[ $# = 0 ] || exit 0
cargo test --doc --quiet --features fault-points </dev/null
python3 scripts/check-promises.py
