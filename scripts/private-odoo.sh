#!/usr/bin/env bash
# Runs a private Odoo for tests: loopback only, own directory, own port, a database of its own.
#
#   scripts/private-odoo.sh config HOME FILES PG_PORT DATABASE PORT   print a configuration; HOME holds the program
#   scripts/private-odoo.sh init DIR PG_PORT DATABASE PORT            copy the database that scripts/fetch-odoo.sh made
#   scripts/private-odoo.sh keys                                      print the API keys of its logins, as JSON
#   scripts/private-odoo.sh run DIR                                   become the server (same process id)
#
# PG_PORT is the port of a PostgreSQL that scripts/private-server.sh runs. A running server ends when the process that
# started it ends, however that ends.
set -euo pipefail

home=$("$(dirname "$0")/fetch-odoo.sh" --where)
readonly home
readonly password=plumbline

fail() {
    echo "private-odoo.sh: $*" >&2
    exit 1
}

# No jobs of its own: only what a test does changes its records.
config() {
    local program=$1 files=$2 postgres_port=$3 database=$4 port=$5
    cat <<CONF
[options]
db_host = 127.0.0.1
db_port = $postgres_port
db_user = odoo
db_password = $password
db_name = $database
data_dir = $files
addons_path = $program/app/addons,$program/app/odoo/addons
http_interface = 127.0.0.1
http_port = $port
list_db = False
max_cron_threads = 0
workers = 0
log_level = warn
CONF
}

# Brings the database that is copied to the PostgreSQL of this URL, unless it is there.
bring() {
    local url=$1 there
    there=$(psql --no-align --tuples-only "$url/postgres" --command "SELECT 1 FROM pg_database WHERE datname = 'template_odoo'")
    [ -z "$there" ] || return 0
    psql --quiet "$url/postgres" --command "DROP DATABASE IF EXISTS coming_odoo" --command "DROP ROLE IF EXISTS odoo" \
        --command "CREATE ROLE odoo LOGIN PASSWORD '$password'" --command "CREATE DATABASE coming_odoo OWNER odoo TEMPLATE template0"
    pg_restore --no-owner --role=odoo --dbname="$url/coming_odoo" "$home/template.dump"
    psql --quiet "$url/postgres" --command "ALTER DATABASE coming_odoo RENAME TO template_odoo"
}

init() {
    local directory=$1 postgres_port=$2 database=$3 port=$4
    local url=postgres://postgres:$password@127.0.0.1:$postgres_port
    [ -e "$home/complete" ] || fail "there is no Odoo: run scripts/fetch-odoo.sh"
    config "$home" "$directory/files" "$postgres_port" "$database" "$port" >"$directory/odoo.conf"
    # Tests begin side by side: the first one on this PostgreSQL brings the database, the others wait for it.
    exec 9<"$home/complete"
    flock 9
    bring "$url"
    flock --unlock 9
    psql --quiet "$url/postgres" --command "CREATE DATABASE \"$database\" OWNER odoo TEMPLATE template_odoo"
    mkdir -p "$directory/files/filestore"
    cp -a "$home/files/filestore/template_odoo" "$directory/files/filestore/$database"
}

run() {
    local directory=$1
    cd "$directory"
    exec setpriv --pdeathsig TERM -- env PYTHONPATH="$home/app" PYTHONDONTWRITEBYTECODE=1 "$home/venv/bin/python" \
        -m odoo server --config "$directory/odoo.conf"
}

keys() {
    cat "$home/keys.json" || fail "there is no Odoo: run scripts/fetch-odoo.sh"
}

case ${1:-} in
    config | init | keys | run) "$@" ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
