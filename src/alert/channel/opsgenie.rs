//! Opsgenie's Alert API, and receivers that speak like it.
//!
//! From its documentation ("Alert API", "Alerts and Alert Fields"): `message` at most 130 characters, `alias` 512 (the
//! deduplication key while the alert is open), `description` 15,000, `source` 100, `entity` 512, 20 `tags` of 50. Requests are
//! worked on later: 202 is taken; 429 and 5xx are tried again, 422 is a wrong request.

use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::http::Request;
use crate::alert::notice::{Notice, Phase, cut};
use crate::incident::Severity;

pub(super) fn request(url: &str, key: &SecretString, notice: &Notice) -> Request {
    let alias = url::form_urlencoded::byte_serialize(notice.subject_id.as_bytes()).collect::<String>();
    let view = &notice.view;
    let (path, body) = match notice.phase {
        Phase::Firing => {
            let priority = match notice.severity {
                Severity::Page => "P1",
                Severity::Ticket => "P3",
            };
            let tags: Vec<String> = ["plumbline", view.severity.as_str(), view.team.as_str()]
                .iter()
                .filter(|tag| !tag.is_empty())
                .map(|tag| cut(tag, 50))
                .collect();
            let body = json!({
                "message": cut(&notice.summary, 130), "alias": notice.subject_id, "priority": priority, "tags": tags,
                "description": cut(&notice.text, 15_000), "source": "plumbline", "entity": cut(&view.about, 512),
                "details": { "incident": view.incident, "blamed": view.blamed },
            });
            ("/v2/alerts".to_owned(), body)
        }
        Phase::Acknowledged => action(&alias, "acknowledge", notice),
        Phase::Resolved => action(&alias, "close", notice),
    };
    let mut request = Request::new(SecretString::from(format!("{url}{path}")), &body);
    request.headers.push((AUTHORIZATION, SecretString::from(format!("GenieKey {}", key.expose_secret()))));
    request
}

fn action(alias: &str, verb: &str, notice: &Notice) -> (String, serde_json::Value) {
    let path = format!("/v2/alerts/{alias}/{verb}?identifierType=alias");
    (path, json!({ "source": "plumbline", "note": cut(&notice.text, 15_000) }))
}
