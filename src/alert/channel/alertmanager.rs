//! Alertmanager's API v2: alerts are sent again while they fire, and for a while after they ended.
//!
//! An alert that is not sent again ends by itself after `resolve_timeout`, unless it says with `endsAt` until when it
//! counts; Prometheus gives it four times its interval and sends an ended one for 15 minutes (Prometheus,
//! rules/alerting.go, `resolvedRetention`). We do the same. Labels name the alert: they do not change while it lives.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::http::Request;
use crate::alert::notice::{Notice, Phase, cut, rfc3339};
use crate::incident::Cause;
use crate::model::Moment;

pub(super) fn request(
    url: &str,
    token: Option<&SecretString>,
    resend: Duration,
    notice: &Notice,
    now: Moment,
) -> Request {
    let ends = match notice.phase {
        Phase::Resolved => notice.at,
        Phase::Firing | Phase::Acknowledged => now + resend * 4,
    };
    let view = &notice.view;
    let mut alert = json!({
        "labels": labels(notice),
        "annotations": {
            "summary": cut(&notice.summary, 1024), "description": cut(&notice.text, 8192),
            "blamed": view.blamed, "acknowledged": if notice.phase == Phase::Acknowledged { "yes" } else { "" },
        },
        "startsAt": rfc3339(notice.began), "endsAt": rfc3339(ends),
    });
    if let Some(link) = view.links.first() {
        alert["generatorURL"] = json!(link.url);
    }
    let mut request = Request::new(SecretString::from(format!("{url}/api/v2/alerts")), &json!([alert]));
    if let Some(token) = token {
        request.headers.push((AUTHORIZATION, SecretString::from(format!("Bearer {}", token.expose_secret()))));
    }
    request
}

/// The labels of rules in alerts/plumbline.rules.yml, so that one routing serves both.
fn labels(notice: &Notice) -> BTreeMap<&'static str, Value> {
    let mut labels = BTreeMap::from([
        ("alertname", json!("PlumblineIncident")),
        ("incident", json!(notice.subject_id)),
        ("severity", json!(notice.severity.as_str())),
    ]);
    let Some(incident) = &notice.incident else { return labels };
    match &incident.cause {
        // Its beginning is told without the incident.
        Cause::Delivery { .. } => return labels,
        Cause::Flow(flow) => {
            labels.insert("entity", json!(flow.entity.as_str()));
            labels.insert("owner", json!(flow.owner.as_str()));
            labels.insert("target", json!(flow.target.as_str()));
        }
        _ => {
            labels.extend(incident.system().map(|system| ("system", json!(system.as_str()))));
        }
    }
    labels.insert("tenant", json!(incident.tenant.as_str()));
    if !notice.view.team.is_empty() {
        labels.insert("team", json!(notice.view.team));
    }
    labels
}
