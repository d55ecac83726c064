#!/usr/bin/env python3
"""Runs sweeps and their peers on the same tables and prints one table. Started by scripts/bench-peers.sh.

Each cell is a pair of tables with known differing keys. Measured are wall time, the client's peak memory and processor
time, the servers' processor time, and by their names how many of the differing keys were found, how many were not
(false negatives) and how many others were reported (false positives).

Under live writes somebody changes, inserts and deletes rows on both sides, a moment apart, none of them a planted one. What differs
from begin to end are the planted keys; every other key that a tool reports as a difference is a false positive.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlparse

import mysql.connector
import psycopg2

COLUMNS = ["name", "qty", "price", "made", "note", "state"]
KEYS = {"bigint": ("bigint", "bigint"), "uuid": ("uuid", "char(36) CHARACTER SET ascii"), "text": ("varchar(40)", "varchar(40)")}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["plumbline", "peers", "postgres", "mariadb", "servers"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", default="pg-pg,pg-maria")
    parser.add_argument("--keys", default="bigint,uuid,text")
    parser.add_argument("--percent", default="0,0.001,0.1,5,100")
    parser.add_argument("--writes", default="idle", help="`idle`, `live` or both: `idle,live`")
    parser.add_argument("--wide", action="store_true", help="40 columns instead of 8")
    parser.add_argument("--tools", default="plumbline,reladiff,data-validation")
    parser.add_argument("--most-seconds", type=int, default=90, help="a tool that takes longer is ended")
    return parser.parse_args()


class Tables:
    """The tables of one pair and key type, and the differences planted in the second one."""

    def __init__(self, options, pair, key):
        self.options, self.pair, self.key = options, pair, key
        self.extra = [f"w{number}" for number in range(32)] if options.wide else []
        self.columns = COLUMNS + self.extra

    def create(self):
        postgres(self.options.postgres, "DROP DATABASE IF EXISTS one", "DROP DATABASE IF EXISTS two", "CREATE DATABASE one", "CREATE DATABASE two")
        key = {"bigint": "n * 3", "uuid": "md5(n::text)::uuid", "text": "'K-' || md5(n::text)"}[self.key]
        wide = "".join(f", {name} int" for name in self.extra)
        more = "".join(f", (n + {number}) % 1000" for number in range(len(self.extra)))
        order = "ORDER BY 1" if self.key != "uuid" else ""
        self.fill = (
            f"INSERT INTO item SELECT {key}, 'item ' || n, n % 100, n * 0.25, timestamp '2026-01-01' + n * interval '1.000001 s', "
            f"'note ' || n % 1000, CASE n % 3 WHEN 0 THEN 'new' ELSE 'done' END, timestamp '2026-01-01'{more} "
            f"FROM generate_series(1, {self.options.rows}) s(n) {order}"
        )
        table = (
            f"CREATE TABLE item (id {KEYS[self.key][0]} PRIMARY KEY, name varchar(60), qty int, price numeric(12,2), "
            f"made timestamp, note varchar(40), state varchar(10), changed timestamp{wide})"
        )
        for name in ["one", "two"]:
            postgres(self.url(name), table, self.fill, "VACUUM ANALYZE item")
        if self.pair == "pg-maria":
            self.copy_to_mariadb(wide)

    def copy_to_mariadb(self, wide):
        maria(self.options.mariadb, "DROP DATABASE IF EXISTS two", "CREATE DATABASE two CHARACTER SET utf8mb4")
        maria(
            self.url("maria"),
            f"CREATE TABLE item (id {KEYS[self.key][1]} PRIMARY KEY, name varchar(60), qty int, price decimal(12,2), "
            f"made datetime(6), note varchar(40), state varchar(10), changed datetime(6){wide})",
        )
        with tempfile.NamedTemporaryFile("w+b", suffix=".tsv", dir=self.options.servers, delete=False) as file:
            os.chmod(file.name, 0o644)
            connection = psycopg2.connect(self.url("one"))
            connection.cursor().copy_expert("COPY (SELECT * FROM item ORDER BY id) TO STDOUT", file)
            connection.close()
        maria(self.url("maria"), f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE item", "ANALYZE TABLE item")
        os.unlink(file.name)

    def url(self, name):
        if name == "maria":
            return self.options.mariadb.rsplit("/", 1)[0] + "/two"
        return self.options.postgres.rsplit("/", 1)[0] + f"/{name}"

    def target(self):
        return self.url("maria" if self.pair == "pg-maria" else "two")

    def key_of(self, number):
        """The key of row `number`, as both databases take it."""
        if self.key == "bigint":
            return str(number * 3)
        digest = hashlib.md5(str(number).encode()).hexdigest()
        return str(uuid.UUID(digest)) if self.key == "uuid" else f"K-{digest}"

    def plant(self, percent):
        """Changes this share of the target's rows; returns how many keys differ. Takes back what was planted before.

        The planted keys stand in the table `planted` of the first database.
        """
        count = round(self.options.rows * percent / 100)
        run = maria if self.pair == "pg-maria" else postgres
        run(self.target(), "UPDATE item SET state = left(state, 4) WHERE state LIKE '%!'", "UPDATE item SET state = 'new' WHERE state = 'new!'")
        if count:
            every = self.options.rows // count
            number = "CAST(substr(name, 6) AS SIGNED)" if run is maria else "substr(name, 6)::int"
            run(self.target(), f"UPDATE item SET state = concat(state, '!') WHERE {number} % {every} = 0 AND {number} <= {count * every}")
        if run is postgres:
            run(self.target(), "VACUUM ANALYZE item")
        self.every = self.options.rows // count if count else self.options.rows + 1
        planted = f"substr(name, 6)::int % {self.every} = 0 AND substr(name, 6)::int <= {count * self.every}"
        postgres(
            self.url("one"), "DROP TABLE IF EXISTS planted",
            f"CREATE TABLE planted AS SELECT id::text AS id FROM item WHERE {planted}", "CREATE UNIQUE INDEX ON planted (id)",
        )
        return count

    def score(self, keys):
        """How many of these keys are planted, how many are not, and how many planted ones are missing among them."""
        connection = psycopg2.connect(self.url("one"))
        cursor = connection.cursor()
        cursor.execute("CREATE TEMPORARY TABLE found (id text)")
        cursor.copy_expert("COPY found FROM STDIN", Lines(keys))
        cursor.execute(
            "SELECT count(f.id) FILTER (WHERE p.id IS NOT NULL), count(f.id) FILTER (WHERE p.id IS NULL), "
            "count(p.id) FILTER (WHERE f.id IS NULL) FROM (SELECT DISTINCT id FROM found) f FULL JOIN planted p USING (id)"
        )
        right, false_positive, false_negative = cursor.fetchone()
        connection.close()
        return right, false_positive, false_negative


class Lines(io.TextIOBase):
    """Texts without tabs and line ends as a file, one a line, so that they need not be in memory."""

    def __init__(self, texts):
        self.texts = iter(texts)

    def read(self, size=-1):
        lines, length = [], 0
        for text in self.texts:
            lines.append(text + "\n")
            length += len(text) + 1
            if 0 <= size - 1024 <= length:
                break
        return "".join(lines)


class Writer:
    """Writes to both sides while a tool compares: the first database, a moment later the second."""

    def __init__(self, tables):
        self.tables, self.count, self.end = tables, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.failure = None

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        if self.failure:
            sys.exit(f"the writer failed: {self.failure}")

    def run(self):
        try:
            with contextlib.closing(psycopg2.connect(self.tables.url("one"))) as one, contextlib.closing(self.second()) as two:
                one.autocommit = two.autocommit = True
                while not self.end.is_set():
                    self.write(one.cursor(), two.cursor())
                self.remove(one.cursor(), two.cursor(), range(max(1, self.count - 20), self.count + 1))
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def second(self):
        if self.tables.pair == "pg-maria":
            parts = urlparse(self.tables.target())
            return mysql.connector.connect(
                host=parts.hostname, port=parts.port, user=parts.username, password=parts.password, database=parts.path[1:]
            )
        return psycopg2.connect(self.tables.target())

    def write(self, *cursors):
        """Nine rows are changed, then one is inserted and the one before it deleted. About 200 a second."""
        rows, self.count = self.tables.options.rows, self.count + 1
        number = self.count * 7919 % rows + 1
        if number % self.tables.every == 0:
            return
        for cursor in cursors:
            if self.count % 10:
                cursor.execute(
                    "UPDATE item SET qty = qty + 1, changed = %s WHERE id = %s",
                    (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), self.tables.key_of(number)),
                )
            else:
                cursor.execute(
                    "INSERT INTO item (id, name, qty, changed) VALUES (%s, %s, 1, %s)",
                    (self.tables.key_of(rows + self.count), f"item {rows + self.count}", time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())),
                )
            time.sleep(0.0025)
        if self.count % 10 == 0 and self.count > 10:
            self.remove(*cursors, [self.count - 10])

    def remove(self, one, two, counts):
        for cursor in (one, two):
            for count in counts:
                cursor.execute("DELETE FROM item WHERE id = %s", (self.tables.key_of(self.tables.options.rows + count),))


def postgres(url, *statements):
    connection = psycopg2.connect(url)
    connection.autocommit = True
    for statement in statements:
        connection.cursor().execute(statement)
    connection.close()


def maria(url, *statements):
    parts = urlparse(url)
    connection = mysql.connector.connect(
        host=parts.hostname, port=parts.port, user=parts.username, password=parts.password,
        database=parts.path[1:] or None, allow_local_infile=True, autocommit=True,
    )
    for statement in statements:
        cursor = connection.cursor()
        cursor.execute(statement)
        if cursor.with_rows:
            cursor.fetchall()
        cursor.close()
    connection.close()


def config(tables, directory):
    kind = "mariadb" if tables.pair == "pg-maria" else "postgres"
    key = "integer" if tables.key == "bigint" else "text"
    types = {"qty": "integer", "price": "decimal", "made": "timestamp"}
    fields = [f'fields.{name} = {{ type = "{types.get(name, "integer" if name in tables.extra else "text")}", owner = "one" }}' for name in tables.columns]
    mapping = "\n".join([f'dataset = "item"\nchanged_at = "changed"\nfields.id = "id"'] + [f'fields.{name} = "{name}"' for name in tables.columns])
    lines = [
        f'[system.one]\nkind = "postgres"\nurl = "env:ONE"\ncommit_delay = "1s"',
        f'[system.two]\nkind = "{kind}"\nurl = "env:TWO"\ncommit_delay = "1s"',
        f'[entity.item]\nkey = ["id"]\nfields.id = {{ type = "{key}", store = "clear" }}',
        *fields,
        f"[entity.item.in.one]\n{mapping}\n[entity.item.in.two]\n{mapping}",
        '[[slo]]\nname = "item"\nentity = "item"\nindicator = "freshness"\nwithin = "1s"\nobjective = "99%"\nwindow = "30d"',
    ]
    path = Path(directory) / "plumbline.toml"
    path.write_text("\n".join(lines))
    return path


def command(tool, tables, directory):
    options = tables.options
    if tool.startswith("plumbline"):
        path = config(tables, directory)
        return [options.plumbline, "--log", "warn", "sweep", "item", "--config", str(path), "--format", "jsonl"]
    if tool == "reladiff":
        target = tables.target().replace("postgres://", "postgresql://")
        columns = [part for name in tables.columns for part in ("-c", name)]
        return [f"{options.peers}/reladiff/bin/reladiff", tables.url("one").replace("postgres://", "postgresql://"), "item", target, "item", "-k", "id", *columns, "--json", "-j", "4"]
    return [
        f"{options.peers}/data-validation/bin/data-validation", "validate", "row", "-sc", "one", "-tc", "two", "-tbls",
        "public.item=two.item" if tables.pair == "pg-maria" else "public.item=public.item",
        "--primary-keys", "id", "--hash", ",".join(tables.columns), "--format", "csv", "--filter-status", "fail",
    ]


def found(tool, file):
    """The keys that a tool reports as differing, as texts."""
    if tool.startswith("plumbline"):
        for line in file:
            difference = json.loads(line)
            # What is still on its way when the tool ends is listed as such and is no difference.
            if "key" in difference and difference["verdict"] not in ("in_flight", "unknown", "match"):
                yield difference["key"]
    elif tool == "reladiff":
        # One line a side, `-` or `+` before the row; the key comes first.
        for line in file:
            if line.startswith('["'):
                yield str(json.loads(line)[1][0])
    else:
        # A row a key; it stands as JSON in a column of its own.
        rows = csv.DictReader(line for line in file if line.startswith(("validation_name,", "hash__", "concat__")))
        for row in rows:
            if row["validation_status"] == "fail":
                yield str(json.loads(row["group_by_columns"])["id"])


def validator_connections(tables, environment):
    program = f"{tables.options.peers}/data-validation/bin/data-validation"
    for name, url in [("one", tables.url("one")), ("two", tables.target())]:
        parts = urlparse(url)
        kind = "MySQL" if parts.scheme == "mysql" else "Postgres"
        add = [program, "connections", "add", "--connection-name", name, kind, "--host", parts.hostname, "--port", str(parts.port),
               "--user", parts.username, "--password", parts.password, "--database", parts.path[1:]]
        added = subprocess.run(add, env=environment, capture_output=True, text=True)
        if added.returncode:
            sys.exit(f"data-validation cannot connect: {added.stderr[-2000:]}")


def know_utc(url):
    """The validator names its session's time zone, which MariaDB knows only from its tables."""
    maria(
        url.rsplit("/", 1)[0] + "/mysql",
        "INSERT IGNORE INTO time_zone VALUES (1, 'N')",
        "INSERT IGNORE INTO time_zone_name VALUES ('UTC', 1)",
        "INSERT IGNORE INTO time_zone_transition_type VALUES (1, 0, 0, 0, 'UTC')",
    )


def server_seconds():
    """Processor time of all database processes, ended backends among them."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:].rsplit(")", 1)
        if name.startswith(("postgres", "mariadbd")):
            fields = rest.split()
            total += sum(int(value) for value in fields[11:13])
            if name == "mariadbd" or int(fields[1]) not in postgres_parents():
                total += sum(int(value) for value in fields[13:15])
    return total / os.sysconf("SC_CLK_TCK")


def postgres_parents():
    parents = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if "(postgres)" in text:
            parents.add(int(text.split()[0]))
    return parents


def measure(tool, tables, expected, writes):
    with tempfile.TemporaryDirectory() as directory:
        # reladiff breaks its lines at the width of the terminal.
        environment = dict(
            os.environ, PSO_DV_CONN_HOME=directory, PYTHONWARNINGS="ignore", COLUMNS="1000000", ONE=tables.url("one"), TWO=tables.target()
        )
        if tool == "data-validation":
            validator_connections(tables, environment)
        line = command(tool, tables, directory)
        servers = server_seconds()
        began = time.monotonic()
        writer = Writer(tables) if writes == "live" else contextlib.nullcontext()
        with open(Path(directory) / "out", "w+b") as out, open(Path(directory) / "err", "w+b") as err, writer:
            process = subprocess.Popen(line, stdout=out, stderr=err, env=environment, cwd=directory, start_new_session=True)
            signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
            signal.alarm(tables.options.most_seconds)
            _, status, usage = os.wait4(process.pid, 0)
            signal.alarm(0)
            wall = time.monotonic() - began
        seconds = server_seconds() - servers
        errors = (Path(directory) / "err").read_text(errors="replace")
        with open(Path(directory) / "out", encoding="utf-8", errors="replace") as out:
            right, false_positive, false_negative = tables.score(found(tool, out))
    code = os.waitstatus_to_exitcode(status)
    note = ""
    if code < 0:
        note = f"ended after {tables.options.most_seconds} s"
        false_negative = ""
    elif code not in (0, 1) or (code == 1 and tool == "data-validation"):
        note = f"exit {code}: {errors.strip().splitlines()[-1][:120] if errors.strip() else ''}"
    elif tool == "reladiff" and " ERROR - " in errors:
        # It says that it cannot compare, and ends as if it had.
        note = errors.split(" ERROR - ", 1)[1].splitlines()[0]
    if note:
        sys.stderr.write(f"{' '.join(line)}\n{errors[-2000:]}\n")
    return {
        "wall": wall, "memory": usage.ru_maxrss / 1024, "client": usage.ru_utime + usage.ru_stime,
        "servers": seconds, "found": right, "false_positive": false_positive, "false_negative": false_negative, "note": note,
    }


def plain_reads(tables):
    """Seconds of a plain ordered read of the compared columns of the slower side, and of a digest pass over both at once."""
    columns = ", ".join(["id", *tables.columns])
    began = time.monotonic()
    with open(os.devnull, "wb") as null:
        connection = psycopg2.connect(tables.url("one"))
        connection.cursor().copy_expert(f"COPY (SELECT {columns} FROM item ORDER BY id) TO STDOUT (FORMAT binary)", null)
        connection.close()
    reads = [time.monotonic() - began]
    if tables.pair == "pg-maria":
        parts = urlparse(tables.target())
        began = time.monotonic()
        subprocess.run(
            ["mariadb", "--quick", "--skip-column-names", f"--host={parts.hostname}", f"--port={parts.port}",
             f"--user={parts.username}", f"--password={parts.password}", "two", "-e", f"SELECT {columns} FROM item ORDER BY id"],
            stdout=subprocess.DEVNULL, check=True,
        )
        reads.append(time.monotonic() - began)
    return max(reads), None if tables.pair == "pg-maria" else digest_pass(tables)


def digest_pass(tables):
    """Seconds of the very row digest that a sweep asks for, over both tables at once."""
    seeds = {"bigint": "id::int8", "uuid": "uuid_hash_extended(id, 0)", "text": "hashtextextended(id::text COLLATE \"C\", 0)"}
    key = {"bigint": "id::int8", "uuid": "id", "text": "id::text COLLATE \"C\""}[tables.key]
    sign = "CASE WHEN price < 0 THEN CASE WHEN price < -1e500 THEN 1 ELSE 0 END WHEN price >= 1e500 THEN 1 END"
    odd = "CASE WHEN made < timestamp '0001-01-01' OR made >= timestamp '9999-01-01' THEN 1 END"
    hashed = {"price": f"price, {sign}", "made": "timestamp_send(made)"}
    hashed |= {name: f"{name}::text COLLATE \"C\"" for name in ["name", "note", "state"]}
    values = [hashed.get(name, f"{name}::int8") for name in tables.columns]
    statement = (
        "SET max_parallel_workers_per_gather = 0; SET jit = off; "
        f"SELECT count(*), bit_xor(hash_record_extended(ROW({key}, {', '.join(values)}, {odd}), {seeds[tables.key]})) FROM item"
    )
    began = time.monotonic()
    both = [subprocess.Popen(["psql", "-qAt", tables.url(name), "-c", statement], stdout=subprocess.DEVNULL) for name in ["one", "two"]]
    if any(process.wait() for process in both):
        sys.exit("the digest pass failed")
    return time.monotonic() - began


def main():
    options = arguments()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(
        "| pair | key | different | writes | tool | wall s | of a plain read | of a digest pass | peak MB | client CPU s | servers CPU s "
        "| found / expected | false positives | false negatives | |"
    )
    print("|---" * 15 + "|", flush=True)
    if "pg-maria" in options.pairs:
        know_utc(options.mariadb)
    for pair in options.pairs.split(","):
        for key in options.keys.split(","):
            tables = Tables(options, pair, key)
            tables.create()
            plain_reads(tables)
            read, digests = plain_reads(tables)
            for percent in [float(text) for text in options.percent.split(",")]:
                expected = tables.plant(percent)
                for writes, tool in [(writes, tool) for writes in options.writes.split(",") for tool in options.tools.split(",")]:
                    cell = measure(tool, tables, expected, writes)
                    ratio = f"{cell['wall'] / digests:.2f}" if digests else ""
                    print(
                        f"| {pair} | {key} | {percent:g} % | {writes} | {tool} | {cell['wall']:.1f} | {cell['wall'] / read:.2f} | {ratio} "
                        f"| {cell['memory']:.0f} | {cell['client']:.1f} | {cell['servers']:.1f} | {cell['found']} / {expected} "
                        f"| {cell['false_positive']} | {cell['false_negative']} | {cell['note']} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
