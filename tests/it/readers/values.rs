//! Every type arrives exactly, or says why it cannot; one bad value never takes the others with it.

use futures_util::StreamExt;
use plumbline::connect::{KeyRange, Reader};
use plumbline::model::{FieldType, Mapping, Record};

use super::bed::{Bed, mapping, numbers, shown};

const BLANK: FieldType = FieldType::Text;

/// All ways of reading give the same records.
async fn read_all(reader: &dyn Reader, mapping: &Mapping, keys: i64) -> Vec<Record> {
    let by_keys = reader.by_keys(mapping, &numbers(1..=keys)).await.unwrap().records;
    let scanned: Vec<_> = reader.scan(mapping, None).map(|record| record.unwrap()).collect().await;
    let ranged = reader.key_range(mapping, KeyRange::ALL, 1000).await.unwrap().unwrap().records;
    assert_eq!(scanned, ranged);
    let mut sorted = by_keys.clone();
    sorted.sort_by_key(|record| record.key.to_string().parse::<i64>().unwrap());
    assert_eq!(sorted, scanned);
    by_keys
}

#[tokio::test]
async fn postgres_types() {
    let bed = Bed::postgres().await;
    bed.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN short AS varchar(5);
         CREATE TABLE x (id int8 PRIMARY KEY, small int2, yes bool, exact numeric, real4 float4, real8 float8,
             padded char(5), raw bytea, instant timestamptz, naive timestamp, day date, unique_id uuid, doc jsonb,
             feeling mood, list int[], address inet, span interval, short short, cash numeric(12, 2), plain json);
         INSERT INTO x VALUES
            (1, -32768, true, 123456789012345678901234567890.123456789, 1.5, 0.1, 'ab', '\\x00ff',
             '2026-01-02 03:04:05.678901+02', '2026-01-02 03:04:05.678901', '2026-02-28',
             '00000000-0000-0000-0000-00000000002a', '{\"b\": 1, \"a\": [2]}', 'ok', '{1,2}', '10.0.0.1', '1 day',
             'five5', 0.10, '{\"z\":1}'),
            (2, 0, false, 'NaN', 'NaN', 'Infinity', '', '', 'infinity', '-infinity', 'infinity', NULL, 'null', NULL,
             NULL, NULL, NULL, NULL, -1, NULL)",
    )
    .await;
    let columns = [
        ("id", FieldType::Integer),
        ("small", FieldType::Integer),
        ("yes", FieldType::Boolean),
        ("exact", FieldType::Decimal),
        ("real4", FieldType::Decimal),
        ("real8", FieldType::Decimal),
        ("padded", BLANK),
        ("raw", FieldType::Bytes),
        ("instant", FieldType::Timestamp),
        ("naive", FieldType::Timestamp),
        ("day", FieldType::Date),
        ("unique_id", FieldType::Uuid),
        ("doc", FieldType::Json),
        ("feeling", BLANK),
        ("list", BLANK),
        ("address", BLANK),
        ("span", BLANK),
        ("short", BLANK),
        ("cash", FieldType::Decimal),
        ("plain", FieldType::Json),
    ];
    let mapping = mapping("x", 1, &columns);
    let records = read_all(&*bed.reader(), &mapping, 2).await;
    let expect = [
        "1",
        "-32768",
        "true",
        "123456789012345678901234567890.123456789",
        "1.5",
        "0.1",
        "ab   ",
        "0x00ff",
        "2026-01-02T01:04:05.678901Z",
        "2026-01-02T03:04:05.678901Z",
        "2026-02-28",
        "00000000-0000-0000-0000-00000000002a",
        "{\"a\":[2],\"b\":1}",
        "ok",
        "{1,2}",
        "10.0.0.1/32",
        "1 day",
        "five5",
        "0.1",
        "{\"z\":1}",
    ];
    for (field, expect) in expect.iter().enumerate() {
        assert_eq!(shown(&records, 1, field), *expect, "{}", columns[field].0);
    }
    for field in [3, 4, 5, 8, 9, 10] {
        let value = shown(&records, 2, field);
        assert!(value.starts_with("invalid"), "{}: {value}", columns[field].0);
    }
    assert_eq!(shown(&records, 2, 11), "null");
}

#[tokio::test]
async fn mariadb_types() {
    let bed = Bed::mariadb().await;
    bed.run(
        "CREATE TABLE x (id bigint unsigned PRIMARY KEY, tiny tinyint(1), small smallint unsigned, medium mediumint,
             huge bigint unsigned, exact decimal(65, 30), real4 float, real8 double, padded char(5),
             latin varchar(20) CHARACTER SET latin1, exact_text varchar(20) COLLATE utf8mb4_bin, raw varbinary(10),
             instant timestamp(6) NULL, naive datetime(6), day date, clock time(3), bits bit(10), choice enum('a', 'b'),
             several set('x', 'y'), doc json, born year, long_text longtext, raw_blob blob)",
    )
    .await;
    bed.run("SET STATEMENT time_zone = '+00:00', sql_mode = '' FOR INSERT INTO x VALUES
            (1, 200, 65535, -8388608, 18446744073709551615, 12345678901234567890123456789012345.123456789012345678901234567891,
             1.5, 0.1, 'ab', 'é', 'Ü', x'00ff', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901', '2026-02-28',
             '23:59:58.5', b'1000000001', 'b', 'x,y', '{\"a\": 1}', 1999, 'long', x'ff'),
            (2, -1, 0, 0, 0, 0, 0, 0, '', '', '', '', NULL, '0000-00-00 00:00:00', '0000-00-00', '-10:00:00', b'0',
             'a', '', NULL, NULL, NULL, NULL)").await;
    let columns = [
        ("id", FieldType::Integer),
        ("tiny", FieldType::Integer),
        ("small", FieldType::Integer),
        ("medium", FieldType::Integer),
        ("huge", FieldType::Integer),
        ("exact", FieldType::Decimal),
        ("real4", FieldType::Decimal),
        ("real8", FieldType::Decimal),
        ("padded", BLANK),
        ("latin", BLANK),
        ("exact_text", BLANK),
        ("raw", FieldType::Bytes),
        ("instant", FieldType::Timestamp),
        ("naive", FieldType::Timestamp),
        ("day", FieldType::Date),
        ("clock", BLANK),
        ("bits", FieldType::Integer),
        ("choice", BLANK),
        ("several", BLANK),
        ("doc", FieldType::Json),
        ("born", FieldType::Integer),
        ("long_text", BLANK),
        ("raw_blob", FieldType::Bytes),
    ];
    let mapping = mapping("x", 1, &columns);
    let records = read_all(&*bed.reader(), &mapping, 2).await;
    let expect = [
        "1",
        "127",
        "65535",
        "-8388608",
        "18446744073709551615",
        "12345678901234567890123456789012345.123456789012345678901234567891",
        "1.5",
        "0.1",
        "ab",
        "é",
        "Ü",
        "0x00ff",
        "2026-01-02T03:04:05.678901Z",
        "2026-01-02T03:04:05.678901Z",
        "2026-02-28",
        "23:59:58.500000",
        "513",
        "b",
        "x,y",
        "{\"a\":1}",
        "1999",
        "long",
        "0xff",
    ];
    for (field, expect) in expect.iter().enumerate() {
        assert_eq!(shown(&records, 1, field), *expect, "{}", columns[field].0);
    }
    assert_eq!(shown(&records, 2, 1), "-1");
    assert_eq!((shown(&records, 2, 13), shown(&records, 2, 14)), ("null".to_owned(), "null".to_owned()));
    assert!(shown(&records, 2, 15).starts_with("invalid"), "a time below zero is no time of day");
}

#[tokio::test]
async fn sqlite_values_say_themselves_what_they_are() {
    let bed = Bed::sqlite().await;
    bed.run("CREATE TABLE x (id INTEGER PRIMARY KEY, v, n NUMERIC, stamp DATETIME, yes BOOLEAN)").await;
    bed.run(
        "INSERT INTO x VALUES (1, 5, '5.25', '2026-01-02 03:04:05.5', 1), (2, 'five', 7, '2026-01-02T03:04:05Z', 0),
         (3, x'00ff', 9223372036854775807, NULL, NULL), (4, 1.5, NULL, NULL, NULL),
         (5, CAST(x'ff41' AS TEXT), 'not a number', 'yesterday', NULL)",
    )
    .await;
    let columns = [
        ("id", FieldType::Integer),
        ("v", BLANK),
        ("n", FieldType::Decimal),
        ("stamp", FieldType::Timestamp),
        ("yes", FieldType::Boolean),
    ];
    let records = read_all(&*bed.reader(), &mapping("x", 1, &columns), 5).await;
    assert_eq!(shown(&records, 1, 1), "5");
    assert_eq!(shown(&records, 1, 2), "5.25");
    assert_eq!(shown(&records, 1, 3), "2026-01-02T03:04:05.500000Z");
    assert_eq!(shown(&records, 1, 4), "true");
    assert_eq!(shown(&records, 2, 1), "five");
    assert_eq!(shown(&records, 2, 3), "2026-01-02T03:04:05.000000Z");
    assert_eq!(shown(&records, 3, 2), "9223372036854775807");
    assert_eq!(shown(&records, 4, 1), "1.5");
    for field in [1, 2, 3] {
        let value = shown(&records, 5, field);
        assert!(value.starts_with("invalid"), "{}: {value}", columns[field].0);
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_spoils_only_itself() {
    for bed in Bed::each().await {
        let insert = bed.pick(
            "CREATE TABLE x (id int PRIMARY KEY, name bytea); INSERT INTO x VALUES (1, '\\xff'), (2, 'fine')",
            "CREATE TABLE x (id int PRIMARY KEY, name varbinary(20))",
            "CREATE TABLE x (id int PRIMARY KEY, name TEXT); INSERT INTO x VALUES (1, CAST(x'ff' AS TEXT)), (2, 'fine')",
        );
        bed.run(insert).await;
        if matches!(bed, Bed::Mariadb(_)) {
            bed.run("INSERT INTO x VALUES (1, x'ff'), (2, 'fine')").await;
        }
        let mapping = mapping("x", 1, &[("id", FieldType::Integer), ("name", BLANK)]);
        let records = read_all(&*bed.reader(), &mapping, 2).await;
        assert!(shown(&records, 1, 1).starts_with("invalid"), "{}", bed.name());
        assert_eq!(shown(&records, 2, 1), "fine", "{}", bed.name());
    }
}

#[tokio::test]
async fn a_record_of_20_mb_is_read_whole() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (id int PRIMARY KEY, body text)",
            "CREATE TABLE x (id int PRIMARY KEY, body longtext)",
            "CREATE TABLE x (id int PRIMARY KEY, body text)",
        ))
        .await;
        bed.run(bed.pick(
            "INSERT INTO x VALUES (1, repeat('x', 20000000)), (2, 'small')",
            // The server takes packets of 16 MB by default, and gives larger ones only when told.
            "SET GLOBAL max_allowed_packet = 67108864",
            "INSERT INTO x VALUES (1, replace(hex(zeroblob(10000000)), '0', 'x')), (2, 'small')",
        ))
        .await;
        if let Bed::Mariadb(database) = &bed {
            let mut fresh = <sqlx::MySqlConnection as sqlx::Connection>::connect(&database.url()).await.unwrap();
            let insert = "INSERT INTO x VALUES (1, repeat('x', 20000000)), (2, 'small')";
            sqlx::Executor::execute(&mut fresh, insert).await.unwrap();
        }
        let mapping = mapping("x", 1, &[("id", FieldType::Integer), ("body", BLANK)]);
        let records = read_all(&*bed.reader(), &mapping, 2).await;
        assert_eq!(shown(&records, 1, 1).len(), 20_000_000, "{}", bed.name());
        assert_eq!(shown(&records, 2, 1), "small", "{}", bed.name());
    }
}
