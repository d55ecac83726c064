//! The schema probe on real systems: what changes in a table is noted once, shown, and makes values invalid instead of
//! wrong where they may come from the change.

use plumbline::model::Verdict;

use super::pair::{Database, PROBE, Pair, Product, Setup};
use crate::world::World;

const FIELDS: &str = r#"
    key = ["sku"]
    fields.sku = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
    fields.name = { type = "text", owner = "erp", store = "clear" }
"#;

const MAPPED: &str = r#"
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", qty = "qty", name = "name" }
"#;

const SCHEMA_PROBE: &str = r#"
    [[probe]]
    entity = "stock"
    kind = "schema"
    schedule = "every 10m"
"#;

/// Units with both probes, the shapes known.
async fn world(pair: &Pair) -> World {
    let more = format!("{PROBE}{SCHEMA_PROBE}");
    let setup = Setup { entity: FIELDS, in_erp: MAPPED, in_store: MAPPED, more: &more, ..Setup::default() };
    let mut world = pair.world_with(setup).await;
    let summary = world.schema().await;
    assert_eq!((summary.failure, world.schema_changes()), (None, vec![]), "the first look only remembers");
    world
}

/// Gives a column of the usual table another type.
async fn retype(database: &Database, column: &str, type_name: &str) {
    match database.product() {
        Product::Postgres => {
            let using = if type_name.starts_with("varchar") { "varchar" } else { type_name };
            database
                .alter(&format!("ALTER TABLE stock ALTER COLUMN {column} TYPE {type_name} USING {column}::{using}"))
                .await;
        }
        Product::Mariadb => database.alter(&format!("ALTER TABLE stock MODIFY {column} {type_name}")).await,
        Product::Sqlite => {
            let of = |name: &str, usual: &str| if name == column { type_name.to_owned() } else { usual.to_owned() };
            let (qty, name) = (of("qty", "integer"), of("name", "varchar(60)"));
            for text in [
                "ALTER TABLE stock RENAME TO stock_before".to_owned(),
                format!(
                    "CREATE TABLE stock (sku varchar(60) PRIMARY KEY, qty {qty}, name {name}, updated_at text NOT NULL)"
                ),
                "INSERT INTO stock SELECT * FROM stock_before".to_owned(),
                "DROP TABLE stock_before".to_owned(),
            ] {
                database.alter(&text).await;
            }
        }
    }
}

async fn put(database: &Database, sku: &str, qty: i64, name: &str) {
    database.put(sku, qty).await;
    database.run(&format!("UPDATE stock SET name = '{name}' WHERE sku = '{sku}'")).await;
}

fn open(world: &World, system: &str) -> String {
    let line = world.metric(&format!("plumbline_schema_changes_open{{entity=\"stock\",system=\"{system}\"}}"));
    line.rsplit(' ').next().unwrap().to_owned()
}

/// Narrows the target's `name` to ten characters, where the owner holds more under the key `LONG`.
async fn narrowed(pair: &Pair) -> World {
    let mut world = world(pair).await;
    retype(&pair.target, "name", "varchar(10)").await;
    assert_eq!(world.schema().await.failure, None);
    put(&pair.owner, "LONG", 1, "ABCDEFGHIJKLM").await;
    put(&pair.target, "LONG", 1, "ABCDEFGHIJ").await;
    let row = world.look_until_verdict("LONG", Verdict::Invalid).await;
    assert_eq!(row.reason, "schema");
    world
}

/// Accepts as `plumbline schema accept` does.
async fn accept(world: &World, change: &str) {
    let change = ("store".to_owned(), "stock".to_owned(), change.to_owned());
    world.recorder.state.accept_changes("stock", "ann", &[change]).await.unwrap();
}

fn events(world: &World) -> Vec<String> {
    world.schema_changes().iter().map(|text| text.split(':').next().unwrap().to_owned()).collect()
}

on_each_pair! {
    async fn what_is_accepted_counts_as_what_it_is_and_may_be_accepted_but_once(pair: Pair) {
        let mut world = narrowed(&pair).await;
        world.restart().await;
        assert_eq!(world.last("LONG").unwrap().reason, "schema");
        let type_name = if pair.target.product() == Product::Postgres { "character varying" } else { "varchar" };
        let change = format!("name narrowed: {type_name}(60) -> {type_name}(10)");
        accept(&world, "name narrowed: another").await;
        world.schema().await;
        assert_eq!(open(&world, "store"), "1", "another change was accepted");
        accept(&world, &change).await;
        world.schema().await;
        assert_eq!(open(&world, "store"), "0");
        assert_eq!(events(&world), ["store stock.name narrowed", "store stock.name accepted"]);
        world.look_until("LONG to be wrong", |world| {
            world.last("LONG").is_some_and(|row| row.is(Verdict::Mismatch) || row.is(Verdict::Stale))
        }).await;
        // The same once more is another matter.
        retype(&pair.target, "name", "varchar(60)").await;
        world.schema().await;
        retype(&pair.target, "name", "varchar(10)").await;
        world.schema().await;
        assert_eq!(events(&world)[2..], ["store stock.name widened", "store stock.name narrowed"]);
        assert_eq!(open(&world, "store"), "1");
    }

    async fn no_key_turns_bad_before_the_shapes_are_looked_at(pair: Pair) {
        let mut world = world(&pair).await;
        retype(&pair.target, "name", "varchar(10)").await;
        put(&pair.owner, "LONG", 1, "ABCDEFGHIJKLM").await;
        put(&pair.target, "LONG", 1, "ABCDEFGHIJ").await;
        let row = world.look_until_verdict("LONG", Verdict::Invalid).await;
        assert_eq!(row.reason, "schema");
        assert_eq!(events(&world), ["store stock.name narrowed"]);
        assert_eq!(world.verdicts("LONG"), ["in_flight", "invalid"], "it was never called wrong");
    }

    async fn what_changes_no_shape_is_no_change(pair: Pair) {
        let mut world = world(&pair).await;
        pair.both("A", 1).await;
        for database in [&pair.owner, &pair.target] {
            database.alter("CREATE INDEX stock_name ON stock (name)").await;
            let further: &[&str] = match database.product() {
                Product::Postgres => &["ANALYZE stock", "COMMENT ON COLUMN stock.name IS 'a title'", "VACUUM FULL stock"],
                Product::Mariadb => &["ANALYZE TABLE stock", "ALTER TABLE stock COMMENT 'a table'", "OPTIMIZE TABLE stock"],
                Product::Sqlite => &["ANALYZE", "VACUUM"],
            };
            for text in further {
                database.alter(text).await;
            }
            retype(database, "name", "varchar(60)").await;
        }
        // Built anew under the same name; SQLite's already is.
        if pair.target.product() != Product::Sqlite {
            pair.target.alter("DROP TABLE stock").await;
            pair.target.create_stock().await;
        }
        for _ in 0..3 {
            assert_eq!(world.schema().await.failure, None);
        }
        world.restart().await;
        assert_eq!(world.schema().await.failure, None);
        assert_eq!(world.schema_changes(), Vec::<String>::new());
    }

    async fn a_look_that_fails_is_no_change(pair: Pair) {
        let mut world = world(&pair).await;
        pair.target.alter("ALTER TABLE stock RENAME TO stock_away").await;
        assert_eq!(world.schema().await.failure, Some("shape"));
        let run = world.runs().pop().unwrap();
        assert_eq!((run.probe.as_str(), run.outcome.as_str(), run.reason.as_str()), ("schema", "failed", "shape"));
        pair.target.alter("ALTER TABLE stock_away RENAME TO stock").await;
        assert_eq!(world.schema().await.failure, None);
        assert_eq!(world.schema_changes(), Vec::<String>::new());
    }

    async fn a_key_that_no_longer_fits_is_invalid_and_not_missing(pair: Pair) {
        let mut world = world(&pair).await;
        if pair.target.product() == Product::Sqlite {
            pair.target.alter("DROP TABLE stock").await;
            pair.target.alter("CREATE TABLE stock (sku varchar(5) PRIMARY KEY, qty integer, name varchar(60), updated_at text NOT NULL)").await;
        } else {
            retype(&pair.target, "sku", "varchar(5)").await;
        }
        world.schema().await;
        assert_eq!(events(&world), ["store stock.sku narrowed"]);
        pair.owner.put("LONGKEY", 1).await;
        pair.owner.put("SHORT", 1).await;
        let row = world.look_until_verdict("LONGKEY", Verdict::Invalid).await;
        assert_eq!(row.reason, "schema");
        world.look_until_verdict("SHORT", Verdict::Missing).await;
    }

    async fn only_who_holds_the_unit_tells_of_a_change(pair: Pair) {
        let mut world = world(&pair).await;
        let mut before = std::mem::take(&mut world.units);
        world.recorder.state.leave("test").await.unwrap();
        world.restart().await;
        retype(&pair.target, "name", "varchar(10)").await;
        let lost = before[0].schema().await.unwrap_err();
        assert!(lost.to_string().contains("taken over"), "{lost}");
        assert_eq!(world.schema_changes(), Vec::<String>::new());
        world.schema().await;
        assert_eq!(events(&world), ["store stock.name narrowed"]);
    }

    async fn a_renamed_column_is_noted_once_and_its_way_back_too(pair: Pair) {
        let mut world = world(&pair).await;
        pair.target.rename("qty", "quantity").await;
        for _ in 0..3 {
            assert_eq!(world.schema().await.failure, None);
        }
        let renamed = "store stock.qty renamed: qty -> quantity [qty]".to_owned();
        assert_eq!(world.schema_changes(), std::slice::from_ref(&renamed));
        assert_eq!(open(&world, "store"), "1");
        let counted = "plumbline_schema_changes_total{change=\"renamed\",entity=\"stock\",system=\"store\"}";
        assert!(world.metric(counted).ends_with(" 1"));
        // What is not there cannot be read, let alone be wrong.
        pair.owner.put("A", 2).await;
        let row = world.look_until_verdict("A", Verdict::Unknown).await;
        assert_eq!(row.reason, "shape");
        world.restart().await;
        assert_eq!(open(&world, "store"), "1");
        assert_eq!(world.schema().await.failure, None);
        assert_eq!(world.schema_changes().len(), 1);
        pair.target.rename("quantity", "qty").await;
        world.schema().await;
        world.schema().await;
        assert_eq!(world.schema_changes(), [renamed, "store stock.qty restored: qty -> quantity [qty]".to_owned()]);
        assert_eq!(open(&world, "store"), "0");
    }

    async fn a_column_that_holds_less_makes_invalid_what_does_not_fit_and_nothing_else(pair: Pair) {
        let mut world = narrowed(&pair).await;
        let before = if pair.target.product() == Product::Postgres { "character varying" } else { "varchar" };
        assert_eq!(
            world.schema_changes(),
            [format!("store stock.name narrowed: {before}(60) -> {before}(10) [name]")]
        );
        put(&pair.owner, "SHORT", 1, "ABC").await;
        put(&pair.target, "SHORT", 1, "XYZ").await;
        put(&pair.owner, "QTY", 1, "ABC").await;
        put(&pair.target, "QTY", 2, "ABC").await;
        put(&pair.owner, "GOOD", 1, "ABC").await;
        put(&pair.target, "GOOD", 1, "ABC").await;
        assert_eq!(world.last("LONG").unwrap().fields, ["name"]);
        world.look_until("others to be wrong", |world| {
            ["SHORT", "QTY"].iter().all(|key| {
                world.last(key).is_some_and(|row| row.is(Verdict::Mismatch) || row.is(Verdict::Stale))
            })
        }).await;
        assert!(world.last("GOOD").is_some_and(|row| row.is(Verdict::Match)));
    }

    async fn values_of_a_retyped_column_are_invalid_where_they_differ(pair: Pair) {
        let mut world = world(&pair).await;
        retype(&pair.owner, "qty", "varchar(20)").await;
        assert_eq!(world.schema().await.failure, None);
        let changes = world.schema_changes();
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!(changes[0].starts_with("erp stock.qty retyped: ") && changes[0].ends_with(" [qty]"), "{changes:?}");
        pair.both("GOOD", 7).await;
        pair.owner.put("TEXT", 1).await;
        pair.owner.run("UPDATE stock SET qty = 'a dozen' WHERE sku = 'TEXT'").await;
        pair.target.put("TEXT", 12).await;
        pair.owner.put("OTHER", 3).await;
        pair.target.put("OTHER", 4).await;
        for key in ["TEXT", "OTHER"] {
            let row = world.look_until_verdict(key, Verdict::Invalid).await;
            assert_eq!(row.reason, "schema");
        }
        world.look_until_verdict("GOOD", Verdict::Match).await;
    }

    async fn a_column_that_goes_is_noted_and_one_that_nobody_reads_is_no_matter(pair: Pair) {
        pair.target.alter("ALTER TABLE stock ADD COLUMN note varchar(20)").await;
        let mut world = world(&pair).await;
        pair.target.alter("ALTER TABLE stock DROP COLUMN note").await;
        pair.target.alter("ALTER TABLE stock ADD COLUMN extra date").await;
        world.schema().await;
        assert_eq!(open(&world, "store"), "0");
        pair.target.alter("ALTER TABLE stock DROP COLUMN name").await;
        world.schema().await;
        world.schema().await;
        assert_eq!(events(&world), ["store stock.note removed", "store stock.extra added", "store stock.name removed"]);
        assert_eq!(open(&world, "store"), "1");
    }
}

/// A column of listed values at the owner, as its product has them: two of them at first.
async fn with_states(owner: Product, target: Product) -> (Pair, World) {
    let pair = Pair::new(owner, target).await;
    if owner == Product::Postgres {
        pair.owner.run("CREATE TYPE stock_state AS ENUM ('new', 'done')").await;
    }
    let type_name = if owner == Product::Postgres { "stock_state" } else { "enum('new', 'done')" };
    pair.owner.run(&format!("ALTER TABLE stock ADD COLUMN state {type_name}")).await;
    pair.target.run("ALTER TABLE stock ADD COLUMN state varchar(20)").await;
    let entity = format!("{FIELDS}\nfields.state = {{ type = \"text\", owner = \"erp\", store = \"clear\" }}");
    let mapped = MAPPED.replace("name = \"name\"", "name = \"name\", state = \"state\"");
    let more = format!("{PROBE}{SCHEMA_PROBE}");
    let setup = Setup { entity: &entity, in_erp: &mapped, in_store: &mapped, more: &more, ..Setup::default() };
    let mut world = pair.world_with(setup).await;
    world.schema().await;
    (pair, world)
}

async fn state(database: &Database, sku: &str, state: &str) {
    database.put(sku, 1).await;
    database.run(&format!("UPDATE stock SET state = '{state}' WHERE sku = '{sku}'")).await;
}

#[tokio::test]
async fn a_new_listed_value_is_invalid_where_it_differs_and_others_are_wrong_as_ever() {
    for (owner, target) in [(Product::Postgres, Product::Mariadb), (Product::Mariadb, Product::Postgres)] {
        let (pair, mut world) = with_states(owner, target).await;
        pair.owner
            .run(match owner {
                Product::Postgres => "ALTER TYPE stock_state ADD VALUE 'lost'",
                _ => "ALTER TABLE stock MODIFY state enum('new', 'done', 'lost')",
            })
            .await;
        world.schema().await;
        assert_eq!(world.schema_changes(), ["erp stock.state value_added:  -> lost [state]"]);
        state(&pair.owner, "LOST", "lost").await;
        state(&pair.target, "LOST", "unknown").await;
        state(&pair.owner, "DONE", "done").await;
        state(&pair.target, "DONE", "new").await;
        let row = world.look_until_verdict("LOST", Verdict::Invalid).await;
        assert_eq!(row.reason, "schema");
        world
            .look_until("DONE to be wrong", |world| {
                world.last("DONE").is_some_and(|row| row.is(Verdict::Mismatch) || row.is(Verdict::Stale))
            })
            .await;
        // A target that takes the new value over agrees.
        state(&pair.target, "LOST", "lost").await;
        world.look_until_verdict("LOST", Verdict::Match).await;
    }
}

#[tokio::test]
async fn a_check_against_a_list_is_a_list_of_values() {
    let pair = Pair::new(Product::Postgres, Product::Sqlite).await;
    let list = |values: &str| format!("ALTER TABLE stock ADD CONSTRAINT known CHECK (name IN ({values}))");
    pair.owner.run(&list("'a', 'b'")).await;
    let mut world = world(&pair).await;
    pair.owner.run("ALTER TABLE stock DROP CONSTRAINT known").await;
    pair.owner.run(&list("'a', 'b', 'it''s'")).await;
    world.schema().await;
    assert_eq!(world.schema_changes(), ["erp stock.name value_added:  -> it's [name]"]);
}

/// A login may lose the sight of a column: then nobody knows whether it is there.
#[tokio::test]
async fn a_column_that_is_hidden_is_an_error_and_not_gone() {
    for (owner, target) in [(Product::Postgres, Product::Mariadb), (Product::Mariadb, Product::Postgres)] {
        let pair = Pair::new(owner, target).await;
        let login = format!("reader_{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
        let columns = "SELECT (sku, qty, name, updated_at)";
        let (table, make, url) = match &pair.target {
            Database::Postgres(database) => (
                "stock".to_owned(),
                format!("CREATE ROLE {login} LOGIN PASSWORD 'secret'"),
                database.url_as(&login, "secret"),
            ),
            Database::Mariadb(database) => (
                format!("{}.stock", database.name()),
                format!("CREATE USER {login} IDENTIFIED BY 'secret'"),
                database.url_as(&login, "secret"),
            ),
            Database::Sqlite(_) => unreachable!("not in the list"),
        };
        pair.target.run(&make).await;
        pair.target.run(&format!("GRANT {columns} ON {table} TO {login}")).await;
        let more = format!("{PROBE}{SCHEMA_PROBE}");
        let config =
            pair.config(Setup { entity: FIELDS, in_erp: MAPPED, in_store: MAPPED, more: &more, ..Setup::default() });
        let [erp, _] = pair.urls();
        let mut world = World::open(&config, &[erp, ("STORE", url)]).await;
        assert_eq!(world.schema().await.failure, None);
        pair.target.run(&format!("REVOKE SELECT (name) ON {table} FROM {login}")).await;
        let failure = world.schema().await.failure;
        // PostgreSQL's catalog shows it all the same.
        assert_eq!(failure, if target == Product::Mariadb { Some("refused") } else { None });
        assert_eq!(world.schema_changes(), Vec::<String>::new());
        pair.owner.put("A", 1).await;
        let row = world.look_until_verdict("A", Verdict::Unknown).await;
        assert_eq!(row.reason, "refused");
    }
}

/// Orders with lines on both sides; the owner's lines refer to products by a number that a third system translates.
const ORDERS: &str = r#"
    key = ["number"]
    fields.number = { type = "text", store = "clear" }
    fields.pieces = { type = "integer", owner = "erp" }
    fields.sku = { type = "text", owner = "erp", store = "clear" }
"#;

const WITH_LINES: &str = r#"
    dataset = "orders"
    native = "id"
    changed_at = "updated_at"
    scope = [{ path = "state", eq = "open" }]
    children.lines = { dataset = "order_lines", parent = "order_id", bumps_parent = true }
    fields.number = "number"
    fields.pieces = { path = "lines[].qty", agg = "sum" }
    fields.sku = "sku"
"#;

#[tokio::test]
async fn tables_of_children_and_of_translations_are_looked_at_too() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    let mdm = Database::new(Product::Sqlite).await;
    mdm.run("CREATE TABLE sku_map (erp_sku text, sku text)").await;
    for database in [&pair.owner, &pair.target] {
        let stamp = database.stamp();
        let columns = "id integer PRIMARY KEY, number varchar(20), sku varchar(20), state varchar(10)";
        database.run(&format!("CREATE TABLE orders ({columns}, updated_at {stamp} NOT NULL)")).await;
        database.run("CREATE TABLE order_lines (id integer PRIMARY KEY, order_id integer, qty integer)").await;
    }
    let in_erp = format!(
        "{WITH_LINES}\nxref.sku = {{ system = \"mdm\", dataset = \"sku_map\", from = \"erp_sku\", to = \"sku\" }}"
    );
    let more =
        format!("{PROBE}{SCHEMA_PROBE}\n[system.mdm]\nkind = \"sqlite\"\nurl = \"env:MDM\"\ncommit_delay = \"2s\"\n");
    let setup = Setup { entity: ORDERS, in_erp: &in_erp, in_store: WITH_LINES, more: &more, ..Setup::default() };
    let [erp, store] = pair.urls();
    let mut world = World::open(&pair.config(setup), &[erp, store, ("MDM", mdm.url())]).await;
    assert_eq!((world.schema().await.failure, world.schema_changes()), (None, vec![]));
    pair.owner.run("ALTER TABLE order_lines ALTER COLUMN qty TYPE smallint").await;
    pair.target.run("ALTER TABLE order_lines MODIFY order_id varchar(20)").await;
    pair.target.run("ALTER TABLE orders MODIFY state varchar(4)").await;
    mdm.alter("ALTER TABLE sku_map RENAME COLUMN sku TO code").await;
    assert_eq!(world.schema().await.failure, None);
    let mut changes = world.schema_changes();
    changes.sort();
    assert_eq!(
        changes,
        [
            "erp order_lines.qty narrowed: integer -> smallint [pieces]",
            "mdm sku_map.sku renamed: sku -> code [sku]",
            "store order_lines.order_id retyped: int(11) -> varchar(20) [pieces]",
            "store orders.state narrowed: varchar(10) -> varchar(4) [scope]",
        ]
    );
    for system in ["erp", "mdm"] {
        assert_eq!(open(&world, system), "1");
    }
    assert_eq!(open(&world, "store"), "2");
}

/// Two owners have two units, and each looks at both systems.
#[tokio::test]
async fn two_owners_of_one_entity_tell_of_a_change_once() {
    let pair = Pair::new(Product::Postgres, Product::Mariadb).await;
    let entity = FIELDS.replace(
        "fields.name = { type = \"text\", owner = \"erp\"",
        "fields.name = { type = \"text\", owner = \"store\"",
    );
    let more = format!("{}{SCHEMA_PROBE}", PROBE.replace("kind", "owner = \"erp\"\n    kind"));
    let setup = Setup { entity: &entity, in_erp: MAPPED, in_store: MAPPED, more: &more, ..Setup::default() };
    let mut world = pair.world_with(setup).await;
    assert_eq!(world.units.len(), 2);
    world.schema().await;
    retype(&pair.target, "name", "varchar(10)").await;
    retype(&pair.owner, "name", "varchar(30)").await;
    world.schema().await;
    let mut events = events(&world);
    events.sort();
    assert_eq!(events, ["erp stock.name narrowed", "store stock.name narrowed"]);
    assert_eq!((open(&world, "erp"), open(&world, "store")), ("1".to_owned(), "1".to_owned()));
    let change = ("store".to_owned(), "stock".to_owned(), "name narrowed: varchar(60) -> varchar(10)".to_owned());
    world.recorder.state.accept_changes("stock", "ann", &[change]).await.unwrap();
    world.schema().await;
    assert_eq!((open(&world, "erp"), open(&world, "store")), ("1".to_owned(), "0".to_owned()));
}
