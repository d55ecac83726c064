//! Writes what incidents' steps give to tell into the outbox, in their transactions.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use super::route::Routing;
use crate::config::alerting::Alerting;
use crate::incident::{Incident, Step};
use crate::state::{StateError, StateStore, Tell};

/// Tells whom the config names.
#[derive(Clone, Debug)]
pub struct Teller {
    alerting: Arc<Alerting>,
}

impl Teller {
    /// By this config.
    pub const fn new(alerting: Arc<Alerting>) -> Self {
        Self { alerting }
    }
}

#[async_trait]
impl Tell for Teller {
    async fn tell(
        &self,
        state: &StateStore,
        transaction: &mut AnyConnection,
        incident: &Incident,
        step: &Step,
    ) -> Result<(), StateError> {
        match Routing::new(&self.alerting).outgoing(incident, step) {
            Some(outgoing) => state.enqueue(transaction, &outgoing).await,
            None => Ok(()),
        }
    }
}
