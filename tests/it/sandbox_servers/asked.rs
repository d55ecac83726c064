//! Plain requests to the store, and what it answers.

use std::collections::BTreeSet;
use std::time::Duration;

use plumbline::sandbox::store::{KEY, READ_KEY, READ_SECRET, SECRET};
use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::http_client;

/// Somebody who asks the store.
pub struct Asker {
    url: String,
    client: reqwest::Client,
}

impl Asker {
    pub fn of(url: &str) -> Self {
        Self { url: url.to_owned(), client: http_client(Duration::from_secs(10)) }
    }

    pub async fn send(&self, method: Method, path: &str, login: Option<(&str, &str)>, body: Option<Value>) -> Answered {
        self.send_text(method, path, login, body.map(|body| body.to_string())).await
    }

    async fn send_text(
        &self,
        method: Method,
        path: &str,
        login: Option<(&str, &str)>,
        body: Option<String>,
    ) -> Answered {
        let mut request = self.client.request(method, format!("{}/wp-json{path}", self.url));
        if let Some((key, secret)) = login {
            request = request.basic_auth(key, Some(secret));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        Answered::of(request.send().await.unwrap()).await
    }

    /// Writes what may be no JSON.
    pub async fn write_text(&self, method: Method, path: &str, body: &str) -> Answered {
        self.send_text(method, &format!("/wc/v3{path}"), Some((KEY, SECRET)), Some(body.to_owned())).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.send(Method::GET, &format!("/wc/v3{path}"), Some((READ_KEY, READ_SECRET)), None).await
    }

    pub async fn write(&self, method: Method, path: &str, body: Value) -> Answered {
        self.send(method, &format!("/wc/v3{path}"), Some((KEY, SECRET)), Some(body)).await
    }
}

pub struct Answered {
    pub status: u16,
    pub headers: BTreeSet<String>,
    pub response_headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answered {
    async fn of(response: Response) -> Self {
        let response_headers = response.headers().clone();
        let headers = response_headers.keys().map(|name| name.as_str().to_owned()).collect();
        Self { status: response.status().as_u16(), headers, response_headers, body: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.response_headers[name].to_str().unwrap()
    }

    /// The ids of a list.
    pub fn ids(&self) -> Vec<u64> {
        self.json().as_array().unwrap().iter().map(|record| record["id"].as_u64().unwrap()).collect()
    }
}
