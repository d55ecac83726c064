//! The HTTP server, asked over real HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use plumbline::metrics::Metrics;
use plumbline::model::{FlowId, Verdict};
use plumbline::readiness::{Readiness, Status};
use plumbline::server::{Server, ServerError};
use reqwest::StatusCode;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Readiness that a test switches.
#[derive(Default)]
struct Switch(AtomicBool);

#[async_trait]
impl Status for Switch {
    async fn readiness(&self) -> Readiness {
        let ready = self.0.load(Ordering::SeqCst);
        Readiness::default().with("state", true, "sqlite").with("ledger", ready, "engine on loopback")
    }
}

struct Running {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    status: Arc<Switch>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    async fn start(token: Option<&str>) -> Self {
        let (metrics, status, stop) = (Arc::new(Metrics::new()), Arc::new(Switch::default()), CancellationToken::new());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let token = token.map(SecretString::from);
        let server = Server::bind(listen, token.as_ref(), metrics.clone(), status.clone()).await.expect("a free port");
        let address = server.address();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { address, metrics, status, stop, task }
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let mut request = client().get(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean end");
    }
}

#[tokio::test]
async fn readiness_follows_the_parts_and_names_the_missing_one() {
    let server = Running::start(None).await;
    let (code, page) = server.get("/readyz", None).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page, "ok state: sqlite\nnot ready ledger: engine on loopback\n");
    server.status.0.store(true, Ordering::SeqCst);
    assert_eq!(server.get("/readyz", None).await.0, StatusCode::OK);
    assert_eq!(server.get("/healthz", None).await, (StatusCode::OK, "ok\n".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn everything_but_health_needs_the_token() {
    let server = Running::start(Some("s3cret")).await;
    assert_eq!(server.get("/healthz", None).await.0, StatusCode::OK);
    for path in ["/readyz", "/metrics", "/", "/no/such/page"] {
        for token in [None, Some("wrong"), Some("")] {
            assert_eq!(server.get(path, token).await.0, StatusCode::UNAUTHORIZED, "{path} with {token:?}");
        }
    }
    assert_eq!(server.get("/metrics", Some("s3cret")).await.0, StatusCode::OK);
    assert_eq!(server.get("/no/such/page", Some("s3cret")).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn metrics_show_what_was_recorded() {
    let server = Running::start(None).await;
    let name = |name: &str| name.parse().expect("a name");
    let flow = FlowId { entity: "stock".parse().expect("a name"), owner: name("erp"), target: name("warehouse") };
    server.metrics.watch_flow(&flow);
    server.metrics.checks(&flow, Verdict::Missing, 3);
    let (_, page) = server.get("/metrics", None).await;
    let line = "plumbline_checks_total{entity=\"stock\",owner=\"erp\",target=\"warehouse\",verdict=\"missing\"} 3";
    assert!(page.lines().any(|found| found == line), "{page}");
    server.stop().await;
}

#[tokio::test]
async fn other_machines_are_refused_without_a_token() {
    let (metrics, status) = (Arc::new(Metrics::new()), Arc::new(Switch::default()));
    let refused = Server::bind(SocketAddr::from(([0, 0, 0, 0], 0)), None, metrics, status).await;
    let error = refused.err().expect("must refuse").to_string();
    assert_eq!(
        error,
        "`0.0.0.0:0` can be reached from other machines: set `http_token`, or listen on a loopback address"
    );
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let server = Running::start(None).await;
    let (metrics, status) = (Arc::new(Metrics::new()), Arc::new(Switch::default()));
    let taken = Server::bind(server.address, None, metrics, status).await;
    let error = taken.err().expect("must refuse").to_string();
    assert_eq!(error, format!("cannot listen on `{}`", server.address));
    server.stop().await;
}

fn client() -> reqwest::Client {
    crate::support::http_client(std::time::Duration::from_secs(30))
}
