//! Answers in WooCommerce's form.

use axum::body::Body;
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::StoreError;
use crate::model::Moment;

/// What is sent back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Said,
    pub headers: Vec<(HeaderName, String)>,
    /// Records in it.
    pub rows: usize,
    /// Nobody is logged in.
    for_nobody: bool,
}

#[derive(Debug)]
pub enum Said {
    Json(Value),
    Html(&'static str),
}

const MAINTENANCE: &str = include_str!("maintenance.html");

impl Answer {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Said::Json(body), headers: Vec::new(), rows: 0, for_nobody: false }
    }

    pub fn one(status: u16, record: Value) -> Self {
        Self { rows: 1, ..Self::json(status, record) }
    }

    pub fn many(records: Value, rows: usize) -> Self {
        Self { rows, ..Self::json(200, records) }
    }

    /// `{"code", "message", "data": {"status"}}`.
    pub fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, json!({ "code": code, "message": message, "data": { "status": status } }))
    }

    /// A parameter that is not allowed.
    pub fn invalid(name: &str, code: &str, message: &str, data: Value) -> Self {
        let body = json!({
            "code": "rest_invalid_param",
            "message": format!("Invalid parameter(s): {name}"),
            "data": {
                "status": 400,
                "params": { name: message },
                "details": { name: { "code": code, "message": message, "data": data } },
            },
        });
        Self::json(400, body)
    }

    /// A member of the wrong type.
    pub fn wrong_type(name: &str, kind: &str) -> Self {
        let message = format!("{name} is not of type {kind}.");
        Self::invalid(name, "rest_invalid_type", &message, json!({ "param": name }))
    }

    pub fn no_route() -> Self {
        Self::refusal(404, "rest_no_route", "No route was found matching the URL and request method.")
    }

    /// Down for maintenance. The original always says ten minutes.
    pub fn maintenance(seconds: u64) -> Self {
        let retry = (axum::http::header::RETRY_AFTER, seconds.to_string());
        Self { status: 503, body: Said::Html(MAINTENANCE), headers: vec![retry], ..Self::json(503, Value::Null) }
    }

    /// What the host of a shop says to who asks too fast; the shop itself knows no limit.
    pub fn too_fast(seconds: u64) -> Self {
        let retry = (axum::http::header::RETRY_AFTER, seconds.to_string());
        let mut answer = Self::refusal(429, "too_many_requests", "Too many requests.");
        answer.headers.push(retry);
        answer
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((HeaderName::from_static(name), value.to_string()));
        self
    }

    /// With a header unless it has one of that name.
    pub fn or_with(self, name: &'static str, value: String) -> Self {
        if self.headers.iter().any(|(known, _)| *known == name) { self } else { self.with(name, value) }
    }

    /// To somebody who is not logged in.
    pub fn for_nobody(self) -> Self {
        Self { for_nobody: true, ..self }
    }

    /// Where the original does not even say what could be done: it asks for permission first.
    pub fn hides_methods(&self) -> bool {
        let code = if let Said::Json(said) = &self.body { said["code"].as_str() } else { None };
        self.status == 401 || code.is_some_and(|code| ["wc_user_invalid_id", "rest_no_route"].contains(&code))
    }

    /// As it goes over the wire, at this time by the store's clock.
    pub fn response(self, time: Moment) -> Response<Body> {
        let (kind, body) = match self.body {
            Said::Json(value) => ("application/json; charset=UTF-8", value.to_string()),
            Said::Html(text) => ("text/html; charset=UTF-8", text.to_owned()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let date = time.to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let always =
            [("server", "nginx/1.22.1"), ("content-type", kind), ("date", &date), ("x-powered-by", "PHP/8.2.36")];
        let of_json: &[(&str, &str)] = if kind.starts_with("text/html") { &[] } else { &OF_JSON };
        for (name, value) in always.iter().chain(of_json) {
            put(&mut response, HeaderName::from_static(name), value);
        }
        if !self.for_nobody {
            put(&mut response, axum::http::header::EXPIRES, "Wed, 11 Jan 1984 05:00:00 GMT");
            put(
                &mut response,
                axum::http::header::CACHE_CONTROL,
                "no-cache, must-revalidate, max-age=0, no-store, private",
            );
        } else {
            put(&mut response, axum::http::header::VARY, "Origin");
        }
        for (name, value) in self.headers {
            put(&mut response, name, &value);
        }
        response
    }
}

/// On every answer that comes from the REST API itself.
const OF_JSON: [(&str, &str); 4] = [
    ("x-robots-tag", "noindex"),
    ("x-content-type-options", "nosniff"),
    ("access-control-expose-headers", "X-WP-Total, X-WP-TotalPages, Link"),
    ("access-control-allow-headers", "Authorization, X-WP-Nonce, Content-Disposition, Content-MD5, Content-Type"),
];

fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// What the store says when it does not do what was asked of this kind of record.
pub fn refused(error: &StoreError, kind: &str) -> Answer {
    let no_id = |code: &str| Answer::refusal(404, code, "Invalid ID.");
    match error {
        StoreError::NotThere if kind == "customers" => Answer::refusal(404, "wc_user_invalid_id", "Invalid user ID."),
        StoreError::NotThere if kind == "orders" => no_id("woocommerce_rest_shop_order_invalid_id"),
        StoreError::NotThere => no_id("woocommerce_rest_product_invalid_id"),
        StoreError::SkuTaken { sku, id } => Answer::json(
            400,
            json!({
                "code": "product_invalid_sku",
                "message": "Invalid or duplicated SKU.",
                "data": { "status": 400, "resource_id": id, "unique_sku": format!("{sku}-1") },
            }),
        ),
        StoreError::UsernameTaken(_) => Answer::refusal(
            400,
            "registration-error-username-exists",
            "An account is already registered with that username. Please choose another.",
        ),
        StoreError::EmailTaken(_) => Answer::refusal(
            400,
            "registration-error-email-exists",
            "An account is already registered with that email address.",
        ),
        StoreError::WrongRefund => Answer::json(
            500,
            json!({
                "code": "woocommerce_rest_cannot_create_order_refund",
                "message": "Invalid refund amount.",
                "data": 500,
            }),
        ),
        StoreError::NotHere(_)
        | StoreError::Twice(_)
        | StoreError::NoProduct(_)
        | StoreError::NoNumber(_)
        | StoreError::NoStatus(_) => Answer::refusal(400, "woocommerce_rest_invalid", &error.to_string()),
    }
}
