//! One POST of JSON, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};

use super::Answer;
use crate::alert::notice::cut;
use crate::causes::chain;

/// What a receiver says of a refusal is shown to people; a page of HTML is of no use to them.
const SHOWN: usize = 300;
/// No answer that means something is longer.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A POST of JSON.
#[derive(Debug)]
pub(super) struct Request {
    /// May hold a secret: never shown.
    pub url: SecretString,
    pub headers: Vec<(HeaderName, SecretString)>,
    pub body: Vec<u8>,
    /// What an answer means where a receiver has its own ways.
    pub judge: fn(u16, &str) -> Option<Answer>,
}

impl Request {
    pub fn new(url: SecretString, body: &serde_json::Value) -> Self {
        Self { url, headers: Vec::new(), body: body.to_string().into_bytes(), judge: |_, _| None }
    }
}

/// Sends nothing but POST, follows no redirect, goes through no proxy.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
}

impl Client {
    pub fn new(timeout: Duration) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("plumbline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| format!("no HTTP client: {}", chain(&error)))?;
        Ok(Self { http })
    }

    pub async fn send(&self, request: &Request) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) else {
                return Answer::Refused { why: format!("`{name}` holds what no header may hold") };
            };
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        let sent = self.http.post(request.url.expose_secret()).headers(headers);
        let sent = sent.header("content-type", "application/json; charset=utf-8").body(request.body.clone());
        match sent.send().await {
            // The address may be a secret.
            Err(error) => Answer::Again { why: chain(&error.without_url()), after: None },
            Ok(answer) => judged(answer, request.judge).await,
        }
    }
}

/// Asks a URL with GET and wants to hear that it went well.
#[derive(Debug)]
pub struct Pinger {
    client: Client,
}

impl Pinger {
    /// With answers within `timeout`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(timeout: Duration) -> Result<Self, String> {
        Ok(Self { client: Client::new(timeout)? })
    }

    /// Asks once.
    ///
    /// # Errors
    /// When there was no answer, or a bad one. The text does not show the URL.
    pub async fn ping(&self, url: &SecretString) -> Result<(), String> {
        let sent = self.client.http.get(url.expose_secret()).send().await;
        let answer = sent.map_err(|error| chain(&error.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
    }
}

async fn judged(mut answer: reqwest::Response, own: fn(u16, &str) -> Option<Answer>) -> Answer {
    let status = answer.status().as_u16();
    let after = retry_after(answer.headers());
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_ANSWER {
            break;
        }
    }
    let body = String::from_utf8_lossy(&body);
    own(status, &body).unwrap_or_else(|| meaning(status, after, &body))
}

/// What a status means where a receiver has no ways of its own: RFC 9110, and RFC 6585 for 429.
fn meaning(status: u16, after: Option<Duration>, body: &str) -> Answer {
    let why = said(status, body);
    match status {
        200..=299 => Answer::Taken,
        408 | 425 | 429 | 500..=599 => Answer::Again { why, after },
        _ => Answer::Refused { why },
    }
}

/// `it answered 404: no_service`.
pub(super) fn said(status: u16, body: &str) -> String {
    let line: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        format!("it answered {status}")
    } else {
        format!("it answered {status}: {}", cut(&line, SHOWN))
    }
}

/// Seconds, or the time of an answer with a date (RFC 9110, 10.2.3) measured from the answer's own `Date`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| DateTime::parse_from_rfc2822(text).ok().map(|time| time.with_timezone(&Utc));
    let sent = date(headers.get(reqwest::header::DATE)?.to_str().ok()?)?;
    (date(text)? - sent).to_std().ok()
}

/// Certificates are checked against the machine's authorities.
fn tls() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    let (_added, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_try_again() {
        let check = |status: u16, expect: &str| {
            let found = match meaning(status, None, "") {
                Answer::Taken | Answer::TakenInPart { .. } => "taken",
                Answer::Again { .. } => "again",
                Answer::Refused { .. } => "refused",
            };
            assert_eq!(found, expect, "{status}");
        };
        for status in [200, 201, 202, 204] {
            check(status, "taken");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            check(status, "again");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 405, 410, 413, 422] {
            check(status, "refused");
        }
    }

    #[test]
    fn waits_are_read_as_seconds_and_as_dates() {
        let headers = |pairs: &[(HeaderName, &str)]| {
            let pair = |(name, value): &(HeaderName, &str)| (name.clone(), HeaderValue::from_str(value).unwrap());
            pairs.iter().map(pair).collect::<HeaderMap>()
        };
        let date = reqwest::header::DATE;
        let check = |pairs: &[(HeaderName, &str)], expect: Option<u64>| {
            assert_eq!(retry_after(&headers(pairs)), expect.map(Duration::from_secs), "{pairs:?}");
        };
        check(&[(RETRY_AFTER, "30")], Some(30));
        check(&[(RETRY_AFTER, "soon")], None);
        check(&[], None);
        let sent = (date, "Mon, 23 Nov 2026 11:04:00 GMT");
        check(&[sent.clone(), (RETRY_AFTER, "Mon, 23 Nov 2026 11:05:30 GMT")], Some(90));
        check(&[sent, (RETRY_AFTER, "Mon, 23 Nov 2026 11:00:00 GMT")], None);
    }

    #[test]
    fn what_is_said_is_one_short_line() {
        assert_eq!(said(404, "no_service\n"), "it answered 404: no_service");
        assert_eq!(said(500, " \n"), "it answered 500");
        assert!(said(500, &"x y ".repeat(10_000)).chars().count() < 330);
    }
}
