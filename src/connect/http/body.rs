//! Reading a body within limits: what comes over the wire, and what it unpacks to.

use std::io::Write;

use flate2::write::GzDecoder;

/// Why a body was not read to its end.
#[derive(Debug)]
pub(super) enum Unread {
    /// The connection ended before the body did.
    Cut(String),
    /// More than the limit, packed or unpacked.
    TooLong,
    /// It says that it is packed in a way that it is not, or that we did not ask for.
    Packing(String),
}

/// Reads a whole body of at most `limit` bytes, unpacked.
pub(super) async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Unread> {
    let packing = response.headers().get("content-encoding").map(|value| value.as_bytes().to_ascii_lowercase());
    let mut sink = match packing.as_deref() {
        None | Some(b"identity" | b"") => Sink::Plain(Limited::new(limit)),
        Some(b"gzip" | b"x-gzip") => Sink::Gzip(Box::new(GzDecoder::new(Limited::new(limit)))),
        Some(other) => return Err(Unread::Packing(String::from_utf8_lossy(other).into_owned())),
    };
    let mut packed = 0_usize;
    while let Some(chunk) = response.chunk().await.map_err(|error| Unread::Cut(super::client::chain(&error)))? {
        packed = packed.saturating_add(chunk.len());
        if packed > limit {
            return Err(Unread::TooLong);
        }
        sink.take(&chunk)?;
    }
    sink.end()
}

enum Sink {
    Plain(Limited),
    Gzip(Box<GzDecoder<Limited>>),
}

impl Sink {
    fn take(&mut self, chunk: &[u8]) -> Result<(), Unread> {
        let (written, is_full) = match self {
            Self::Plain(sink) => (sink.write_all(chunk), sink.is_full),
            Self::Gzip(sink) => (sink.write_all(chunk), sink.get_ref().is_full),
        };
        match written {
            Ok(()) => Ok(()),
            Err(_) if is_full => Err(Unread::TooLong),
            Err(error) => Err(Unread::Packing(error.to_string())),
        }
    }

    fn end(self) -> Result<Vec<u8>, Unread> {
        match self {
            Self::Plain(sink) => Ok(sink.bytes),
            Self::Gzip(mut sink) => match sink.try_finish() {
                Ok(()) => sink.finish().map(|sink| sink.bytes).map_err(|error| Unread::Cut(error.to_string())),
                Err(_) if sink.get_ref().is_full => Err(Unread::TooLong),
                Err(error) => Err(Unread::Cut(error.to_string())),
            },
        }
    }
}

/// Bytes up to a limit; a small answer that unpacks to gigabytes stops here.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Limited {
    const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, is_full: false }
    }
}

impl Write for Limited {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len().saturating_add(chunk.len()) > self.limit {
            self.is_full = true;
            return Err(std::io::Error::other("the answer is too long"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
