"""Uses the embedded engine through clickhouse-connect. Arguments: host, port; the logins come on standard input as
four lines: writer's user and password, reader's user and password. Ends with an assertion error where it fails."""

import datetime
import decimal
import sys

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, StreamFailureError

host, port = sys.argv[1], int(sys.argv[2])
writer_user, writer_password, reader_user, reader_password = sys.stdin.read().split("\n")[:4]


def connect(user=writer_user, password=writer_password, **options):
    return clickhouse_connect.get_client(host=host, port=port, username=user, password=password, **options)


def code_of(action):
    try:
        action()
    except DatabaseError as error:
        return error.code, str(error)
    raise AssertionError("no error was raised")


def test_connects_and_pings():
    client = connect()
    assert client.ping()
    assert client.server_version.startswith("26.5"), client.server_version
    assert len(client.server_settings) > 500
    assert client.command("SELECT 1 + 1") == 2


def test_inserts_and_reads_types():
    client = connect()
    client.command("CREATE TABLE types (id UInt32, at DateTime64(6, 'UTC'), price Decimal(18, 4), name Nullable(String), "
                   "tags Array(LowCardinality(String)), m Map(String, Int64), u UUID) ENGINE = MergeTree ORDER BY id")
    at = datetime.datetime(2026, 11, 23, 1, 2, 3, 456789, tzinfo=datetime.timezone.utc)
    uuid = "3df9f7b9-34f4-44e2-9ba2-5ea6ec8d0b5c"
    rows = [(i, at, decimal.Decimal("12.3456"), None if i % 2 else "a\n\n;drop", ["x", "y"], {"k": -i}, uuid)
            for i in range(1000)]
    summary = client.insert("types", rows, column_names=["id", "at", "price", "name", "tags", "m", "u"])
    assert summary.written_rows == 1000, summary.summary
    read = client.query("SELECT * FROM types ORDER BY id").result_rows
    assert len(read) == 1000
    got = read[3]
    assert got[0] == 3 and got[1] == at.replace(tzinfo=None) and got[2] == decimal.Decimal("12.3456") and got[3] is None, got
    assert got[4] == ["x", "y"] and got[5] == {"k": -3} and str(got[6]) == uuid, got
    assert read[4][3] == "a\n\n;drop"


def test_compression_both_ways():
    for method in ["lz4", "zstd", "gzip", None]:
        client = connect(compress=method or False)
        table = f"compressed_{method}"
        client.command(f"CREATE TABLE {table} (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
        client.insert(table, [(i, "text " * 20) for i in range(20000)], column_names=["id", "text"])
        rows = client.query(f"SELECT id, text FROM {table} ORDER BY id").result_rows
        assert len(rows) == 20000 and rows[19999] == (19999, "text " * 20), method
        raw = client.raw_query(f"SELECT count() FROM {table}", fmt="TSV")
        assert raw == b"20000\n", raw


def test_streams():
    client = connect()
    total = 0
    with client.query_row_block_stream("SELECT number FROM numbers(3000000)", settings={"max_block_size": 50000}) as blocks:
        count = 0
        for block in blocks:
            count += 1
            total += sum(row[0] for row in block)
    assert total == 3000000 * 2999999 // 2 and count > 10, (total, count)


def test_raw_formats():
    client = connect()
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(200000)"
    csv = client.raw_query(sql, fmt="CSVWithNames").split(b"\n")
    assert csv[0] == b'"n","s"' and csv[-2] == b'199999,"199999"' and len(csv) == 200002, (csv[:2], len(csv))
    assert csv.count(b'"n","s"') == 1
    import json
    document = json.loads(client.raw_query(sql, fmt="JSONCompact"))
    assert document["rows"] == 200000 and document["data"][-1] == [199999, "199999"]
    stream = client.raw_stream(sql, fmt="TabSeparatedWithNamesAndTypes")
    lines = stream.read().split(b"\n")
    assert lines[:2] == [b"n\ts", b"UInt64\tString"] and len(lines) == 200003, len(lines)


def test_raw_insert_keeps_empty_lines():
    client = connect()
    client.command("CREATE TABLE raw (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
    client.raw_insert("raw", ["id", "text"], '1,"a\n\nb"\n2,"; DROP TABLE raw"\n', fmt="CSV")
    assert client.query("SELECT text FROM raw ORDER BY id").result_rows == [("a\n\nb",), ("; DROP TABLE raw",)]
    client.command("INSERT INTO raw VALUES (3, 'c\n\n;'), (4, upper('d'))")
    assert client.command("SELECT count() FROM raw") == 4


def test_parameters():
    client = connect()
    result = client.query("SELECT {a:Int32} + 1, {s:String}, {l:Array(String)}",
                          parameters={"a": 41, "s": "it's \\ \n 'quoted'; --", "l": ["x'", "y"]})
    assert result.result_rows == [(42, "it's \\ \n 'quoted'; --", ["x'", "y"])], result.result_rows
    form = connect(form_encode_query_params=True)
    assert form.query("SELECT {a:Int32}", parameters={"a": 5}).result_rows == [(5,)]


def test_settings():
    client = connect()
    value = client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 1234}).first_row[0]
    assert value == 1234
    value = client.query("SELECT getSetting('max_block_size')").first_row[0]
    assert value != 1234, "a setting of one request must not reach the next"
    code, text = code_of(lambda: client.command("SELECT 1", settings={"dialect": "kusto"}))
    assert code == 452, (code, text)
    limit = client.query("SELECT getSetting('max_memory_usage')", settings={"max_memory_usage": 0}).first_row[0]
    assert limit > 0, "limits cannot be lifted"


def test_sessions():
    client = connect(session_id="python-session")
    client.command("CREATE TEMPORARY TABLE seen (id UInt32)")
    client.command("INSERT INTO seen VALUES (1), (2)")
    assert client.command("SELECT count() FROM seen") == 2
    client.command("SET max_block_size = 777")
    assert client.query("SELECT getSetting('max_block_size')").first_row[0] == 777
    assert client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 5}).first_row[0] == 5
    assert client.query("SELECT getSetting('max_block_size')").first_row[0] == 777
    other = connect(session_id="another-session")
    code, _ = code_of(lambda: other.command("SELECT count() FROM seen"))
    assert code == 60, code
    # One statement at a time in a session: a stream that is not read keeps it busy.
    single = connect(autogenerate_session_id=False)
    locked = {"session_id": "locked"}
    stream = single.raw_stream("SELECT number FROM numbers(1000000000)", settings=locked, fmt="TSV")
    code, _ = code_of(lambda: single.raw_query("SELECT 1", settings=locked, fmt="TSV"))
    assert code == 373, code
    stream.close()
    while True:
        try:
            assert single.raw_query("SELECT 1", settings=locked, fmt="TSV") == b"1\n"
            break
        except DatabaseError as error:
            assert error.code == 373, error


def test_errors():
    client = connect()
    code, text = code_of(lambda: client.query("SELECT nonsense FROM nowhere"))
    assert code == 60 and "UNKNOWN_TABLE" in text, (code, text)
    code, text = code_of(lambda: client.command("SELEC 1"))
    assert code == 62 and "Syntax error" in text, (code, text)
    code, _ = code_of(lambda: client.command("SELECT 1", settings={"no_such_thing": 1}))
    assert code in (115, 452), code
    code, _ = code_of(lambda: connect(password="wrong"))
    assert code == 516, code
    code, _ = code_of(lambda: client.command("SELECT * FROM file('/etc/passwd')"))
    assert code == 497, code


def test_error_in_the_middle_of_a_stream():
    client = connect()
    sql = "SELECT number, throwIf(number = 900000, 'planted') FROM numbers(1000000)"
    for compress in [False, "lz4", "gzip"]:
        client = connect(compress=compress)
        try:
            with client.query_rows_stream(sql, settings={"max_block_size": 10000, "max_threads": 1}) as rows:
                count = sum(1 for _ in rows)
        except (StreamFailureError, OperationalError, DatabaseError) as error:
            assert "planted" in str(error), error
        else:
            raise AssertionError(f"{count} rows and no error")


def test_reader_only_reads():
    client = connect(user=reader_user, password=reader_password)
    assert client.command("SELECT count() FROM system.one") == 1
    assert client.query("SELECT number FROM numbers(3)").result_rows == [(0,), (1,), (2,)]
    for sql in ["CREATE TABLE x (a Int8) ENGINE = Memory", "INSERT INTO raw VALUES (9, '')", "DROP TABLE raw"]:
        code, _ = code_of(lambda: client.command(sql))
        assert code == 164, (sql, code)


tests = [test for name, test in list(globals().items()) if name.startswith("test_")]
for test in tests:
    test()
    print("ok", test.__name__)
print(len(tests), "passed")
