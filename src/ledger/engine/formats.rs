//! Joins the chunks of a streamed result into one document.
//!
//! libchdb formats every chunk as a document of its own. For formats of rows that is what a whole result looks like,
//! but for a header that comes again with every chunk, and which is cut off here. Formats with an end (JSON, Parquet,
//! Arrow, XML, Pretty …) cannot be joined: those results are made whole in the engine's memory, up to a limit.

use bytes::Bytes;

use super::chdb::Chunk;

/// How the chunks of a format become one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// One after the other.
    Appended,
    /// The same, without the header lines of all chunks but the first.
    HeaderLines(usize),
    /// The same for CSV, where a quoted name may hold line ends.
    HeaderRecords(usize),
    /// The same for RowBinary: column count, names, and types if true.
    BinaryHeader(bool),
    /// With a comma between.
    Commas,
    /// Cannot be joined.
    Whole,
}

/// How chunks of this output format are joined.
pub fn joining(format: &str) -> Joining {
    match format.to_ascii_lowercase().as_str() {
        "tabseparated"
        | "tsv"
        | "tabseparatedraw"
        | "tsvraw"
        | "raw"
        | "csv"
        | "jsoneachrow"
        | "jsonlines"
        | "ndjson"
        | "jsonstringseachrow"
        | "jsoncompacteachrow"
        | "jsoncompactstringseachrow"
        | "rowbinary"
        | "native"
        | "tskv"
        | "lineasstring"
        | "null" => Joining::Appended,
        "tabseparatedwithnames"
        | "tsvwithnames"
        | "tabseparatedrawwithnames"
        | "tsvrawwithnames"
        | "rawwithnames"
        | "jsoncompacteachrowwithnames"
        | "jsoncompactstringseachrowwithnames" => Joining::HeaderLines(1),
        "tabseparatedwithnamesandtypes"
        | "tsvwithnamesandtypes"
        | "tabseparatedrawwithnamesandtypes"
        | "tsvrawwithnamesandtypes"
        | "rawwithnamesandtypes"
        | "jsoncompacteachrowwithnamesandtypes"
        | "jsoncompactstringseachrowwithnamesandtypes" => Joining::HeaderLines(2),
        "csvwithnames" => Joining::HeaderRecords(1),
        "csvwithnamesandtypes" => Joining::HeaderRecords(2),
        "rowbinarywithnames" => Joining::BinaryHeader(false),
        "rowbinarywithnamesandtypes" => Joining::BinaryHeader(true),
        "values" => Joining::Commas,
        _ => Joining::Whole,
    }
}

/// Joins the chunks of one result.
pub struct Joiner {
    joining: Joining,
    is_first: bool,
}

impl Joiner {
    /// For a result in this format.
    pub fn new(joining: Joining) -> Self {
        Self { joining, is_first: true }
    }

    /// What the chunk adds to the document. The bytes stay in the engine's memory; they are not copied.
    pub fn add(&mut self, chunk: Chunk) -> Bytes {
        let skipped = if self.is_first { 0 } else { header_length(self.joining, chunk.as_ref()) };
        let needs_comma = self.joining == Joining::Commas && !self.is_first;
        self.is_first = false;
        if needs_comma { [b",", chunk.as_ref()].concat().into() } else { Bytes::from_owner(chunk).slice(skipped..) }
    }
}

fn header_length(joining: Joining, chunk: &[u8]) -> usize {
    match joining {
        Joining::HeaderLines(count) => after_lines(chunk, count, false),
        Joining::HeaderRecords(count) => after_lines(chunk, count, true),
        // A chunk is a whole document, so its header is whole; if it were not, nothing is cut off.
        Joining::BinaryHeader(with_types) => binary_header(chunk, with_types).unwrap_or(0),
        Joining::Appended | Joining::Commas | Joining::Whole => 0,
    }
}

fn after_lines(chunk: &[u8], count: usize, quotes: bool) -> usize {
    let mut left = count;
    let mut is_quoted = false;
    for (at, byte) in chunk.iter().enumerate() {
        match byte {
            b'"' if quotes => is_quoted = !is_quoted,
            b'\n' if !is_quoted => left -= 1,
            _ => {}
        }
        if left == 0 {
            return at + 1;
        }
    }
    chunk.len()
}

fn binary_header(chunk: &[u8], with_types: bool) -> Option<usize> {
    let (columns, mut at) = varint(chunk, 0)?;
    for _ in 0..columns * if with_types { 2 } else { 1 } {
        let (length, start) = varint(chunk, at)?;
        at = start.checked_add(usize::try_from(length).ok()?)?;
    }
    (at <= chunk.len()).then_some(at)
}

/// LEB128 at `at`: the value, and where it ends.
fn varint(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_measured() {
        fn check(format: &str, chunk: &[u8], expect: usize) {
            assert_eq!(header_length(joining(format), chunk), expect, "{format}");
        }
        check("TSV", b"a\tb\n", 0);
        check("TSVWithNames", b"a\tb\n1\t2\n", 4);
        check("JSONCompactEachRowWithNamesAndTypes", b"[\"a\"]\n[\"UInt8\"]\n[1]\n", 16);
        check("CSVWithNames", b"\"a\nb\",\"c\"\"d\"\n1,2\n", 13);
        check("RowBinaryWithNames", b"\x01\x01ardata", 3);
        check("RowBinaryWithNamesAndTypes", b"\x01\x01a\x05UInt8\x07", 9);
        check("RowBinaryWithNames", b"\x01\x09a", 0);
    }

    #[test]
    fn documents_with_an_end_are_not_joined() {
        for format in ["JSON", "Parquet", "Arrow", "PrettyCompact", "XML", "nonsense"] {
            assert_eq!(joining(format), Joining::Whole);
        }
    }
}
