#!/usr/bin/env bash
# Sweeps beside their peers, on the same private servers and tables; prints one table. docs/benchmarks.md says more.
#
#   scripts/bench-peers.sh                     1 million rows
#   scripts/bench-peers.sh --rows 10000000     more; `--help` lists what else can be chosen
#
# Needs python3 with venv. reladiff and google-pso-data-validator go into environments of their own under the cache.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin

cache=${XDG_CACHE_HOME:-$HOME/.cache}/plumbline/peers
for peer in reladiff data-validation; do
    [ ! -x "$cache/$peer/bin/$peer" ] || continue
    python3 -m venv "$cache/$peer"
    case $peer in
        reladiff) "$cache/$peer/bin/pip" install -q 'reladiff[postgresql,mysql]==0.6.0' ;;
        *) "$cache/$peer/bin/pip" install -q google-pso-data-validator==8.10.1 psycopg2-binary pymysql ;;
    esac
done
binary=${PLUMBLINE:-}
if [ -z "$binary" ]; then
    cargo build --profile demo --bin plumbline
    binary=${CARGO_TARGET_DIR:-target}/demo/plumbline
fi

. scripts/servers.bash
start_server postgres
postgres=$url
start_server mariadb
mariadb=$url
"$cache/reladiff/bin/python" scripts/bench_peers.py --plumbline "$(realpath "$binary")" --peers "$cache" \
    --postgres "$postgres" --mariadb "$mariadb" --servers "$servers" "$@"
