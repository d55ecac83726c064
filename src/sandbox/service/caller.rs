//! The HTTP client of the company's own programs. Does not try again: whoever calls decides that.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

/// Why a call to a service failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Too fast.
    #[error("`{system}` says too fast, and to wait {} s", after.as_secs())]
    Throttled {
        /// Which service.
        system: &'static str,
        /// How long it asks to wait.
        after: Duration,
    },
    /// Down, or gone.
    #[error("`{system}` is down: {message}")]
    Outage {
        /// Which service.
        system: &'static str,
        /// How long it asks to wait, if it says so.
        after: Option<Duration>,
        /// A status, or what became of the connection.
        message: String,
    },
    /// The service does not want this.
    #[error("`{system}` refuses with {status}: {code}: {message}")]
    Refused {
        /// Which service.
        system: &'static str,
        /// The HTTP status.
        status: u16,
        /// The service's word for it.
        code: String,
        /// For people.
        message: String,
    },
    /// The service cannot hold this, whatever is tried.
    #[error("`{system}` cannot hold {what}")]
    Impossible {
        /// Which service.
        system: &'static str,
        /// What.
        what: &'static str,
    },
}

/// Calls one service with one login.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub system: &'static str,
    pub client: Client,
}

/// A client without TLS's roots, for services on this machine, with a time limit.
pub(crate) fn http(limit: Duration) -> anyhow::Result<Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("no TLS versions")?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .timeout(limit)
        .build()
        .context("no HTTP client")
}

impl Caller {
    /// Sends a request; `None` when the record is not there (404).
    pub async fn find(&self, request: RequestBuilder) -> anyhow::Result<Option<Value>> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let (status, after) = (response.status(), retry_after(&response));
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if let Some(failure) = self.failure(status, after, &body) {
            return Err(failure.into());
        }
        serde_json::from_slice(&body).map(Some).with_context(|| format!("`{}` answered no JSON", self.system))
    }

    /// Sends a request about something that is there.
    pub async fn ask(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let gone = || CallError::Refused {
            system: self.system,
            status: 404,
            code: "not_found".to_owned(),
            message: "it is not there any more".to_owned(),
        };
        Ok(self.find(request).await?.ok_or_else(gone)?)
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        CallError::Outage { system: self.system, after: None, message: error.to_string() }
    }

    fn failure(&self, status: StatusCode, after: Option<Duration>, body: &[u8]) -> Option<CallError> {
        let system = self.system;
        if status.is_success() {
            return None;
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Some(CallError::Throttled { system, after: after.unwrap_or(Duration::from_secs(1)) });
        }
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        // A refusal is JSON; what is not comes from a service that is down or a proxy before it.
        if status.is_server_error() && told.get("code").is_none() {
            return Some(CallError::Outage { system, after, message: format!("status {status}") });
        }
        let word = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or("none given").to_owned();
        Some(CallError::Refused { system, status: status.as_u16(), code: word("code"), message: word("message") })
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(reqwest::header::RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
