//! Sending requests: only reads, only to the system, within its budget, each with one time limit from the first byte
//! sent to the last byte read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use url::Url;

use super::address::{Checked, same_origin};
use super::body::{self, Unread};
use super::classify::{self, Fault};
use super::request::{Content, Request};
use super::retry::{MOST_RETRIES, pause};
use crate::clock::Clock;
use crate::config::System;
use crate::config::pack::{Auth, Dialect, Pack, Place};
use crate::connect::certificate::with_advice;
use crate::connect::{Budget, ClockReading, ReadError};
use crate::model::{Moment, SystemId};

const NOT_FOUND: u16 = 404;
const CONNECT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 3;
/// A pause that is asked for and shorter than this is kept and the request sent again; a longer one is an error now,
/// and nobody asks before it is over.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);
/// `Date` counts whole seconds, and it is the clock of whatever answered first: a proxy, a cache.
const DATE_UNCERTAINTY: Duration = Duration::from_secs(1);

/// A client of one system.
pub(super) struct Client {
    pub system: SystemId,
    pub pack: Arc<Pack>,
    pub budget: Arc<Budget>,
    pub clock: Arc<dyn Clock>,
    http: reqwest::Client,
    limit: Duration,
    reading: Mutex<Option<ClockReading>>,
    /// The user's id, once it was told (JSON-RPC).
    pub(super) user_id: tokio::sync::OnceCell<i64>,
}

/// An answer whose status is a success.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Just before the request was sent.
    pub sent: Moment,
    /// When the last byte had been read.
    pub answered: Moment,
    /// Their clock as the answer tells it, else ours.
    pub their_now: Moment,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or_default()
    }
}

/// What to do after one request.
enum After<T> {
    /// `None`: there is no such thing.
    Answered(Option<T>),
    Again(ReadError),
    Failed(ReadError),
}

/// Makes something of an answer; a fault may be a reason to ask again.
pub(super) type Take<'t, T> = dyn FnMut(&Answer) -> Result<T, Fault> + Send + 't;

impl Client {
    pub fn new(
        system: &System,
        pack: Arc<Pack>,
        clock: Arc<dyn Clock>,
        budget: Arc<Budget>,
    ) -> Result<Self, ReadError> {
        let refused = |reason: String| ReadError::Refused { system: system.id.clone(), reason };
        let headers = headers(&pack).map_err(refused)?;
        let tls = tls(system.tls_ca.as_deref()).map_err(refused)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Checked)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(headers)
            .user_agent(concat!("plumbline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(system.budget.concurrency)
            .build()
            .map_err(|error| refused(format!("no HTTP client: {}", chain(&error))))?;
        let limit = system.statement_timeout;
        let (reading, user_id) = Default::default();
        Ok(Self { system: system.id.clone(), pack, budget, clock, http, limit, reading, user_id })
    }

    /// As [`Self::ask`]; `None` when the answer is 404.
    pub async fn find<T>(&self, request: &Request, take: &mut Take<'_, T>) -> Result<Option<T>, ReadError> {
        self.send(request, true, take).await
    }

    /// Sends one request, again after failures that may pass, and hands on what `take` makes of the answer.
    pub async fn ask<T>(&self, request: &Request, take: &mut Take<'_, T>) -> Result<T, ReadError> {
        let taken = self.send(request, false, take).await?;
        taken.ok_or_else(|| self.bad("it answered nothing".to_owned()))
    }

    async fn send<T>(&self, request: &Request, may_lack: bool, take: &mut Take<'_, T>) -> Result<Option<T>, ReadError> {
        let mut tries = 0;
        loop {
            let after = self.once(request, may_lack, take).await?;
            self.budget.note(match &after {
                After::Answered(_) => None,
                After::Failed(error) | After::Again(error) => Some(error),
            });
            match after {
                After::Answered(taken) => return Ok(taken),
                After::Failed(error) => return Err(error),
                After::Again(error) => {
                    if tries >= MOST_RETRIES {
                        return Err(error);
                    }
                    tries += 1;
                    self.budget.add_retry();
                    tokio::time::sleep(pause(tries, chance())).await;
                }
            }
        }
    }

    async fn once<T>(&self, request: &Request, may_lack: bool, take: &mut Take<'_, T>) -> Result<After<T>, ReadError> {
        let body = self.body(request).await?;
        let permit = self.budget.admit().await?;
        let sent = self.clock.now();
        let fetched = tokio::time::timeout(self.limit, self.fetch(&request.url, body.as_deref())).await;
        drop(permit);
        let Ok(fetched) = fetched else {
            return Ok(After::Failed(ReadError::TimedOut { system: self.system.clone(), limit: self.limit }));
        };
        let answered = self.clock.now();
        Ok(match fetched {
            Ok(fetched) => self.judge(fetched, may_lack, (sent, answered), take),
            Err(Failure::Connection(reason)) => After::Again(self.unreachable(reason)),
            Err(Failure::Answer(reason)) => After::Failed(self.bad(reason)),
        })
    }

    /// The bytes of a request's body.
    async fn body(&self, request: &Request) -> Result<Option<Vec<u8>>, ReadError> {
        let body = match &request.content {
            Content::Nothing => return Ok(None),
            Content::Json(body) => serde_json::to_vec(body),
            Content::Call { model, method, arguments } => {
                serde_json::to_vec(&self.within_login(&request.url, model, method, arguments).await?)
            }
        };
        body.map(Some).map_err(|error| self.bad(format!("the request cannot be written: {error}")))
    }

    async fn fetch(&self, url: &Url, body: Option<&[u8]>) -> Result<Fetched, Failure> {
        let mut url = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let request = match body {
                None => self.http.get(url.clone()),
                Some(body) => {
                    self.http.post(url.clone()).header(header::CONTENT_TYPE, "application/json").body(body.to_vec())
                }
            };
            let response = request.send().await.map_err(|error| Failure::of(&error))?;
            let status = response.status();
            let headers = response.headers().clone();
            if status.is_redirection() && body.is_some() {
                // Most redirects would turn a POST into a GET, which asks for something else.
                return Err(Failure::Answer(format!("it redirects a POST ({status}), which is never followed")));
            }
            if status.is_redirection()
                && let Some(location) = headers.get(header::LOCATION)
            {
                url = self.redirected(&url, location)?;
                continue;
            }
            let body = body::read(response, self.pack.body_limit).await.map_err(|unread| self.unread(unread))?;
            return Ok(Fetched { status: status.as_u16(), headers, body });
        }
        Err(Failure::Answer(format!("it redirects more than {MOST_REDIRECTS} times")))
    }

    fn redirected(&self, from: &Url, location: &HeaderValue) -> Result<Url, Failure> {
        let target = location.to_str().ok().and_then(|location| from.join(location).ok());
        let Some(target) = target else { return Err(Failure::Answer("it redirects to what is no address".to_owned())) };
        if same_origin(&self.pack.base, &target) {
            return Ok(target);
        }
        let host = target.host_str().unwrap_or("nowhere");
        Err(Failure::Answer(format!(
            "it redirects to another host (`{}://{host}`), which is never followed",
            target.scheme()
        )))
    }

    fn unread(&self, unread: Unread) -> Failure {
        Failure::Answer(match unread {
            Unread::Cut(reason) => format!("the answer was cut short: {reason}"),
            Unread::TooLong => {
                format!("the answer is longer than `body_limit`, {} bytes, unpacked", self.pack.body_limit)
            }
            Unread::Packing(reason) => format!("the answer is packed in a way that cannot be read: {reason}"),
        })
    }

    fn judge<T>(
        &self,
        fetched: Fetched,
        may_lack: bool,
        (sent, answered): (Moment, Moment),
        take: &mut Take<'_, T>,
    ) -> After<T> {
        let Fetched { status, headers, body } = fetched;
        let date = headers.get(header::DATE).and_then(|date| classify::http_date(date.to_str().ok()?));
        if let Some(date) = date {
            self.note_clock(date, sent, answered);
        }
        let mut answer =
            Answer { status, headers, text: String::new(), sent, answered, their_now: date.unwrap_or(answered) };
        if may_lack && status == NOT_FOUND {
            return After::Answered(None);
        }
        if let Some(fault) = classify::by_status(&self.pack, status, answer.content_type(), &body) {
            return self.after(fault, &answer);
        }
        match String::from_utf8(body) {
            Ok(text) => answer.text = text,
            Err(_) => return After::Failed(self.bad("it is not UTF-8".to_owned())),
        }
        self.note_limit(&answer);
        match take(&answer) {
            Ok(taken) => {
                self.budget.speed_up();
                After::Answered(Some(taken))
            }
            Err(fault) => self.after(fault, &answer),
        }
    }

    /// What to do about a fault: an error, or another try after a pause.
    fn after<T>(&self, fault: Fault, answer: &Answer) -> After<T> {
        let retry_after = answer.header("retry-after").and_then(|value| classify::retry_after(value, answer.their_now));
        match fault {
            Fault::Throttle(words) => {
                if self.pack.limit.adaptive {
                    self.budget.slow_down();
                }
                self.throttled(words, retry_after)
            }
            Fault::Failing(words) => After::Again(self.unreachable(words)),
            Fault::Refused(_) | Fault::Shape(_) | Fault::Bad(_) => After::Failed(self.error(fault)),
        }
    }

    fn throttled<T>(&self, words: String, retry_after: Option<Duration>) -> After<T> {
        let limit = match retry_after {
            Some(wait) => {
                self.budget.hold_for(wait);
                format!("{words}; it asks to wait {} s", wait.as_secs())
            }
            None => words,
        };
        let error = ReadError::Budget { system: self.system.clone(), limit };
        match retry_after {
            Some(wait) if wait > LONGEST_PATIENCE => After::Failed(error),
            // The budget holds the next try back.
            _ => After::Again(error),
        }
    }

    /// The error that a fault is once there is nothing more to try.
    pub fn error(&self, fault: Fault) -> ReadError {
        let system = self.system.clone();
        match fault {
            Fault::Refused(reason) => ReadError::Refused { system, reason },
            Fault::Shape(reason) => ReadError::Shape { system, reason },
            Fault::Throttle(limit) => ReadError::Budget { system, limit },
            Fault::Failing(reason) => ReadError::Unreachable { system, reason },
            Fault::Bad(reason) => ReadError::BadAnswer { system, reason },
        }
    }

    /// An answer that cannot be understood or is not complete.
    pub fn bad(&self, reason: String) -> ReadError {
        ReadError::BadAnswer { system: self.system.clone(), reason }
    }

    fn unreachable(&self, reason: String) -> ReadError {
        ReadError::Unreachable { system: self.system.clone(), reason }
    }

    /// Obeys a limit that is told before it is reached.
    fn note_limit(&self, answer: &Answer) {
        let header = |place: &Option<Place>| match place {
            Some(Place::Header(name)) => answer.header(name).map(str::to_owned),
            _ => None,
        };
        let limit = &self.pack.limit;
        if let Some(remaining) = header(&limit.remaining) {
            self.obey(&remaining, header(&limit.reset).as_deref(), answer.their_now);
        }
    }

    /// Waits for the next count when nothing is left of this one.
    pub fn obey(&self, remaining: &str, reset: Option<&str>, their_now: Moment) {
        let is_used_up = remaining.trim().parse::<f64>().is_ok_and(|remaining| remaining < 1.0);
        if is_used_up && let Some(wait) = reset.and_then(|reset| classify::reset(reset, their_now)) {
            self.budget.hold_for(wait);
        }
    }

    fn note_clock(&self, date: Moment, sent: Moment, answered: Moment) {
        let round_trip = answered.since(sent);
        let middle = sent + round_trip / 2;
        // `Date` is cut to whole seconds: on average it is half a second old.
        let offset_micros = date.micros().saturating_sub(middle.micros()).saturating_add(500_000);
        let uncertainty = round_trip / 2 + DATE_UNCERTAINTY;
        let mut known = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(ClockReading { offset_micros, uncertainty, measured_at: answered });
    }

    /// Their clock as the last answers told it, if that was not longer ago than `age`.
    pub fn recent_clock(&self, age: Duration) -> Option<ClockReading> {
        let known = *self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|reading| self.clock.now().since(reading.measured_at) <= age)
    }
}

/// A number that nobody can foretell: the random part of a UUID.
fn chance() -> u32 {
    (uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX)) as u32
}

struct Fetched {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

enum Failure {
    /// Not reached, or the connection broke before there was an answer.
    Connection(String),
    /// An answer that is no good.
    Answer(String),
}

impl Failure {
    fn of(error: &reqwest::Error) -> Self {
        Self::Connection(with_advice(chain(error), error))
    }
}

/// An error with its causes, without the address: it may hold a key.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    if words.is_empty() { "the request failed".to_owned() } else { words.join(": ") }
}

fn headers(pack: &Pack) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    for (name, value) in &pack.headers {
        insert(&mut headers, name, value.expose_secret())?;
    }
    match &pack.auth {
        Auth::None => {}
        Auth::Basic { user, password } => {
            insert(&mut headers, "authorization", &basic(user.expose_secret(), password.expose_secret()))?;
        }
        Auth::Bearer(token) => {
            insert(&mut headers, "authorization", &format!("Bearer {}", token.expose_secret()))?;
        }
        Auth::Header { name, value } => insert(&mut headers, name, value.expose_secret())?,
        // Within each call.
        Auth::Odoo { .. } if pack.dialect == Dialect::JsonRpc => {}
        Auth::Odoo { database, key, .. } => {
            insert(&mut headers, "authorization", &format!("bearer {}", key.expose_secret()))?;
            if !database.is_empty() {
                insert(&mut headers, "x-odoo-database", database)?;
            }
        }
    }
    Ok(headers)
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let wrong = |what: &str| format!("header `{name}`: its {what} cannot be sent");
    let mut header = HeaderValue::from_str(value).map_err(|_| wrong("value"))?;
    header.set_sensitive(true);
    headers.insert(HeaderName::try_from(name).map_err(|_| wrong("name"))?, header);
    Ok(())
}

/// RFC 7617.
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// Certificates are checked against the machine's authorities and the system's own.
fn tls(authority: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_added, _ignored) = roots.add_parsable_certificates(found.certs);
    if let Some(file) = authority {
        use rustls::pki_types::pem::PemObject as _;
        let shown = file.display();
        let certificates = rustls::pki_types::CertificateDer::pem_file_iter(file)
            .map_err(|error| format!("`tls_ca` `{shown}`: {error}"))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| format!("`tls_ca` `{shown}`: {error}"))?;
            roots.add(certificate).map_err(|error| format!("`tls_ca` `{shown}`: {error}"))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
