//! What people do all day, and the plan's own picture of what the owners hold.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::super::Options;
use super::super::record::{Content, Entity, Field, status, written_lines};
use super::Change;
use super::opening::{customer_key, first_customer, first_product, first_stock, first_title, sku};

/// Number of the store's first order.
const FIRST_ORDER: usize = 1001;
/// Number of the warehouse's first shipment.
const FIRST_SHIPMENT: usize = 5001;
/// Only so many of the newest orders are still worked on.
const RECENT: usize = 40;
/// The busiest hour of a day has so many times the changes of a mean one, the quietest has as many fewer.
const SWING: f64 = 0.6;

/// Chooses everyday changes.
#[derive(Debug)]
pub struct Daily {
    held: BTreeMap<(Entity, String), Content>,
    /// Weights of products, summed up: a few are changed all the time, most rarely (Zipf).
    products: Vec<f64>,
    customers: Vec<f64>,
    orders: usize,
    shipments: usize,
    editions: usize,
    touches: bool,
    day: Option<Duration>,
}

impl Daily {
    /// As the company opens.
    pub fn new(options: &Options) -> Self {
        let products = (0..options.products).flat_map(|product| {
            [
                ((Entity::Product, sku(product)), first_product(product)),
                ((Entity::Stock, sku(product)), first_stock(product)),
            ]
        });
        let customers = (0..options.customers)
            .map(|customer| ((Entity::Customer, customer_key(customer)), first_customer(customer)));
        Self {
            held: products.chain(customers).collect(),
            products: zipf(options.products),
            customers: zipf(options.customers),
            orders: 0,
            shipments: 0,
            editions: 0,
            touches: options.faults.noise,
            day: options.day,
        }
    }

    /// How many times as much happens at that time as on the mean of a day: nights are quiet.
    pub fn rhythm(&self, at: Duration) -> f64 {
        let Some(day) = self.day else { return 1.0 };
        let turn = at.as_secs_f64() / day.as_secs_f64();
        1.0 + SWING * (turn * std::f64::consts::TAU).sin()
    }

    /// What the owner holds.
    pub fn held(&self, entity: Entity, key: &str) -> Option<&Content> {
        self.held.get(&(entity, key.to_owned()))
    }

    /// Remembers what was decided.
    pub fn note(&mut self, change: &Change) {
        let address = (change.entity, change.key.clone());
        match &change.after {
            Some(content) => drop(self.held.insert(address, content.clone())),
            None => drop(self.held.remove(&address)),
        }
    }

    /// Something that somebody does on any day.
    pub fn change(&mut self, random: &mut StdRng) -> Change {
        let entity = match random.random_range(0..100) {
            0..6 if self.touches => return self.touch(random),
            0..36 => Entity::Product,
            36..64 => Entity::Stock,
            64..84 => Entity::Order,
            84..91 => Entity::Shipment,
            _ => Entity::Customer,
        };
        let change = match random.random_range(0..8) {
            0 if entity == Entity::Shipment => self.new_shipment(random),
            _ => self.change_of(entity, random),
        };
        change.unwrap_or_else(|| self.reprice(random))
    }

    /// A change of an entity; `None` when there is nothing to change just now.
    pub fn change_of(&mut self, entity: Entity, random: &mut StdRng) -> Option<Change> {
        match entity {
            Entity::Product if random.random_bool(0.3) => Some(self.rename(random)),
            Entity::Product => Some(self.reprice(random)),
            Entity::Stock => self.count(random),
            Entity::Order => Some(self.order(random)),
            Entity::Shipment if self.shipments == 0 || random.random_bool(0.5) => self.new_shipment(random),
            Entity::Shipment => self.recount_shipment(random),
            Entity::Customer => self.new_address(random),
        }
    }

    /// A product, popular ones more often.
    pub fn product(&self, random: &mut StdRng) -> String {
        sku(drawn(&self.products, random))
    }

    /// A customer, good ones more often.
    pub fn customer(&self, random: &mut StdRng) -> String {
        customer_key(drawn(&self.customers, random))
    }

    /// A recent order in one of these states.
    pub fn order_in(&self, states: &[&str], random: &mut StdRng) -> Option<String> {
        let recent = self.orders.saturating_sub(RECENT)..self.orders;
        let is_in = |number: &String| {
            self.held(Entity::Order, number).is_some_and(|order| states.contains(&order.text(Field::Status)))
        };
        one_of(recent.map(|order| (FIRST_ORDER + order).to_string()).filter(is_in).collect(), random)
    }

    /// A recent shipment.
    pub fn shipment(&self, random: &mut StdRng) -> Option<String> {
        let recent = self.shipments.saturating_sub(RECENT)..self.shipments;
        let is_there = |number: &String| self.held(Entity::Shipment, number).is_some();
        one_of(recent.map(|shipment| (FIRST_SHIPMENT + shipment).to_string()).filter(is_there).collect(), random)
    }

    /// Saves a product as it is.
    fn touch(&self, random: &mut StdRng) -> Change {
        let key = self.product(random);
        self.changed(Entity::Product, key, |product| product)
    }

    /// Gives a product another price.
    pub fn reprice(&self, random: &mut StdRng) -> Change {
        let price = 499 + 50 * random.random_range(0..60);
        let key = self.product(random);
        self.changed(Entity::Product, key, |product| {
            // Another one in any case.
            let price = if product.number(Field::Price) == price { price + 3000 } else { price };
            product.with(Field::Price, price)
        })
    }

    /// Makes a product dearer by so many cents.
    pub fn dearer(&self, key: String, by: i64) -> Change {
        self.changed(Entity::Product, key, |product| {
            let price = product.number(Field::Price) + by;
            product.with(Field::Price, price)
        })
    }

    /// Half of the renames change only what the warehouse cuts off: a touch that changes nothing there.
    fn rename(&mut self, random: &mut StdRng) -> Change {
        if random.random_bool(0.5) {
            return self.visible_rename(random);
        }
        let (key, edition) = (self.product(random), random.random_range(2..100));
        let title = format!("{:<24} (edition {edition})", first_title(number_of(&key)));
        self.changed(Entity::Product, key, |product| product.with(Field::Title, title))
    }

    /// A rename that every target must follow, whatever the name was.
    pub fn visible_rename(&mut self, random: &mut StdRng) -> Change {
        let key = self.product(random);
        self.editions += 1;
        let title = format!("{}x {}", 100 + self.editions, first_title(number_of(&key)));
        self.changed(Entity::Product, key, |product| product.with(Field::Title, title))
    }

    fn count(&self, random: &mut StdRng) -> Option<Change> {
        let key = self.product(random);
        let pieces = self.held(Entity::Stock, &key)?.number(Field::Pieces);
        let more = random.random_range(1..=6);
        let counted = if random.random_bool(0.5) && pieces >= more { pieces - more } else { pieces + more };
        // A bin holds no more.
        let counted = if counted > 500 { 100 } else { counted };
        Some(self.changed(Entity::Stock, key, |stock| stock.with(Field::Pieces, counted)))
    }

    /// Moves a recent order on, or places a new one.
    fn order(&mut self, random: &mut StdRng) -> Change {
        if let Some(key) = self.order_in(&[status::PENDING], random).filter(|_| random.random_bool(0.5)) {
            return self.changed(Entity::Order, key, |order| order.with(Field::Status, status::OPEN));
        }
        let Some(key) = self.order_in(&[status::OPEN, status::SHIPPED], random).filter(|_| random.random_bool(0.6))
        else {
            return self.new_order(random);
        };
        let Some(order) = self.held(Entity::Order, &key).cloned() else { return self.new_order(random) };
        let is_open = order.text(Field::Status) == status::OPEN;
        match random.random_range(0..8) {
            0 => self.cancel(key),
            1..3 => self.refund(key, &order).unwrap_or_else(|| self.new_order(random)),
            3..5 if is_open => self.more_of_a_line(key, &order),
            _ if is_open => self.changed(Entity::Order, key, |order| order.with(Field::Status, status::SHIPPED)),
            _ => self.new_order(random),
        }
    }

    /// Cancels an order.
    pub fn cancel(&self, key: String) -> Change {
        self.changed(Entity::Order, key, |order| order.with(Field::Status, status::CANCELLED))
    }

    /// Gives a quarter of what is left back; `None` when too little is left.
    fn refund(&self, key: String, order: &Content) -> Option<Change> {
        let (total, refunded) = (order.number(Field::Total), order.number(Field::Refunded));
        let back = (total - refunded) / 4;
        (back > 0).then(|| self.changed(Entity::Order, key, |order| order.with(Field::Refunded, refunded + back)))
    }

    /// One more piece of the first line.
    fn more_of_a_line(&self, key: String, order: &Content) -> Change {
        let lines = order.lines();
        let first = lines.first().copied().map(|(sku, _)| (sku, 1));
        let price =
            first.and_then(|(sku, _)| self.held(Entity::Product, sku)).map_or(0, |held| held.number(Field::Price));
        let lines = written_lines(lines.iter().copied().chain(first));
        let total = order.number(Field::Total) + price;
        self.changed(Entity::Order, key, |order| order.with(Field::Lines, lines).with(Field::Total, total))
    }

    /// A customer orders one to three products. One in three pays later.
    fn new_order(&mut self, random: &mut StdRng) -> Change {
        let wanted: Vec<(String, i64)> =
            (0..random.random_range(1..=3)).map(|_| (self.product(random), random.random_range(1..=4))).collect();
        let price = |sku: &str| self.held(Entity::Product, sku).map_or(0, |product| product.number(Field::Price));
        let total: i64 = wanted.iter().map(|(sku, pieces)| price(sku) * pieces).sum();
        let currency = ["EUR", "EUR", "USD", "JPY"][self.orders % 4];
        let state = if random.random_range(0..3) == 0 { status::PENDING } else { status::OPEN };
        let order = Content::of([
            (Field::Status, state.to_owned()),
            (Field::Currency, currency.to_owned()),
            (Field::Total, total.to_string()),
            (Field::Refunded, "0".to_owned()),
            (Field::Lines, written_lines(wanted.iter().map(|(sku, pieces)| (sku.as_str(), *pieces)))),
        ]);
        let key = (FIRST_ORDER + self.orders).to_string();
        self.orders += 1;
        Change { entity: Entity::Order, key, before: None, after: Some(order), softly: false }
    }

    /// Ships a part of an order.
    fn new_shipment(&mut self, random: &mut StdRng) -> Option<Change> {
        let order = self.order_in(&[status::OPEN, status::SHIPPED], random)?;
        let lines = self.held(Entity::Order, &order)?.lines();
        let (sku, pieces) = lines.get(random.random_range(0..lines.len().max(1)))?;
        let pieces = random.random_range(1..=(*pieces).max(1));
        let shipment = Content::of([
            (Field::Order, order.clone()),
            (Field::Sku, (*sku).to_owned()),
            (Field::Pieces, pieces.to_string()),
        ]);
        let key = (FIRST_SHIPMENT + self.shipments).to_string();
        self.shipments += 1;
        Some(Change { entity: Entity::Shipment, key, before: None, after: Some(shipment), softly: false })
    }

    /// Corrects how many pieces a shipment holds.
    fn recount_shipment(&self, random: &mut StdRng) -> Option<Change> {
        let key = self.shipment(random)?;
        let more = random.random_range(1..=3);
        Some(self.changed(Entity::Shipment, key, |shipment| {
            let pieces = shipment.number(Field::Pieces) + more;
            shipment.with(Field::Pieces, if pieces > 500 { 1 } else { pieces })
        }))
    }

    fn new_address(&self, random: &mut StdRng) -> Option<Change> {
        let key = self.customer(random);
        self.held(Entity::Customer, &key)?;
        let email = format!("{key}.{}@example.com", random.random_range(0..1_000_000));
        Some(self.changed(Entity::Customer, key, |customer| customer.with(Field::Email, email)))
    }

    /// The record goes.
    pub fn gone(&self, entity: Entity, key: String, softly: bool) -> Change {
        let before = self.held(entity, &key).cloned();
        Change { entity, key, before, after: None, softly }
    }

    fn changed(&self, entity: Entity, key: String, change: impl FnOnce(Content) -> Content) -> Change {
        let before = self.held(entity, &key).cloned();
        let after = before.clone().map(change);
        Change { entity, key, before, after, softly: false }
    }
}

fn zipf(count: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let weights = (1..=count).map(|rank| {
        sum += 1.0 / rank as f64;
        sum
    });
    weights.collect()
}

fn drawn(weights: &[f64], random: &mut StdRng) -> usize {
    let total = weights.last().copied().unwrap_or(1.0);
    let point = random.random_range(0.0..total);
    weights.partition_point(|sum| *sum <= point).min(weights.len().saturating_sub(1))
}

fn one_of(mut keys: Vec<String>, random: &mut StdRng) -> Option<String> {
    (!keys.is_empty()).then(|| keys.swap_remove(random.random_range(0..keys.len())))
}

fn number_of(sku: &str) -> usize {
    sku.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
