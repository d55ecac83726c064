//! Changes: nothing is skipped, whatever the order in which transactions commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plumbline::connect::{Cursor, Reader};
use plumbline::model::mapping::{EpochUnit, Stamp};
use plumbline::model::{FieldType, Mapping};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::Executor;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::bed::{Bed, mapping, open, sequenced, stamped};
use crate::support::wait_until;

/// Reads on until a page is complete; the keys in the order in which they came.
async fn read_on(reader: &dyn Reader, mapping: &Mapping, cursor: &mut Cursor, limit: usize) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        let page = reader.changes(mapping, cursor, limit).await.unwrap();
        keys.extend(page.records.iter().map(|record| record.key.to_string()));
        *cursor = page.next;
        if page.complete {
            assert!(page.watermark.is_some_and(|watermark| watermark <= page.window.low));
            return keys;
        }
    }
}

fn thing() -> Mapping {
    stamped(mapping("x", 1, &[("id", FieldType::Integer)]), "at")
}

/// A table whose stamps have microseconds, or milliseconds on SQLite.
async fn table(bed: &Bed) {
    bed.run(bed.pick(
        "CREATE TABLE x (id int, at timestamptz); CREATE INDEX ON x (at, id)",
        "CREATE TABLE x (id int, at datetime(6), KEY (at, id))",
        "CREATE TABLE x (id int, at TEXT); CREATE INDEX x_at ON x (at, id)",
    ))
    .await;
}

/// A stamp that lies `seconds` away from the database's present.
fn at(bed: &Bed, seconds: i64) -> String {
    match bed {
        Bed::Postgres(_) => format!("clock_timestamp() + {seconds} * interval '1 second'"),
        Bed::Mariadb(_) => format!("utc_timestamp(6) + INTERVAL {seconds} SECOND"),
        Bed::Sqlite(_) => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '{seconds} seconds')"),
    }
}

async fn insert(bed: &Bed, id: i64, seconds: i64) {
    bed.run(&format!("INSERT INTO x VALUES ({id}, {})", at(bed, seconds))).await;
}

#[tokio::test]
async fn an_empty_cursor_begins_now_and_settled_rows_do_not_come_again() {
    for bed in Bed::each().await {
        table(&bed).await;
        insert(&bed, 1, -3600).await;
        let reader = bed.reader();
        let mut cursor = Cursor::default();
        assert!(read_on(&*reader, &thing(), &mut cursor, 10).await.is_empty(), "{}: old rows", bed.name());
        insert(&bed, 2, 0).await;
        assert_eq!(read_on(&*reader, &thing(), &mut cursor, 10).await, ["2"], "{}", bed.name());
        // Only once the watermark has passed: shared, because the condition is asked again and again.
        let cursor = Mutex::new(cursor);
        wait_until(|| async {
            let mut cursor = cursor.lock().await;
            read_on(&*reader, &thing(), &mut cursor, 10).await.is_empty()
        })
        .await;
        let mut all = Cursor::from_beginning();
        assert_eq!(read_on(&*reader, &thing(), &mut all, 10).await, ["1", "2"], "{}", bed.name());
    }
}

#[tokio::test]
async fn a_transaction_that_commits_after_later_stamps_is_not_missed() {
    let bed = Bed::postgres().await;
    let Bed::Postgres(database) = &bed else { unreachable!("made above") };
    table(&bed).await;
    let reader = bed.reader();
    let mut cursor = Cursor::default();
    read_on(&*reader, &thing(), &mut cursor, 2).await;
    let mut late = database.pool().begin().await.unwrap();
    late.execute("INSERT INTO x VALUES (1, now())").await.unwrap();
    for id in 2..=9 {
        insert(&bed, id, 0).await;
    }
    // Time goes by for everybody else: with the stamps moved on, only the open transaction holds the cursor back.
    insert(&bed, 10, 20).await;
    let before = read_on(&*reader, &thing(), &mut cursor, 2).await;
    assert!(before.contains(&"10".to_owned()) && !before.contains(&"1".to_owned()));
    late.commit().await.unwrap();
    let after = read_on(&*reader, &thing(), &mut cursor, 2).await;
    assert!(after.contains(&"1".to_owned()), "{after:?}");
}

#[tokio::test]
async fn a_transaction_20_seconds_older_than_everybody_holds_the_cursor() {
    let bed = Bed::postgres().await;
    let Bed::Postgres(database) = &bed else { unreachable!("made above") };
    table(&bed).await;
    let reader = bed.reader();
    let mut cursor = Cursor::default();
    read_on(&*reader, &thing(), &mut cursor, 10).await;
    let mut late = database.pool().begin().await.unwrap();
    // Begun, and nothing written yet: no transaction id, but its `now()` is fixed.
    late.execute("SELECT 1").await.unwrap();
    let begun = reader.changes(&thing(), &cursor, 10).await.unwrap();
    let watermark = Mutex::new(begun.watermark.unwrap());
    // The clock moves on by more than the safety margin; the watermark does not.
    let started = begun.window.high;
    wait_until(|| async {
        let page = reader.changes(&thing(), &cursor, 10).await.unwrap();
        *watermark.lock().await = page.watermark.unwrap();
        page.window.high.since(started) > Duration::from_secs(3)
    })
    .await;
    assert!(*watermark.lock().await <= started, "the watermark passed an open transaction");
    late.execute("INSERT INTO x VALUES (1, now())").await.unwrap();
    late.commit().await.unwrap();
    assert_eq!(read_on(&*reader, &thing(), &mut cursor, 10).await, ["1"]);
}

#[tokio::test]
async fn elsewhere_a_declared_delay_covers_late_commits() {
    for bed in [Bed::mariadb().await, Bed::sqlite().await] {
        table(&bed).await;
        let mut system = bed.system();
        system.commit_delay = Duration::from_secs(60);
        let reader = open(&system);
        let mut cursor = Cursor::default();
        read_on(&*reader, &thing(), &mut cursor, 10).await;
        insert(&bed, 2, 0).await;
        assert_eq!(read_on(&*reader, &thing(), &mut cursor, 10).await, ["2"], "{}", bed.name());
        // Stamped 30 seconds ago, visible only now.
        insert(&bed, 1, -30).await;
        assert_eq!(read_on(&*reader, &thing(), &mut cursor, 10).await, ["1", "2"], "{}", bed.name());
    }
}

#[tokio::test]
async fn stamps_in_whole_seconds_get_siblings_in_the_same_second() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (id int, at timestamp(0))",
            "CREATE TABLE x (id int, at datetime)",
            "CREATE TABLE x (id int, at TEXT)",
        ))
        .await;
        let now = bed.pick(
            "date_trunc('second', clock_timestamp() AT TIME ZONE 'UTC')",
            "utc_timestamp()",
            "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')",
        );
        let reader = bed.reader();
        let mut cursor = Cursor::default();
        read_on(&*reader, &thing(), &mut cursor, 10).await;
        let cursor = Mutex::new(cursor);
        wait_until(async || {
            let mut cursor = cursor.lock().await;
            bed.run("DELETE FROM x").await;
            bed.run(&format!("INSERT INTO x VALUES (1, {now})")).await;
            assert_eq!(read_on(&*reader, &thing(), &mut cursor, 10).await, ["1"], "{}", bed.name());
            // On a busy machine the second may be over: then there is no sibling, and all begins anew.
            bed.run(&format!("INSERT INTO x SELECT 2, at FROM x WHERE at = {now}")).await;
            let read = read_on(&*reader, &thing(), &mut cursor, 10).await;
            let all = read_on(&*reader, &thing(), &mut Cursor::from_beginning(), 10).await;
            let has_sibling = all == ["1", "2"];
            assert!(!has_sibling || read == all, "{}: {read:?}", bed.name());
            has_sibling
        })
        .await;
    }
}

#[tokio::test]
async fn stamps_from_the_future_do_not_carry_the_cursor_away() {
    for bed in Bed::each().await {
        table(&bed).await;
        let reader = bed.reader();
        let mut cursor = Cursor::default();
        read_on(&*reader, &thing(), &mut cursor, 10).await;
        insert(&bed, 1, 86_400).await;
        assert_eq!(read_on(&*reader, &thing(), &mut cursor, 10).await, ["1"], "{}: seen at once", bed.name());
        insert(&bed, 2, 0).await;
        assert_eq!(read_on(&*reader, &thing(), &mut cursor, 1).await.first().unwrap(), "2", "{}", bed.name());
    }
}

#[tokio::test]
async fn pages_cut_within_one_stamp_lose_neither_nulls_nor_duplicates() {
    for bed in Bed::each().await {
        bed.run(bed.pick(
            "CREATE TABLE x (id text, at timestamptz, v int);
             INSERT INTO x SELECT CASE WHEN n % 10 = 0 THEN NULL WHEN n % 10 < 4 THEN 'same' ELSE 'k' || n END,
                 '2026-01-01', n FROM generate_series(1, 100) n",
            "CREATE TABLE x (id varchar(20), at datetime, v int) AS
             SELECT CASE WHEN seq % 10 = 0 THEN NULL WHEN seq % 10 < 4 THEN 'same' ELSE concat('k', seq) END id,
                 '2026-01-01' at, seq v FROM seq_1_to_100",
            "CREATE TABLE x (id TEXT, at TEXT, v int);
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100)
             INSERT INTO x SELECT CASE WHEN n % 10 = 0 THEN NULL WHEN n % 10 < 4 THEN 'same' ELSE 'k' || n END,
                 '2026-01-01 00:00:00', n FROM n",
        ))
        .await;
        let mapping = stamped(mapping("x", 1, &[("id", FieldType::Text), ("v", FieldType::Integer)]), "at");
        let reader = bed.reader();
        for limit in [1, 7, 1000] {
            let mut cursor = Cursor::from_beginning();
            let mut seen = BTreeSet::new();
            loop {
                let page = reader.changes(&mapping, &cursor, limit).await.unwrap();
                seen.extend(page.records.iter().map(|record| record.fields[1].to_string().parse::<i64>().unwrap()));
                cursor = page.next;
                if page.complete {
                    break;
                }
            }
            assert_eq!(seen, (1..=100).collect(), "{} with pages of {limit}", bed.name());
        }
    }
}

#[tokio::test]
async fn stamps_may_be_numbers() {
    for bed in Bed::each().await {
        bed.run("CREATE TABLE x (id int, at bigint)").await;
        let now = bed.pick(
            "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            "unix_timestamp(now(3)) * 1000",
            "CAST(strftime('%s', 'now') AS INTEGER) * 1000",
        );
        let mut mapping = thing();
        mapping.changed_at = mapping.changed_at.map(|stamp| Stamp { epoch: Some(EpochUnit::Milliseconds), ..stamp });
        let reader = bed.reader();
        let mut cursor = Cursor::default();
        bed.run(&format!("INSERT INTO x VALUES (1, {now} - 100000)")).await;
        assert!(read_on(&*reader, &mapping, &mut cursor, 10).await.is_empty(), "{}", bed.name());
        bed.run(&format!("INSERT INTO x VALUES (2, {now})")).await;
        assert_eq!(read_on(&*reader, &mapping, &mut cursor, 10).await, ["2"], "{}", bed.name());
    }
}

#[tokio::test]
async fn a_table_wide_sequence_can_stand_in_for_a_stamp() {
    for bed in Bed::each().await {
        bed.run("CREATE TABLE x (id int, seq bigint)").await;
        bed.run("INSERT INTO x VALUES (1, 100)").await;
        let mapping = sequenced(mapping("x", 1, &[("id", FieldType::Integer)]), "seq");
        let reader = bed.reader();
        let mut cursor = Cursor::default();
        assert!(read_on(&*reader, &mapping, &mut cursor, 10).await.is_empty(), "{}", bed.name());
        bed.run("INSERT INTO x VALUES (3, 103)").await;
        assert_eq!(read_on(&*reader, &mapping, &mut cursor, 1).await.last().unwrap(), "3", "{}", bed.name());
        // A number that was handed out before and committed later.
        bed.run("INSERT INTO x VALUES (2, 102)").await;
        let seen = read_on(&*reader, &mapping, &mut cursor, 10).await;
        assert!(seen.contains(&"2".to_owned()), "{}: {seen:?}", bed.name());
        let cursor = Mutex::new(cursor);
        wait_until(|| async {
            let mut cursor = cursor.lock().await;
            read_on(&*reader, &mapping, &mut cursor, 10).await.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_cursor_of_another_mapping_is_refused() {
    let bed = Bed::sqlite().await;
    table(&bed).await;
    bed.run("CREATE TABLE y (id int, at TEXT)").await;
    let reader = bed.reader();
    let page = reader.changes(&thing(), &Cursor::default(), 10).await.unwrap();
    let other = stamped(mapping("y", 1, &[("id", FieldType::Integer)]), "at");
    let error = reader.changes(&other, &page.next, 10).await.unwrap_err();
    assert_eq!(error.reason_code(), "cursor", "{error}");
    let error = reader.changes(&thing(), &Cursor(vec![200, 1, 2]), 10).await.unwrap_err();
    assert_eq!(error.reason_code(), "cursor", "{error}");
}

/// Writers that take their stamp, dawdle, and commit in any order.
struct Writers {
    bed: Arc<Bed>,
    seed: u64,
}

const WRITERS: u64 = 6;
const COMMITS: u64 = 25;

impl Writers {
    async fn run(self) {
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let bed = self.bed.clone();
            let mut random = StdRng::seed_from_u64(self.seed * 1000 + writer);
            tasks.spawn(async move {
                for turn in 0..COMMITS {
                    let id = writer * COMMITS + turn;
                    let dawdle = Duration::from_millis(random.random_range(0..60));
                    write(&bed, id, dawdle).await;
                }
            });
        }
        tasks.join_all().await;
    }
}

/// The wait is the workload itself: a transaction that is slow to commit.
async fn write(bed: &Bed, id: u64, dawdle: Duration) {
    match bed {
        Bed::Postgres(database) => {
            let mut transaction = database.pool().begin().await.unwrap();
            transaction.execute(sqlx::AssertSqlSafe(format!("INSERT INTO x VALUES ({id}, now())"))).await.unwrap();
            tokio::time::sleep(dawdle).await;
            transaction.commit().await.unwrap();
        }
        Bed::Mariadb(database) => {
            let mut transaction = database.pool().begin().await.unwrap();
            let insert = format!("INSERT INTO x VALUES ({id}, utc_timestamp(6))");
            transaction.execute(sqlx::AssertSqlSafe(insert)).await.unwrap();
            tokio::time::sleep(dawdle).await;
            transaction.commit().await.unwrap();
        }
        Bed::Sqlite(_) => {
            insert(bed, i64::try_from(id).unwrap(), -i64::try_from(dawdle.as_millis() % 2).unwrap()).await
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_under_concurrent_writers_skips_nothing() {
    for bed in Bed::each().await {
        table(&bed).await;
        let mut system = bed.system();
        // PostgreSQL finds out by itself.
        system.commit_delay = bed.pick(Duration::ZERO, Duration::from_secs(30), Duration::from_secs(30));
        let (bed, reader) = (Arc::new(bed), open(&system));
        let mut cursor = reader.changes(&thing(), &Cursor::default(), 10).await.unwrap().next;
        let writers = tokio::spawn(Writers { bed: bed.clone(), seed: 42 }.run());
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut last = false;
        loop {
            for key in read_on(&*reader, &thing(), &mut cursor, 7).await {
                *seen.entry(key).or_default() += 1;
            }
            if last {
                break;
            }
            last = writers.is_finished();
        }
        writers.await.unwrap();
        assert_eq!(seen.len() as u64, WRITERS * COMMITS, "{}", bed.name());
    }
}
