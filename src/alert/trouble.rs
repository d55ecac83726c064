//! A channel that does not deliver is an incident of its own: it begins with a message that is refused or late, and ends with
//! the next one that the receiver takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::teller::Teller;
use crate::config::alerting::Alerting;
use crate::incident::{Cause, Evidence, Finding, Incident, IncidentId, REOPEN_WITHIN, Severity, Standing, advance};
use crate::model::{Moment, TenantId};
use crate::state::{Changed, HeldIncident, IncidentChange, StateError, StateStore, Untold};

/// How often a channel that delivers looks whether another auditor found it in trouble.
const LOOKED: Duration = Duration::from_secs(60);
/// Somebody else may change the incident meanwhile; it is looked at again.
const TRIES: usize = 5;

/// Of one channel.
#[derive(Debug)]
pub(super) struct Trouble {
    tenant: TenantId,
    teller: Teller,
    /// When it was last seen that there is none, in microseconds since 1970.
    free_at: AtomicI64,
}

impl Trouble {
    pub fn new(tenant: TenantId, alerting: Arc<Alerting>) -> Self {
        Self { tenant, teller: Teller::new(alerting), free_at: AtomicI64::new(i64::MIN) }
    }

    /// The id of the incident, which is open from now on. Who is told is the caller's business.
    pub async fn begins(&self, state: &StateStore, channel: &str, now: Moment) -> Result<Option<String>, StateError> {
        self.free_at.store(i64::MIN, Ordering::Relaxed);
        let standing = Standing::Firing(Finding {
            tenant: self.tenant.clone(),
            entity: None,
            cause: cause(channel),
            severity: Severity::Page,
            broken: Vec::new(),
            blame: None,
            evidence: Evidence::default(),
        });
        for _ in 0..TRIES {
            let last = self.last(state, channel, now).await?;
            let id = IncidentId(Uuid::now_v7());
            let Some((incident, steps)) = advance(last.as_ref().map(|held| &held.incident), &standing, now, id) else {
                return Ok(None);
            };
            let id = incident.id.to_string();
            if steps.is_empty() {
                return Ok(Some(id));
            }
            let change = IncidentChange { incident, version: last.map(|held| held.version), steps };
            if state.change_incident(&change, None, &Untold).await? == Changed::Done {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The channel delivers: its incident is over, and whoever knows of it is told.
    pub async fn ends(&self, state: &StateStore, channel: &str, now: Moment) -> Result<(), StateError> {
        let free_at = Moment::from_micros(self.free_at.load(Ordering::Relaxed));
        if now.since(free_at) < LOOKED {
            return Ok(());
        }
        let last = self.last(state, channel, now).await?.filter(|held| held.incident.is_open());
        let Some(HeldIncident { incident, version }) = last else {
            self.free_at.store(now.micros(), Ordering::Relaxed);
            return Ok(());
        };
        if let Some((incident, steps)) = advance(Some(&incident), &Standing::Clean, now, incident.id) {
            let change = IncidentChange { incident, version: Some(version), steps };
            // Overtaken: the next message looks again.
            state.change_incident(&change, None, &self.teller).await?;
        }
        Ok(())
    }

    async fn last(&self, state: &StateStore, channel: &str, now: Moment) -> Result<Option<HeldIncident>, StateError> {
        let all = state.last_incidents(&self.tenant, now - REOPEN_WITHIN).await?;
        let is_ours = |incident: &Incident| incident.cause == cause(channel);
        Ok(all.into_iter().find(|held| is_ours(&held.incident)))
    }
}

fn cause(channel: &str) -> Cause {
    Cause::Delivery { channel: channel.to_owned() }
}
