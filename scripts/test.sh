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

. scripts/servers.bash
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
