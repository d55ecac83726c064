//! Children: fields of a record that are made of rows of another table.

use std::sync::Arc;
use std::time::Duration;

use plumbline::model::Verdict;
use sqlx::{Connection, Executor};

use super::between::{Agenda, Between};
use super::pair::{Database, PROBE, Pair, Product, Setup};
use super::sampling::{SAMPLE, decided};
use crate::world::World;

const ENTITY: &str = r#"
    key = ["number"]
    fields.number = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
    fields.total = { type = "money", owner = "erp" }
    fields.lines = { type = "integer", owner = "erp" }
    fields.skus = { type = "json", owner = "erp", store = "clear" }
"#;

/// The owner holds lines, the target as well; both refer to the order's own id.
const LINES: &str = r#"
    dataset = "orders"
    native = "id"
    changed_at = "updated_at"
    children.lines = { dataset = "lines", parent = "order_id", changed_at = "changed_at", scope = [{ path = "gone", ne = true }] }
    fields.number = "number"
    fields.qty = { path = "lines[].qty", agg = "sum" }
    fields.total = { path = "lines[].price", agg = "sum", currency = "EUR" }
    fields.lines = { path = "lines[]", agg = "count" }
    fields.skus = { path = "lines[].sku", agg = "list" }
"#;

async fn create(database: &Database) {
    let stamp = database.stamp();
    database
        .run(&format!(
            "CREATE TABLE orders (id integer PRIMARY KEY, number varchar(20) UNIQUE, updated_at {stamp} NOT NULL)"
        ))
        .await;
    database.run("CREATE INDEX orders_updated_at ON orders (updated_at)").await;
    database
        .run(&format!(
            "CREATE TABLE lines_ (id integer PRIMARY KEY, order_id integer, sku varchar(20), qty integer, \
             price decimal(20, 4), gone integer NOT NULL DEFAULT 0, changed_at {stamp} NOT NULL)"
        ))
        .await;
    // `lines` is a reserved word in MariaDB: the reader must quote it.
    let quoted = lines(database);
    database.run(&format!("ALTER TABLE lines_ RENAME TO {quoted}")).await;
    database.run(&format!("CREATE INDEX lines_order ON {quoted} (order_id)")).await;
    database.run(&format!("CREATE INDEX lines_changed ON {quoted} (changed_at, order_id)")).await;
}

/// The quoted name of the lines' table.
fn lines(database: &Database) -> &'static str {
    if database.product() == Product::Mariadb { "`lines`" } else { "\"lines\"" }
}

async fn put_order(database: &Database, id: i64) {
    put_order_at(database, id, database.now()).await;
}

async fn put_order_at(database: &Database, id: i64, stamp: &str) {
    database.run(&format!("INSERT INTO orders VALUES ({id}, 'N{id}', {stamp})")).await;
}

async fn bump(database: &Database, id: i64) {
    let now = database.now();
    database.run(&format!("UPDATE orders SET updated_at = {now} WHERE id = {id}")).await;
}

async fn put_line(database: &Database, id: i64, order: i64, sku: &str, qty: i64, price: &str) {
    put_line_at(database, id, order, (sku, qty, price), database.now()).await;
}

async fn put_line_at(database: &Database, id: i64, order: i64, (sku, qty, price): (&str, i64, &str), stamp: &str) {
    let lines = lines(database);
    database.run(&format!("INSERT INTO {lines} VALUES ({id}, {order}, '{sku}', {qty}, {price}, 0, {stamp})")).await;
}

/// Many lines of one order, in one statement: 10 to the power of `powers`, each with quantity 1 and a price of 0.0001.
async fn put_many_lines(database: &Database, order: i64, powers: usize) {
    database.run("CREATE TABLE digits (d integer PRIMARY KEY)").await;
    database.run("INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)").await;
    let number: Vec<_> = (0..powers).map(|power| format!("d{power}.d * {}", 10_i64.pow(power as u32))).collect();
    let from: Vec<_> = (0..powers).map(|power| format!("digits d{power}")).collect();
    let (number, from, lines, now) = (number.join(" + "), from.join(", "), lines(database), database.now());
    let insert =
        format!("INSERT INTO {lines} SELECT 1000000 + {number}, {order}, 'm', 1, 0.0001, 0, {now} FROM {from}");
    database.run(&insert).await;
    database.run("DROP TABLE digits").await;
}

/// Changes a line and its stamp, and nothing of its order.
async fn change_line(database: &Database, id: i64, set: &str) {
    let (lines, now) = (lines(database), database.now());
    database.run(&format!("UPDATE {lines} SET {set}, changed_at = {now} WHERE id = {id}")).await;
}

async fn delete_line(database: &Database, id: i64) {
    database.run(&format!("DELETE FROM {} WHERE id = {id}", lines(database))).await;
}

/// Order 1 with two lines, written an hour ago: long settled.
async fn two_lines(database: &Database) {
    let then = database.now_and(-3_600);
    put_order_at(database, 1, &then).await;
    put_line_at(database, 11, 1, ("b", 2, "10.05"), &then).await;
    put_line_at(database, 12, 1, ("a", 3, "0.1"), &then).await;
}

fn setup<'a>(in_erp: &'a str, in_store: &'a str) -> Setup<'a> {
    Setup { entity: ENTITY, in_erp, in_store, more: PROBE, ..Setup::default() }
}

async fn world(pair: &Pair) -> World {
    pair.world_with(setup(LINES, LINES)).await
}

/// Both sides with the tables of orders and lines.
async fn with_tables(pair: &Pair) {
    create(&pair.owner).await;
    create(&pair.target).await;
}

on_each_pair! {
    async fn a_child_edited_alone_is_found(pair: Pair) {
        with_tables(&pair).await;
        two_lines(&pair.owner).await;
        two_lines(&pair.target).await;
        let mut world = world(&pair).await;
        change_line(&pair.owner, 11, "qty = 7").await;
        let row = world.look_until_verdict("N1", Verdict::Stale).await;
        assert_eq!(row.fields, ["qty"]);
        change_line(&pair.target, 11, "qty = 7").await;
        world.look_until_verdict("N1", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn a_child_that_leaves_its_scope_names_its_parent(pair: Pair) {
        with_tables(&pair).await;
        two_lines(&pair.owner).await;
        two_lines(&pair.target).await;
        let mut world = world(&pair).await;
        change_line(&pair.owner, 12, "gone = 1").await;
        let row = world.look_until_verdict("N1", Verdict::Stale).await;
        assert_eq!(row.fields, ["qty", "total", "lines", "skus"]);
        change_line(&pair.target, 12, "gone = 1").await;
        world.look_until_verdict("N1", Verdict::Match).await;
    }

    async fn a_deleted_child_is_found_when_the_parent_is_bumped(pair: Pair) {
        with_tables(&pair).await;
        two_lines(&pair.owner).await;
        two_lines(&pair.target).await;
        let mut world = world(&pair).await;
        delete_line(&pair.owner, 12).await;
        world.changes().await;
        assert_eq!(world.last("N1"), None, "nothing moved: the deletion alone is not seen");
        bump(&pair.owner, 1).await;
        world.look_until_verdict("N1", Verdict::Stale).await;
        delete_line(&pair.target, 12).await;
        world.look_until_verdict("N1", Verdict::Match).await;
    }

    async fn a_parent_without_children_agrees_with_one_without(pair: Pair) {
        with_tables(&pair).await;
        let mut world = world(&pair).await;
        put_order(&pair.owner, 2).await;
        put_order(&pair.target, 2).await;
        world.look_until_verdict("N2", Verdict::Match).await;
        put_line(&pair.owner, 21, 2, "x", 0, "0").await;
        let row = world.look_until_verdict("N2", Verdict::Stale).await;
        assert_eq!(row.fields, ["lines", "skus"], "no quantity and no amount sum to zero");
    }

    async fn decimals_add_up_exactly(pair: Pair) {
        with_tables(&pair).await;
        let mut world = world(&pair).await;
        for database in [&pair.owner, &pair.target] {
            put_order(database, 3).await;
        }
        // Ten times a tenth is one, and so is one: as binary floats they differ.
        for line in 0..10 {
            put_line(&pair.owner, 30 + line, 3, "t", 1, "0.1").await;
            put_line(&pair.target, 30 + line, 3, "t", 1, if line == 0 { "1" } else { "0" }).await;
        }
        world.look_until_verdict("N3", Verdict::Match).await;
        change_line(&pair.owner, 30, "price = 0.1001").await;
        let row = world.look_until_verdict("N3", Verdict::Stale).await;
        assert_eq!(row.fields, ["total"]);
        assert_eq!((row.owner_values, row.target_values), (vec!["1.0001 EUR".to_owned()], vec!["1 EUR".to_owned()]));
    }

    async fn a_child_added_between_the_reads_of_the_sandwich_opens_nothing(pair: Pair) {
        with_tables(&pair).await;
        two_lines(&pair.owner).await;
        two_lines(&pair.target).await;
        let pair = Arc::new(pair);
        let agenda = Arc::new(Agenda::default());
        let around = |reader| Arc::new(Between::new(reader, &agenda)) as _;
        let config = pair.config(setup(LINES, LINES));
        let mut world = World::open_through(&config, &pair.urls(), around).await;
        put_line(&pair.target, 13, 1, "c", 4, "1").await;
        bump(&pair.owner, 1).await;
        world.look_until_verdict("N1", Verdict::InFlight).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        // Past the deadline the order would be bad. The owner gets the line while it is read the second time.
        let owner = Arc::clone(&pair);
        agenda.before_keys_of("erp", async {});
        agenda.before_keys_of("erp", async move { put_line(&owner.owner, 13, 1, "c", 4, "1").await });
        world.look_until_verdict("N1", Verdict::Match).await;
        assert!(agenda.is_done());
        assert_eq!(world.discrepancies(), []);
    }

    async fn a_deleted_child_is_found_by_a_sample(pair: Pair) {
        with_tables(&pair).await;
        for database in [&pair.owner, &pair.target] {
            let then = database.now_and(-3_600);
            for order in 1..=60 {
                put_order_at(database, order, &then).await;
                for line in 0..2 {
                    put_line_at(database, order * 10 + line, order, ("s", 2, "1.5"), &then).await;
                }
            }
        }
        let more = format!("{PROBE}{SAMPLE}");
        let mut world = pair.world_with(Setup { more: &more, ..setup(LINES, LINES) }).await;
        delete_line(&pair.owner, 71).await;
        delete_line(&pair.target, 120).await;
        delete_line(&pair.target, 121).await;
        pair.target.run("DELETE FROM orders WHERE id = 30").await;
        world.changes().await;
        assert_eq!(world.checks(), [], "nothing that moves a stamp");
        world.passes(1).await;
        decided(&mut world).await;
        let (agreement, complete) = (world.estimate("agreement"), world.estimate("completeness"));
        assert_eq!((agreement.sampled, agreement.bad, complete.bad), (60, 3, 1), "{agreement:#?}");
        assert_eq!(world.last("N30").unwrap().verdict, "missing");
        for (order, qty) in [("N7", ["2", "4"]), ("N12", ["4", "0"])] {
            let row = world.last(order).unwrap();
            assert_eq!(row.fields, ["qty", "total", "lines", "skus"], "{row:#?}");
            assert_eq!([row.owner_values[0].as_str(), row.target_values[0].as_str()], qty);
        }
        assert_eq!(world.open_discrepancies().await, 3);
    }

    async fn a_moved_child_names_its_new_parent_and_the_old_one_when_that_is_bumped(pair: Pair) {
        with_tables(&pair).await;
        two_lines(&pair.owner).await;
        two_lines(&pair.target).await;
        for database in [&pair.owner, &pair.target] {
            put_order_at(database, 2, &database.now_and(-3_600)).await;
        }
        let mut world = world(&pair).await;
        change_line(&pair.owner, 12, "order_id = 2").await;
        world.look_until_verdict("N2", Verdict::Stale).await;
        assert_eq!(world.last("N1"), None, "the row no longer says where it was");
        bump(&pair.owner, 1).await;
        world.look_until_verdict("N1", Verdict::Stale).await;
        change_line(&pair.target, 12, "order_id = 2").await;
        world.look_until_verdict("N1", Verdict::Match).await;
        world.look_until_verdict("N2", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }

    async fn ten_thousand_children_under_one_parent_add_up(pair: Pair) {
        with_tables(&pair).await;
        let mut world = world(&pair).await;
        put_order(&pair.owner, 4).await;
        put_order(&pair.target, 4).await;
        put_many_lines(&pair.owner, 4, 4).await;
        put_many_lines(&pair.target, 4, 4).await;
        world.look_until_verdict("N4", Verdict::Match).await;
        change_line(&pair.owner, 1_005_000, "price = 0.0002").await;
        let row = world.look_until_verdict("N4", Verdict::Stale).await;
        assert_eq!((row.owner_values, row.target_values), (vec!["1.0001 EUR".to_owned()], vec!["1 EUR".to_owned()]));
    }

    async fn a_restart_goes_on_behind_the_children_that_were_read(pair: Pair) {
        with_tables(&pair).await;
        two_lines(&pair.owner).await;
        two_lines(&pair.target).await;
        let mut world = world(&pair).await;
        change_line(&pair.owner, 11, "qty = 7").await;
        change_line(&pair.target, 11, "qty = 7").await;
        world.look_until_verdict("N1", Verdict::Match).await;
        world.restart().await;
        let known = world.checks().len();
        change_line(&pair.owner, 12, "qty = 8").await;
        world.look_until_verdict("N1", Verdict::Stale).await;
        let since = world.checks().split_off(known);
        assert!(since.iter().all(|row| !row.is(Verdict::Match)), "what was read is not read again: {since:#?}");
    }
}

/// What the owner makes of an order's lines the target holds in columns of one row.
const SUMMARY: &str = r#"
    key = ["number"]
    fields.number = { type = "text", store = "clear" }
    fields.first = { type = "date", owner = "erp" }
    fields.last = { type = "date", owner = "erp" }
    fields.cheapest = { type = "decimal", owner = "erp" }
    fields.dearest = { type = "money", owner = "erp" }
    fields.low = { type = "text", owner = "erp", store = "clear" }
    fields.high = { type = "text", owner = "erp", store = "clear" }
    fields.skus = { type = "json", owner = "erp", store = "clear" }
    fields.amounts = { type = "json", owner = "erp", store = "clear" }
    fields.gifts = { type = "integer", owner = "erp" }
    fields.priced = { type = "integer", owner = "erp" }
"#;

const OF_PARTS: &str = r#"
    dataset = "orders"
    native = "id"
    changed_at = "updated_at"
    children.parts = { dataset = "parts", parent = "order_id", changed_at = "changed_at" }
    fields.number = "number"
    fields.first = { path = "parts[].due", agg = "min" }
    fields.last = { path = "parts[].due", agg = "max" }
    fields.cheapest = { path = "parts[].price", agg = "min" }
    fields.dearest = { path = "parts[].price", agg = "max", currency = "EUR" }
    fields.low = { path = "parts[].sku", agg = "min" }
    fields.high = { path = "parts[].sku", agg = "max" }
    fields.skus = { path = "parts[].sku", agg = "list" }
    fields.amounts = { path = "parts[].qty", agg = "list" }
    fields.gifts = { path = "parts[].qty", agg = "sum", when = { path = "parts[].kind", eq = "gift" } }
    fields.priced = { path = "parts[].price", agg = "count" }
"#;

const IN_COLUMNS: &str = r#"
    dataset = "summaries"
    changed_at = "updated_at"
    fields = { number = "number", first = "first_due", last = "last_due", cheapest = "cheapest", low = "low", high = "high", skus = "skus", amounts = "amounts", gifts = "gifts", priced = "priced", dearest = { path = "dearest", currency = "EUR" } }
"#;

async fn create_parts(database: &Database) {
    let stamp = database.stamp();
    database
        .run(&format!("CREATE TABLE orders (id integer PRIMARY KEY, number varchar(20), updated_at {stamp})"))
        .await;
    let columns = "sku varchar(20), qty integer, price decimal(20, 4), kind varchar(10), due date";
    database
        .run(&format!("CREATE TABLE parts (id integer PRIMARY KEY, order_id integer, {columns}, changed_at {stamp})"))
        .await;
}

async fn create_summaries(database: &Database) {
    let columns = "first_due date, last_due date, cheapest decimal(20, 4), dearest decimal(20, 4), \
                   low varchar(20), high varchar(20), skus varchar(200), amounts varchar(200), gifts integer, priced integer";
    let stamp = database.stamp();
    database
        .run(&format!("CREATE TABLE summaries (number varchar(20) PRIMARY KEY, {columns}, updated_at {stamp})"))
        .await;
}

async fn put_part(database: &Database, id: i64, order: i64, values: &str) {
    let now = database.now();
    database.run(&format!("INSERT INTO parts VALUES ({id}, {order}, {values}, {now})")).await;
}

async fn put_summary(database: &Database, number: &str, values: &str) {
    let now = database.now();
    database.run(&format!("DELETE FROM summaries WHERE number = '{number}'")).await;
    database.run(&format!("INSERT INTO summaries VALUES ('{number}', {values}, {now})")).await;
}

on_each_pair! {
    async fn every_aggregate_agrees_with_what_the_other_side_holds_in_columns(pair: Pair) {
        create_parts(&pair.owner).await;
        create_summaries(&pair.target).await;
        let setup = Setup { entity: SUMMARY, in_erp: OF_PARTS, in_store: IN_COLUMNS, more: PROBE, ..Setup::default() };
        let mut world = pair.world_with(setup).await;
        put_order(&pair.owner, 1).await;
        // Neither in the order of rows nor in the database's: capitals come before small letters, and ä behind all.
        put_part(&pair.owner, 11, 1, "'b', 10, 9.5, 'gift', '2026-03-02'").await;
        put_part(&pair.owner, 12, 1, "'ä', 9, 100.25, 'sold', '2025-12-31'").await;
        put_part(&pair.owner, 13, 1, "'B', 2, NULL, 'gift', '2026-03-01'").await;
        put_part(&pair.owner, 14, 1, "NULL, NULL, 9.4999, NULL, NULL").await;
        let whole = "'2025-12-31', '2026-03-02', 9.4999, 100.25, 'B', 'ä', '[\"B\",\"b\",\"ä\"]', '[2, 9, 10]', 12, 3";
        put_summary(&pair.target, "N1", whole).await;
        world.look_until_verdict("N1", Verdict::Match).await;
        // One part moves both ends of everything.
        put_part(&pair.owner, 15, 1, "'A', 11, 9.4998, 'gift', '2027-01-01'").await;
        let row = world.look_until_verdict("N1", Verdict::Stale).await;
        assert_eq!(row.fields, ["last", "cheapest", "low", "skus", "amounts", "gifts", "priced"]);
        let now_it_is = "'2025-12-31', '2027-01-01', 9.4998, 100.25, 'A', 'ä', '[\"A\",\"B\",\"b\",\"ä\"]', '[2,9,10,11]', 23, 4";
        put_summary(&pair.target, "N1", now_it_is).await;
        world.look_until_verdict("N1", Verdict::Match).await;
        // Of no children: null, null, null, and empty lists and sums.
        put_order(&pair.owner, 2).await;
        put_summary(&pair.target, "N2", "NULL, NULL, NULL, NULL, NULL, NULL, '[]', '[]', 0, 0").await;
        world.look_until_verdict("N2", Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }
}

/// A line that is stamped and committed later than what was read meanwhile names its order all the same.
#[tokio::test]
async fn a_child_that_is_committed_late_is_found_on_postgres() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    with_tables(&pair).await;
    two_lines(&pair.owner).await;
    two_lines(&pair.target).await;
    let mut world = pair.world_with(Setup { erp: "", ..setup(LINES, LINES) }).await;
    let mut late = sqlx::PgConnection::connect(&pair.owner.url()).await.unwrap();
    late.execute("BEGIN").await.unwrap();
    late.execute("UPDATE lines SET qty = 7, changed_at = now() WHERE id = 11").await.unwrap();
    for order in 3..6 {
        put_order(&pair.owner, order).await;
        put_line(&pair.owner, order * 10, order, "x", 1, "1").await;
        put_order(&pair.target, order).await;
        put_line(&pair.target, order * 10, order, "x", 1, "1").await;
        world.look_until_verdict(&format!("N{order}"), Verdict::Match).await;
    }
    late.execute("COMMIT").await.unwrap();
    let row = world.look_until_verdict("N1", Verdict::Stale).await;
    assert_eq!(row.fields, ["qty"]);
}

#[tokio::test]
async fn a_child_that_is_committed_late_is_found_on_mariadb() {
    let pair = Pair::empty(Product::Mariadb, Product::Postgres).await;
    with_tables(&pair).await;
    two_lines(&pair.owner).await;
    two_lines(&pair.target).await;
    let mut world = pair.world_with(Setup { erp: "commit_delay = \"10s\"", ..setup(LINES, LINES) }).await;
    let mut late = sqlx::MySqlConnection::connect(&pair.owner.url()).await.unwrap();
    late.execute("BEGIN").await.unwrap();
    late.execute("UPDATE `lines` SET qty = 7, changed_at = utc_timestamp(6) WHERE id = 11").await.unwrap();
    for order in 3..6 {
        put_order(&pair.owner, order).await;
        put_order(&pair.target, order).await;
        world.look_until_verdict(&format!("N{order}"), Verdict::Match).await;
    }
    late.execute("COMMIT").await.unwrap();
    let row = world.look_until_verdict("N1", Verdict::Stale).await;
    assert_eq!(row.fields, ["qty"]);
}

/// One order with more lines than are read of one record: it has no value, and the other orders are judged as ever.
#[tokio::test]
async fn a_parent_with_too_many_children_is_invalid_and_hides_no_other() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    with_tables(&pair).await;
    two_lines(&pair.owner).await;
    two_lines(&pair.target).await;
    let mut world = world(&pair).await;
    put_order(&pair.owner, 5).await;
    put_order(&pair.target, 5).await;
    put_many_lines(&pair.owner, 5, 5).await;
    put_line(&pair.owner, 51, 5, "one too many", 1, "1").await;
    change_line(&pair.owner, 11, "qty = 7").await;
    let row = world.look_until_verdict("N5", Verdict::Invalid).await;
    let why = "invalid (more than 100000 `lines` under one record)";
    assert!(row.fields.contains(&"qty".to_owned()) && row.owner_values.contains(&why.to_owned()), "{row:#?}");
    world.look_until_verdict("N1", Verdict::Stale).await;
}
