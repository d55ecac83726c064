//! Keys that lead back to no row: found by the index that Plumbline keeps, on either side.

use std::sync::Arc;

use plumbline::connect::{KeyIndex, Reader};
use plumbline::model::Verdict;
use sqlx::{Connection, Executor};

use super::between::{Agenda, Between};
use super::pair::{Database, Pair, Product, STOCK, Setup};
use super::sampling::SAMPLE;
use crate::world::World;

/// Codes are written as people like; the common key is trimmed and in capitals.
const BY_CODE: &str = r#"
    dataset = "articles"
    native = "id"
    changed_at = "updated_at"
    fields.sku = { path = "code", steps = ["trim", "upper"] }
    fields.qty = "qty"
"#;

async fn create_articles(database: &Database) {
    let stamp = database.stamp();
    let columns = format!("id integer PRIMARY KEY, code varchar(60), qty integer, updated_at {stamp} NOT NULL");
    database.run(&format!("CREATE TABLE articles ({columns})")).await;
    database.run("CREATE INDEX articles_updated_at ON articles (updated_at)").await;
}

async fn put(database: &Database, id: i64, code: &str, qty: i64) {
    let now = database.now();
    database.run(&format!("INSERT INTO articles VALUES ({id}, '{code}', {qty}, {now})")).await;
}

async fn rename(database: &Database, id: i64, code: &str) {
    let now = database.now();
    database.run(&format!("UPDATE articles SET code = '{code}', updated_at = {now} WHERE id = {id}")).await;
}

/// Stock by code at the owner, articles as people write them at the target.
async fn target_by_code(pair: Pair) -> Pair {
    let pair = Pair::empty(pair.owner.product(), pair.target.product()).await;
    pair.owner.create_stock().await;
    create_articles(&pair.target).await;
    pair
}

async fn world(pair: &Pair) -> World {
    pair.world_with(Setup { in_store: BY_CODE, ..Setup::default() }).await
}

fn entries(world: &World) -> u64 {
    world.indexes.all().iter().filter_map(|index| KeyIndex::status(index)).map(|status| status.entries).sum()
}

on_each_pair! {
    async fn a_record_is_found_however_its_key_is_written(pair: Pair) {
        let pair = target_by_code(pair).await;
        put(&pair.target, 1, " a-17 ", 3).await;
        let mut world = world(&pair).await;
        pair.owner.put("A-17", 3).await;
        world.look_until_verdict("A-17", Verdict::Match).await;
        pair.owner.put("A-18", 4).await;
        world.look_until_verdict("A-18", Verdict::Missing).await;
        put(&pair.target, 2, "a-18", 4).await;
        world.look_until_verdict("A-18", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
        assert_eq!(entries(&world), 2);
    }

    async fn a_record_that_is_deleted_for_good_is_missing(pair: Pair) {
        let pair = target_by_code(pair).await;
        put(&pair.target, 1, "a-1", 3).await;
        let mut world = world(&pair).await;
        pair.owner.put("A-1", 3).await;
        world.look_until_verdict("A-1", Verdict::Match).await;
        pair.target.run("DELETE FROM articles").await;
        pair.owner.put("A-1", 4).await;
        world.look_until_verdict("A-1", Verdict::Missing).await;
        assert_eq!(entries(&world), 0, "the address that is gone was dropped");
    }

    async fn a_key_that_changes_in_place_leaves_the_old_one_missing(pair: Pair) {
        let pair = target_by_code(pair).await;
        put(&pair.target, 1, "a-1", 3).await;
        let mut world = world(&pair).await;
        pair.owner.put("A-1", 3).await;
        world.look_until_verdict("A-1", Verdict::Match).await;
        rename(&pair.target, 1, "a-2").await;
        pair.owner.put("A-2", 3).await;
        world.look_until_verdict("A-2", Verdict::Match).await;
        pair.owner.put("A-1", 3).await;
        pair.owner.put("A-1", 4).await;
        world.look_until_verdict("A-1", Verdict::Missing).await;
        rename(&pair.target, 1, "A-1").await;
        pair.target.run("UPDATE articles SET qty = 4").await;
        world.look_until_verdict("A-1", Verdict::Match).await;
    }

    async fn two_rows_of_one_key_are_a_duplicate_until_one_goes(pair: Pair) {
        let pair = target_by_code(pair).await;
        put(&pair.target, 1, "a-1", 3).await;
        put(&pair.target, 2, "A-1 ", 3).await;
        let mut world = world(&pair).await;
        pair.owner.put("A-1", 3).await;
        world.look_until_verdict("A-1", Verdict::Duplicate).await;
        pair.target.run("DELETE FROM articles WHERE id = 2").await;
        world.look_until_verdict("A-1", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn an_owner_is_read_again_by_the_key_of_its_changes(pair: Pair) {
        let pair = Pair::empty(pair.owner.product(), pair.target.product()).await;
        create_articles(&pair.owner).await;
        pair.target.create_stock().await;
        put(&pair.owner, 1, "old", 1).await;
        let mut world = pair.world_with(Setup { in_erp: BY_CODE, ..Setup::default() }).await;
        put(&pair.owner, 2, "a-1", 3).await;
        world.look_until_verdict("A-1", Verdict::Missing).await;
        pair.target.put("A-1", 3).await;
        world.look_until_verdict("A-1", Verdict::Match).await;
        rename(&pair.owner, 2, "b-1").await;
        world.look_until_verdict("B-1", Verdict::Missing).await;
        pair.target.put("B-1", 3).await;
        world.look_until_verdict("B-1", Verdict::Match).await;
        pair.owner.run("UPDATE articles SET qty = 9 WHERE id = 2").await;
        put(&pair.owner, 3, " B-1", 3).await;
        world.look_until_verdict("B-1", Verdict::Match).await;
        pair.target.put("B-1", 4).await;
        rename(&pair.owner, 3, "B-1").await;
        world.look_until_verdict("B-1", Verdict::Duplicate).await;
    }

    async fn an_index_goes_on_after_a_restart(pair: Pair) {
        let pair = target_by_code(pair).await;
        for id in 1..=20 {
            put(&pair.target, id, &format!("a-{id}"), id).await;
        }
        let mut world = world(&pair).await;
        pair.owner.put("A-1", 1).await;
        world.look_until_verdict("A-1", Verdict::Match).await;
        // What the index has read before is not given again: rows without their stamps now.
        pair.target.run("UPDATE articles SET updated_at = '2001-01-01 00:00:00' WHERE id <> 20").await;
        world.restart().await;
        put(&pair.target, 21, "a-21", 21).await;
        for id in [2, 19, 21] {
            pair.owner.put(&format!("A-{id}"), id).await;
            world.look_until_verdict(&format!("A-{id}"), Verdict::Match).await;
        }
        assert_eq!(entries(&world), 21);
    }

    async fn samples_walk_addresses_and_ask_the_other_side_by_key(pair: Pair) {
        let pair = target_by_code(pair).await;
        let then = [&pair.owner, &pair.target].map(|side| side.now_and(-86_400));
        // Addresses run against the keys, so that no piece of one side is a piece of the other.
        let owned: Vec<String> = (0..240).map(|n| format!("('K{n:03}', {n}, {})", then[0])).collect();
        let held: Vec<String> = (0..240).map(|n| format!("({}, ' k{n:03}', {n}, {})", 1_000 - n, then[1])).collect();
        pair.owner.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES {}", owned.join(", "))).await;
        pair.target.run(&format!("INSERT INTO articles VALUES {}", held.join(", "))).await;
        let mut world = pair.world_with(Setup { in_store: BY_CODE, more: SAMPLE, ..Setup::default() }).await;
        // None of this moves a stamp; a code that is only written in another way is none of it.
        pair.target.run("UPDATE articles SET qty = -1 WHERE id = 990").await;
        pair.target.run("UPDATE articles SET code = 'K020 ' WHERE id = 980").await;
        pair.target.run("DELETE FROM articles WHERE id = 970").await;
        pair.target.run(&format!("INSERT INTO articles VALUES (2000, 'x1', 1, {})", then[1])).await;
        let both_came_around = |world: &World| {
            let sampled = |measure: &str| world.estimates().iter().rev().find(|row| row.measure == measure).map(|row| row.sampled);
            sampled("agreement").zip(sampled("extra")) == Some((240, 240))
        };
        let began = tokio::time::Instant::now();
        while !both_came_around(&world) {
            assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:#?}", world.estimates().last());
            assert_eq!(world.sample().await.failure, None);
            world.recheck().await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        for (key, verdict) in [("K010", Verdict::Mismatch), ("K030", Verdict::Missing), ("X1", Verdict::Extra)] {
            world.look_until_verdict(key, verdict).await;
        }
        assert_eq!(world.open_discrepancies().await, 3);
        let bad = |measure: &str| world.estimate(measure).bad;
        assert_eq!([bad("agreement"), bad("completeness"), bad("extra")], [2, 1, 1]);
        assert!(world.last("K020").is_none_or(|row| row.is(Verdict::Match)));
    }

    async fn keys_that_change_places_between_two_reads_are_never_missing(pair: Pair) {
        let pair = target_by_code(pair).await;
        put(&pair.target, 1, "a-1", 1).await;
        let agenda = Arc::new(Agenda::default());
        let config = pair.config(Setup { in_store: BY_CODE, ..Setup::default() });
        let around = |reader| Arc::new(Between::new(reader, &agenda)) as Arc<dyn Reader>;
        let mut world = World::open_through(&config, &pair.urls(), around).await;
        pair.owner.put("A-1", 1).await;
        world.look_until_verdict("A-1", Verdict::Match).await;
        // The index knows row 1; when that is fetched, the key has moved to row 2.
        let target = Arc::new(pair.target);
        let moved = Arc::clone(&target);
        agenda.before_keys_of("store", async move {
            moved.run("DELETE FROM articles WHERE id = 1").await;
            put(&moved, 2, "A-1", 2).await;
        });
        pair.owner.put("A-1", 2).await;
        world.look_until("the new state", |world| world.checks().len() > 1).await;
        world.look_until_verdict("A-1", Verdict::Match).await;
        assert_eq!(world.verdicts("A-1"), ["match"], "never missing");
        assert!(agenda.is_done());
    }
}

/// A transaction that was begun before the index had read on, and committed after.
#[tokio::test]
async fn a_late_commit_is_not_lost() {
    let pair = target_by_code(Pair::new(Product::Sqlite, Product::Postgres).await).await;
    let mut world = world(&pair).await;
    let mut late = sqlx::PgConnection::connect(&pair.target.url()).await.unwrap();
    late.execute("BEGIN").await.unwrap();
    late.execute("INSERT INTO articles VALUES (1, 'late', 1, now())").await.unwrap();
    put(&pair.target, 2, "soon", 2).await;
    pair.owner.put("SOON", 2).await;
    world.look_until_verdict("SOON", Verdict::Match).await;
    late.execute("COMMIT").await.unwrap();
    pair.owner.put("LATE", 1).await;
    world.look_until_verdict("LATE", Verdict::Match).await;
    assert_eq!(world.verdicts("LATE"), ["match"]);
}

#[tokio::test]
async fn until_the_index_is_complete_nothing_is_missing() {
    let pair = target_by_code(Pair::new(Product::Sqlite, Product::Sqlite).await).await;
    let now = pair.target.now();
    pair.target
        .run(&format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
             INSERT INTO articles SELECT n, 'a-' || n, n, {now} FROM n"
        ))
        .await;
    let config = pair.config(Setup { in_store: BY_CODE, ..Setup::default() });
    // Two records a page, each page kept on disk: it takes several looks.
    let in_pages = |reader: Arc<dyn Reader>| -> Arc<dyn Reader> {
        Arc::new(Between { page: 2, ..Between::new(reader, &Arc::default()) })
    };
    let mut world = World::open_through(&config, &pair.urls(), in_pages).await;
    pair.owner.put("A-4000", 4_000).await;
    let row = world.look_until_verdict("A-4000", Verdict::Unknown).await;
    assert_eq!(row.reason, "index");
    world.look_until_verdict("A-4000", Verdict::Match).await;
    assert_eq!(world.verdicts("A-4000"), ["unknown", "match"]);
    assert_eq!(entries(&world), 4_000);
    assert_eq!(world.open_discrepancies().await, 0);
    let told = world.indexes.all()[0].lag();
    assert!(told.is_some_and(|lag| lag < std::time::Duration::from_secs(60)), "{told:?}");
}

/// Keys of owner and target agree only because `STOCK` has none to translate.
#[tokio::test]
async fn an_index_that_is_asked_for_serves_a_plain_key() {
    let pair = Pair::new(Product::Sqlite, Product::Sqlite).await;
    let in_store = format!("{STOCK}\nkey_index = true\nnative = \"sku\"");
    let mut world = pair.world_with(Setup { in_store: &in_store, ..Setup::default() }).await;
    pair.both("A", 1).await;
    world.look_until_verdict("A", Verdict::Match).await;
    assert_eq!(entries(&world), 1);
}
