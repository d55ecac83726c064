//! A store and a CRM, and Plumbline's readers of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use plumbline::clock::{AnchoredClock, Clock};
use plumbline::config::{Config, Environment, parse_with};
use plumbline::connect::{self, ChangesPage, Cursor, ReadError, Reader};
use plumbline::model::{EntityId, FieldName, Key, Mapping, Record, SystemId, Value};
use plumbline::sandbox::book::{Book, Manner, WriteLog};
use plumbline::sandbox::crm::{self, Crm};
use plumbline::sandbox::record::{Content, Entity, Field, System, written_lines};
use plumbline::sandbox::store::{self, Store};

pub struct Company {
    pub store: Store,
    pub crm: Crm,
    pub log: Arc<WriteLog>,
    pub clock: Arc<dyn Clock>,
    config: Config,
    readers: BTreeMap<SystemId, Arc<dyn Reader>>,
    _directory: tempfile::TempDir,
}

/// What the other systems would say of themselves; nobody reads them here.
const OTHERS: &str = r#"
[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"

[entity.product]
key = "sku"
fields.sku = { type = "text", store = "clear" }
fields.title = { type = "text", owner = "erp" }
fields.price = { type = "money", owner = "erp" }
[entity.product.in.erp]
dataset = "product"
fields = { sku = "sku", title = "title", price = { path = "price", currency = "EUR" } }

[entity.stock]
key = "sku"
fields.sku = { type = "text", store = "clear" }
fields.pieces = { type = "integer", owner = "erp", kind = "counter" }
[entity.stock.in.erp]
dataset = "stock"
fields = { sku = "sku", pieces = "pieces" }

[entity.order]
key = "number"
fields.number = { type = "text", store = "clear" }
fields.status = { type = "text", owner = "store" }
fields.currency = { type = "text", owner = "store" }
fields.total = { type = "money", owner = "store" }
fields.refunded = { type = "money", owner = "store" }
fields.lines = { type = "text", owner = "store" }
[entity.order.in.erp]
dataset = "orders"
fields.number = "number"
fields.status = "status"
fields.currency = "currency"
fields.lines = "lines"
fields.total = { path = "total", currency = { path = "currency" } }
fields.refunded = { path = "refunded", currency = { path = "currency" } }

[entity.customer]
key = "number"
fields.number = { type = "text", store = "clear" }
fields.name = { type = "text", owner = "crm" }
fields.email = { type = "text", owner = "crm" }
"#;

impl Company {
    pub async fn open() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
        let log = Arc::new(WriteLog::default());
        let store = Store::open(Arc::clone(&log), Arc::clone(&clock)).await.unwrap();
        let crm = Crm::open(Arc::clone(&log), Arc::clone(&clock)).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        for (file, secret) in store::LOGIN_FILES.iter().chain(&crm::LOGIN_FILES) {
            std::fs::write(directory.path().join(file), secret).unwrap();
        }
        let parts = [OTHERS.to_owned(), store::plumbline_toml(store.url()), crm::plumbline_toml(crm.url())];
        let environment = Environment::fixed(std::iter::empty::<(&str, &str)>());
        let config = parse_with(&parts.concat(), Path::new("plumbline.toml"), directory.path(), &environment);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        let open = |system: &str| {
            let system = &config.systems[&system.parse::<SystemId>().unwrap()];
            (system.id.clone(), connect::open(system, Arc::clone(&clock)).unwrap())
        };
        let readers = ["store", "crm"].map(open).into_iter().collect();
        Self { store, crm, log, clock, config, readers, _directory: directory }
    }

    pub fn mapping(&self, system: System, entity: Entity) -> (Arc<dyn Reader>, Arc<Mapping>) {
        let system: SystemId = system.as_str().parse().unwrap();
        let entity = &self.config.entities[&entity.as_str().parse::<EntityId>().unwrap()];
        (Arc::clone(&self.readers[&system]), Arc::clone(&entity.mappings[&system]))
    }

    /// What Plumbline reads from a place on.
    pub async fn changes(&self, system: System, entity: Entity, from: &Cursor) -> Result<ChangesPage, ReadError> {
        let (reader, mapping) = self.mapping(system, entity);
        reader.changes(&mapping, from, 100_000).await
    }

    /// Everything that Plumbline reads, in the company's language.
    pub async fn read_all(&self, system: System, entity: Entity) -> BTreeMap<String, Vec<Content>> {
        let page = self.changes(system, entity, &Cursor::from_beginning()).await.unwrap();
        assert!(page.complete);
        self.contents(entity, &page.records)
    }

    /// What Plumbline reads of these keys.
    pub async fn read_keys(&self, system: System, entity: Entity, keys: &[&str]) -> BTreeMap<String, Vec<Content>> {
        let (reader, mapping) = self.mapping(system, entity);
        let keys: Vec<Key> = keys.iter().map(|key| Key::new([Value::from(*key)])).collect();
        let read = reader.by_keys(&mapping, &keys).await.unwrap();
        self.contents(entity, &read.records)
    }

    /// Records within the scope, by their keys.
    pub fn contents(&self, entity: Entity, records: &[Record]) -> BTreeMap<String, Vec<Content>> {
        let fields = &self.config.entities[&entity.as_str().parse::<EntityId>().unwrap()].fields;
        let names: Vec<&FieldName> = fields.iter().map(|field| &field.name).collect();
        let mut found: BTreeMap<String, Vec<Content>> = BTreeMap::new();
        for record in records.iter().filter(|record| record.in_scope) {
            let key = word(&record.key.parts()[0]);
            let values = names.iter().zip(&record.fields).filter_map(|(name, value)| part(name.as_str(), value));
            let content = values.fold(Content::default(), |content, (field, text)| content.with(field, text));
            found.entry(key).or_default().push(content);
        }
        found
    }

    /// Writes with everything as usual.
    pub async fn put(&self, book: &impl Book, entity: Entity, key: &str, contents: &[Content]) {
        book.write(entity, key, contents, Manner::default()).await.unwrap();
    }
}

pub fn product(title: &str, cents: i64) -> Content {
    Content::of([(Field::Title, title.to_owned()), (Field::Price, cents.to_string())])
}

pub fn stock(pieces: i64) -> Content {
    Content::of([(Field::Pieces, pieces.to_string())])
}

pub fn customer(name: &str, email: &str) -> Content {
    Content::of([(Field::Name, name.to_owned()), (Field::Email, email.to_owned())])
}

fn word(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A value that Plumbline read, as the company's books have it.
fn part(name: &str, value: &Value) -> Option<(Field, String)> {
    let field = match name {
        "title" => Field::Title,
        "price" => Field::Price,
        "pieces" => Field::Pieces,
        "status" => Field::Status,
        "currency" => Field::Currency,
        "total" => Field::Total,
        "refunded" => Field::Refunded,
        "lines" => Field::Lines,
        "name" => Field::Name,
        "email" => Field::Email,
        // The key.
        _ => return None,
    };
    let text = match (field, value) {
        (Field::Lines, Value::Text(tally)) => {
            let pieces: BTreeMap<String, i64> = serde_json::from_str(tally).unwrap();
            written_lines(pieces.iter().map(|(sku, pieces)| (&**sku, *pieces)))
        }
        (_, Value::Money(money)) => {
            money.amount.shifted(i64::from(money.currency.minor_digits())).as_i64().unwrap().to_string()
        }
        (_, other) => word(other),
    };
    Some((field, text))
}
