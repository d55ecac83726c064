//! Shows somebody outside that the auditor lives: a URL that is asked at every beat. When it is not asked any more, whoever
//! watches it tells people. An auditor whose state database does not answer does not ask: it keeps nothing of what it finds.

use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::channel::Pinger;
use crate::causes::chain;
use crate::config::alerting::Alerting;
use crate::state::StateStore;

/// One question; there is another one soon.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a URL at every beat.
#[derive(Debug)]
pub struct Heartbeat {
    url: SecretString,
    every: Duration,
    pinger: Pinger,
}

impl Heartbeat {
    /// As the config says; `None` when it names no URL.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(alerting: &Alerting) -> Result<Option<Self>, String> {
        let Some(url) = alerting.heartbeat_url.clone() else { return Ok(None) };
        Ok(Some(Self { url, every: alerting.heartbeat_every, pinger: Pinger::new(TIMEOUT)? }))
    }

    /// Beats until `stop`.
    pub async fn run(self, state: StateStore, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let beat = async {
                state.now().await.map_err(|error| chain(&error))?;
                self.pinger.ping(&self.url).await
            };
            match stop.run_until_cancelled(beat).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(why)) => tracing::warn!("the heartbeat was not heard: {why}"),
            }
        }
    }
}
