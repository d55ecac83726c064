//! What the CRM's webhooks say: the customer as it is when it is told, or its id when it is gone.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::Inner;
use crate::sandbox::service::webhooks::{Event, Hook, Letter, signature};

/// `{"id": "c0001", "event": "customer.updated", "data": {…}}`.
pub fn letter(inner: &Inner, event: &Event, hook: &Hook) -> Option<Letter> {
    let drifts = inner.switches.drifts();
    let data = inner.look(|people| people.get(&event.key).map(|customer| customer.json(drifts)));
    let data = data.unwrap_or_else(|| json!({ "id": event.key }));
    let said = json!({ "id": event.key, "event": format!("{}.{}", event.entity, event.what.as_str()), "data": data });
    let body = serde_json::to_vec(&said).ok()?;
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let signed = HeaderValue::try_from(signature(&hook.secret, &body)).ok()?;
    headers.insert(HeaderName::from_static("x-crm-signature"), signed);
    Some(Letter { headers, body })
}
