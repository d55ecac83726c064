//! Keys that are texts or UUIDs: hashed as they come, in little memory, whatever the columns are; about how much differs is said
//! before.

use std::collections::BTreeMap;

use plumbline::audit::sweep::Ended;
use plumbline::sweep::Strategy;

use super::bed::{Way, config, run, sweep};
use crate::verdicts::pair::{Database, Pair, Product};

const ROWS: u64 = 24_000;

/// Rows with keys that follow from their numbers and lie nowhere near in their order.
async fn fill(database: &Database, key: &str) {
    let is_maria = database.product() == Product::Mariadb;
    let (column, value) = match (key, is_maria) {
        ("uuid", true) => (
            "char(36) CHARACTER SET ascii",
            "insert(insert(insert(insert(md5(n), 21, 0, '-'), 17, 0, '-'), 13, 0, '-'), 9, 0, '-')",
        ),
        ("uuid", false) => ("uuid", "md5(n::text)::uuid"),
        (_, true) => ("varchar(40)", "concat('K-', md5(n))"),
        (_, false) => ("varchar(40)", "'K-' || md5(n::text)"),
    };
    let series = if is_maria { format!("seq_1_to_{ROWS}") } else { format!("generate_series(1, {ROWS})") };
    let number = if is_maria { "seq AS n" } else { "generate_series AS n" };
    let count = if is_maria { "ANALYZE TABLE item" } else { "VACUUM ANALYZE item" };
    let table = format!("CREATE TABLE item (id {column} PRIMARY KEY, n bigint, qty bigint)");
    let rows = format!("INSERT INTO item SELECT {value}, n, n FROM (SELECT {number} FROM {series}) AS source");
    run(database, &[&table, &rows, count]).await;
}

/// The keys of some rows of a PostgreSQL, as texts.
async fn keys(database: &Database, which: &str) -> Vec<String> {
    let pool = sqlx::PgPool::connect(&database.url()).await.unwrap();
    let statement = format!("SELECT id::text FROM item WHERE {which}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_all(&pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenth_of_many_uuids_and_texts() {
    use Product::{Mariadb, Postgres};
    for (owner, target, key) in [(Postgres, Mariadb, "uuid"), (Mariadb, Postgres, "text"), (Postgres, Postgres, "uuid")]
    {
        let pair = Pair::empty(owner, target).await;
        for side in [&pair.owner, &pair.target] {
            fill(side, key).await;
        }
        let known = if owner == Postgres { &pair.owner } else { &pair.target };
        let mut expect: BTreeMap<String, String> = BTreeMap::new();
        let lost = keys(known, "n <= 30").await;
        let changed = keys(known, "n > 30 AND n % 10 = 0").await;
        expect.extend(lost.into_iter().map(|key| (key, "missing ".to_owned())));
        expect.extend(changed.into_iter().map(|key| (key, "mismatch qty".to_owned())));
        let extra = if key == "uuid" { "ffffffff-0000-0000-0000-000000000001" } else { "K-extra" };
        expect.insert(extra.to_owned(), "extra ".to_owned());
        let insert = format!("INSERT INTO item VALUES ('{extra}', 0, 0)");
        run(&pair.target, &["DELETE FROM item WHERE n <= 30", "UPDATE item SET qty = -n WHERE n % 10 = 0", &insert])
            .await;
        for as_type in if key == "uuid" { &["uuid", "text"][..] } else { &["text"] } {
            let config = config(&pair, as_type, &[("qty", "type = \"integer\"")], "");
            let swept = sweep(&config, &pair, Way { memory: 1 << 20, ..Way::default() }).await;
            let found: BTreeMap<String, String> = swept
                .found
                .iter()
                .map(|(key, (verdict, fields))| (key.clone(), format!("{verdict} {}", fields.join(","))))
                .collect();
            assert_eq!(swept.report.ended, Ended::Complete);
            assert!(found == expect, "{owner:?} {target:?} {key}: {} found, {} planted", found.len(), expect.len());
            // Where the databases could compare, most buckets of keys would differ.
            assert_eq!(swept.strategy(), Strategy::Stream, "{:?}", swept.report.choice);
            let about = swept.report.about.expect("a first look");
            assert!((ROWS / 14..ROWS / 7).contains(&about), "about {about} of {ROWS}");
        }
    }
}
