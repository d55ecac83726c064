#!/usr/bin/env bash
# Makes and runs a private PostgreSQL or MariaDB for tests: loopback only, own directory, own port, no system service.
#
#   scripts/private-server.sh init postgres|mariadb DIR PORT   make DIR/data and DIR/server.conf
#   scripts/private-server.sh replica DIR PORT URL             the same for a streaming replica of the PostgreSQL at URL
#   scripts/private-server.sh run  postgres|mariadb DIR        become the server (same process id)
#   scripts/private-server.sh port                             print a free loopback port
#   scripts/private-server.sh ready postgres|mariadb DIR       exit 0 when the server answers
#   scripts/private-server.sh url  postgres|mariadb PORT       print the superuser's URL
#
# A running server ends when the process that started it ends, however that ends. Servers refuse to run as root,
# so root starts them as the user that their Debian package made.
set -euo pipefail

readonly password=plumbline

fail() {
    echo "private-server.sh: $*" >&2
    exit 1
}

# Directory of initdb and postgres: the newest version installed. Debian keeps it out of PATH.
postgres_bin() {
    local newest
    newest=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] || newest=$(dirname "$(command -v postgres)") || fail "postgres is not installed: run scripts/install-test-tools.sh"
    echo "$newest"
}

mariadb_server() {
    PATH=$PATH:/usr/sbin command -v mariadbd || fail "mariadbd is not installed: run scripts/install-test-tools.sh"
}

# Prints the words to put before a command so that it runs as the engine's own user and dies with its parent.
as_engine_user() {
    local engine=$1 signal=$2 user=postgres
    [ "$engine" = mariadb ] && user=mysql
    if [ "$(id -u)" = 0 ]; then
        echo setpriv --reuid "$user" --regid "$user" --init-groups --pdeathsig "$signal" --
    else
        echo setpriv --pdeathsig "$signal" --
    fi
}

make_directory() {
    local engine=$1 directory=$2 user=postgres
    [ "$engine" = mariadb ] && user=mysql
    mkdir -p "$directory/data" "$directory/tmp"
    chmod 0755 "$directory"
    chmod 0700 "$directory/data" "$directory/tmp"
    [ "$(id -u)" != 0 ] || chown "$user" "$directory/data" "$directory/tmp"
}

# No fsync: a test kills the process, never the machine, and what is written survives that.
init_postgres() {
    local directory=$1 port=$2
    make_directory postgres "$directory"
    echo "$password" >"$directory/password"
    # shellcheck disable=SC2046
    (cd "$directory" && $(as_engine_user postgres KILL) "$(postgres_bin)/initdb" --pgdata="$directory/data" --username=postgres \
        --auth=scram-sha-256 --pwfile="$directory/password" --encoding=UTF8 --locale=C.UTF-8 --no-sync) >"$directory/init.log" 2>&1 ||
        { cat "$directory/init.log" >&2; fail "initdb failed"; }
    configure_postgres "$directory" "$port"
}

# A streaming replica of the PostgreSQL at a URL.
replica_postgres() {
    local directory=$1 port=$2 primary=$3
    make_directory postgres "$directory"
    # shellcheck disable=SC2046
    (cd "$directory" && $(as_engine_user postgres KILL) "$(postgres_bin)/pg_basebackup" --dbname="$primary" --pgdata="$directory/data" \
        --write-recovery-conf --wal-method=stream --checkpoint=fast --no-sync) >"$directory/init.log" 2>&1 ||
        { cat "$directory/init.log" >&2; fail "pg_basebackup failed"; }
    configure_postgres "$directory" "$port"
}

configure_postgres() {
    local directory=$1 port=$2
    cat >"$directory/server.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
fsync = off
full_page_writes = off
timezone = 'UTC'
CONF
}

init_mariadb() {
    local directory=$1 port=$2
    make_directory mariadb "$directory"
    cat >"$directory/init.sql" <<SQL
CREATE USER IF NOT EXISTS 'admin'@'%' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION;
SQL
    cat >"$directory/server.conf" <<CONF
[mariadbd]
datadir = $directory/data
socket = $directory/data/socket
pid_file = $directory/data/pid
init_file = $directory/init.sql
# A starting MariaDB removes temporary tables that it finds in its tmpdir, also those of another one.
tmpdir = $directory/tmp
bind_address = 127.0.0.1
port = $port
skip_name_resolve = 1
max_connections = 200
character_set_server = utf8mb4
innodb_log_file_size = 16M
innodb_buffer_pool_size = 64M
innodb_flush_log_at_trx_commit = 2
max_allowed_packet = 256M
default_time_zone = +00:00
CONF
    # shellcheck disable=SC2046
    (cd "$directory" && $(as_engine_user mariadb KILL) mariadb-install-db --defaults-file="$directory/server.conf" --datadir="$directory/data" \
        --auth-root-authentication-method=normal --skip-test-db) >"$directory/init.log" 2>&1 ||
        { cat "$directory/init.log" >&2; fail "mariadb-install-db failed"; }
}

# Prints the words that make a server's clock follow DIR/clock, which holds an offset such as `+3600`, if it exists.
with_its_clock() {
    local directory=$1 library
    [ -e "$directory/clock" ] || return 0
    library=$(find /usr/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)
    [ -n "$library" ] || fail "libfaketime is not installed: run scripts/install-test-tools.sh"
    echo env "LD_PRELOAD=$library" "FAKETIME_TIMESTAMP_FILE=$directory/clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
}

run() {
    local engine=$1 directory=$2
    cd "$directory"
    # shellcheck disable=SC2046
    case $engine in
        # SIGQUIT is PostgreSQL's immediate shutdown: it takes its shared memory along, as SIGKILL would not.
        postgres) exec $(as_engine_user postgres QUIT) $(with_its_clock "$directory") "$(postgres_bin)/postgres" -D "$directory/data" -c "config_file=$directory/server.conf" ;;
        mariadb) exec $(as_engine_user mariadb KILL) $(with_its_clock "$directory") "$(mariadb_server)" --defaults-file="$directory/server.conf" ;;
        *) fail "unknown engine \`$engine\`" ;;
    esac
}

ready() {
    local engine=$1 directory=$2 port
    port=$(sed -n 's/^port = //p' "$directory/server.conf")
    case $engine in
        postgres) "$(postgres_bin)/pg_isready" --quiet --host=127.0.0.1 --port="$port" ;;
        mariadb) mariadb-admin --no-defaults --host=127.0.0.1 --port="$port" --user=admin --password="$password" ping >/dev/null 2>&1 ;;
    esac
}

url() {
    case $1 in
        postgres) echo "postgres://postgres:$password@127.0.0.1:$2/postgres" ;;
        mariadb) echo "mysql://admin:$password@127.0.0.1:$2/mysql" ;;
    esac
}

case ${1:-} in
    init) "init_$2" "$3" "$4" ;;
    replica) replica_postgres "$2" "$3" "$4" ;;
    run) run "$2" "$3" ;;
    ready) ready "$2" "$3" ;;
    url) url "$2" "$3" ;;
    port) python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
