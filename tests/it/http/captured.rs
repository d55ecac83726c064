//! Answers that a real store gave.

use std::path::PathBuf;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response};
use serde_json::Value;

use crate::support::repository_file;

/// A captured answer.
#[derive(Clone, Debug)]
pub struct Captured {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Headers that belong to the connection, which is not the captured one.
const OF_THE_CONNECTION: [&str; 4] = ["transfer-encoding", "connection", "content-length", "date"];

impl Captured {
    /// The answer in `tests/fixtures/woocommerce/NAME.http`.
    pub fn read(name: &str) -> Self {
        let file: PathBuf = repository_file(&format!("tests/fixtures/woocommerce/{name}.http"));
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("there is a body");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        // Captured webhooks are requests, which have no status.
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap_or(0);
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Self { status, headers: lines.filter_map(header).collect(), body: bytes[end + 4..].to_vec() }
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// As a server sends it; the present date unless the capture was given another.
    pub fn response(&self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            if !OF_THE_CONNECTION.contains(&name.as_str()) {
                let name = HeaderName::try_from(name.as_str()).unwrap();
                response = response.header(name, HeaderValue::from_str(value).unwrap());
            }
        }
        response.body(Body::from(self.body.clone())).unwrap()
    }
}
