//! Where most rows differ, spans are judged from whole reads of both sides: exactly, in little memory, also while both are written.

use std::sync::Arc;

use plumbline::model::Verdict;
use plumbline::sweep::Strategy;

use super::bed::{Swept, Way, Writer, config_of, run, sweep};
use crate::verdicts::pair::{Pair, Product};

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
    fields.name = { type = "text", owner = "erp" }
"#;
const MAPPING: &str = r#"
    dataset = "item"
    changed_at = "changed"
    fields = { id = "id", qty = "qty", name = "name" }
"#;
const ROWS: usize = 20_000;

/// Twenty thousand rows of a day ago, the same on both sides, that the databases have counted.
async fn rows(target: Product) -> Pair {
    let pair = Pair::empty(Product::Postgres, target).await;
    for side in [&pair.owner, &pair.target] {
        let (stamp, series, count) = match side.product() {
            Product::Mariadb => ("datetime(6)", format!("SELECT seq AS n FROM seq_1_to_{ROWS}"), "ANALYZE TABLE item"),
            _ => ("timestamp", format!("SELECT n FROM generate_series(1, {ROWS}) s(n)"), "ANALYZE item"),
        };
        let table = format!("CREATE TABLE item (id bigint PRIMARY KEY, qty bigint, name varchar(40), changed {stamp})");
        let fill = format!("INSERT INTO item SELECT n, n, concat('item ', n), '2026-01-01' FROM ({series}) AS source");
        run(side, &[&table, &fill, count]).await;
    }
    pair
}

/// Of which keys something else was found than expected.
fn others(swept: &Swept, expect: impl Fn(usize) -> Option<&'static str>) -> Vec<String> {
    let found = |key: usize| {
        let (verdict, fields) = swept.found.get(&key.to_string())?;
        Some(format!("{verdict} {}", fields.join(",")).trim().to_owned())
    };
    let wrong = |key: &usize| found(*key).as_deref() != expect(*key);
    (0..ROWS + 2_000).filter(wrong).map(|key| format!("{key}: {:?}", found(key))).take(10).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_differs_is_judged_by_whole_reads_and_in_little_memory() {
    // A piece holds a few hundred rows, then most of all.
    for (target, memory) in [(Product::Mariadb, 1 << 20), (Product::Postgres, 64 << 20)] {
        let pair = rows(target).await;
        run(
            &pair.target,
            &[
                "UPDATE item SET qty = qty + 1",
                "UPDATE item SET name = 'other' WHERE id > 15000",
                "DELETE FROM item WHERE id BETWEEN 7001 AND 7300",
                "INSERT INTO item VALUES (0, 1, 'extra', '2026-01-01'), (21999, 1, 'extra', '2026-01-01')",
                // A few are the same among the many that are not.
                "UPDATE item SET qty = qty - 1 WHERE id BETWEEN 9000 AND 9100",
            ],
        )
        .await;
        let expect = |key: usize| match key {
            0 | 21_999 => Some("extra"),
            7_001..=7_300 => Some("missing"),
            9_000..=9_100 => None,
            1..=15_000 => Some("mismatch qty"),
            15_001..=20_000 => Some("mismatch qty,name"),
            _ => None,
        };
        let config = config_of(&pair, ENTITY, MAPPING, MAPPING);
        let swept = sweep(&config, &pair, Way { memory, ..Way::default() }).await;
        assert_eq!(others(&swept, expect), Vec::<String>::new(), "{target:?} {memory}");
        assert_eq!(swept.strategy(), Strategy::Stream);
        assert!(swept.report.verified_through.is_some());
        assert_eq!(swept.report.piece.owner_rows, 20_000);
        assert_eq!(swept.report.of(Verdict::Match), 0, "what agrees is not checked one by one");
        // Twice, and a first look. To find the keys first and to ask for them then would have been sixty thousand.
        assert!((40_000..50_000).contains(&swept.owner_rows), "{}", swept.owner_rows);
    }
}

/// What is judged in passing is what is judged key by key: of rows that differ in all ways in which rows can, with all kinds of
/// stamps.
#[tokio::test(flavor = "multi_thread")]
async fn spans_say_what_keys_say() {
    const WAYS: &str = r#"
        key = ["id"]
        fields.id = { type = "integer", store = "clear" }
        fields.qty = { type = "integer", owner = "erp", store = "clear" }
        fields.price = { type = "decimal", owner = "erp", store = "hash" }
        fields.made = { type = "timestamp", owner = "erp", store = "masked" }
        fields.name = { type = "text", owner = "erp" }
    "#;
    const HELD: &str = r#"
        dataset = "item"
        changed_at = "changed"
        scope = [{ path = "kept", eq = "yes" }]
        fields = { id = "id", qty = "qty", price = "price", made = "made", name = "name" }
    "#;
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    let stamp = "timestamp '2026-01-01'";
    for side in [&pair.owner, &pair.target] {
        let fill = format!(
            "INSERT INTO item SELECT n, n, n * 0.25, {stamp} + n * interval '1 s', concat('item ', n), 'yes', {stamp}
             FROM generate_series(1, 6000) s(n)"
        );
        let table =
            "CREATE TABLE item (id bigint PRIMARY KEY, qty bigint, price numeric, made timestamp, name varchar(40),
             kept varchar(3), changed timestamp)";
        run(side, &[table, "SELECT setseed(0.1)", &fill, "ANALYZE item"]).await;
    }
    // Every row differs in some of these ways, or in none.
    for (side, seed) in [(&pair.owner, 3), (&pair.target, 5)] {
        let some = |ways: u64, change: &str| {
            format!("UPDATE item SET {change} WHERE abs(hashint8(id * {seed} + {ways}) % {ways}) = 0")
        };
        let statements = [
            some(3, "qty = qty + 1"),
            some(5, "price = -price, changed = changed + interval '1 h'"),
            some(7, "name = NULL, changed = NULL"),
            some(11, "made = 'infinity'"),
            some(13, "kept = 'no'"),
            some(17, "changed = changed - interval '2 h 0.5 s', name = repeat('é', 40)"),
            "DELETE FROM item WHERE abs(hashint8(id) % 19) = ".to_owned() + if seed == 3 { "1" } else { "2" },
        ];
        for statement in statements {
            side.run(&statement).await;
        }
    }
    let config = config_of(&pair, WAYS, HELD, HELD);
    let keys = sweep(&config, &pair, Way::by(Strategy::Digest)).await;
    for memory in [1 << 20, 64 << 20] {
        let spans = sweep(&config, &pair, Way { memory, ..Way::by(Strategy::Stream) }).await;
        let differ = keys.said.iter().filter(|(key, said)| spans.said.get(*key) != Some(said)).take(5);
        let differ: Vec<_> = differ.map(|(key, said)| (said, spans.said.get(key))).collect();
        assert!(differ.is_empty(), "{differ:#?}");
        let more: Vec<_> = spans.said.iter().filter(|(key, _)| !keys.said.contains_key(*key)).take(5).collect();
        assert!(more.is_empty(), "{more:#?}");
        assert_eq!(spans.said.len(), keys.said.len());
        assert_eq!(spans.report.keys[1..], keys.report.keys[1..]);
    }
    for verdict in [Verdict::Missing, Verdict::Extra, Verdict::Mismatch, Verdict::Stale, Verdict::Invalid] {
        assert!(keys.report.of(verdict) > 50, "{verdict}: {}", keys.report.of(verdict));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_while_spans_are_judged_is_no_difference() {
    let pair = Arc::new(rows(Product::Mariadb).await);
    run(&pair.target, &["UPDATE item SET qty = qty + 1 WHERE id > 2000"]).await;
    let written = Arc::clone(&pair);
    let writer = Writer::start(move |number| {
        let pair = Arc::clone(&written);
        async move {
            let (id, new) = (number * 7919 % 2_000 + 1, 30_000 + number);
            for (side, now) in [(&pair.owner, "now() AT TIME ZONE 'UTC'"), (&pair.target, "utc_timestamp(6)")] {
                side.run(&format!("UPDATE item SET qty = qty + 1, changed = {now} WHERE id = {id}")).await;
                side.run(&format!("INSERT INTO item VALUES ({new}, 1, 'new', {now})")).await;
            }
        }
    });
    let config = config_of(&pair, ENTITY, MAPPING, MAPPING);
    let expect = |key: usize| (2_001..=ROWS).contains(&key).then_some("mismatch qty");
    for memory in [1 << 20, 64 << 20] {
        let before = writer.written();
        let swept = sweep(&config, &pair, Way { memory, ..Way::default() }).await;
        assert_eq!(others(&swept, expect), Vec::<String>::new(), "{memory}");
        writer.goes_on(before).await;
    }
    writer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_differences_as_were_asked_for_and_no_more() {
    let pair = rows(Product::Postgres).await;
    run(&pair.target, &["UPDATE item SET qty = qty + 1"]).await;
    let config = config_of(&pair, ENTITY, MAPPING, MAPPING);
    for most in [1, 10, 3_000] {
        let swept = sweep(&config, &pair, Way { most_differences: Some(most), ..Way::default() }).await;
        assert_eq!((swept.found.len() as u64, swept.report.verified_through), (most, None));
    }
}
