//! How a statement's outcome reaches the HTTP side: a head, then pieces of the body, as they come.

use std::io;

use axum::http::StatusCode;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::chdb::Chunk;
use super::encode::{Encoder, Encoding};
use super::error::Failure;

/// What is known when an answer begins.
#[derive(Clone, Debug)]
pub struct Head {
    /// HTTP status.
    pub status: StatusCode,
    /// The format of the body.
    pub format: String,
    /// `X-ClickHouse-Summary`.
    pub summary: String,
    /// How the body is compressed.
    pub encoding: Encoding,
    /// ClickHouse's error code, if the statement failed at once.
    pub exception: Option<u32>,
}

/// Rows and bytes of one statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows and bytes read.
    pub read: (u64, u64),
    /// Rows and bytes written.
    pub written: (u64, u64),
    /// Rows and bytes of the result so far.
    pub result: (u64, u64),
    /// Time since the statement began, nanoseconds.
    pub elapsed_ns: u128,
}

impl Counts {
    /// Of a first or only chunk.
    pub fn of(chunk: &Chunk, elapsed_ns: u128) -> Self {
        let result = (chunk.rows(), chunk.as_ref().len() as u64);
        Self { read: chunk.read(), written: chunk.written(), result, elapsed_ns }
    }

    /// With those of the next chunk added. The engine counts what it read in the first chunk.
    pub fn and(self, next: Self) -> Self {
        let add = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
        Self {
            read: add(self.read, next.read),
            written: add(self.written, next.written),
            result: add(self.result, next.result),
            elapsed_ns: next.elapsed_ns,
        }
    }

    /// As ClickHouse writes it: an object whose values are all strings.
    pub fn summary(&self) -> String {
        let Self { read, written, result, elapsed_ns } = self;
        format!(
            r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"0","result_rows":"{}","result_bytes":"{}","elapsed_ns":"{elapsed_ns}","memory_usage":"0"}}"#,
            read.0, read.1, written.0, written.1, result.0, result.1
        )
    }
}

/// The client went away; nobody reads on.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

/// Where a statement writes its outcome. Used on the statement's own thread.
pub struct Answer {
    head: Option<oneshot::Sender<Head>>,
    body: mpsc::Sender<io::Result<Bytes>>,
    encoder: Option<Encoder>,
    tag: String,
    version: String,
}

impl Answer {
    /// `tag` marks an exception in the middle of the body.
    pub fn new(
        head: oneshot::Sender<Head>,
        body: mpsc::Sender<io::Result<Bytes>>,
        tag: String,
        version: String,
    ) -> Self {
        Self { head: Some(head), body, encoder: None, tag, version }
    }

    /// Begins the body.
    ///
    /// # Errors
    /// When the client is gone.
    pub fn begin(&mut self, head: Head) -> Result<(), Gone> {
        self.encoder = Encoder::new(head.encoding).ok();
        self.head.take().and_then(|sender| sender.send(head).ok()).ok_or(Gone)
    }

    /// Sends a piece of the body, waiting while the client is slower than the engine.
    ///
    /// # Errors
    /// When the client is gone.
    pub fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        let piece = self.encoder.as_mut().ok_or(Gone)?.push(piece).map_err(|_| Gone)?;
        self.send_encoded(piece)
    }

    /// Ends the body.
    ///
    /// # Errors
    /// When the client is gone.
    pub fn finish(mut self) -> Result<(), Gone> {
        let rest = self.encoder.take().ok_or(Gone)?.finish().map_err(|_| Gone)?;
        self.send_encoded(rest)
    }

    /// Tells a failure: as the answer if none has begun, else as an exception in the body, which then breaks off.
    pub fn fail(self, failure: &Failure) {
        let text = failure.body(&self.version);
        let told = if self.head.is_some() { self.fail_at_once(failure, text) } else { self.break_off(&text) };
        if told.is_err() {
            tracing::debug!(%failure, "nobody waits for this failure");
        }
    }

    fn fail_at_once(mut self, failure: &Failure, text: String) -> Result<(), Gone> {
        self.begin(Head {
            status: failure.status,
            format: "TabSeparated".to_owned(),
            summary: Counts::default().summary(),
            encoding: Encoding::Plain,
            exception: Some(failure.code),
        })?;
        self.send(text.into())?;
        self.finish()
    }

    /// The marker block of ClickHouse 25.11 and later (`WriteBufferFromHTTPServerResponse.cpp`), then a broken
    /// connection, so that clients that do not know the marker fail as well.
    fn break_off(mut self, text: &str) -> Result<(), Gone> {
        let tag = &self.tag;
        let block = format!("\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n", text.len());
        let mut piece = self.encoder.as_mut().ok_or(Gone)?.push(block.into()).map_err(|_| Gone)?.to_vec();
        let rest = self.encoder.take().ok_or(Gone)?.finish().map_err(|_| Gone)?;
        piece.extend_from_slice(&rest);
        self.send_encoded(piece.into())?;
        self.body.blocking_send(Err(io::Error::other("the statement failed"))).map_err(|_| Gone)
    }

    fn send_encoded(&self, piece: Bytes) -> Result<(), Gone> {
        if piece.is_empty() { Ok(()) } else { self.body.blocking_send(Ok(piece)).map_err(|_| Gone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_in_the_body_reads_like_clickhouse_s() {
        let (head, mut head_received) = oneshot::channel();
        let (body, mut pieces) = mpsc::channel(4);
        let mut answer = Answer::new(head, body, "abcdefghijklmnop".to_owned(), "26.5".to_owned());
        let encoding = Encoding::Plain;
        let begun =
            Head { status: StatusCode::OK, format: "TSV".into(), summary: "{}".into(), encoding, exception: None };
        answer.begin(begun).unwrap();
        answer.send(Bytes::from_static(b"1\n")).unwrap();
        answer.fail(&Failure::from(super::super::chdb::QueryError("Code: 395. DB::Exception: x. (Y)".to_owned())));
        assert!(head_received.try_recv().is_ok());
        assert_eq!(pieces.try_recv().unwrap().unwrap(), "1\n");
        let block = pieces.try_recv().unwrap().unwrap();
        let text = "Code: 395. DB::Exception: x. (Y) (version 26.5 (libchdb))\n";
        let length = text.len();
        let expect =
            format!("\r\n__exception__\r\nabcdefghijklmnop\r\n{text}{length} abcdefghijklmnop\r\n__exception__\r\n");
        assert_eq!(block, expect);
        assert!(pieces.try_recv().unwrap().is_err());
    }
}
