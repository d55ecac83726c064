//! Webhooks: told after the change, in order, by a task of their own; the service never waits for them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use reqwest::header::HeaderMap;
use ring::hmac;
use tokio::sync::mpsc;

use super::caller;
use crate::sandbox::record::Entity;

/// Events that wait for delivery; more are lost, as in a store whose queue is cut.
const MOST_WAITING: usize = 10_000;

/// A listener may take this long to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// How often a delivery is tried.
const TRIES: usize = 3;

/// Something that happened to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub entity: Entity,
    pub key: String,
    /// The record's number in the service.
    pub id: u64,
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Created,
    Updated,
    Deleted,
}

impl What {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// Somebody who wants to be told.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub id: u64,
    pub url: String,
    /// Signs what is told.
    pub secret: String,
}

/// What is told.
pub(crate) struct Letter {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Hooks, what is to be lost, and the way to the task that tells.
pub(crate) struct Webhooks {
    hooks: Mutex<Vec<Hook>>,
    lost: Mutex<BTreeSet<(Entity, String)>>,
    waiting: mpsc::Sender<(Event, Vec<Hook>)>,
}

/// The other end of [`Webhooks`].
pub(crate) struct Post {
    waiting: mpsc::Receiver<(Event, Vec<Hook>)>,
    client: Client,
}

impl Webhooks {
    /// Both ends.
    pub fn new() -> anyhow::Result<(Self, Post)> {
        let (sender, waiting) = mpsc::channel(MOST_WAITING);
        let post = Post { waiting, client: caller::http(LIMIT)? };
        Ok((Self { hooks: Mutex::default(), lost: Mutex::default(), waiting: sender }, post))
    }

    /// Tells this address of every event from now on; gives the hook's number.
    pub fn register(&self, url: &str, secret: &str) -> u64 {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let id = hooks.len() as u64 + 1;
        hooks.push(Hook { id, url: url.to_owned(), secret: secret.to_owned() });
        id
    }

    /// From now on events of this record are told to nobody.
    pub fn lose(&self, entity: Entity, key: &str) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert((entity, key.to_owned()));
    }

    /// Events of this record are told again.
    pub fn resume(&self, entity: Entity, key: &str) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(&(entity, key.to_owned()));
    }

    /// Hands an event to the task that tells it to those who want to be told now.
    pub fn tell(&self, event: Event) {
        let wanted = (event.entity, event.key.clone());
        if self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&wanted) {
            return;
        }
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if hooks.is_empty() {
            return;
        }
        if let Err(error) = self.waiting.try_send((event, hooks)) {
            tracing::warn!("a webhook is lost: {error}");
        }
    }
}

impl Post {
    /// Tells events until the service is gone. `write` says what to tell, as things are when it is told, or `None`
    /// when there is nothing to say any more.
    pub async fn deliver(mut self, write: impl Fn(&Event, &Hook) -> Option<Letter> + Send) {
        while let Some((event, hooks)) = self.waiting.recv().await {
            for hook in &hooks {
                let Some(letter) = write(&event, hook) else { continue };
                self.send(hook, &letter).await;
            }
        }
    }

    /// Unlike the original, which gives up at once, tries again: only what is planned to be lost shall be lost.
    async fn send(&self, hook: &Hook, letter: &Letter) {
        for _ in 0..TRIES {
            let request = self.client.post(&hook.url).headers(letter.headers.clone()).body(letter.body.clone());
            match request.send().await.and_then(reqwest::Response::error_for_status) {
                Ok(_) => return,
                Err(error) => tracing::warn!(url = hook.url, "a webhook was not taken: {error}"),
            }
        }
    }
}

/// base64 of HMAC-SHA256 of the body.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, body))
}
