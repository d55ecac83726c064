//! Compression of an answer as it is sent.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::blocks;

/// How an answer's body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Plain,
    /// ClickHouse's own blocks (`compress=1`): part of the content, not of HTTP.
    Blocks,
    /// `Content-Encoding: lz4`, the LZ4 frame format.
    Lz4,
    /// `Content-Encoding: zstd`.
    Zstd,
    /// `Content-Encoding: gzip`.
    Gzip,
    /// `Content-Encoding: deflate`, the zlib format.
    Deflate,
}

impl Encoding {
    /// The one to use of those that the client takes, the quickest first.
    pub fn of(accepted: Option<&str>, http_compression: bool, in_blocks: bool) -> Self {
        if in_blocks {
            return Self::Blocks;
        }
        let accepted = accepted.filter(|_| http_compression).unwrap_or_default();
        let takes = |name: &str| accepted.split(',').any(|one| is_accepted(one, name));
        let known = [("lz4", Self::Lz4), ("zstd", Self::Zstd), ("gzip", Self::Gzip), ("deflate", Self::Deflate)];
        known.into_iter().find(|(name, _)| takes(name)).map_or(Self::Plain, |(_, encoding)| encoding)
    }

    /// The value of `Content-Encoding`.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Blocks => None,
            Self::Lz4 => Some("lz4"),
            Self::Zstd => Some("zstd"),
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
        }
    }
}

fn is_accepted(one: &str, name: &str) -> bool {
    let mut parts = one.split(';').map(str::trim);
    let is_name = parts.next().is_some_and(|found| found.eq_ignore_ascii_case(name));
    is_name && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0"))
}

/// Compresses one answer, piece by piece: what goes in with [`Encoder::push`] can be read by the client at once.
pub enum Encoder {
    /// See [`Encoding::Plain`].
    Plain,
    /// See [`Encoding::Blocks`].
    Blocks,
    /// See [`Encoding::Lz4`].
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    /// See [`Encoding::Zstd`].
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    /// See [`Encoding::Gzip`].
    Gzip(GzEncoder<Vec<u8>>),
    /// See [`Encoding::Deflate`].
    Deflate(ZlibEncoder<Vec<u8>>),
}

/// Blocks of compressed answers hold at most this much, as ClickHouse's do.
const BLOCK: usize = 1 << 20;

impl Encoder {
    /// An encoder for one answer.
    ///
    /// # Errors
    /// When the compressor cannot be set up.
    pub fn new(encoding: Encoding) -> io::Result<Self> {
        let fast = flate2::Compression::fast();
        Ok(match encoding {
            Encoding::Plain => Self::Plain,
            Encoding::Blocks => Self::Blocks,
            Encoding::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Encoding::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 1)?)),
            Encoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), fast)),
            Encoding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), fast)),
        })
    }

    /// The next piece, compressed.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn push(&mut self, piece: Bytes) -> io::Result<Bytes> {
        match self {
            Self::Plain => Ok(piece),
            Self::Blocks => Ok(piece.chunks(BLOCK).flat_map(blocks::compress).collect::<Vec<_>>().into()),
            Self::Lz4(encoder) => through(encoder.as_mut(), &piece).map(|()| take(encoder.get_mut())),
            Self::Zstd(encoder) => through(encoder.as_mut(), &piece).map(|()| take(encoder.get_mut())),
            Self::Gzip(encoder) => through(encoder, &piece).map(|()| take(encoder.get_mut())),
            Self::Deflate(encoder) => through(encoder, &piece).map(|()| take(encoder.get_mut())),
        }
    }

    /// What closes the compressed stream.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Plain | Self::Blocks => Bytes::new(),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other)?.into(),
            Self::Zstd(encoder) => encoder.finish()?.into(),
            Self::Gzip(encoder) => encoder.finish()?.into(),
            Self::Deflate(encoder) => encoder.finish()?.into(),
        })
    }
}

fn through(encoder: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    encoder.write_all(piece)?;
    encoder.flush()
}

fn take(buffer: &mut Vec<u8>) -> Bytes {
    std::mem::take(buffer).into()
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::*;

    #[test]
    fn the_quickest_accepted_is_taken() {
        fn check(accepted: &str, expect: Encoding) {
            assert_eq!(Encoding::of(Some(accepted), true, false), expect, "{accepted}");
        }
        check("gzip, deflate, br, zstd", Encoding::Zstd);
        check("gzip;q=1.0, lz4;q=0", Encoding::Gzip);
        check("br", Encoding::Plain);
        assert_eq!(Encoding::of(Some("gzip"), false, false), Encoding::Plain);
        assert_eq!(Encoding::of(Some("gzip"), true, true), Encoding::Blocks);
    }

    #[test]
    fn what_was_pushed_comes_back() {
        for encoding in
            [Encoding::Plain, Encoding::Blocks, Encoding::Lz4, Encoding::Zstd, Encoding::Gzip, Encoding::Deflate]
        {
            let mut encoder = Encoder::new(encoding).unwrap();
            let mut sent = Vec::new();
            for piece in ["select ", "1"] {
                sent.extend_from_slice(&encoder.push(Bytes::from_static(piece.as_bytes())).unwrap());
            }
            sent.extend_from_slice(&encoder.finish().unwrap());
            let reader = io::Cursor::new(sent);
            let mut reader = body::decoded(reader, encoding.header(), encoding == Encoding::Blocks).unwrap();
            assert_eq!(body::read_head(reader.as_mut()).unwrap(), b"select 1", "{encoding:?}");
        }
    }
}
