//! The store: speaks as much of WooCommerce's REST v3 as the company and its auditor use, over a real socket, and is
//! right about orders. Everything is in memory and gone with the process.
//!
//! - [`Store::open`] starts it; [`Store::url`], [`KEY`] and [`SECRET`] (reads and writes), [`READ_KEY`] and
//!   [`READ_SECRET`] (reads) lead to it, [`Store::client`] gives a [`StoreClient`], which is a [`Book`] over REST.
//! - Shoppers and clerks act from inside: [`Store::place`], [`Store::set_status`], [`Store::refund`],
//!   [`Store::edit_lines`], [`Store::erase`]; or any write through `Book for Store`. No switch touches them.
//! - [`Store::switches`]: outage, throttle, clock offset, schema drift, cost. [`Store::hook`] and
//!   [`Store::lose_webhooks`]: webhooks.
//!
//! - [`plumbline_toml`] and [`LOGIN_FILES`]: what the auditor needs.
//!
//! What it holds: product (title, price in euro cents), stock (pieces), order (status, currency, total, refunded,
//! lines), customer (name, e-mail). It cannot hold two records of one key, nor shipments. A product and its stock are
//! one record here: who deletes the product deletes the stock, and both are noted; a product that comes anew has no
//! stock until one is written. A write that leaves the stamp as it is is one behind the store's back: no webhook tells of
//! it. Only orders and products can go softly; customers go for good.
//!
//! Unlike the original: order numbers count by themselves (1001, 1002, …); an order's lines keep the number of a product
//! that is gone; selling does not lower the stock, which the warehouse does; maintenance says how long it will really
//! last; logins are taken over plain http.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::book::{Book, Manner, WriteLog};
use super::record::{Content, Entity, System};
use super::service::log::Notary;
use super::service::webhooks::Webhooks;
use super::service::{Socket, Switches};
use crate::clock::Clock;

mod amount;
mod answer;
mod api;
mod client;
mod edit;
mod goods;
mod listing;
mod people;
mod render;
mod sale;
mod shelf;
mod shop;
mod told;

pub use client::StoreClient;
use goods::How;
use shop::{Shop, Stamping};

/// The key that may read and write.
pub const KEY: &str = "ck_6d0b2a3c5e7f9a1b3c5d7e9f0a2b4c6d8e0f1a3b";
/// Its secret.
pub const SECRET: &str = "cs_1f3e5d7c9b0a2f4e6d8c0b1a3f5e7d9c2b4a6f8e";
/// The key that may only read: the auditor's.
pub const READ_KEY: &str = "ck_0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
/// Its secret.
pub const READ_SECRET: &str = "cs_76543210f9e8d7c6b5a4938271605f4e3d2c1b0a";

/// Files beside the config in which it finds its login, with what stands in them.
pub const LOGIN_FILES: [(&str, &str); 2] = [("store.key", READ_KEY), ("store.secret", READ_SECRET)];

const TRASH: &str = "trash";

/// The store's part of the auditor's config: the system, and how it holds the entities.
pub fn plumbline_toml(url: &str) -> String {
    include_str!("config/store.toml").replace("{{store_url}}", url)
}

/// What the store does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such record.
    #[error("the store has no such record")]
    NotThere,
    /// Not an entity of the store.
    #[error("the store holds no `{0}`")]
    NotHere(Entity),
    /// Numbers of products, orders and users are unique.
    #[error("the store cannot hold two records of `{0}` under one key")]
    Twice(Entity),
    /// A product's number is taken.
    #[error("`{sku}` is the number of product {id} already")]
    SkuTaken {
        /// The number.
        sku: String,
        /// Whose it is.
        id: u64,
    },
    /// A user's name is taken.
    #[error("there is a user `{0}` already")]
    UsernameTaken(String),
    /// A user's e-mail is taken.
    #[error("there is a user with the e-mail `{0}` already")]
    EmailTaken(String),
    /// There is no stock without its product.
    #[error("the store has no product `{0}` whose stock it could count")]
    NoProduct(String),
    /// Not a number of an order.
    #[error("`{0}` is not the number of an order")]
    NoNumber(String),
    /// Not a word of [`super::record::status`].
    #[error("`{0}` is not a status of an order")]
    NoStatus(String),
    /// Nothing, or more than was paid.
    #[error("a refund must be more than nothing and not more than what is left of the order")]
    WrongRefund,
}

/// What a shopper orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewOrder {
    /// A word of [`super::record::status`].
    pub status: String,
    /// `EUR`, `USD` or `JPY`. Prices are taken for so many minor units of it.
    pub currency: String,
    /// The customer's key; somebody unknown orders as a guest.
    pub customer: String,
    /// Numbers of products, and pieces.
    pub lines: Vec<(String, i64)>,
}

/// A running store. Stops when it is dropped.
pub struct Store {
    inner: Arc<Inner>,
    socket: Socket,
}

/// What requests, webhooks and the people inside share.
struct Inner {
    shop: Mutex<Shop>,
    switches: Switches,
    webhooks: Webhooks,
    notary: Notary,
    url: OnceLock<String>,
}

impl Store {
    /// An empty store on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port or no HTTP client.
    pub async fn open(log: Arc<WriteLog>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let switches = Switches::new(Arc::clone(&clock));
        let (webhooks, post) = Webhooks::new()?;
        let inner = Arc::new(Inner {
            shop: Mutex::new(Shop::open(seconds(&switches))),
            switches,
            webhooks,
            notary: Notary { system: System::Store, log, clock },
            url: OnceLock::new(),
        });
        let socket = Socket::open(api::router(&inner)).await?;
        inner.url.get_or_init(|| socket.url.clone());
        let told = Arc::downgrade(&inner);
        tokio::spawn(post.deliver(move |event, hook| told::letter(&*told.upgrade()?, event, hook)));
        Ok(Self { inner, socket })
    }

    /// `http://127.0.0.1:PORT`; the API is below `/wp-json/wc/v3`.
    pub fn url(&self) -> &str {
        &self.socket.url
    }

    /// A book over REST.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn client(&self) -> anyhow::Result<StoreClient> {
        StoreClient::new(self.url())
    }

    /// What makes it misbehave, and what it was asked.
    pub fn switches(&self) -> &Switches {
        &self.inner.switches
    }

    /// Tells this address of every change to products, orders and customers from now on. What is told is signed with
    /// the secret.
    pub fn hook(&self, url: &str, secret: &str) {
        self.inner.webhooks.register(url, secret);
    }

    /// From now on changes of this record are told to nobody. A stock is told as its product.
    pub fn lose_webhooks(&self, entity: Entity, key: &str) {
        self.inner.webhooks.lose(told_as(entity), key);
    }

    /// Changes of this record are told again.
    pub fn resume_webhooks(&self, entity: Entity, key: &str) {
        self.inner.webhooks.resume(told_as(entity), key);
    }

    /// A shopper orders; gives the order's number.
    ///
    /// # Errors
    /// [`StoreError::NoStatus`].
    pub fn place(&self, order: &NewOrder) -> Result<String, StoreError> {
        self.inner.act(|shop, at| shop.place(order, at)).map(|id| id.to_string())
    }

    /// Gives an order a status of [`super::record::status`].
    ///
    /// # Errors
    /// [`StoreError::NotThere`] and [`StoreError::NoStatus`].
    pub fn set_status(&self, number: &str, status: &str) -> Result<(), StoreError> {
        let (id, own) = (order_id(number)?, sale::own_status(status)?);
        self.inner.act(|shop, at| {
            shop.edit_order(id, Stamping::now(at), |_, order| {
                order.become_(own, at);
                Ok(())
            })
        })
    }

    /// Gives money back, in minor units of the order's currency. Who gets all of it back has cancelled.
    ///
    /// # Errors
    /// [`StoreError::NotThere`] and [`StoreError::WrongRefund`].
    pub fn refund(&self, number: &str, minor: i64, reason: &str) -> Result<(), StoreError> {
        let id = order_id(number)?;
        self.inner.act(|shop, at| shop.refund(id, minor, reason, at)).map(drop)
    }

    /// Gives an order these lines, at the present prices.
    ///
    /// # Errors
    /// [`StoreError::NotThere`].
    pub fn edit_lines(&self, number: &str, lines: &[(String, i64)]) -> Result<(), StoreError> {
        let id = order_id(number)?;
        self.inner.act(|shop, at| {
            shop.edit_order(id, Stamping::now(at), |shop, order| {
                order.lines = shop.lines(lines, &order.currency, &order.lines);
                Ok(())
            })
        })
    }

    /// Deletes an order for good, of which nobody is told.
    ///
    /// # Errors
    /// [`StoreError::NotThere`].
    pub fn erase(&self, number: &str) -> Result<(), StoreError> {
        let id = order_id(number)?;
        self.inner.act(|shop, at| shop.drop_order(id, false, Stamping::now(at)))
    }
}

impl Book for Store {
    async fn read(&self, entity: Entity, key: &str) -> anyhow::Result<Vec<Content>> {
        Ok(self.inner.look(|shop| shop.read(entity, key))?)
    }

    /// A write that is held open is stamped when it begins and seen when it ends, as in a shop whose save is slow.
    async fn write(&self, entity: Entity, key: &str, contents: &[Content], manner: Manner) -> anyhow::Result<()> {
        let begun = seconds(&self.inner.switches);
        if !manner.held_open.is_zero() {
            tokio::time::sleep(manner.held_open).await;
        }
        self.inner.act(|shop, now| {
            let at = if manner.held_open.is_zero() { now } else { begun };
            let how = How { stamping: Stamping { at, keeps: manner.unstamped }, softly: manner.softly };
            shop.write(entity, key, contents, how)
        })?;
        Ok(())
    }
}

impl Inner {
    /// Applies one write and notes it, all under one lock; then has it told.
    fn act<T, E>(&self, write: impl FnOnce(&mut Shop, i64) -> Result<T, E>) -> Result<T, E> {
        let mut shop = self.shop.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.switches.true_time();
        let outcome = write(&mut shop, seconds(&self.switches));
        let (written, events) = shop.settle();
        let done = outcome?;
        self.notary.note(begun, written);
        // In the order of the writes, so still under the lock; telling does not wait.
        events.into_iter().for_each(|event| self.webhooks.tell(event));
        Ok(done)
    }

    fn look<T>(&self, read: impl FnOnce(&Shop) -> T) -> T {
        read(&self.shop.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn url(&self) -> &str {
        self.url.get().map_or("http://store.example", String::as_str)
    }
}

/// As what the store tells of an entity: a stock is a part of its product.
fn told_as(entity: Entity) -> Entity {
    if entity == Entity::Stock { Entity::Product } else { entity }
}

/// Now by the store's clock.
fn seconds(switches: &Switches) -> i64 {
    switches.shown_time().micros().div_euclid(1_000_000)
}

fn order_id(number: &str) -> Result<u64, StoreError> {
    number.parse().map_err(|_| StoreError::NoNumber(number.to_owned()))
}
