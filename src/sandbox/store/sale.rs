//! Orders with their lines and refunds.

use std::collections::BTreeMap;

use super::amount;
use super::goods::How;
use super::shelf::Shelved;
use super::shop::{Shop, Stamping};
use super::{NewOrder, StoreError, TRASH};
use crate::sandbox::record::{Content, Entity, Field, status, written_lines};
use crate::sandbox::service::webhooks::What;

#[derive(Clone, Debug)]
pub struct Order {
    pub id: u64,
    /// The store's own word.
    pub status: String,
    pub before_trash: Option<String>,
    pub currency: String,
    pub lines: Vec<Line>,
    /// What makes the total differ from the lines' sum: a fee, or less than nothing.
    pub fee: i64,
    pub refunds: Vec<Refund>,
    pub customer: u64,
    pub created: i64,
    pub modified: i64,
    pub paid: Option<i64>,
    pub completed: Option<i64>,
}

/// One line. It remembers its product's number: unlike in the original, it survives the product.
#[derive(Clone, Debug)]
pub struct Line {
    pub id: u64,
    pub product: u64,
    pub sku: String,
    pub name: String,
    pub pieces: i64,
    /// In minor units.
    pub total: i64,
}

#[derive(Clone, Debug)]
pub struct Refund {
    pub id: u64,
    /// In minor units.
    pub minor: i64,
    pub reason: String,
    pub at: i64,
}

impl Shelved for Order {
    fn id(&self) -> u64 {
        self.id
    }

    fn modified(&self) -> i64 {
        self.modified
    }

    fn is_trashed(&self) -> bool {
        self.status == TRASH
    }
}

impl Order {
    /// In minor units.
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.total).sum::<i64>() + self.fee
    }

    /// In minor units.
    pub fn refunded(&self) -> i64 {
        self.refunds.iter().map(|refund| refund.minor).sum()
    }

    /// In the common language.
    pub fn content(&self) -> Content {
        Content::of([
            (Field::Status, common_status(&self.status).to_owned()),
            (Field::Currency, self.currency.clone()),
            (Field::Total, self.total().to_string()),
            (Field::Refunded, self.refunded().to_string()),
            (Field::Lines, written_lines(self.lines.iter().map(|line| (&*line.sku, line.pieces)))),
        ])
    }

    /// Takes on a status of the store, with the dates that go with it.
    pub fn become_(&mut self, status: &str, at: i64) {
        status.clone_into(&mut self.status);
        self.before_trash = None;
        if ["processing", "completed"].contains(&status) {
            self.paid.get_or_insert(at);
        }
        if status == "completed" {
            self.completed.get_or_insert(at);
        }
    }
}

/// The store's words for the states of the common language.
const STATES: [(&str, &str); 4] = [
    (status::PENDING, "pending"),
    (status::OPEN, "processing"),
    (status::SHIPPED, "completed"),
    (status::CANCELLED, "cancelled"),
];

/// What a status of the store means to the company. Who got all the money back has cancelled.
pub fn common_status(own: &str) -> &'static str {
    let known = STATES.iter().find(|(_, word)| *word == own).map(|(common, _)| *common);
    known.unwrap_or(if ["refunded", "failed"].contains(&own) { status::CANCELLED } else { status::PENDING })
}

/// The store's word for a status of the common language.
pub fn own_status(common: &str) -> Result<&'static str, StoreError> {
    let own = STATES.iter().find(|(word, _)| *word == common).map(|(_, own)| *own);
    own.ok_or_else(|| StoreError::NoStatus(common.to_owned()))
}

impl Shop {
    /// Takes an order; gives its number.
    pub fn place(&mut self, new: &NewOrder, at: i64) -> Result<u64, StoreError> {
        let id = self.next_order;
        let status = own_status(&new.status)?;
        let lines = self.lines(&new.lines, &new.currency, &[]);
        let customer = self.by_username(&new.customer).map_or(0, |customer| customer.id);
        let mut order = blank(id, &new.currency, at);
        (order.lines, order.customer) = (lines, customer);
        order.become_(status, at);
        self.add_order(order);
        Ok(id)
    }

    /// Adds an order that is made elsewhere.
    pub fn add_order(&mut self, order: Order) {
        let id = order.id;
        self.next_order = self.next_order.max(id + 1);
        self.orders.put(order);
        self.touch(Entity::Order, &id.to_string());
        self.event(Entity::Order, id.to_string(), id, What::Created);
    }

    /// Changes an order and its stamp.
    pub fn edit_order<E: From<StoreError>>(
        &mut self,
        id: u64,
        stamping: Stamping,
        edit: impl FnOnce(&mut Self, &mut Order) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut order = self.orders.get(id).ok_or(StoreError::NotThere)?.clone();
        edit(self, &mut order)?;
        order.modified = stamping.of(order.modified);
        self.orders.put(order);
        self.touch(Entity::Order, &id.to_string());
        if !stamping.keeps {
            self.event(Entity::Order, id.to_string(), id, What::Updated);
        }
        Ok(())
    }

    /// Gives money back; all of it makes the order `refunded`, as in the original. Gives the refund's id.
    pub fn refund(&mut self, id: u64, minor: i64, reason: &str, at: i64) -> Result<u64, StoreError> {
        let refund_id = self.next_refund;
        self.edit_order(id, Stamping::now(at), |shop, order| {
            let left = order.total() - order.refunded();
            if minor <= 0 || minor > left {
                return Err(StoreError::WrongRefund);
            }
            shop.next_refund += 1;
            order.refunds.push(Refund { id: refund_id, minor, reason: reason.to_owned(), at });
            if minor == left {
                order.become_("refunded", at);
            }
            Ok(())
        })?;
        Ok(refund_id)
    }

    /// Takes a refund back. It does not move the order's stamp, nor is anybody told.
    pub fn drop_refund(&mut self, id: u64, refund: u64) -> Result<(), StoreError> {
        let mut order = self.orders.get(id).ok_or(StoreError::NotThere)?.clone();
        let before = order.refunds.len();
        order.refunds.retain(|known| known.id != refund);
        if order.refunds.len() == before {
            return Err(StoreError::NotThere);
        }
        self.orders.put(order);
        self.touch(Entity::Order, &id.to_string());
        Ok(())
    }

    /// Puts an order to the trash, or deletes it for good, of which nobody is told.
    pub fn drop_order(&mut self, id: u64, softly: bool, stamping: Stamping) -> Result<(), StoreError> {
        let mut order = self.orders.get(id).ok_or(StoreError::NotThere)?.clone();
        self.touch(Entity::Order, &id.to_string());
        if !softly {
            self.orders.remove(id);
            return Ok(());
        }
        let before = std::mem::replace(&mut order.status, TRASH.to_owned());
        order.before_trash = Some(before);
        order.modified = stamping.of(order.modified);
        self.orders.put(order);
        if !stamping.keeps {
            self.event(Entity::Order, id.to_string(), id, What::Deleted);
        }
        Ok(())
    }

    /// Makes the store hold exactly these orders under the number.
    pub fn write_order(&mut self, key: &str, contents: &[Content], how: How) -> Result<(), StoreError> {
        let id: u64 = key.parse().map_err(|_| StoreError::NoNumber(key.to_owned()))?;
        let Some(content) = contents.first() else {
            return match self.orders.live(id) {
                Some(_) => self.drop_order(id, how.softly, how.stamping),
                None => Ok(()),
            };
        };
        let at = how.stamping.at;
        if self.orders.get(id).is_some() {
            return self.edit_order(id, how.stamping, |shop, order| shop.become_content(order, content, at));
        }
        let mut order = blank(id, content.text(Field::Currency), at);
        self.become_content(&mut order, content, at)?;
        self.add_order(order);
        Ok(())
    }

    /// Makes an order say this.
    fn become_content(&mut self, order: &mut Order, content: &Content, at: i64) -> Result<(), StoreError> {
        order.become_(own_status(content.text(Field::Status))?, at);
        content.text(Field::Currency).clone_into(&mut order.currency);
        let lines: Vec<(String, i64)> =
            content.lines().into_iter().map(|(sku, pieces)| (sku.to_owned(), pieces)).collect();
        order.lines = self.lines(&lines, &order.currency, &order.lines);
        order.fee = 0;
        order.fee = content.number(Field::Total).saturating_sub(order.total());
        self.refund_exactly(order, content.number(Field::Refunded), at);
        Ok(())
    }

    /// Takes back the last refunds until no more than `wanted` is refunded, and refunds the rest.
    fn refund_exactly(&mut self, order: &mut Order, wanted: i64, at: i64) {
        while order.refunded() > wanted && order.refunds.pop().is_some() {}
        let minor = wanted - order.refunded();
        if minor > 0 {
            order.refunds.push(Refund { id: self.next_refund, minor, reason: String::new(), at });
            self.next_refund += 1;
        }
    }

    /// Lines for these numbers, each once, at the present prices; lines that were there stay as they are.
    pub fn lines(&mut self, wanted: &[(String, i64)], currency: &str, before: &[Line]) -> Vec<Line> {
        let mut pieces: BTreeMap<&str, i64> = BTreeMap::new();
        for (sku, count) in wanted {
            *pieces.entry(sku).or_default() += count;
        }
        let line = |(sku, pieces): (&str, i64)| {
            let same = before.iter().find(|line| line.sku == sku && line.pieces == pieces);
            same.cloned().unwrap_or_else(|| self.line(sku, pieces, currency))
        };
        pieces.into_iter().map(line).collect()
    }

    /// A line at the present price. A price in euro cents is taken for so many minor units of any currency.
    fn line(&mut self, sku: &str, pieces: i64, currency: &str) -> Line {
        let product = self.by_sku(sku).map(|product| (product.id, product.name.clone(), product.price.clone()));
        let (product, name, price) = product.unwrap_or_default();
        let unit = amount::minor(&price, "EUR").unwrap_or_default();
        let unit = if currency.is_empty() { 0 } else { unit };
        let id = self.next_line;
        self.next_line += 1;
        Line { id, product, sku: sku.to_owned(), name, pieces, total: unit.saturating_mul(pieces) }
    }
}

pub fn blank(id: u64, currency: &str, at: i64) -> Order {
    Order {
        id,
        status: "pending".to_owned(),
        before_trash: None,
        currency: currency.to_owned(),
        lines: Vec::new(),
        fee: 0,
        refunds: Vec::new(),
        customer: 0,
        created: at,
        modified: at,
        paid: None,
        completed: None,
    }
}
