//! An HTTP server that keeps what it is sent and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::wait_until;

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this status, these headers and this text.
    Says(u16, &'static str, &'static str),
    /// Not at all.
    Hangs,
    /// The connection ends after the request was read.
    HangsUp,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    pub path: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

#[derive(Debug, Default)]
struct Book {
    requests: Vec<Request>,
    answers: VecDeque<Answer>,
}

/// A receiver on loopback; it ends when dropped.
pub struct Receiver {
    book: Arc<Mutex<Book>>,
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Gives these answers in turn, then 202 for ever.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::new(Mutex::new(Book { answers: answers.into_iter().collect(), ..Book::default() }));
        let kept = Arc::clone(&book);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(talk(stream, Arc::clone(&kept)));
            }
        });
        Self { book, url, task }
    }

    /// Gives these answers when those before are used up.
    pub fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.book.lock().unwrap().answers.extend(answers);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.book.lock().unwrap().requests.clone()
    }

    /// Waits for so many requests.
    pub async fn has(&self, count: usize) -> Vec<Request> {
        wait_until(async || self.requests().len() >= count).await;
        self.requests()
    }
}

/// One request a connection: simple, and every client must cope with it.
async fn talk(mut stream: TcpStream, book: Arc<Mutex<Book>>) {
    let Some(request) = read(&mut stream).await else { return };
    let answer = {
        let mut book = book.lock().unwrap();
        book.requests.push(request);
        book.answers.pop_front().unwrap_or(Answer::Says(202, "", "{}"))
    };
    match answer {
        Answer::HangsUp => {}
        Answer::Hangs => tokio::time::sleep(Duration::from_secs(3600)).await,
        Answer::Says(status, headers, text) => {
            let length = text.len();
            let answer = format!(
                "HTTP/1.1 {status} Status\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            );
            // The client may have gone.
            drop(stream.write_all(answer.as_bytes()).await);
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let path = head.split(' ').nth(1)?.to_owned();
    let mut request = Request { at: Instant::now(), path, head, body: bytes[end + 4..].to_vec() };
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}
