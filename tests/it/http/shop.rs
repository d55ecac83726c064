//! A reader of a store without the rest of the auditor.

use std::path::Path;
use std::sync::Arc;

use plumbline::clock::AnchoredClock;
use plumbline::config::{Config, Environment, parse_with};
use plumbline::connect::{self, ReadError, Reader};
use plumbline::model::{EntityId, Key, Mapping, Record, SystemId, Value};

use super::shopify;
use super::woo::{KEY, SECRET};

/// A reader and the mapping it reads.
pub struct Shop {
    pub reader: Arc<dyn Reader>,
    pub mapping: Arc<Mapping>,
}

/// The usual mapping of products.
pub const PRODUCTS: &str = r#"
    dataset = "products"
    fields = { sku = "sku", qty = "stock_quantity", name = { path = "name", steps = ["html_decode"] } }
"#;

/// The config of a store next to a database that nobody reads.
pub fn config(system: &str, mapping: &str) -> String {
    format!(
        r#"
        [system.store]
        {system}
        [system.erp]
        kind = "sqlite"
        url = "sqlite:erp.db"
        [entity.stock]
        key = "sku"
        fields.sku = {{ type = "text", store = "clear" }}
        fields.qty = {{ type = "integer", owner = "erp" }}
        fields.name = "text"
        [entity.stock.in.store]
        {mapping}
        [entity.stock.in.erp]
        dataset = "stock"
        changed_at = "updated_at"
        fields = {{ sku = "sku", qty = "qty", name = "name" }}
        "#
    )
}

/// `[system.store]` for a WooCommerce at `env:STORE`.
pub const WOOCOMMERCE: &str = r#"
    kind = "http"
    pack = "woocommerce"
    url = "env:STORE"
    settings = { key = "env:KEY", secret = "env:SECRET" }
    commit_delay = "0s"
    statement_timeout = "30s"
    budget = { requests_per_second = 1000, concurrency = 4 }
"#;

/// Reads a config with the store's address and login.
pub fn parsed(text: &str, url: &str) -> Config {
    let logins = [("KEY", KEY), ("SECRET", SECRET), ("TOKEN", "t0ken"), ("SHOPIFY_TOKEN", shopify::TOKEN)];
    let variables: Vec<_> = std::iter::once(("STORE", url)).chain(logins).collect();
    parsed_in(Path::new("/nowhere"), text, &variables)
}

fn parsed_in(directory: &Path, text: &str, variables: &[(&str, &str)]) -> Config {
    let environment = Environment::fixed(variables.iter().copied());
    parse_with(text, Path::new("plumbline.toml"), directory, &environment)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

impl Shop {
    /// A reader of products.
    pub fn new(url: &str) -> Self {
        Self::with(&config(WOOCOMMERCE, PRODUCTS), url)
    }

    /// A reader of `stock` in `store`, whose pack is this text: `acme.toml`.
    pub fn taught(pack: &str, text: &str, url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("acme.toml"), pack).unwrap();
        Self::of(&parsed_in(directory.path(), text, &[("STORE", url), ("TOKEN", "t0ken")]))
    }

    /// A reader of `stock` in `store`.
    pub fn with(text: &str, url: &str) -> Self {
        Self::of(&parsed(text, url))
    }

    /// A reader of `stock` in `store`.
    pub fn of(config: &Config) -> Self {
        let store: SystemId = "store".parse().unwrap();
        let entity: EntityId = "stock".parse().unwrap();
        let mapping = Arc::clone(&config.entities[&entity].mappings[&store]);
        let reader = connect::open(&config.systems[&store], Arc::new(AnchoredClock::from_machine())).unwrap();
        Self { reader, mapping }
    }

    /// The records with these numbers.
    pub async fn by_skus(&self, skus: &[&str]) -> Result<Vec<Record>, ReadError> {
        let keys: Vec<Key> = skus.iter().map(|sku| Key::new([Value::from(*sku)])).collect();
        Ok(self.reader.by_keys(&self.mapping, &keys).await?.records)
    }
}

/// The text of the first part of a record's key.
pub fn sku(record: &Record) -> String {
    match &record.key.parts()[0] {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    }
}
