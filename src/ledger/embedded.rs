//! The client for the embedded engine, and whether one answers.

use std::time::Duration;

use clickhouse::{Client, Compression};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A connection without use is closed after this time: below the engine's own limit, so that none is used in the
/// moment in which the engine closes it. The same as the `clickhouse` crate's own client.
const IDLE: Duration = Duration::from_secs(2);

/// A client for plain HTTP on loopback that sends each write at once.
///
/// An insert is many writes: the head and the size of each chunk are small. With Nagle's algorithm each small write
/// waits for the acknowledgement of the one before, and the other side's kernel delays that by up to 40 ms. On
/// loopback there is nothing to be saved by waiting, nor by compressing.
pub fn embedded_client(url: &str) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(60)));
    let client = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
    Client::with_http_client(client).with_url(url).with_compression(Compression::None)
}

/// How long an engine on this machine may take to answer nothing much.
const ANSWER: Duration = Duration::from_secs(10);

/// Whether a question is answered: there is an engine, and it knows the login.
pub async fn answers(client: &Client) -> bool {
    let asked = client.query("SELECT 1").fetch_one::<u8>();
    matches!(tokio::time::timeout(ANSWER, asked).await, Ok(Ok(1)))
}
