//! What goes wrong is named, bounded, and never gives away a secret; nothing is ever written.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use plumbline::connect::{Cursor, KeyRange, ReadError};
use plumbline::model::FieldType;
use plumbline::model::mapping::Source;

use super::bed::{Bed, mapping, numbers, open, stamped};
use crate::support::{PrivatePostgres, postgres, wait_until};

fn thing() -> plumbline::model::Mapping {
    mapping("x", 1, &[("id", FieldType::Integer), ("v", FieldType::Integer)])
}

async fn filled(bed: &Bed) {
    bed.run("CREATE TABLE x (id int PRIMARY KEY, v int)").await;
    bed.run("INSERT INTO x VALUES (1, 10)").await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_not_repeated() {
    let postgres = Bed::postgres().await;
    let mariadb = Bed::mariadb().await;
    for bed in [postgres, mariadb] {
        let url = match &bed {
            Bed::Postgres(database) => database.url_as("postgres", "hunter2"),
            Bed::Mariadb(database) => database.url_as("admin", "hunter2"),
            Bed::Sqlite(_) => unreachable!("not in the list"),
        };
        let mut system = bed.system();
        system.url = url.into();
        let error = open(&system).clock().await.unwrap_err();
        assert!(matches!(error, ReadError::Refused { .. }), "{}: {error}", bed.name());
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{}: {error:?}", bed.name());
    }
}

#[tokio::test]
async fn a_url_of_another_kind_is_refused_without_repeating_it() {
    let bed = Bed::postgres().await;
    let mut system = bed.system();
    system.url = "mysql://u:hunter2@127.0.0.1/x".to_owned().into();
    let error = plumbline::connect::open(&system, super::bed::clock()).err().unwrap();
    assert!(matches!(error, ReadError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let mut system = Bed::sqlite().await.system();
    system.url = "sqlite:///nowhere/at/all.db".to_owned().into();
    let error = open(&system).clock().await.unwrap_err();
    assert!(matches!(error, ReadError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    for bed in Bed::each().await {
        filled(&bed).await;
        let reader = bed.reader();
        let mut missing = thing();
        missing.sources[1] = Source::Path("volume".to_owned());
        let error = reader.by_keys(&missing, &numbers([1])).await.unwrap_err();
        assert!(matches!(error, ReadError::Shape { .. }), "{}: {error}", bed.name());
        assert!(error.to_string().contains("volume"), "{}: {error}", bed.name());
        let nowhere = mapping("no_such_table", 1, &[("id", FieldType::Integer)]);
        let error = reader.key_range(&nowhere, KeyRange::ALL, 1).await.unwrap_err();
        assert!(matches!(error, ReadError::Shape { .. }), "{}: {error}", bed.name());
        assert!(error.to_string().contains("no_such_table"), "{}: {error}", bed.name());
        let error = reader.describe(&nowhere).await.unwrap_err();
        assert!(matches!(error, ReadError::Shape { .. }), "{}: {error}", bed.name());
        let error = reader.changes(&thing(), &Cursor::default(), 1).await.unwrap_err();
        assert!(error.to_string().contains("changed_at"), "{}: {error}", bed.name());
        // The failures spoiled nothing.
        assert_eq!(reader.by_keys(&thing(), &numbers([1])).await.unwrap().records.len(), 1, "{}", bed.name());
    }
}

/// Which connection of the pool has the next turn decides what it remembers of the table: so that each has one.
#[tokio::test]
async fn a_table_that_changes_while_it_is_read_is_met_again() {
    for turns in 0..3 {
        for bed in Bed::each().await {
            filled(&bed).await;
            let reader = bed.reader();
            let read = async || reader.by_keys(&thing(), &numbers([1])).await;
            for _ in 0..=turns {
                assert_eq!(read().await.unwrap().records.len(), 1);
            }
            bed.run("ALTER TABLE x RENAME COLUMN v TO w").await;
            let error = read().await.unwrap_err();
            assert!(matches!(error, ReadError::Shape { .. }), "{}: {error}", bed.name());
            bed.run("ALTER TABLE x RENAME COLUMN w TO v").await;
            bed.run(bed.pick(
                "ALTER TABLE x ALTER COLUMN v TYPE text USING 'n' || v",
                "ALTER TABLE x MODIFY v varchar(20)",
                "UPDATE x SET v = 'n10'",
            ))
            .await;
            wait_until(async || read().await.is_ok()).await;
            let read = read().await.unwrap();
            let shown = read.records[0].fields[1].to_string();
            let invalid = shown.starts_with("invalid");
            assert!(bed.pick(invalid, shown == "10", invalid), "{}: {shown}", bed.name());
        }
    }
}

/// Each connection has prepared the statement for a column that has another type now.
#[tokio::test]
async fn all_connections_may_have_gone_stale_at_once() {
    let database = postgres().await.database().await;
    let pool = database.pool();
    let bed = Bed::Postgres(database);
    filled(&bed).await;
    let mut system = bed.system();
    system.budget.concurrency = 4;
    let reader = open(&system);
    let read = async || reader.by_keys(&thing(), &numbers([1])).await;
    read().await.unwrap();
    // Who waits for the table cannot lend its connection to another read.
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE x").execute(&mut *holder).await.unwrap();
    let waiting = async || {
        let text =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(text).fetch_one(&pool).await.unwrap()
    };
    let let_go = async {
        wait_until(async || waiting().await == 4).await;
        holder.commit().await.unwrap();
    };
    let (reads, ()) = join(join_all((0..4).map(|_| read())), let_go).await;
    for read in reads {
        assert_eq!(read.unwrap().records.len(), 1);
    }
    bed.run("ALTER TABLE x ALTER COLUMN v TYPE text USING 'n' || v").await;
    let error = read().await.unwrap_err();
    assert!(matches!(error, ReadError::Shape { .. }), "{error}");
    assert!(reader.budget().usage().retries > 0, "{error}");
    for read in join_all((0..8).map(|_| read())).await {
        assert_eq!(read.unwrap().records.len(), 1);
    }
}

#[tokio::test]
async fn shapes_are_described_in_the_systems_words() {
    for bed in Bed::each().await {
        filled(&bed).await;
        let shape = bed.reader().describe(&thing()).await.unwrap();
        let described: Vec<_> = shape.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(described, ["id", "v"], "{}", bed.name());
        let expect = bed.pick("integer", "int(11)", "INT");
        assert_eq!(shape.columns[1].type_name, expect, "{}", bed.name());
        assert_eq!(shape.columns[1].nullable, Some(true), "{}", bed.name());
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up() {
    for bed in Bed::each().await {
        filled(&bed).await;
        let mut slow = thing();
        slow.sources[1] = Source::Sql(
            bed.pick(
                "(SELECT 1 FROM pg_sleep(600))",
                "sleep(600)",
                "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n)",
            )
            .to_owned(),
        );
        let mut system = bed.system();
        system.statement_timeout = Duration::from_millis(300);
        let reader = open(&system);
        let error = reader.key_range(&slow, KeyRange::ALL, 10).await.unwrap_err();
        assert!(matches!(error, ReadError::TimedOut { .. }), "{}: {error}", bed.name());
        assert!(reader.clock().await.is_ok(), "{}: and the next one runs", bed.name());
    }
}

#[tokio::test]
async fn a_server_that_dies_during_a_scan_is_unreachable_and_comes_back() {
    let mut server = PrivatePostgres::start().await;
    let bed = Bed::Postgres(server.database().await);
    bed.run("CREATE TABLE x AS SELECT n AS id, n AS v, repeat('x', 200) AS filler FROM generate_series(1, 300000) n")
        .await;
    let reader = bed.reader();
    let mapping = mapping("x", 1, &[("id", FieldType::Integer), ("filler", FieldType::Text)]);
    let mut scan = reader.scan(&mapping, None);
    for _ in 0..100 {
        scan.next().await.unwrap().unwrap();
    }
    server.kill().await;
    let mut rest = 0_u64;
    let error = loop {
        match scan.next().await {
            Some(Ok(_)) => rest += 1,
            Some(Err(error)) => break error,
            None => panic!("the scan ended as if it were complete, after {rest} more rows"),
        }
    };
    assert!(matches!(error, ReadError::Unreachable { .. }), "{error}");
    assert!(scan.next().await.is_none(), "nothing comes after the error");
    server.restart().await;
    wait_until(async || reader.key_range(&mapping, KeyRange::ALL, 1).await.is_ok()).await;
}

#[tokio::test]
async fn a_dropped_scan_gives_its_connection_up() {
    for bed in Bed::each().await {
        bed.run("CREATE TABLE x (id int PRIMARY KEY, v int)").await;
        bed.run(bed.pick(
            "INSERT INTO x SELECT n, n FROM generate_series(1, 20000) n",
            "INSERT INTO x SELECT seq, seq FROM seq_1_to_20000",
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000) INSERT INTO x SELECT n, n FROM n",
        ))
        .await;
        let mut system = bed.system();
        system.budget.concurrency = 1;
        let reader = open(&system);
        for _ in 0..3 {
            let first = reader.scan(&thing(), None).next().await.unwrap().unwrap();
            assert_eq!(first.key.to_string(), "1", "{}", bed.name());
        }
        assert_eq!(reader.by_keys(&thing(), &numbers([7])).await.unwrap().records.len(), 1, "{}", bed.name());
    }
}

#[tokio::test]
async fn the_readers_sessions_cannot_write() {
    for bed in Bed::each().await {
        filled(&bed).await;
        bed.run(bed.pick(
            "CREATE FUNCTION meddle() RETURNS int LANGUAGE sql AS 'INSERT INTO x VALUES (99, 99) RETURNING id'",
            "CREATE FUNCTION meddle() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO x VALUES (99, 99); RETURN 99; END",
            "SELECT 1",
        ))
        .await;
        let mut meddling = thing();
        // SQLite has no functions that write; the strongest a statement can ask for there is an attached file.
        meddling.sources[1] = Source::Sql(bed.pick("meddle()", "meddle()", "load_extension('x')").to_owned());
        let error = bed.reader().key_range(&meddling, KeyRange::ALL, 10).await.unwrap_err();
        let reason = error.to_string().to_lowercase();
        let expect = bed.pick("read-only", "read only", "not authorized");
        assert!(reason.contains(expect), "{}: {reason}", bed.name());
        let read = bed.reader().by_keys(&thing(), &numbers([99])).await.unwrap();
        assert!(read.records.is_empty(), "{}: something was written", bed.name());
    }
}

#[tokio::test]
async fn budgets_hold_and_are_counted() {
    let bed = Bed::sqlite().await;
    filled(&bed).await;
    let mut system = bed.system();
    system.budget.requests_per_second = 20.0;
    let reader = open(&system);
    let started = tokio::time::Instant::now();
    for _ in 0..30 {
        reader.by_keys(&thing(), &numbers([1])).await.unwrap();
    }
    // 31 requests: 20 at once, 11 more at 50 ms each.
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
    let usage = reader.budget().usage();
    assert_eq!((usage.requests, usage.rows), (31, 30));
}

#[tokio::test]
async fn a_clock_is_read_with_its_uncertainty() {
    for bed in Bed::each().await {
        let reading = bed.reader().clock().await.unwrap();
        let offset = Duration::from_micros(reading.offset_micros.unsigned_abs());
        // The same machine: what is measured must be explained by the round trip.
        assert!(offset <= reading.uncertainty + Duration::from_millis(5), "{}: {reading:?}", bed.name());
    }
}

#[tokio::test]
async fn stamps_that_are_text_or_bare_numbers_say_what_to_do() {
    let bed = Bed::postgres().await;
    bed.run("CREATE TABLE x (id int PRIMARY KEY, v int, at text, n bigint)").await;
    let reader = bed.reader();
    let error = reader.changes(&stamped(thing(), "at"), &Cursor::default(), 1).await.unwrap_err();
    assert!(matches!(error, ReadError::Shape { .. }), "{error}");
    let error = reader.changes(&stamped(thing(), "n"), &Cursor::default(), 1).await.unwrap_err();
    assert!(error.to_string().contains("epoch"), "{error}");
}
