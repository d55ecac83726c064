//! Small services: one that answers as a function says, and one that writes bytes to the socket by hand.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A service on loopback.
pub struct Served {
    pub url: String,
    server: JoinHandle<()>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A POST with JSON in it.
pub struct Posted {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: serde_json::Value,
}

impl Served {
    /// Answers each request as `answer` says.
    pub async fn by(answer: impl Fn(&Uri) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let routes = Router::new().fallback(move |uri: Uri| {
            noted.lock().unwrap().push(uri.to_string());
            let response = answer(&uri);
            async move { response }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, server, asked }
    }

    /// Answers each POST as `answer` says; anything else is 405.
    pub async fn posts(answer: impl Fn(&Posted) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let routes = Router::new().fallback(move |request: Request<Body>| {
            let (answer, noted) = (answer.clone(), Arc::clone(&noted));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                noted.lock().unwrap().push(format!("{} {}", head.uri, String::from_utf8_lossy(&body)));
                if head.method != Method::POST {
                    return Response::builder().status(405).body(Body::empty()).unwrap();
                }
                let body = serde_json::from_slice(&body).unwrap();
                answer(&Posted { uri: head.uri, headers: head.headers, body })
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, server, asked }
    }

    /// Writes these bytes to every connection that has sent a request, with a pause between them if there is one, and
    /// closes it.
    pub async fn bytes(parts: Vec<Vec<u8>>, pause: std::time::Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let parts = parts.clone();
                tokio::spawn(async move { drop(write_all(socket, parts, pause).await) });
            }
        });
        Self { url, server, asked }
    }

    /// What has been asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn write_all(mut socket: TcpStream, parts: Vec<Vec<u8>>, pause: std::time::Duration) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).await? == 0 {
            return Ok(());
        }
        request.push(byte[0]);
    }
    for part in parts {
        socket.write_all(&part).await?;
        socket.flush().await?;
        tokio::time::sleep(pause).await;
    }
    socket.shutdown().await
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A JSON answer.
pub fn json(body: &serde_json::Value) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

/// The value of a query parameter.
pub fn param(uri: &Uri, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_owned().find(|(known, _)| known == name).map(|(_, value)| value)
}
