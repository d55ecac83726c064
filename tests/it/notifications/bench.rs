//! A state database, a config's channels, and senders over them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumbline::alert::route::Routing;
use plumbline::alert::sender::{Pace, Sender};
use plumbline::alert::teller::Teller;
use plumbline::alert::view::example_incident;
use plumbline::config::{Alerting, Environment, parse_with};
use plumbline::incident::{Happened, Incident, IncidentId, Step};
use plumbline::metrics::Metrics;
use plumbline::model::{Moment, TenantId};
use plumbline::state::{StateSecret, StateStore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{TestSqlite, sqlite, wait_until};

/// What every config needs besides its channels.
pub const REST: &str = include_str!("../../fixtures/prices.toml");

pub const SECRETS: [(&str, &str); 2] = [("KEY", "0123456789abcdef0123456789abcdef"), ("PASSWORD", "correct horse")];

/// What a config says about messages.
pub fn alerting(text: &str, environment: &[(&str, &str)]) -> Arc<Alerting> {
    let environment = Environment::fixed(SECRETS.into_iter().chain(environment.iter().copied()));
    let text = format!("{text}\n{REST}");
    let config = parse_with(&text, Path::new("plumbline.toml"), Path::new("/"), &environment);
    config.unwrap_or_else(|problems| panic!("{problems}")).alerting
}

/// Tries again soon, and looks often.
pub const QUICK: Pace = Pace {
    poll: Duration::from_millis(20),
    first_wait: Duration::from_millis(50),
    longest_wait: Duration::from_millis(200),
    records_within: Duration::from_millis(500),
};

pub struct Bench {
    pub state: StateStore,
    pub alerting: Arc<Alerting>,
    _file: Option<TestSqlite>,
}

/// A sender at work; stopped when dropped.
pub struct Sending {
    stop: CancellationToken,
    pub metrics: Arc<Metrics>,
    _task: JoinHandle<()>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Sending {
    /// The value of a series.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.metrics.render().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }
}

pub fn secret() -> StateSecret {
    StateSecret::from_bytes([7; 32])
}

impl Bench {
    pub async fn new(text: &str, environment: &[(&str, &str)]) -> Self {
        let file = sqlite().await;
        let bench = Self::over(&file.url(), text, environment).await;
        Self { _file: Some(file), ..bench }
    }

    pub async fn over(url: &str, text: &str, environment: &[(&str, &str)]) -> Self {
        Self::with(url, &secret(), text, environment).await
    }

    pub async fn with(url: &str, secret: &StateSecret, text: &str, environment: &[(&str, &str)]) -> Self {
        let state = StateStore::open(url, secret).await.unwrap();
        state.migrate().await.unwrap();
        Self { state, alerting: alerting(text, environment), _file: None }
    }

    pub fn start(&self) -> Sending {
        self.start_as("auditor")
    }

    pub fn start_as(&self, auditor: &str) -> Sending {
        self.start_at(auditor, QUICK)
    }

    pub fn start_at(&self, auditor: &str, pace: Pace) -> Sending {
        let metrics = Arc::new(Metrics::new());
        let sender =
            Sender::new(Arc::clone(&self.alerting), Arc::clone(&metrics), &TenantId::default(), auditor, pace).unwrap();
        let stop = CancellationToken::new();
        let _task = tokio::spawn(sender.run(self.state.clone(), stop.clone()));
        Sending { stop, metrics, _task }
    }

    /// Who writes what a step gives to tell into its transaction.
    pub fn teller(&self) -> Teller {
        Teller::new(Arc::clone(&self.alerting))
    }

    pub async fn now(&self) -> Moment {
        self.state.now().await.unwrap()
    }

    /// An incident that began so long ago.
    pub async fn incident(&self, number: u128, ago: Duration) -> Incident {
        Incident { id: IncidentId(Uuid::from_u128(number)), opened_at: self.now().await - ago, ..example_incident() }
    }

    /// Takes a step as its own transaction would.
    pub async fn happens_at(&self, incident: &Incident, happened: Happened, at: Moment) {
        let step = Step { at, happened };
        let outgoing = Routing::new(&self.alerting).outgoing(incident, &step).expect("somebody is told");
        self.state.tell(&outgoing).await.unwrap();
    }

    pub async fn opens(&self, incident: &Incident) {
        self.happens_at(incident, Happened::Opened, incident.opened_at).await;
    }

    pub async fn happens(&self, incident: &Incident, happened: Happened) {
        self.happens_at(incident, happened, self.now().await).await;
    }

    pub async fn resolves(&self, incident: &Incident) {
        let mut incident = incident.clone();
        let at = self.now().await;
        let step = incident.resolve("ann", at).unwrap();
        self.happens_at(&incident, step.happened, at).await;
    }

    /// Waits until nothing is due any more.
    pub async fn quiet(&self) {
        wait_until(async || {
            let depths = self.state.outbox_depth(self.now().await).await.unwrap();
            depths.values().all(|depth| depth.waiting == 0)
        })
        .await;
    }
}
