//! ClickHouse's HTTP interface in front of the engine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::answer::{Answer, Head};
use super::auth::Users;
use super::body::ChannelReader;
use super::core::{CLICKHOUSE_VERSION, Engine};
use super::error::{Code, Failure};
use super::request::Request;

/// Pieces of a body on their way between a connection and a statement.
const PIECES_UNDERWAY: usize = 4;
/// A client that sends nothing for this long has its request ended.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request waits for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between an exception in a body and the breaking of the connection. A broken connection takes what was not read yet
/// with it, so clients that know the exception's mark are left the time to find it; they close by themselves.
const BREAK_PAUSE: Duration = Duration::from_secs(10);
/// How the engine calls itself.
const DISPLAY_NAME: &str = "plumbline";

/// What every request needs.
pub struct Service {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Who may use it.
    pub users: Users,
    /// One permit for every statement at a time.
    pub turns: Arc<Semaphore>,
}

/// The routes.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/replicas_status", get(|| async { "Ok.\n" }))
        .route("/", get(ask).post(ask))
        .with_state(service)
}

async fn ask(
    State(service): State<Arc<Service>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let query = uri.query().unwrap_or_default();
    if method == Method::GET && query.is_empty() && !has_credentials(&headers) {
        return plain("Ok.\n");
    }
    let request = Request::new(query, &headers, method == Method::GET);
    let marks = Marks { query_id: request.query_id.clone(), tag: tag(), timezone: service.engine.timezone.clone() };
    match service.answer(request, &headers, body, &marks.tag).await {
        Ok((head, body)) => marks.response(&head, body),
        Err(failure) => marks.failure(&failure),
    }
}

fn has_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key("authorization") || headers.contains_key("x-clickhouse-user")
}

fn plain(text: &'static str) -> Response {
    Response::new(Body::from(text))
}

/// 16 letters, as ClickHouse makes them: names the query and marks an exception in its answer.
fn tag() -> String {
    rand::rng().sample_iter(Alphanumeric).take(16).map(|byte| char::from(byte).to_ascii_lowercase()).collect()
}

impl Service {
    async fn answer(
        &self,
        request: Request,
        headers: &HeaderMap,
        body: Body,
        tag: &str,
    ) -> Result<(Head, Body), Failure> {
        let role = self.users.role(headers, |name| request.get(name).map(str::to_owned))?;
        let turn = self.turn().await?;
        let body = ChannelReader::new(receive(body));
        let (head_sender, head) = oneshot::channel();
        let (piece_sender, pieces) = mpsc::channel(PIECES_UNDERWAY);
        let answer = Answer::new(head_sender, piece_sender, tag.to_owned(), CLICKHOUSE_VERSION.to_owned());
        let watch = Watch::new(self.engine.clone(), tag.to_owned());
        let (engine, ended, tag) = (self.engine.clone(), watch.ended.clone(), tag.to_owned());
        tokio::task::spawn_blocking(move || {
            engine.run(request, role, &tag, Box::new(body), answer);
            ended.store(true, Ordering::Release);
            drop::<OwnedSemaphorePermit>(turn);
        });
        let head = head.await.map_err(|_| Failure::new(Code::StdException, "the statement ended without an answer"))?;
        Ok((head, Body::from_stream(body_of(pieces, watch))))
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, self.turns.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            Failure::new(Code::TooManySimultaneousQueries, "Too many simultaneous queries. Try again later")
        })
    }
}

/// Stops the statement of a client that goes away before its end.
struct Watch {
    engine: Arc<Engine>,
    tag: String,
    ended: Arc<AtomicBool>,
}

impl Watch {
    fn new(engine: Arc<Engine>, tag: String) -> Self {
        Self { engine, tag, ended: Arc::default() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        let (engine, tag) = (self.engine.clone(), std::mem::take(&mut self.tag));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || engine.kill(&tag));
        }
    }
}

/// The body's pieces as a stream. An error breaks the connection off.
fn body_of(pieces: mpsc::Receiver<io::Result<Bytes>>, watch: Watch) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold((pieces, watch), |(mut pieces, watch)| async move {
        let piece = pieces.recv().await;
        if !matches!(piece, Some(Ok(_))) {
            // All was said: the statement's thread is about to end.
            watch.ended.store(true, Ordering::Release);
        }
        if matches!(piece, Some(Err(_))) {
            tokio::time::sleep(BREAK_PAUSE).await;
        }
        Some((piece?, (pieces, watch)))
    })
}

/// Hands the body's pieces to the statement's thread, which may be slower than the client.
fn receive(body: Body) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PIECES_UNDERWAY);
    tokio::spawn(async move {
        let mut pieces = body.into_data_stream();
        loop {
            let piece = match tokio::time::timeout(RECEIVE_TIMEOUT, pieces.next()).await {
                Ok(None) => return,
                Ok(Some(piece)) => piece.map_err(io::Error::other),
                Err(_) => Err(io::Error::other("nothing was received for a minute")),
            };
            let is_last = piece.is_err();
            // The statement's thread has what it needs, or failed; the rest of the body is not read.
            if sender.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// What every answer carries.
struct Marks {
    query_id: String,
    tag: String,
    timezone: String,
}

impl Marks {
    fn response(&self, head: &Head, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        let exception = head.exception.map(|code| code.to_string());
        let marks = [
            ("x-clickhouse-query-id", self.query_id.as_str()),
            ("x-clickhouse-server-display-name", DISPLAY_NAME),
            ("x-clickhouse-timezone", &self.timezone),
            ("x-clickhouse-format", &head.format),
            ("x-clickhouse-summary", &head.summary),
            ("x-clickhouse-exception-tag", &self.tag),
        ];
        let headers = response.headers_mut();
        for (name, value) in marks {
            // A query id that cannot stand in a header is left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&head.format)));
        if let Some(encoding) = head.encoding.header() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(code) = exception.and_then(|code| HeaderValue::from_str(&code).ok()) {
            headers.insert("x-clickhouse-exception-code", code);
        }
        response
    }

    fn failure(&self, failure: &Failure) -> Response {
        let head = Head {
            status: failure.status,
            format: "TabSeparated".to_owned(),
            summary: super::answer::Counts::default().summary(),
            encoding: super::encode::Encoding::Plain,
            exception: Some(failure.code),
        };
        let mut response = self.response(&head, Body::from(failure.body(CLICKHOUSE_VERSION)));
        if failure.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert("www-authenticate", HeaderValue::from_static("Basic realm=\"ClickHouse\""));
        }
        response
    }
}

/// The media type that ClickHouse gives a format.
fn content_type(format: &str) -> &'static str {
    let format = format.to_ascii_lowercase();
    if ["jsoneachrow", "jsonlines", "ndjson", "jsoncompacteachrow", "jsonstringseachrow"]
        .iter()
        .any(|name| format.starts_with(name))
    {
        "application/x-ndjson; charset=UTF-8"
    } else if format.starts_with("json") {
        "application/json; charset=UTF-8"
    } else if format.starts_with("csv") {
        "text/csv; charset=UTF-8; header=absent"
    } else if format.starts_with("tabseparated") || format.starts_with("tsv") {
        "text/tab-separated-values; charset=UTF-8"
    } else if format.starts_with("xml") {
        "application/xml; charset=UTF-8"
    } else if format.starts_with("rowbinary")
        || ["native", "parquet", "arrow", "arrowstream"].contains(&format.as_str())
    {
        "application/octet-stream"
    } else {
        "text/plain; charset=UTF-8"
    }
}
