//! What the store holds. Every method is one write; what it touched is noted for the log and for webhooks.

use std::collections::HashMap;

use super::StoreError;
use super::goods::{How, Product};
use super::people::Customer;
use super::sale::Order;
use super::shelf::Shelf;
use crate::sandbox::record::{Content, Entity};
use crate::sandbox::service::log::Written;
use crate::sandbox::service::webhooks::{Event, What};

/// The store's lists. Ids count in each of them alone; in WordPress all share one count.
#[derive(Debug)]
pub struct Shop {
    pub products: Shelf<Product>,
    pub orders: Shelf<Order>,
    pub customers: Shelf<Customer>,
    /// By number in lower case, oldest first.
    pub skus: HashMap<String, Vec<u64>>,
    pub usernames: HashMap<String, u64>,
    pub emails: HashMap<String, u64>,
    pub next_product: u64,
    pub next_order: u64,
    pub next_refund: u64,
    pub next_line: u64,
    pub next_customer: u64,
    touched: Vec<(Entity, String)>,
    events: Vec<Event>,
}

/// The stamp that a write leaves, in seconds since 1970 by the store's clock.
#[derive(Clone, Copy, Debug)]
pub struct Stamping {
    pub at: i64,
    /// Leaves the stamp of what is there as it is.
    pub keeps: bool,
}

impl Stamping {
    pub fn now(at: i64) -> Self {
        Self { at, keeps: false }
    }

    pub fn of(self, before: i64) -> i64 {
        if self.keeps { before } else { self.at }
    }
}

impl Shop {
    /// An empty store with its keeper, who is a user but no customer.
    pub fn open(at: i64) -> Self {
        let (products, orders, mut customers) = (Shelf::default(), Shelf::default(), Shelf::default());
        customers.put(Customer {
            id: 1,
            username: "keeper".to_owned(),
            email: "keeper@store.example".to_owned(),
            first_name: "Shop".to_owned(),
            last_name: "Keeper".to_owned(),
            role: "administrator",
            created: at,
            modified: at,
        });
        let usernames = HashMap::from([("keeper".to_owned(), 1)]);
        let emails = HashMap::from([("keeper@store.example".to_owned(), 1)]);
        let (skus, touched, events) = Default::default();
        Self {
            products,
            orders,
            customers,
            skus,
            usernames,
            emails,
            next_product: 10,
            next_order: 1001,
            next_refund: 1,
            next_line: 1,
            next_customer: 2,
            touched,
            events,
        }
    }

    /// What the store holds under a key, in the common language.
    pub fn read(&self, entity: Entity, key: &str) -> Result<Vec<Content>, StoreError> {
        let product = || self.by_sku(key).filter(|product| product.sku == key);
        let found = match entity {
            Entity::Product => product().map(Product::product),
            Entity::Stock => product().and_then(Product::pieces),
            Entity::Order => key.parse().ok().and_then(|id| self.orders.live(id)).map(Order::content),
            Entity::Customer => self.by_username(key).map(Customer::content),
            Entity::Shipment => return Err(StoreError::NotHere(entity)),
        };
        Ok(found.into_iter().collect())
    }

    /// Makes the store hold exactly `contents` under the key.
    pub fn write(&mut self, entity: Entity, key: &str, contents: &[Content], how: How) -> Result<(), StoreError> {
        if contents.len() > 1 {
            return Err(StoreError::Twice(entity));
        }
        match entity {
            Entity::Product => self.write_product(key, contents, how),
            Entity::Stock => self.write_stock(key, contents, how),
            Entity::Order => self.write_order(key, contents, how),
            Entity::Customer => self.write_customer(key, contents, how),
            Entity::Shipment => Err(StoreError::NotHere(entity)),
        }
    }

    /// Notes that a key may say something else now.
    pub fn touch(&mut self, entity: Entity, key: &str) {
        if !self.touched.iter().any(|(known, other)| *known == entity && other == key) {
            self.touched.push((entity, key.to_owned()));
        }
    }

    /// Notes that somebody may want to be told.
    pub fn event(&mut self, entity: Entity, key: String, id: u64, what: What) {
        self.events.push(Event { entity, key, id, what });
    }

    /// What was touched since the last call, with what it says now, and who wants to be told.
    pub fn settle(&mut self) -> (Vec<Written>, Vec<Event>) {
        let touched = std::mem::take(&mut self.touched);
        // Only what the store holds is ever touched.
        let says = |(entity, key): (Entity, String)| Some((entity, key.clone(), self.read(entity, &key).ok()?));
        let written = touched.into_iter().filter(|(_, key)| !key.is_empty()).filter_map(says).collect();
        (written, std::mem::take(&mut self.events))
    }
}
