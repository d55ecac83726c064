//! Health, readiness and metrics over HTTP.
//!
//! `/healthz` says that the process answers and needs no login. `/readyz` says whether it can do its work and, if
//! not, what is missing. `/metrics` is for Prometheus. Whatever else is asked gets 404. Decides nothing: readiness
//! comes from a [`Status`](crate::readiness::Status).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::readiness::Status;

mod routes;

/// How long open requests may take to end after the stop.
pub const GRACE: Duration = Duration::from_secs(5);

/// Why the server did not start or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Without a token only this machine may ask.
    #[error("`{0}` can be reached from other machines: set `http_token`, or listen on a loopback address")]
    NeedsToken(SocketAddr),
    /// The address is taken or not ours.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// The address wanted.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("the HTTP server broke off")]
    Serve(#[source] std::io::Error),
}

/// A server that holds its address and answers once [`Server::run`] is called.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: routes::App,
}

impl Server {
    /// Takes the address. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`ServerError::NeedsToken`] and [`ServerError::Bind`].
    pub async fn bind(
        listen: SocketAddr,
        token: Option<&SecretString>,
        metrics: Arc<Metrics>,
        status: Arc<dyn Status>,
    ) -> Result<Self, ServerError> {
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(ServerError::NeedsToken(listen));
        }
        let bind_error = |source| ServerError::Bind { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        Ok(Self { listener, address, app: routes::App::new(token, metrics, status) })
    }

    /// The address that it holds.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then lets open requests end for up to [`GRACE`].
    ///
    /// # Errors
    /// [`ServerError::Serve`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServerError> {
        let stopped = stop.clone();
        let serving = axum::serve(self.listener, self.app.router()).with_graceful_shutdown(stopped.cancelled_owned());
        let too_long = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = serving => ended.map_err(ServerError::Serve),
            () = too_long => Ok(()),
        }
    }
}
