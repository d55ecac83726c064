//! A request's body: decompressed as it arrives, its beginning read as SQL, its data spooled to a file that has no
//! name and that the engine reads as the INSERT's source.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use tokio::sync::mpsc;

use super::blocks::BlockReader;
use super::error::{Code, Failure};

/// SQL text longer than this is refused: ClickHouse's `max_query_size`.
pub const MAX_QUERY: usize = 256 * 1024;

/// Reads, on a thread of its own, what a task receives.
pub struct ChannelReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl ChannelReader {
    /// Over the pieces that `receiver` yields.
    pub fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, piece: Bytes::new() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.piece.len());
        into[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// The body as it was before compression.
///
/// # Errors
/// When `encoding` is not one that is read here.
pub fn decoded(
    body: impl Read + Send + 'static,
    encoding: Option<&str>,
    in_blocks: bool,
) -> Result<Box<dyn Read>, Failure> {
    let body: Box<dyn Read> = match encoding.map(str::trim).unwrap_or_default() {
        "" | "identity" => Box::new(body),
        "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(body)),
        "deflate" => Box::new(ZlibDecoder::new(body)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(body)?),
        "lz4" => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
        other => return Err(Failure::new(Code::BadArguments, format!("Unknown compression method: {other}"))),
    };
    Ok(if in_blocks { Box::new(BlockReader::new(body)) } else { body })
}

/// The beginning of a body: at most [`MAX_QUERY`] bytes.
///
/// # Errors
/// When the body breaks off or cannot be decompressed.
pub fn read_head(body: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    body.take(MAX_QUERY as u64 + 1).read_to_end(&mut head).map_err(read_failure)?;
    Ok(head)
}

/// An INSERT's data in a file without a name.
pub struct Spool {
    file: File,
    bytes: u64,
}

impl Spool {
    /// Takes `head` and then the rest of `body`, `limit` bytes at most.
    ///
    /// # Errors
    /// When the body breaks off, is larger than `limit`, or the disk is full.
    pub fn fill(dir: &Path, head: &[u8], body: &mut dyn Read, limit: u64) -> Result<Self, Failure> {
        let mut file = tempfile::tempfile_in(dir)?;
        file.write_all(head)?;
        let mut bytes = head.len() as u64;
        let mut buffer = vec![0_u8; 256 * 1024];
        loop {
            match body.read(&mut buffer).map_err(read_failure)? {
                0 => return Ok(Self { file, bytes }),
                count => {
                    bytes += count as u64;
                    if bytes > limit {
                        return Err(too_large(limit));
                    }
                    file.write_all(&buffer[..count])?;
                }
            }
        }
    }

    /// A path under which this process can open the file while the spool lives.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn too_large(limit: u64) -> Failure {
    let message = format!("the data is larger than {limit} bytes: send it in several inserts");
    Failure::new(Code::TooManyRowsOrBytes, message).with_status(axum::http::StatusCode::PAYLOAD_TOO_LARGE)
}

fn read_failure(error: io::Error) -> Failure {
    match Failure::from(error) {
        failure if failure.code == 1001 => {
            Failure::new(Code::CannotDecompress, format!("cannot read the body: {}", failure.text))
        }
        failure => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: Option<&str>, body: Vec<u8>, in_blocks: bool) {
        let mut reader = decoded(io::Cursor::new(body), encoding, in_blocks).unwrap();
        assert_eq!(read_head(reader.as_mut()).unwrap(), b"select 1", "{encoding:?}");
    }

    #[test]
    fn every_encoding_is_read() {
        let plain = b"select 1";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(plain).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(plain).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(plain).unwrap();
        check(None, plain.to_vec(), false);
        check(Some("gzip"), gzip.finish().unwrap(), false);
        check(Some("deflate"), zlib.finish().unwrap(), false);
        check(Some("zstd"), zstd::encode_all(&plain[..], 1).unwrap(), false);
        check(Some("lz4"), lz4.finish().unwrap(), false);
        check(None, super::super::blocks::compress(plain), true);
        check(Some("zstd"), zstd::encode_all(&super::super::blocks::compress(plain)[..], 1).unwrap(), true);
    }

    #[test]
    fn a_spool_has_a_limit_and_holds_all() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::fill(dir.path(), b"ab", &mut &b"cd"[..], 4).unwrap();
        assert_eq!((std::fs::read(spool.path()).unwrap(), spool.bytes()), (b"abcd".to_vec(), 4));
        let failure = Spool::fill(dir.path(), b"ab", &mut &b"cde"[..], 4).err().unwrap();
        assert_eq!(failure.status, 413);
    }
}
