//! What the company's two HTTP services, store and CRM, have in common: the socket, the switches that make them
//! misbehave, the account of what asking them costs, webhooks, and what their clients can fail with.
//!
//! - [`Switches`]: `outage(until)`, `throttle(per_second, until)`, `clock_offset(micros)`, `drift_schema(on)`, and
//!   `cost()`. The store's are `Store::switches()`, the CRM's `Crm::switches()`.
//! - [`CallError`]: what a client's `Book::read` and `Book::write` fail with, inside the `anyhow::Error`: use
//!   `error.downcast_ref::<CallError>()`. `Throttled` and `Outage` say how long to wait.

use anyhow::Context as _;
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) mod caller;
pub(crate) mod log;
pub(crate) mod switches;
pub(crate) mod webhooks;

pub use caller::CallError;
pub use switches::{Cost, Switches};

/// A listening service; it stops taking requests when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    _stop: DropGuard,
}

impl Socket {
    /// Serves on a free port of this machine.
    pub async fn open(router: Router) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let url = format!("http://{}", listener.local_addr().context("the socket has no address")?);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        // Small answers must not wait for more to send.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future());
        Ok(Self { url, _stop: stop.drop_guard() })
    }
}
