//! ClickHouse's own block compression (`compress=1`, `decompress=1`).
//!
//! A block is a 16-byte CityHash128 (version 1.0.2, halves swapped) of all that follows, one byte for the method,
//! its size with this header and its size when decompressed (both 32 bits, little-endian), then the data:
//! `src/Compression/CompressedReadBufferBase.cpp`.

use std::io::{self, Read};

use super::error::{Code, Failure};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const NONE: u8 = 0x02;
const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
/// Larger blocks are refused, as ClickHouse does (`DBMS_MAX_COMPRESSED_SIZE`).
const MAX_BLOCK: usize = 1 << 30;

/// Reads blocks and gives what they hold.
pub struct BlockReader<R> {
    inner: R,
    block: Vec<u8>,
    plain: Vec<u8>,
    at: usize,
}

impl<R: Read> BlockReader<R> {
    /// Over the bytes of `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, block: Vec::new(), plain: Vec::new(), at: 0 }
    }

    /// The next block; `false` at the end.
    fn read_block(&mut self) -> io::Result<bool> {
        let mut head = [0_u8; CHECKSUM + HEADER];
        let got = read_up_to(&mut self.inner, &mut head)?;
        if got == 0 {
            return Ok(false);
        }
        if got < head.len() {
            return Err(broken("a block ends in its header"));
        }
        let size = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (with_header, plain) = (size(CHECKSUM + 1), size(CHECKSUM + 5));
        if !(HEADER..=MAX_BLOCK).contains(&with_header) || plain > MAX_BLOCK {
            return Err(broken("a block's size is out of range"));
        }
        self.block.clear();
        self.block.extend_from_slice(&head[CHECKSUM..]);
        let data = (with_header - HEADER) as u64;
        if self.inner.by_ref().take(data).read_to_end(&mut self.block)? as u64 != data {
            return Err(broken("a block ends early"));
        }
        if checksum(&self.block) != head[..CHECKSUM] {
            return Err(Failure::new(Code::ChecksumDoesntMatch, "Checksum doesn't match: corrupted data").into());
        }
        self.plain.resize(plain, 0);
        self.at = 0;
        decompress(head[CHECKSUM], &self.block[HEADER..], &mut self.plain).map(|()| true)
    }
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if !self.read_block()? {
                return Ok(0);
            }
        }
        let count = into.len().min(self.plain.len() - self.at);
        into[..count].copy_from_slice(&self.plain[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// One LZ4 block of `plain`.
pub fn compress(plain: &[u8]) -> Vec<u8> {
    let most = lz4_flex::block::get_maximum_output_size(plain.len());
    let mut block = vec![0; CHECKSUM + HEADER + most];
    // The buffer has the size that the compressor names as the most it writes.
    let written = lz4_flex::block::compress_into(plain, &mut block[CHECKSUM + HEADER..]).unwrap_or(most);
    block.truncate(CHECKSUM + HEADER + written);
    block[CHECKSUM] = LZ4;
    block[CHECKSUM + 1..CHECKSUM + 5].copy_from_slice(&((HEADER + written) as u32).to_le_bytes());
    block[CHECKSUM + 5..CHECKSUM + 9].copy_from_slice(&(plain.len() as u32).to_le_bytes());
    let sum = checksum(&block[CHECKSUM..]);
    block[..CHECKSUM].copy_from_slice(&sum);
    block
}

fn checksum(data: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(data).rotate_right(64).to_le_bytes()
}

fn decompress(method: u8, data: &[u8], plain: &mut [u8]) -> io::Result<()> {
    let written = match method {
        NONE if data.len() == plain.len() => {
            plain.copy_from_slice(data);
            data.len()
        }
        LZ4 => lz4_flex::block::decompress_into(data, plain).map_err(broken)?,
        ZSTD => zstd::bulk::decompress_to_buffer(data, plain)?,
        _ => return Err(broken(format!("unknown method {method:#04x}"))),
    };
    if written == plain.len() { Ok(()) } else { Err(broken("a block holds less than it says")) }
}

fn broken(what: impl std::fmt::Display) -> io::Error {
    Failure::new(Code::CannotDecompress, format!("Cannot decompress: {what}")).into()
}

fn read_up_to(inner: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match inner.read(&mut into[got..])? {
            0 => break,
            count => got += count,
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        BlockReader::new(bytes).read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn block(method: u8, data: &[u8], plain: usize) -> Vec<u8> {
        let mut rest = vec![method];
        rest.extend_from_slice(&((HEADER + data.len()) as u32).to_le_bytes());
        rest.extend_from_slice(&(plain as u32).to_le_bytes());
        rest.extend_from_slice(data);
        [checksum(&rest).to_vec(), rest].concat()
    }

    #[test]
    fn all_methods_are_read() {
        let plain = b"a row, a row, a row and a row".repeat(50);
        let zstd = zstd::bulk::compress(&plain, 1).unwrap();
        let blocks = [compress(&plain), block(NONE, &plain, plain.len()), block(ZSTD, &zstd, plain.len())].concat();
        assert_eq!(read(&blocks).unwrap(), plain.repeat(3));
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn damage_is_told() {
        fn check(bytes: &[u8], code: u32) {
            assert_eq!(Failure::from(read(bytes).unwrap_err()).code, code);
        }
        let good = compress(b"0123456789012345678901234567890123456789");
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        check(&flipped, 40);
        check(&good[..good.len() - 1], 271);
        check(&good[..10], 271);
        check(&block(0x77, b"x", 1), 271);
        check(&block(NONE, b"x", 2), 271);
    }
}
