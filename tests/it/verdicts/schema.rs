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

on_each_pair! {
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
        let mut world = world(&pair).await;
        retype(&pair.target, "name", "varchar(10)").await;
        assert_eq!(world.schema().await.failure, None);
        let before = if pair.target.product() == Product::Postgres { "character varying" } else { "varchar" };
        assert_eq!(
            world.schema_changes(),
            [format!("store stock.name narrowed: {before}(60) -> {before}(10) [name]")]
        );
        put(&pair.owner, "LONG", 1, "ABCDEFGHIJKLM").await;
        put(&pair.target, "LONG", 1, "ABCDEFGHIJ").await;
        put(&pair.owner, "SHORT", 1, "ABC").await;
        put(&pair.target, "SHORT", 1, "XYZ").await;
        put(&pair.owner, "QTY", 1, "ABC").await;
        put(&pair.target, "QTY", 2, "ABC").await;
        put(&pair.owner, "GOOD", 1, "ABC").await;
        put(&pair.target, "GOOD", 1, "ABC").await;
        let row = world.look_until_verdict("LONG", Verdict::Invalid).await;
        assert_eq!((row.reason.as_str(), row.fields), ("schema", vec!["name".to_owned()]));
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
        let changes: Vec<String> =
            world.schema_changes().iter().map(|text| text.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(changes, ["store stock.note removed", "store stock.extra added", "store stock.name removed"]);
        assert_eq!(open(&world, "store"), "1");
    }
}
