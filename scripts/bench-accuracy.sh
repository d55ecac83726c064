#!/usr/bin/env bash
# Holds the auditor against the truth: the demo company with its ERP on PostgreSQL and its warehouse on MariaDB, every kind
# of fault, first on a network without delay, then with 20 ms.
#
#   scripts/bench-accuracy.sh [SECONDS] [CHANGES-A-SECOND] [SEED] [EVERY]     default: 300, 200, 1, 5s
#
# EVERY is how often the auditor looks; promises are of twice that, and at least of 5 s.
#
# Prints each run's last line and figures; the whole summaries stay in target/accuracy.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin
seconds=${1:-300} changes=${2:-200} seed=${3:-1} every=${4:-5s}

scripts/install-test-tools.sh
scripts/fetch-libchdb.sh
cargo build --profile demo --bin plumbline
plumbline=${CARGO_TARGET_DIR:-target}/demo/plumbline
results=target/accuracy
mkdir -p "$results"

. scripts/servers.bash

wrong=0
for delay in 0ms 20ms; do
    # Servers of its own for every run: what one leaves behind must not weigh on the next.
    start_server postgres "postgres-$delay"
    erp=$url
    start_server mariadb "mariadb-$delay"
    warehouse=$url
    summary=$results/seed-$seed-$delay.json
    echo "== seed $seed, $changes changes/s, $seconds s, a look every $every, network $delay"
    # A sample of everything must fit between two looks.
    "$plumbline" demo --plain --for "${seconds}s" --seed "$seed" --faults all --changes "$changes" --every "$every" \
        --erp "$erp" --warehouse "$warehouse" --network "$delay" --summary "$summary" \
        >"$results/seed-$seed-$delay.txt" 2>&1 || wrong=1
    tail -n 1 "$results/seed-$seed-$delay.txt"
    scripts/accuracy.py "$summary"
done
exit $wrong
