# Private servers for a script that sources this: started by `start_server`, stopped when the script ends, however it ends.
# The script stands in the repository's root.

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

# start_server ENGINE [NAME]: starts a server of its own under that name and sets `url` to the superuser's URL.
start_server() {
    local engine=$1 directory=$servers/${2:-$1} port pid
    port=$(scripts/private-server.sh port)
    scripts/private-server.sh init "$engine" "$directory" "$port"
    scripts/private-server.sh run "$engine" "$directory" >"$directory/log" 2>&1 </dev/null &
    pid=$!
    pids+=("$pid")
    until scripts/private-server.sh ready "$engine" "$directory"; do
        kill -0 "$pid" 2>/dev/null || { cat "$directory/log" >&2; echo "${0##*/}: $engine ended" >&2; exit 1; }
        sleep 0.1
    done
    url=$(scripts/private-server.sh url "$engine" "$port")
}
