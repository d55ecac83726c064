//! A reader of an Odoo without the rest of the auditor.

use std::path::Path;
use std::sync::Arc;

use plumbline::clock::AnchoredClock;
use plumbline::config::{Config, Environment, parse_with};
use plumbline::connect::{self, ChangesPage, Cursor, ReadError, Reader};
use plumbline::model::{EntityId, Key, Mapping, Record, SystemId, Value};

use crate::support::Odoo;

/// How Odoo is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    Json2,
    JsonRpc,
    /// As by an Odoo that is too old for nested relations.
    Flat,
}

impl Interface {
    pub const ALL: [Self; 3] = [Self::Json2, Self::JsonRpc, Self::Flat];

    /// Those whose paths lead into linked records.
    pub const NESTED: [Self; 2] = [Self::Json2, Self::JsonRpc];

    /// `[system.odoo]` for `env:ODOO` and `env:KEY`.
    pub fn system(self, database: &str, user: &str) -> String {
        let login = format!("interface = \"jsonrpc\", database = \"{database}\", user = \"{user}\"");
        let settings = match self {
            Self::Json2 => String::new(),
            Self::JsonRpc => format!("{login}, "),
            Self::Flat => format!("{login}, relations = \"flat\", "),
        };
        format!(
            r#"
            kind = "http"
            pack = "odoo"
            url = "env:ODOO"
            settings = {{ {settings}key = "env:KEY" }}
            commit_delay = "0s"
            statement_timeout = "60s"
            budget = {{ requests_per_second = 1000, concurrency = 4 }}
            "#
        )
    }
}

/// A reader of entity `thing` in an Odoo.
pub struct Site {
    pub reader: Arc<dyn Reader>,
    pub mapping: Arc<Mapping>,
}

/// A config that maps `thing` in Odoo, next to a database that nobody reads. `fields` declares the entity's fields, the
/// first is the key.
pub fn config(system: &str, key: &str, fields: &str, mapping: &str) -> String {
    format!(
        r#"
        [system.odoo]
        {system}
        [system.other]
        kind = "sqlite"
        url = "sqlite:other.db"
        [entity.thing]
        key = {key}
        {fields}
        [entity.thing.in.odoo]
        {mapping}
        [entity.thing.in.other]
        dataset = "thing"
        changed_at = "at"
        fields = {{ ref = "ref" }}
        "#
    )
}

/// Reads a config with the address of `odoo` and a key.
pub fn parsed(text: &str, odoo: &Odoo, key: &str) -> Config {
    let environment = Environment::fixed([("ODOO", odoo.url.as_str()), ("KEY", key)]);
    parse_with(text, Path::new("plumbline.toml"), Path::new("/nowhere"), &environment)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// The fields of partners that tests map.
pub const FIELDS: &str = r#"
    fields.ref = { type = "text", store = "clear", owner = "odoo" }
    fields.name = "text"
    fields.email = "text"
    fields.company = "boolean"
    fields.parent = "integer"
"#;

/// Partners that have a reference of their own.
pub const PARTNERS: &str = r#"
    dataset = "partners"
    fields = { ref = "ref", name = "name", email = "email", company = "is_company", parent = "parent_id" }
"#;

impl Site {
    /// A reader of partners, as the login `reader`.
    pub fn partners(odoo: &Odoo, interface: Interface) -> Self {
        Self::with(odoo, interface, FIELDS, PARTNERS)
    }

    /// A reader of a mapping whose key is `ref`.
    pub fn with(odoo: &Odoo, interface: Interface, fields: &str, mapping: &str) -> Self {
        Self::of(odoo, &interface.system(&odoo.database, "reader"), odoo.key("reader"), fields, mapping)
    }

    /// A reader with this `[system.odoo]` and key.
    pub fn of(odoo: &Odoo, system: &str, key: &str, fields: &str, mapping: &str) -> Self {
        let config = parsed(&config(system, "\"ref\"", fields, mapping), odoo, key);
        let (system, entity): (SystemId, EntityId) = ("odoo".parse().unwrap(), "thing".parse().unwrap());
        let mapping = Arc::clone(&config.entities[&entity].mappings[&system]);
        let reader = connect::open(&config.systems[&system], Arc::new(AnchoredClock::from_machine())).unwrap();
        Self { reader, mapping }
    }

    /// The records with these references.
    pub async fn by_refs(&self, refs: &[&str]) -> Result<Vec<Record>, ReadError> {
        let keys: Vec<Key> = refs.iter().map(|text| Key::new([Value::from(*text)])).collect();
        Ok(self.reader.by_keys(&self.mapping, &keys).await?.records)
    }

    /// What changed since a cursor was taken.
    pub async fn since(&self, cursor: &Cursor) -> Result<ChangesPage, ReadError> {
        self.reader.changes(&self.mapping, cursor, 10_000).await
    }
}

/// The text of a record's fields, in the order of the entity's.
pub fn shown(record: &Record) -> Vec<String> {
    record.fields.iter().map(Value::to_string).collect()
}

/// The text of the first part of a record's key.
pub fn key(record: &Record) -> String {
    record.key.parts()[0].to_string()
}

/// The keys of a page's records that begin so, sorted.
pub fn keys(records: &[Record], prefix: &str) -> Vec<String> {
    let mut keys: Vec<String> = records.iter().map(key).filter(|key| key.starts_with(prefix)).collect();
    keys.sort_unstable();
    keys
}
