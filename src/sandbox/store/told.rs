//! What webhooks say, in the original's form: the record as it is when it is told, or its id when it is gone.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::{Inner, render, seconds};
use crate::sandbox::service::webhooks::{Event, Hook, Letter, What, signature};

/// `None` when the record is gone meanwhile.
pub fn letter(inner: &Inner, event: &Event, hook: &Hook) -> Option<Letter> {
    let said = match event.what {
        What::Deleted => json!({ "id": event.id }),
        _ => inner.look(|shop| render::by_id(shop, event.entity, event.id, inner.url()))?,
    };
    let body = serde_json::to_vec(&said).ok()?;
    let resource = event.entity.as_str();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", "WooCommerce/11.0.1 Hookshot (WordPress/7.1.4)".to_owned()),
        ("x-wc-webhook-source", format!("{}/", inner.url())),
        ("x-wc-webhook-topic", format!("{resource}.{}", event.what.as_str())),
        ("x-wc-webhook-resource", resource.to_owned()),
        ("x-wc-webhook-event", event.what.as_str().to_owned()),
        ("x-wc-webhook-signature", signature(&hook.secret, &body)),
        ("x-wc-webhook-id", hook.id.to_string()),
        ("x-wc-webhook-delivery-id", delivery_id(hook.id, seconds(&inner.switches))),
    ];
    let named = headers
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)));
    Some(Letter { headers: HeaderMap::from_iter(named), body })
}

/// Made of the hook and the second, so two deliveries in one second share it: the original's trap.
fn delivery_id(hook: u64, second: i64) -> String {
    blake3::hash(format!("{hook}{second}").as_bytes()).to_hex()[..32].to_owned()
}
