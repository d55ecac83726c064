//! PagerDuty's Events API v2: trigger, acknowledge and resolve under one deduplication key.
//!
//! From its OpenAPI description (PagerDuty/api-schema, reference/events-v2) and developer pages: `summary` at most 1,024
//! characters, `dedup_key` at most 255, an event at most 512 KB; 202 is taken, 400 is a wrong event, 429 asks to come back
//! later, 5xx is retried. An event with a known `dedup_key` adds to the alert it made: sent twice, it pages once.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::http::Request;
use crate::alert::notice::{Notice, Phase, cut};
use crate::incident::Severity;

const SUMMARY: usize = 1024;
const SOURCE: usize = 255;

pub(super) fn request(url: &str, key: &SecretString, notice: &Notice) -> Request {
    let action = match notice.phase {
        Phase::Firing => "trigger",
        Phase::Acknowledged => "acknowledge",
        Phase::Resolved => "resolve",
    };
    let view = &notice.view;
    let severity = match notice.severity {
        Severity::Page => "critical",
        Severity::Ticket => "warning",
    };
    let mut event = json!({
        "routing_key": key.expose_secret(), "event_action": action, "dedup_key": notice.subject_id,
        "client": "Plumbline",
        "payload": {
            "summary": cut(&notice.summary, SUMMARY), "severity": severity, "timestamp": notice.timestamp(),
            "source": cut(if view.blamed.is_empty() { "plumbline" } else { &view.blamed }, SOURCE),
            "component": view.about, "group": view.team, "class": view.kind,
            "custom_details": { "text": cut(&notice.text, 20_000) },
        },
    });
    let links: Vec<_> = view.links.iter().map(|link| json!({ "href": link.url, "text": link.name })).collect();
    if !links.is_empty() {
        event["client_url"] = json!(view.links[0].url);
        event["links"] = json!(links);
    }
    Request::new(SecretString::from(format!("{url}/v2/enqueue")), &event)
}
