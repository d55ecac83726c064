//! The CRM: a JSON service for customers, about whom it is right. Everything is in memory and gone with the process.
//!
//! - [`Crm::open`] starts it; [`Crm::url`], [`TOKEN`] (reads and writes) and [`READ_TOKEN`] (reads) lead to it,
//!   [`Crm::client`] gives a [`CrmClient`], which is a [`Book`] over HTTP.
//! - Clerks act from inside through `Book for Crm`. No switch touches them.
//! - [`Crm::switches`]: outage, throttle, clock offset, schema drift, cost. [`Crm::hook`] and [`Crm::lose_webhooks`]:
//!   webhooks.
//! - [`plumbline_toml`] and [`LOGIN_FILES`]: what the auditor needs.
//!
//! ```text
//! GET    /customers?limit=100&cursor=…&updated_since=2026-01-31T12:00:00.000Z&ids=c0001,c0002
//!        → {"data": [{"id", "name", "email", "archived", "created_at", "updated_at"}], "meta": {"total", "next"}}
//! GET    /customers/c0001         → {"data": {…}}, or 404
//! POST   /customers               {"id", "name", "email"}; 409 when the id is taken
//! PUT    /customers/c0001         any of {"name", "email", "archived"}; an empty object moves the stamp alone
//! DELETE /customers/c0001         archives; with ?hard=true deletes for good
//! errors → {"error": {"code", "message"}}
//! ```
//!
//! Lists come in the order in which customers came, archived ones with them, and `updated_since` means "at or after".
//! Stamps have milliseconds. The id is the company's key of the customer, so there are never two of one.

use std::sync::{Arc, Mutex, PoisonError};

use super::book::{Book, Manner, WriteLog};
use super::record::{Content, Entity, System};
use super::service::log::Notary;
use super::service::webhooks::{Event, Webhooks};
use super::service::{Socket, Switches};
use crate::clock::Clock;

mod api;
mod client;
mod people;
mod told;

pub use client::CrmClient;
use people::{Done, Edit, People, Stamping};

/// The token that may read and write.
pub const TOKEN: &str = "crm-rw-5b1c9e7d3a2f4c6e8b0d";
/// The token that may only read: the auditor's.
pub const READ_TOKEN: &str = "crm-ro-0f9e8d7c6b5a49382716";

/// Files beside the config in which it finds its login, with what stands in them.
pub const LOGIN_FILES: [(&str, &str); 1] = [("crm.token", READ_TOKEN)];

/// The CRM's part of the auditor's config: the system, and how it holds customers.
pub fn plumbline_toml(url: &str) -> String {
    include_str!("config/crm.toml").replace("{{crm_url}}", url)
}

/// What the CRM does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrmError {
    /// No such customer.
    #[error("the CRM has no such customer")]
    NotThere,
    /// The customer's number is taken.
    #[error("there is a customer `{0}` already")]
    Taken(String),
    /// Not an entity of the CRM.
    #[error("the CRM holds no `{0}`")]
    NotHere(Entity),
    /// Numbers are unique.
    #[error("the CRM cannot hold two customers of one number")]
    Twice,
}

/// A running CRM. Stops when it is dropped.
pub struct Crm {
    inner: Arc<Inner>,
    socket: Socket,
}

/// What requests, webhooks and the people inside share.
struct Inner {
    people: Mutex<People>,
    switches: Switches,
    webhooks: Webhooks,
    notary: Notary,
}

impl Crm {
    /// An empty CRM on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port or no HTTP client.
    pub async fn open(log: Arc<WriteLog>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (webhooks, post) = Webhooks::new()?;
        let inner = Arc::new(Inner {
            people: Mutex::default(),
            switches: Switches::new(Arc::clone(&clock)),
            webhooks,
            notary: Notary { system: System::Crm, log, clock },
        });
        let socket = Socket::open(api::router(&inner)).await?;
        let told = Arc::downgrade(&inner);
        tokio::spawn(post.deliver(move |event, hook| told::letter(&*told.upgrade()?, event, hook)));
        Ok(Self { inner, socket })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.socket.url
    }

    /// A book over HTTP.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn client(&self) -> anyhow::Result<CrmClient> {
        CrmClient::new(self.url())
    }

    /// What makes it misbehave, and what it was asked.
    pub fn switches(&self) -> &Switches {
        &self.inner.switches
    }

    /// Tells this address of every change from now on. What is told is signed with the secret.
    pub fn hook(&self, url: &str, secret: &str) {
        self.inner.webhooks.register(url, secret);
    }

    /// From now on changes of this customer are told to nobody.
    pub fn lose_webhooks(&self, entity: Entity, key: &str) {
        self.inner.webhooks.lose(entity, key);
    }

    /// Changes of this customer are told again.
    pub fn resume_webhooks(&self, entity: Entity, key: &str) {
        self.inner.webhooks.resume(entity, key);
    }
}

impl Book for Crm {
    async fn read(&self, entity: Entity, key: &str) -> anyhow::Result<Vec<Content>> {
        only_customers(entity)?;
        Ok(self.inner.look(|people| people.read(key)))
    }

    /// A write that is held open is stamped when it begins and seen when it ends.
    async fn write(&self, entity: Entity, key: &str, contents: &[Content], manner: Manner) -> anyhow::Result<()> {
        only_customers(entity)?;
        let begun = self.inner.millis();
        if !manner.held_open.is_zero() {
            tokio::time::sleep(manner.held_open).await;
        }
        self.inner.act(|people, now| {
            let at = if manner.held_open.is_zero() { now } else { begun };
            people.write(key, contents, manner.softly, Stamping { at, keeps: manner.unstamped })
        })?;
        Ok(())
    }
}

fn only_customers(entity: Entity) -> Result<(), CrmError> {
    if entity == Entity::Customer { Ok(()) } else { Err(CrmError::NotHere(entity)) }
}

impl Inner {
    /// Applies one write and notes it, all under one lock; then has it told.
    fn act(&self, write: impl FnOnce(&mut People, i64) -> Result<Done, CrmError>) -> Result<(), CrmError> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.switches.true_time();
        let Some(deed) = write(&mut people, self.millis())? else { return Ok(()) };
        self.notary.note(begun, vec![(Entity::Customer, deed.id.clone(), people.read(&deed.id))]);
        // In the order of the writes, so still under the lock; telling does not wait.
        if let Some(what) = deed.told {
            self.webhooks.tell(Event { entity: Entity::Customer, key: deed.id, id: 0, what });
        }
        Ok(())
    }

    fn look<T>(&self, read: impl FnOnce(&People) -> T) -> T {
        read(&self.people.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Now by the CRM's clock, in milliseconds since 1970.
    fn millis(&self) -> i64 {
        self.switches.shown_time().micros().div_euclid(1_000)
    }
}
