//! Both systems on one product, each in a database of its own, and records to write.

use std::sync::Arc;

use plumbline::clock::{AnchoredClock, Clock};
use plumbline::sandbox::book::{Book, Manner, WriteLog};
use plumbline::sandbox::database::Database;
use plumbline::sandbox::record::{Content, Entity, Field, System, status};

use crate::verdicts::pair::{Database as Place, Product};

pub const PRODUCTS: [Product; 3] = [Product::Sqlite, Product::Postgres, Product::Mariadb];

/// One of the two systems.
pub struct Bed {
    pub system: System,
    pub place: Place,
    pub database: Database,
    pub log: Arc<WriteLog>,
}

impl Bed {
    pub async fn new(product: Product, system: System) -> Self {
        let (place, log) = (Place::new(product).await, Arc::new(WriteLog::default()));
        let database = Database::create(system, &place.url(), Arc::clone(&log), clock()).await.unwrap();
        Self { system, place, database, log }
    }

    /// Both systems on each product.
    pub async fn each() -> Vec<Self> {
        let mut beds = Vec::new();
        for product in PRODUCTS {
            for system in [System::Erp, System::Warehouse] {
                beds.push(Self::new(product, system).await);
            }
        }
        beds
    }

    /// For messages.
    pub fn name(&self) -> String {
        format!("{} on {}", self.system, self.place.kind())
    }

    /// Somebody else who works with the same database.
    pub async fn another(&self) -> Database {
        Database::open(self.system, &self.place.url(), Arc::clone(&self.log), clock()).await.unwrap()
    }

    pub async fn write(&self, entity: Entity, key: &str, contents: &[Content]) {
        self.write_so(entity, key, contents, Manner::default()).await;
    }

    pub async fn write_so(&self, entity: Entity, key: &str, contents: &[Content], manner: Manner) {
        self.database.write(entity, key, contents, manner).await.unwrap();
    }

    /// What somebody new reads.
    pub async fn read(&self, entity: Entity, key: &str) -> Vec<Content> {
        self.another().await.read(entity, key).await.unwrap()
    }

    /// The entities that the system holds, each with its table.
    pub fn entities(&self) -> Vec<(Entity, &'static str)> {
        match self.system {
            System::Erp => vec![
                (Entity::Product, "product"),
                (Entity::Stock, "stock_level"),
                (Entity::Order, "sale_order"),
                (Entity::Shipment, "delivery"),
                (Entity::Customer, "partner"),
            ],
            _ => vec![
                (Entity::Product, "item"),
                (Entity::Stock, "bin"),
                (Entity::Order, "pick_order"),
                (Entity::Shipment, "shipment"),
            ],
        }
    }

    /// What the system can hold of a record.
    pub fn kept(&self, entity: Entity, content: &Content) -> Content {
        if entity.owner() == self.system {
            return content.clone();
        }
        content.for_target(entity, self.system).expect("a record that concerns it")
    }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(AnchoredClock::from_machine())
}

/// A key as the company writes it.
pub fn key(entity: Entity) -> &'static str {
    match entity {
        Entity::Product | Entity::Stock => "SKU-0007",
        Entity::Order => "1001",
        Entity::Shipment => "5001",
        Entity::Customer => "c0001",
    }
}

/// Records of an entity that differ in everything.
pub fn record(entity: Entity, number: usize) -> Content {
    let either = |one: &str, other: &str| if number.is_multiple_of(2) { one.to_owned() } else { other.to_owned() };
    match entity {
        Entity::Product => Content::of([
            (Field::Title, format!("{number}: Lot à plomb en laiton massif, 'bord' \"poli\"")),
            (Field::Price, (1205 + number).to_string()),
        ]),
        Entity::Stock => Content::of([(Field::Pieces, (4 + number).to_string())]),
        Entity::Order => Content::of([
            (Field::Status, either(status::OPEN, status::SHIPPED)),
            (Field::Currency, either("EUR", "JPY")),
            (Field::Total, (45_600 + number).to_string()),
            (Field::Refunded, (number * 50).to_string()),
            (Field::Lines, format!("SKU-0001*{},SKU-0007*{}", 1 + number, 10 + number)),
        ]),
        Entity::Shipment => Content::of([
            (Field::Order, (1001 + number).to_string()),
            (Field::Sku, format!("SKU-000{number}")),
            (Field::Pieces, (1 + number).to_string()),
        ]),
        Entity::Customer => Content::of([
            (Field::Name, format!("Zoë Ångström {number}")),
            (Field::Email, format!("zoe{number}@example.org")),
        ]),
    }
}
