//! The REST interface: who may ask, what for, and what becomes of it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::Answer;
use super::listing::Query;
use super::render::View;
use super::{Inner, KEY, READ_KEY, READ_SECRET, SECRET};
use crate::sandbox::service::switches::{Gate, whole_seconds};

mod lists;
mod writes;

/// Longest body of a request.
const LONGEST: usize = 4 << 20;

pub fn router(inner: &Arc<Inner>) -> Router {
    Router::new().fallback(serve).with_state(Arc::clone(inner))
}

/// A request that was let in.
struct Call<'c> {
    inner: &'c Inner,
    method: Method,
    path: Vec<&'c str>,
    query: Query,
    body: Value,
    fields: Option<Vec<String>>,
}

impl Call<'_> {
    fn view(&self) -> View<'_> {
        View { url: self.inner.url(), fields: self.fields.as_deref(), drifts: self.inner.switches.drifts() }
    }

    /// The id at this place of the path.
    fn id(&self, place: usize) -> Option<u64> {
        self.path.get(place)?.parse().ok()
    }

    /// A switch in the address or the body.
    fn is_set(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|word| ["true", "1"].contains(&word))
            || self.body.get(name) == Some(&json!(true))
    }
}

async fn serve(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let answer = match inner.switches.enter() {
        Gate::Outage(left) => Answer::maintenance(whole_seconds(left)),
        Gate::Throttled(left) => Answer::too_fast(whole_seconds(left).max(1)),
        Gate::Open => let_in(&inner, request).await,
    };
    inner.switches.answered(answer.rows);
    answer.response(inner.switches.shown_time())
}

async fn let_in(inner: &Inner, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let root = format!("<{}/wp-json/>; rel=\"https://api.w.org/\"", inner.url());
    let path = head.uri.path().trim_end_matches('/').to_owned();
    let answer = match path.strip_prefix("/wp-json") {
        Some("") => site(inner),
        Some(path) => answer(inner, path, head, body).await,
        None => Answer::no_route(),
    };
    answer.or_with("link", root)
}

async fn answer(inner: &Inner, path: &str, head: Parts, body: Body) -> Answer {
    let Some(path) = path.strip_prefix("/wc/v3/") else { return Answer::no_route() };
    if let Some(refusal) = refusal(&head.headers, &head.method) {
        return refusal;
    }
    let route: Vec<&str> = path.split('/').collect();
    let answer = called(inner, route.clone(), head, body).await.unwrap_or_else(|refusal| refusal);
    match allowed(&route) {
        Some(methods) if !answer.hides_methods() => answer.or_with("allow", methods.to_owned()),
        _ => answer,
    }
}

async fn called(inner: &Inner, path: Vec<&str>, head: Parts, body: Body) -> Result<Answer, Answer> {
    let too_large = |_| Answer::refusal(413, "rest_request_too_large", "The request is too large.");
    let body = axum::body::to_bytes(body, LONGEST).await.map_err(too_large)?;
    let body = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
    let body = body.map_err(|_| bad_json())?;
    let query = Query::of(head.uri.query().unwrap_or_default());
    let fields = query.fields();
    dispatch(&Call { inner, method: head.method, path, query, body, fields })
}

/// What may be done with a route, as the original says it.
fn allowed(path: &[&str]) -> Option<&'static str> {
    Some(match path {
        ["products" | "orders" | "customers" | "webhooks"] | ["orders", _, "refunds"] => "GET, POST",
        ["refunds"] => "GET",
        ["products", "batch"] => "POST, PUT, PATCH",
        ["orders", _, "refunds", _] => "GET, DELETE",
        ["products" | "orders" | "customers", _] => "GET, POST, PUT, PATCH, DELETE",
        _ => return None,
    })
}

fn dispatch(call: &Call<'_>) -> Result<Answer, Answer> {
    let is_read = [Method::GET, Method::HEAD].contains(&call.method);
    match &call.path[..] {
        [list] if is_read => lists::list(call, list),
        ["orders", _, "refunds"] if is_read => lists::refunds_of_order(call),
        ["orders", _, "refunds", _] if is_read => lists::one_refund(call),
        [list, _] if is_read => lists::one(call, list),
        _ if is_read => Err(Answer::no_route()),
        _ => writes::dispatch(call),
    }
}

/// Whose key may do this; the original tells an unknown key from a wrong secret.
fn refusal(headers: &HeaderMap, method: &Method) -> Option<Answer> {
    let may_not = |message| Some(Answer::refusal(401, "woocommerce_rest_authentication_error", message));
    let (key, secret) = login(headers).unwrap_or_default();
    let (right, reads_only) = match &*key {
        KEY => (SECRET, false),
        READ_KEY => (READ_SECRET, true),
        _ => {
            let message = "Sorry, you cannot list resources.";
            return Some(Answer::refusal(401, "woocommerce_rest_cannot_view", message).for_nobody());
        }
    };
    if secret != right {
        return may_not("Consumer secret is invalid.").map(Answer::for_nobody);
    }
    if reads_only && ![Method::GET, Method::HEAD].contains(method) {
        return may_not("The API key provided does not have write permissions.");
    }
    None
}

fn login(headers: &HeaderMap) -> Option<(String, String)> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(given).ok()?).ok()?;
    text.split_once(':').map(|(key, secret)| (key.to_owned(), secret.to_owned()))
}

fn bad_json() -> Answer {
    let data = json!({ "status": 400, "json_error_code": 4, "json_error_message": "Syntax error" });
    let message = "Invalid JSON body passed.";
    Answer::json(400, json!({ "code": "rest_invalid_json", "message": message, "data": data }))
}

/// What the site says of itself to anybody.
fn site(inner: &Inner) -> Answer {
    let body = json!({
        "name": "Plumb Bobs",
        "description": "",
        "url": inner.url(),
        "home": inner.url(),
        "gmt_offset": -5,
        "timezone_string": super::listing::ZONE.name(),
        "namespaces": ["wc/v3"],
        "authentication": {},
    });
    Answer::json(200, body).for_nobody().or_with("allow", "GET".to_owned())
}
