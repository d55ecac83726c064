//! How the sync job hears of changes: webhooks, a queue, and a batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

use super::super::record::Entity;
use super::worker::Job;
use super::{Doors, Key, Workers};
use crate::model::Moment;

/// How often the queue is emptied and the warehouse asked.
const QUEUE_EVERY: Duration = Duration::from_millis(50);
const BATCH_EVERY: Duration = Duration::from_millis(200);
/// Messages that are taken from the queue at once.
const HANDFUL: usize = 500;
/// The batch asks for so much that it has seen already: stamps are older than their commits.
const OVERLAP: Duration = Duration::from_secs(2);
/// After a failure.
const REST: Duration = Duration::from_millis(500);

/// Hears webhooks from the store and the CRM.
pub async fn hear(listener: TcpListener, workers: Workers) {
    let router = Router::new().route("/{from}", post(heard)).with_state(workers);
    if let Err(error) = axum::serve(listener, router).await {
        eprintln!("webhooks are no longer heard: {error}");
    }
}

/// A webhook names its entity in the topic and its record by id.
async fn heard(
    State(workers): State<Workers>,
    Path(from): Path<String>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let Ok(body) = serde_json::from_str::<serde_json::Value>(&body) else { return StatusCode::BAD_REQUEST };
    let topic = headers.get("x-wc-webhook-topic").and_then(|topic| topic.to_str().ok()).unwrap_or_default();
    // The CRM puts the record into `data`.
    let id = &body.get("data").unwrap_or(&body)["id"];
    let id = id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()));
    let entity = match (from.as_str(), topic.split('.').next()) {
        ("store", Some("order")) => Entity::Order,
        ("crm", _) => Entity::Customer,
        // The job does not follow what the store does not own.
        _ => return StatusCode::OK,
    };
    let Some(id) = id else { return StatusCode::OK };
    let key = (entity, id);
    workers.send(&key, Job::Notice(key.clone())).await;
    StatusCode::OK
}

/// Takes messages from the ERP's outbox; forgets them when they are handed on.
pub async fn empty_outbox(doors: Arc<Doors>, workers: Workers) {
    loop {
        match take(&doors, &workers).await {
            Ok(taken) if taken == HANDFUL => {}
            Ok(_) => tokio::time::sleep(QUEUE_EVERY).await,
            Err(error) => {
                eprintln!("the queue is tried again: {error:#}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn take(doors: &Doors, workers: &Workers) -> anyhow::Result<usize> {
    let messages = doors.erp.take_outbox(HANDFUL).await?;
    for (_, entity, key) in &messages {
        let key: Key = (*entity, key.clone());
        workers.send(&key, Job::Notice(key.clone())).await;
    }
    doors.erp.forget(&messages.iter().map(|(id, ..)| *id).collect::<Vec<_>>()).await?;
    Ok(messages.len())
}

/// Asks the warehouse what has changed, from `since` on.
pub async fn ask_warehouse(doors: Arc<Doors>, workers: Workers, since: Moment) {
    let mut since = since.micros() / 1000;
    let mut known: HashMap<Key, i64> = HashMap::new();
    loop {
        match doors.warehouse.changed_since(since - OVERLAP.as_millis() as i64).await {
            Ok(changed) => {
                for (entity, key, stamp) in changed {
                    since = since.max(stamp);
                    let key = (entity, key);
                    if known.insert(key.clone(), stamp) != Some(stamp) {
                        workers.send(&key, Job::Notice(key.clone())).await;
                    }
                }
                tokio::time::sleep(BATCH_EVERY).await;
            }
            Err(error) => {
                eprintln!("the batch is tried again: {error:#}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
