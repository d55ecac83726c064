//! The routes, and who may ask.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret, SecretString};

use crate::metrics::Metrics;
use crate::readiness::{Readiness, Status};

/// How long readiness may take to find out before it counts as not ready.
pub const READY_LIMIT: Duration = Duration::from_secs(5);

/// What the routes share.
#[derive(Clone)]
pub struct App {
    /// Hash of the bearer token. Hashes compare in constant time whatever their input's length.
    token: Option<blake3::Hash>,
    metrics: Arc<Metrics>,
    status: Arc<dyn Status>,
}

impl App {
    pub fn new(token: Option<&SecretString>, metrics: Arc<Metrics>, status: Arc<dyn Status>) -> Self {
        let token = token.map(|token| blake3::hash(token.expose_secret().as_bytes()));
        Self { token, metrics, status }
    }

    pub fn router(self) -> Router {
        let guarded = Router::new()
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") })
            .layer(middleware::from_fn_with_state(self.clone(), require_token));
        Router::new().route("/healthz", get(|| async { "ok\n" })).merge(guarded).with_state(self)
    }
}

async fn require_token(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(expected) = app.token else {
        return next.run(request).await;
    };
    if bearer(request.headers()).is_some_and(|token| blake3::hash(token.as_bytes()) == expected) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"plumbline\"")];
    (StatusCode::UNAUTHORIZED, challenge, "a bearer token is needed: send `Authorization: Bearer …`\n").into_response()
}

/// The token of `Authorization: Bearer …` (RFC 6750; the scheme's case does not matter).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

async fn readyz(State(app): State<App>) -> Response {
    let readiness = match tokio::time::timeout(READY_LIMIT, app.status.readiness()).await {
        Ok(readiness) => readiness,
        Err(_) => Readiness::default().with("readiness", false, format!("not known within {READY_LIMIT:?}")),
    };
    let code = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, page(&readiness)).into_response()
}

/// One line a part: `ok state: …`.
fn page(readiness: &Readiness) -> String {
    let mut page = String::new();
    for part in &readiness.parts {
        let word = if part.ready { "ok" } else { "not ready" };
        page.push_str(&format!("{word} {}: {}\n", part.name, part.detail));
    }
    page
}

async fn metrics(State(app): State<App>) -> Response {
    match app.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!("metrics could not be written: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n").into_response()
        }
    }
}
