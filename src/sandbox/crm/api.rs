//! The CRM's HTTP interface.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{Method, Response, StatusCode};
use chrono::DateTime;
use serde_json::{Value, json};

use super::people::Done;
use super::{CrmError, Edit, Inner, People, READ_TOKEN, Stamping, TOKEN};
use crate::sandbox::service::switches::{Gate, whole_seconds};

/// Longest body of a request.
const LONGEST: usize = 1 << 20;

/// Most customers on one page.
const LARGEST_PAGE: usize = 200;

pub fn router(inner: &Arc<Inner>) -> Router {
    Router::new().fallback(serve).with_state(Arc::clone(inner))
}

/// Status, body and how long to wait.
struct Answer {
    status: u16,
    body: Value,
    rows: usize,
    retry_after: Option<u64>,
}

impl Answer {
    fn ok(body: Value, rows: usize) -> Self {
        Self { status: 200, body, rows, retry_after: None }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        // `code` stands outside as well, so that clients tell a refusal from a proxy's page.
        let body = json!({ "error": { "code": code, "message": message }, "code": code, "message": message });
        Self { status, body, rows: 0, retry_after: None }
    }

    fn response(self, inner: &Inner) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.to_string()));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let date = inner.switches.shown_time().to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        };
        put(CONTENT_TYPE, "application/json");
        put(DATE, &date);
        if let Some(seconds) = self.retry_after {
            put(RETRY_AFTER, &seconds.to_string());
        }
        response
    }
}

async fn serve(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let wait = |status, code, seconds: u64| Answer {
        retry_after: Some(seconds.max(1)),
        ..Answer::error(status, code, "try again later")
    };
    let answer = match inner.switches.enter() {
        Gate::Outage(left) => {
            let Answer { status, retry_after, .. } = wait(503, "down", whole_seconds(left));
            Answer { status, body: json!("Service Unavailable"), rows: 0, retry_after }
        }
        Gate::Throttled(left) => wait(429, "too_many_requests", whole_seconds(left)),
        Gate::Open => let_in(&inner, request).await.unwrap_or_else(|refusal| refusal),
    };
    inner.switches.answered(answer.rows);
    answer.response(&inner)
}

async fn let_in(inner: &Inner, request: Request) -> Result<Answer, Answer> {
    let (head, body) = request.into_parts();
    let is_read = [Method::GET, Method::HEAD].contains(&head.method);
    let token = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token {
        Some(TOKEN) => {}
        Some(READ_TOKEN) if is_read => {}
        Some(READ_TOKEN) => return Err(Answer::error(403, "read_only", "the token may only read")),
        _ => return Err(Answer::error(401, "unauthorized", "a bearer token is required")),
    }
    let body = axum::body::to_bytes(body, LONGEST).await;
    let body = body.map_err(|_| Answer::error(413, "too_large", "the request is too large"))?;
    let body: Value = if body.is_empty() { Ok(json!({})) } else { serde_json::from_slice(&body) }
        .map_err(|_| Answer::error(400, "bad_json", "the body is not JSON"))?;
    let query = head.uri.query().unwrap_or_default();
    let params: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let param = |name: &str| params.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match (&head.method, &path[..]) {
        (&Method::GET | &Method::HEAD, ["customers"]) => list(inner, param),
        (&Method::GET | &Method::HEAD, ["customers", id]) => one(inner, id, 200),
        (&Method::POST, ["customers"]) => {
            let id = body["id"].as_str().ok_or_else(|| Answer::error(400, "no_id", "`id` is required"))?;
            act(inner, |people, at| people.add(id, edit(&body), at))?;
            one(inner, id, 201)
        }
        (&Method::PUT, ["customers", id]) => {
            act(inner, |people, at| people.edit(id, edit(&body), Stamping { at, keeps: false }))?;
            one(inner, id, 200)
        }
        (&Method::DELETE, ["customers", id]) => {
            let softly = param("hard") != Some("true");
            act(inner, |people, at| people.delete(id, softly, Stamping { at, keeps: false }))?;
            Ok(Answer::ok(json!({ "data": { "id": id, "archived": softly } }), 1))
        }
        _ => Err(Answer::error(404, "not_found", "there is nothing here")),
    }
}

fn list<'q>(inner: &Inner, param: impl Fn(&str) -> Option<&'q str>) -> Result<Answer, Answer> {
    let wrong = |name: &str| Answer::error(400, "bad_parameter", &format!("`{name}` cannot be read"));
    let drifts = inner.switches.drifts();
    if let Some(ids) = param("ids") {
        let data: Vec<Value> = inner.look(|people| {
            ids.split(',').filter_map(|id| people.get(id)).map(|customer| customer.json(drifts)).collect()
        });
        let rows = data.len();
        return Ok(Answer::ok(json!({ "data": data, "meta": { "total": rows, "next": null } }), rows));
    }
    let limit = param("limit").map_or(Ok(100), str::parse).map_err(|_| wrong("limit"))?.clamp(1, LARGEST_PAGE);
    let behind = param("cursor").map_or(Ok(0), |word| word.trim_start_matches("after-").parse());
    let behind: u64 = behind.map_err(|_| wrong("cursor"))?;
    let since = param("updated_since").map(DateTime::parse_from_rfc3339).transpose();
    let since = since.map_err(|_| wrong("updated_since"))?.map(|time| time.timestamp_millis());
    Ok(inner.look(|people| {
        let found = people.list(behind, since, limit);
        let next = found.last().filter(|_| found.len() == limit).map(|(number, _)| format!("after-{number}"));
        let data: Vec<Value> = found.iter().map(|(_, customer)| customer.json(drifts)).collect();
        let rows = data.len();
        Answer::ok(json!({ "data": data, "meta": { "total": people.count(since), "next": next } }), rows)
    }))
}

fn one(inner: &Inner, id: &str, status: u16) -> Result<Answer, Answer> {
    let drifts = inner.switches.drifts();
    let found = inner.look(|people| people.get(id).map(|customer| customer.json(drifts)));
    let record = found.ok_or_else(|| refused(&CrmError::NotThere))?;
    Ok(Answer { status, ..Answer::ok(json!({ "data": record }), 1) })
}

fn act(inner: &Inner, write: impl FnOnce(&mut People, i64) -> Result<Done, CrmError>) -> Result<(), Answer> {
    inner.act(write).map_err(|error| refused(&error))
}

fn refused(error: &CrmError) -> Answer {
    let (status, code) = match error {
        CrmError::NotThere => (404, "not_found"),
        CrmError::Taken(_) => (409, "taken"),
        CrmError::NotHere(_) | CrmError::Twice => (400, "invalid"),
    };
    Answer::error(status, code, &error.to_string())
}

fn edit(body: &Value) -> Edit {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    Edit { name: text("name"), email: text("email"), archived: body["archived"].as_bool() }
}
