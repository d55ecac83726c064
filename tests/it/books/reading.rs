//! What Plumbline's readers see of the databases is what they hold, by the mappings of the demo's config.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumbline::config::{Config, Environment, parse_with};
use plumbline::connect::{self, Cursor, Reader};
use plumbline::model::{Flow, Key, Mapping, Number, Record, Value};
use plumbline::sandbox::book::{Book, Manner};
use plumbline::sandbox::database::plumbline_toml;
use plumbline::sandbox::record::{Content, Entity, Field, System, status, written_lines};

use super::bed::{Bed, PRODUCTS, clock, record};

/// The entities, with a system that holds every field and is not read, so that there is a flow of every field.
const ENTITIES: &str = r#"
[plumbline]

[system.other]
kind = "sqlite"
url = "sqlite:other.db"

[entity.product]
key = "sku"
fields.sku = "text"
fields.title = { type = "text", owner = "erp" }
fields.price = { type = "money", owner = "erp" }

[entity.product.in.other]
dataset = "product"
fields = { sku = "sku", title = "title", price = { path = "price", currency = "EUR" } }

[entity.stock]
key = "sku"
fields.sku = "text"
fields.pieces = { type = "integer", owner = "erp" }

[entity.stock.in.other]
dataset = "stock"
fields = { sku = "sku", pieces = "pieces" }

[entity.order]
key = "number"
fields.number = "text"
fields.status = { type = "text", owner = "erp" }
fields.currency = { type = "text", owner = "erp" }
fields.total = { type = "money", owner = "erp" }
fields.refunded = { type = "money", owner = "erp" }
fields.lines = { type = "json", owner = "erp" }

[entity.order.in.other]
dataset = "orders"
fields = { number = "n", status = "s", currency = "c", lines = "l", total = { path = "t", currency = "EUR" }, refunded = { path = "r", currency = "EUR" } }

[entity.shipment]
key = "number"
fields.number = "text"
fields.order = { type = "text", owner = "erp" }
fields.sku = { type = "text", owner = "erp" }
fields.pieces = { type = "integer", owner = "erp" }

[entity.shipment.in.other]
dataset = "shipment"
fields = { number = "n", order = "o", sku = "s", pieces = "p" }

[entity.customer]
key = "number"
fields.number = "text"
fields.name = { type = "text", owner = "erp" }
fields.email = { type = "text", owner = "erp" }

[entity.customer.in.other]
dataset = "customer"
fields = { number = "n", name = "a", email = "e" }
"#;

#[tokio::test]
async fn readers_see_exactly_what_the_databases_hold() {
    for product in PRODUCTS {
        let beds = [Bed::new(product, System::Erp).await, Bed::new(product, System::Warehouse).await];
        let config = config(&beds);
        for bed in &beds {
            let system = &config.systems[&bed.system.as_str().parse().unwrap()];
            let reader = connect::open(system, clock()).unwrap();
            for (entity, _) in bed.entities() {
                let keys = populate(bed, entity).await;
                let mapping = mapping(&config, bed.system, entity);
                let mut held = BTreeMap::new();
                for key in &keys {
                    held.insert(key.clone(), bed.database.read(entity, key).await.unwrap());
                }
                assert!(held.values().any(|contents| contents.len() == 2), "{entity} in {}", bed.name());
                assert_eq!(by_keys(&config, &*reader, mapping, entity, &keys).await, held, "{}", bed.name());
                assert_eq!(changed(&config, &*reader, mapping, entity, &keys).await, held, "{}", bed.name());
            }
        }
    }
}

fn config(beds: &[Bed; 2]) -> Config {
    let section = |bed: &Bed, url| plumbline_toml(bed.system, bed.database.dialect(), url, Duration::from_millis(500));
    let text = format!("{ENTITIES}\n{}\n{}", section(&beds[0], "env:ERP_URL"), section(&beds[1], "env:WAREHOUSE_URL"));
    let urls = [("ERP_URL", beds[0].place.url()), ("WAREHOUSE_URL", beds[1].place.url())];
    let environment = Environment::fixed(urls.iter().map(|(name, url)| (*name, url.as_str())));
    let parsed = parse_with(&text, Path::new("plumbline.toml"), Path::new("."), &environment);
    parsed.unwrap_or_else(|problems| panic!("{problems}"))
}

fn mapping(config: &Config, system: System, entity: Entity) -> &Mapping {
    let is_of = |flow: &&Arc<Flow>| flow.id.entity.to_string() == entity.as_str();
    let both = |flow: &'_ Arc<Flow>| [Arc::clone(&flow.owner), Arc::clone(&flow.target)];
    let position =
        config.flows.iter().filter(is_of).flat_map(both).position(|held| held.system.to_string() == system.as_str());
    let position = position.expect("a flow from or to the system");
    let flow = config.flows.iter().filter(is_of).nth(position / 2).unwrap();
    if position.is_multiple_of(2) { &flow.owner } else { &flow.target }
}

/// Records in all their states; gives the keys.
async fn populate(bed: &Bed, entity: Entity) -> Vec<String> {
    let softly = Manner { softly: true, ..Manner::default() };
    let prefix = match entity {
        Entity::Product | Entity::Stock => "SKU-000",
        Entity::Order => "100",
        Entity::Shipment => "500",
        Entity::Customer => "c000",
    };
    let key = |number: usize| format!("{prefix}{number}");
    bed.database.fill(entity, (0..3).map(|number| (key(number), record(entity, number)))).await.unwrap();
    bed.write(entity, &key(3), &[record(entity, 3), record(entity, 4)]).await;
    bed.write(entity, &key(2), &[record(entity, 7)]).await;
    bed.write(entity, &key(4), &[record(entity, 4)]).await;
    bed.write_so(entity, &key(4), &[], softly).await;
    bed.write(entity, &key(5), &[record(entity, 5)]).await;
    bed.write(entity, &key(5), &[]).await;
    if entity == Entity::Order {
        bed.write(entity, &key(6), &[record(entity, 6).with(Field::Status, status::PENDING)]).await;
        bed.write(entity, &key(7), &[record(entity, 7).with(Field::Refunded, 0).with(Field::Lines, "")]).await;
        bed.write(entity, &key(1), &[record(entity, 1).with(Field::Lines, "SKU-0007*3")]).await;
    }
    (0..9).map(key).collect()
}

async fn by_keys(
    config: &Config,
    reader: &dyn Reader,
    mapping: &Mapping,
    entity: Entity,
    keys: &[String],
) -> BTreeMap<String, Vec<Content>> {
    let wanted: Vec<_> = keys.iter().map(|key| Key::from(key.as_str())).collect();
    let read = reader.by_keys(mapping, &wanted).await.unwrap();
    gathered(config, entity, keys, read.records)
}

async fn changed(
    config: &Config,
    reader: &dyn Reader,
    mapping: &Mapping,
    entity: Entity,
    keys: &[String],
) -> BTreeMap<String, Vec<Content>> {
    let page = reader.changes(mapping, &Cursor::from_beginning(), 1000).await.unwrap();
    assert!(page.complete);
    gathered(config, entity, keys, page.records)
}

fn gathered(
    config: &Config,
    entity: Entity,
    keys: &[String],
    mut records: Vec<Record>,
) -> BTreeMap<String, Vec<Content>> {
    let address = |record: &Record| match &record.native {
        Some(Value::Number(number)) => number.clone(),
        other => panic!("no address: {other:?}"),
    };
    records.sort_by_key(address);
    let fields = &config.entities[&entity.as_str().parse().unwrap()].fields;
    let mut found: BTreeMap<_, _> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    for record in records.iter().filter(|record| record.in_scope) {
        let mut content = Content::default();
        for (field, value) in fields.iter().zip(&record.fields).skip(1) {
            let name = serde_json::Value::String(field.name.to_string());
            if *value != Value::Null {
                content = content.with(serde_json::from_value(name).unwrap(), said(value));
            }
        }
        found.get_mut(&record.key.to_string()).expect("a key that was written").push(content);
    }
    found
}

/// A value as the company says it.
fn said(value: &Value) -> String {
    match value {
        Value::Money(money) => {
            let one = Number::from(10_u64.pow(money.currency.minor_digits()));
            money.amount.times(&one).to_string()
        }
        Value::Text(text) if text.starts_with('{') => {
            let pieces: BTreeMap<String, i64> = serde_json::from_str(text).unwrap();
            written_lines(pieces.iter().map(|(sku, pieces)| (sku.as_str(), *pieces)))
        }
        other => other.to_string(),
    }
}
