//! Who is who in the company, and what a record says in the common language. Pure.
//!
//! | entity | owner | targets | fields |
//! |---|---|---|---|
//! | product | ERP | warehouse, store | title (the warehouse cuts it), price |
//! | stock | warehouse | ERP, store | pieces |
//! | order | store | ERP, warehouse | status, lines; in the ERP currency, total and what was refunded, too |
//! | shipment | warehouse | ERP | order, SKU, pieces: an order may be shipped in parts |
//! | customer | CRM | ERP, store | name, e-mail |

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A system of the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// A database: right about products.
    Erp,
    /// A database: right about stock and shipments.
    Warehouse,
    /// Speaks WooCommerce's REST API: right about orders.
    Store,
    /// A JSON service: right about customers.
    Crm,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Erp, Self::Warehouse, Self::Store, Self::Crm];

    /// The name in plumbline.toml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erp => "erp",
            Self::Warehouse => "warehouse",
            Self::Store => "store",
            Self::Crm => "crm",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What lives in more than one system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    /// Key: the SKU, `SKU-0007`.
    Product,
    /// Key: the SKU, `SKU-0007`.
    Stock,
    /// Key: the store's number of it, `1001`.
    Order,
    /// Key: the warehouse's number of it, `5001`.
    Shipment,
    /// Key: the CRM's number of it, `c0001`.
    Customer,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Product, Self::Stock, Self::Order, Self::Shipment, Self::Customer];

    /// The name in plumbline.toml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Stock => "stock",
            Self::Order => "order",
            Self::Shipment => "shipment",
            Self::Customer => "customer",
        }
    }

    /// The system that is right.
    pub const fn owner(self) -> System {
        match self {
            Self::Product => System::Erp,
            Self::Stock | Self::Shipment => System::Warehouse,
            Self::Order => System::Store,
            Self::Customer => System::Crm,
        }
    }

    /// The systems that must follow.
    pub const fn targets(self) -> &'static [System] {
        match self {
            Self::Product => &[System::Warehouse, System::Store],
            Self::Stock | Self::Customer => &[System::Erp, System::Store],
            Self::Order => &[System::Erp, System::Warehouse],
            Self::Shipment => &[System::Erp],
        }
    }

    /// All systems that hold it, the owner first.
    pub fn systems(self) -> impl Iterator<Item = System> {
        std::iter::once(self.owner()).chain(self.targets().iter().copied())
    }

    /// What owner and target compare.
    pub const fn fields(self, target: System) -> &'static [Field] {
        match (self, target) {
            (Self::Product, _) => &[Field::Title, Field::Price],
            (Self::Stock, _) => &[Field::Pieces],
            (Self::Order, System::Warehouse) => &[Field::Status, Field::Lines],
            (Self::Order, _) => &[Field::Status, Field::Currency, Field::Total, Field::Refunded, Field::Lines],
            (Self::Shipment, _) => &[Field::Order, Field::Sku, Field::Pieces],
            (Self::Customer, _) => &[Field::Name, Field::Email],
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A field in the common language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// Of a product.
    Title,
    /// Of a product, in euro cents.
    Price,
    /// Of a stock or a shipment, a whole number.
    Pieces,
    /// Of an order: a word of [`status`].
    Status,
    /// Of an order: ISO 4217.
    Currency,
    /// Of an order, in minor units of its currency.
    Total,
    /// Of an order: the sum of its refunds, in minor units of its currency.
    Refunded,
    /// Of an order: `SKU-0001*2,SKU-0007*1`, in order of the SKUs, each once.
    Lines,
    /// Of a shipment: the number of its order.
    Order,
    /// Of a shipment: what was shipped.
    Sku,
    /// Of a customer.
    Name,
    /// Of a customer.
    Email,
}

/// The states of an order, in the common language.
pub mod status {
    /// Not yet paid: of no concern to anybody but the store.
    pub const PENDING: &str = "pending";
    /// Paid: everybody must know it.
    pub const OPEN: &str = "open";
    /// On its way.
    pub const SHIPPED: &str = "shipped";
    /// Cancelled: the warehouse must forget it, the ERP must mark it.
    pub const CANCELLED: &str = "cancelled";
}

/// Longest title that the warehouse can hold, in characters.
pub const TITLE_LENGTH: usize = 24;

/// What one record says, in the common language, as far as its system can hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(BTreeMap<Field, String>);

impl Content {
    /// A record of these fields.
    pub fn of<const N: usize>(fields: [(Field, String); N]) -> Self {
        Self(BTreeMap::from(fields))
    }

    /// What a field says; empty when the record has no such field.
    pub fn text(&self, field: Field) -> &str {
        self.0.get(&field).map_or("", String::as_str)
    }

    /// What a field says as a number; `i64::MIN` when it says none, which no honest record holds.
    pub fn number(&self, field: Field) -> i64 {
        self.text(field).parse().unwrap_or(i64::MIN)
    }

    /// The same with one field changed.
    #[must_use]
    pub fn with(mut self, field: Field, value: impl ToString) -> Self {
        self.0.insert(field, value.to_string());
        self
    }

    /// The lines of an order: SKU and pieces.
    pub fn lines(&self) -> Vec<(&str, i64)> {
        let parts = self.text(Field::Lines).split(',').filter_map(|part| part.split_once('*'));
        parts.map(|(sku, pieces)| (sku, pieces.parse().unwrap_or_default())).collect()
    }

    /// What `target` should hold of this record of the owner; `None` when it does not concern it.
    pub fn for_target(&self, entity: Entity, target: System) -> Option<Self> {
        if entity == Entity::Order && ![status::OPEN, status::SHIPPED].contains(&self.text(Field::Status)) {
            return None;
        }
        let kept = entity.fields(target).iter().map(|field| (*field, self.text(*field).to_owned()));
        let mut record = Self(kept.collect());
        if target == System::Warehouse && entity == Entity::Product {
            record = record.with(Field::Title, cut(self.text(Field::Title)));
        }
        Some(record)
    }
}

/// Writes the lines of an order as [`Field::Lines`] has them.
pub fn written_lines<'a>(lines: impl IntoIterator<Item = (&'a str, i64)>) -> String {
    let mut pieces: BTreeMap<&str, i64> = BTreeMap::new();
    for (sku, count) in lines {
        *pieces.entry(sku).or_default() += count;
    }
    let parts: Vec<String> = pieces.into_iter().map(|(sku, count)| format!("{sku}*{count}")).collect();
    parts.join(",")
}

/// As much of a name as the warehouse can hold.
pub fn cut(name: &str) -> String {
    name.chars().take(TITLE_LENGTH).collect()
}

/// Digits after the point in amounts of a currency that the company deals in (ISO 4217).
pub fn decimals(currency: &str) -> u32 {
    if currency == "JPY" { 0 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(state: &str) -> Content {
        Content::of([
            (Field::Status, state.to_owned()),
            (Field::Currency, "JPY".to_owned()),
            (Field::Total, "1200".to_owned()),
            (Field::Lines, written_lines([("SKU-0007", 1), ("SKU-0001", 1), ("SKU-0001", 1)])),
        ])
    }

    #[test]
    fn only_what_a_target_compares_concerns_it() {
        let seen = order(status::OPEN).for_target(Entity::Order, System::Warehouse);
        let expect = [(Field::Status, "open".to_owned()), (Field::Lines, "SKU-0001*2,SKU-0007*1".to_owned())];
        assert_eq!(seen, Some(Content::of(expect)));
        assert_eq!(order(status::OPEN).lines(), [("SKU-0001", 2), ("SKU-0007", 1)]);
    }

    #[test]
    fn orders_that_are_not_paid_or_cancelled_concern_nobody() {
        for (state, concerns) in
            [(status::PENDING, false), (status::OPEN, true), (status::SHIPPED, true), (status::CANCELLED, false)]
        {
            assert_eq!(order(state).for_target(Entity::Order, System::Erp).is_some(), concerns, "{state}");
        }
    }

    #[test]
    fn the_warehouse_cuts_titles_by_characters() {
        let product = Content::default().with(Field::Title, "Lot à plomb en laiton massif").with(Field::Price, 1299);
        let title =
            |target| product.for_target(Entity::Product, target).map(|record| record.text(Field::Title).to_owned());
        assert_eq!(title(System::Warehouse).as_deref(), Some("Lot à plomb en laiton ma"));
        assert_eq!(title(System::Store).as_deref(), Some("Lot à plomb en laiton massif"));
    }
}
