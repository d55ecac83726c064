//! Keys: composite, text under collations that take different texts for equal, null, and held more than once.

use plumbline::model::Verdict;

use super::pair::{Database, Pair, Product, Setup};

/// A table without a unique key.
async fn create_loose(database: &Database) {
    let stamp = database.stamp();
    database.run(&format!("CREATE TABLE stock (sku varchar(60), qty integer, updated_at {stamp} NOT NULL)")).await;
}

async fn add(database: &Database, sku: &str, qty: i64) {
    let now = database.now();
    database.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES ({sku}, {qty}, {now})")).await;
}

async fn loose(owner: Product, target: Product) -> Pair {
    let pair = Pair::empty(owner, target).await;
    create_loose(&pair.owner).await;
    create_loose(&pair.target).await;
    pair
}

const PAIRS: [(Product, Product); 3] =
    [(Product::Postgres, Product::Mariadb), (Product::Mariadb, Product::Postgres), (Product::Sqlite, Product::Sqlite)];

#[tokio::test]
async fn a_key_that_the_target_holds_twice_is_a_duplicate() {
    for (owner, target) in PAIRS {
        let pair = loose(owner, target).await;
        let mut world = pair.world("1s").await;
        add(&pair.owner, "'A'", 1).await;
        add(&pair.target, "'A'", 1).await;
        add(&pair.target, "'A'", 1).await;
        world.look_until_verdict("A", Verdict::Duplicate).await;
        assert_eq!(world.open_discrepancies().await, 1);
        pair.target.run("DELETE FROM stock").await;
        add(&pair.target, "'A'", 1).await;
        world.look_until_verdict("A", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }
}

#[tokio::test]
async fn a_key_that_the_owner_holds_twice_is_a_duplicate() {
    for (owner, target) in PAIRS {
        let pair = loose(owner, target).await;
        let mut world = pair.world("1s").await;
        add(&pair.owner, "'A'", 1).await;
        add(&pair.owner, "'A'", 2).await;
        add(&pair.target, "'A'", 2).await;
        world.look_until_verdict("A", Verdict::Duplicate).await;
        assert_eq!(world.open_discrepancies().await, 1);
    }
}

#[tokio::test]
async fn a_key_that_is_null_is_invalid_and_stops_nothing() {
    for (owner, target) in PAIRS {
        let pair = loose(owner, target).await;
        let mut world = pair.world("1s").await;
        add(&pair.owner, "NULL", 1).await;
        add(&pair.target, "NULL", 1).await;
        add(&pair.owner, "'A'", 1).await;
        add(&pair.target, "'A'", 1).await;
        world.look_until_verdict("A", Verdict::Match).await;
        let row = world.look_until_verdict("null", Verdict::Invalid).await;
        assert_eq!(row.reason, "key");
        world.changes().await;
        assert_eq!(world.checks().iter().filter(|row| row.key == "null").count(), 1, "it is told once");
    }
}

#[tokio::test]
async fn a_collation_that_ignores_case_does_not_mix_up_two_keys() {
    // The owner tells `a` from `A`; the target finds `A` when asked for `a`.
    for (owner, target) in [(Product::Postgres, Product::Mariadb), (Product::Sqlite, Product::Sqlite)] {
        let pair = Pair::empty(owner, target).await;
        create_loose(&pair.owner).await;
        let collation = if target == Product::Mariadb { "COLLATE utf8mb4_general_ci" } else { "COLLATE NOCASE" };
        let stamp = pair.target.stamp();
        let columns = format!("sku varchar(60) {collation} PRIMARY KEY, qty integer, updated_at {stamp}");
        pair.target.run(&format!("CREATE TABLE stock ({columns})")).await;
        let mut world = pair.world("1s").await;
        add(&pair.owner, "'a'", 1).await;
        add(&pair.owner, "'A'", 2).await;
        add(&pair.target, "'A'", 2).await;
        world.look_until_verdict("A", Verdict::Match).await;
        world.look_until_verdict("a", Verdict::Missing).await;
        assert_eq!(world.open_discrepancies().await, 1);
    }
}

#[tokio::test]
async fn blanks_at_the_end_of_a_key_tell_two_keys_apart() {
    // MariaDB's usual collations take `x ` for `x`.
    for (owner, target) in PAIRS {
        let pair = loose(owner, target).await;
        let mut world = pair.world("1s").await;
        add(&pair.owner, "'x'", 1).await;
        add(&pair.owner, "'x '", 2).await;
        add(&pair.target, "'x '", 2).await;
        world.look_until_verdict("x ", Verdict::Match).await;
        world.look_until_verdict("x", Verdict::Missing).await;
        assert_eq!(world.open_discrepancies().await, 1);
    }
}

const COMPOSITE: Setup<'static> = Setup {
    deadline: "1s",
    plumbline: "",
    erp: "commit_delay = \"2s\"",
    store: "commit_delay = \"2s\"",
    entity: r#"
        key = ["shop", "number"]
        fields.shop = { type = "text", store = "clear" }
        fields.number = { type = "integer", store = "clear" }
        fields.qty = { type = "integer", owner = "erp" }
    "#,
    in_erp: r#"
        dataset = "stock"
        changed_at = "updated_at"
        fields = { shop = "shop", number = "number", qty = "qty" }
    "#,
    in_store: r#"
        dataset = "stock"
        changed_at = "updated_at"
        fields = { shop = "shop", number = { path = "ref", steps = [{ strip_prefix = "WC-" }] }, qty = "qty" }
    "#,
    more: super::pair::PROBE,
};

#[tokio::test]
async fn composite_keys_are_told_apart_in_every_part() {
    for (owner, target) in PAIRS {
        let pair = Pair::empty(owner, target).await;
        let (stamp, now) = (pair.owner.stamp(), pair.owner.now());
        let key = "PRIMARY KEY (shop, number)";
        let columns = format!("shop varchar(20), number bigint, qty integer, updated_at {stamp}, {key}");
        pair.owner.run(&format!("CREATE TABLE stock ({columns})")).await;
        let (target_stamp, target_now) = (pair.target.stamp(), pair.target.now());
        let columns = format!("shop varchar(20), ref varchar(20), qty integer, updated_at {target_stamp}");
        pair.target.run(&format!("CREATE TABLE stock ({columns}, PRIMARY KEY (shop, ref))")).await;
        let mut world = pair.world_with(COMPOSITE).await;
        for (shop, number, qty) in [("eu", 1, 10), ("eu", 2, 20), ("us", 1, 30), ("eu", 11, 40)] {
            pair.owner.run(&format!("INSERT INTO stock VALUES ('{shop}', {number}, {qty}, {now})")).await;
        }
        // `eu / 2` is missing, `us / 1` has the quantity of `eu / 1`.
        for (shop, number, qty) in [("eu", 1, 10), ("us", 1, 10), ("eu", 11, 40)] {
            let values = format!("'{shop}', 'WC-{number}', {qty}, {target_now}");
            pair.target.run(&format!("INSERT INTO stock VALUES ({values})")).await;
        }
        world.look_until_verdict("eu / 1", Verdict::Match).await;
        world.look_until_verdict("eu / 11", Verdict::Match).await;
        world.look_until_verdict("eu / 2", Verdict::Missing).await;
        world.look_until_verdict("us / 1", Verdict::Mismatch).await;
        assert_eq!(world.open_discrepancies().await, 2);
    }
}

#[tokio::test]
async fn a_key_that_names_a_person_leaves_the_process_hashed() {
    for (owner, target) in PAIRS {
        let pair = loose(owner, target).await;
        let entity = r#"
            key = ["sku"]
            fields.sku = "text"
            fields.qty = { type = "integer", owner = "erp" }
        "#;
        let mut world = pair.world_with(Setup { entity, ..Setup::default() }).await;
        add(&pair.owner, "'bob@example.org'", 1).await;
        add(&pair.owner, "'eve@example.org'", 1).await;
        add(&pair.target, "'bob@example.org'", 2).await;
        world.look_until("both to be bad", |world| world.bad_keys() == 2).await;
        let rows = world.recorder.text_of_all_rows();
        assert!(!rows.contains("example.org"), "{rows}");
        assert!(rows.contains("mismatch") && rows.contains("missing"), "{rows}");
    }
}
