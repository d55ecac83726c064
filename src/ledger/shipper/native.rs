//! ClickHouse's format `Native`: a block of columns, as the engine itself holds them.
//!
//! A block is the number of columns, the number of rows, then each column: its name, its type, its values. Numbers of
//! columns, rows and bytes are LEB128; everything else is fixed and little-endian
//! (<https://clickhouse.com/docs/reference/formats/Native>, `src/Formats/NativeWriter.cpp`). Taking such a block in
//! costs the engine a tenth of what the same rows cost it row by row.
//!
//! Names and types are in the block: the engine refuses a column that the table lacks, and converts texts to
//! `LowCardinality` where the table has it.

use bytes::Bytes;
use uuid::Uuid;

/// A row that can be written as columns.
pub(super) trait Columns: Sized {
    /// Adds the table's columns, in the order of the row's fields.
    fn columns(writer: &mut Writer<'_, Self>);
}

/// Rows as one block.
pub(super) struct Block {
    rows: usize,
    names: Vec<&'static str>,
    columns: Vec<Vec<u8>>,
}

impl Block {
    /// All columns of `rows`.
    pub(super) fn new<T: Columns>(rows: &[T]) -> Self {
        let mut writer = Writer { rows, names: Vec::new(), columns: Vec::new() };
        T::columns(&mut writer);
        Self { rows: rows.len(), names: writer.names, columns: writer.columns }
    }

    /// The columns, as they stand in an INSERT statement.
    pub(super) fn column_list(&self) -> String {
        self.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// The block's bytes, in pieces.
    pub(super) fn into_pieces(self) -> impl Iterator<Item = Bytes> {
        let mut head = Vec::new();
        put_size(self.columns.len(), &mut head);
        put_size(self.rows, &mut head);
        std::iter::once(head).chain(self.columns).map(Bytes::from)
    }
}

/// Writes rows column by column.
pub(super) struct Writer<'r, T> {
    rows: &'r [T],
    names: Vec<&'static str>,
    columns: Vec<Vec<u8>>,
}

impl<T> Writer<'_, T> {
    /// A column `String`, or `LowCardinality(String)`.
    pub(super) fn texts(&mut self, name: &'static str, text: impl Fn(&T) -> &str) {
        self.column(name, "String", |row, out| put_text(text(row), out));
    }

    /// A column `UInt64`.
    pub(super) fn numbers(&mut self, name: &'static str, number: impl Fn(&T) -> u64) {
        self.column(name, "UInt64", |row, out| out.extend(number(row).to_le_bytes()));
    }

    /// A column `Float64`.
    pub(super) fn shares(&mut self, name: &'static str, share: impl Fn(&T) -> f64) {
        self.column(name, "Float64", |row, out| out.extend(share(row).to_le_bytes()));
    }

    /// A column `DateTime64(6, 'UTC')`, from microseconds.
    pub(super) fn times(&mut self, name: &'static str, micros: impl Fn(&T) -> i64) {
        self.column(name, "DateTime64(6, 'UTC')", |row, out| out.extend(micros(row).to_le_bytes()));
    }

    /// A column `Bool`.
    pub(super) fn flags(&mut self, name: &'static str, flag: impl Fn(&T) -> bool) {
        self.column(name, "Bool", |row, out| out.push(u8::from(flag(row))));
    }

    /// A column `UUID`: two numbers, the higher half first.
    pub(super) fn uuids(&mut self, name: &'static str, uuid: impl Fn(&T) -> Uuid) {
        self.column(name, "UUID", |row, out| {
            let (high, low) = uuid(row).as_u64_pair();
            out.extend(high.to_le_bytes());
            out.extend(low.to_le_bytes());
        });
    }

    /// A column `Array(String)`: where each row's texts end, then all texts.
    pub(super) fn lists(&mut self, name: &'static str, texts: impl Fn(&T) -> &[String]) {
        let mut end = 0_u64;
        self.column(name, "Array(String)", |row, out| {
            end += texts(row).len() as u64;
            out.extend(end.to_le_bytes());
        });
        if let Some(column) = self.columns.last_mut() {
            self.rows.iter().flat_map(texts).for_each(|text| put_text(text, column));
        }
    }

    fn column(&mut self, name: &'static str, type_name: &str, mut put: impl FnMut(&T, &mut Vec<u8>)) {
        let mut column = Vec::with_capacity(self.rows.len() * 8 + 64);
        put_text(name, &mut column);
        put_text(type_name, &mut column);
        self.rows.iter().for_each(|row| put(row, &mut column));
        self.names.push(name);
        self.columns.push(column);
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_size(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// LEB128: seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_size(mut size: usize, out: &mut Vec<u8>) {
    while size >= 0x80 {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row {
        name: &'static str,
        number: u64,
        tags: Vec<String>,
    }

    impl Columns for Row {
        fn columns(writer: &mut Writer<'_, Self>) {
            writer.texts("name", |row| row.name);
            writer.numbers("number", |row| row.number);
            writer.lists("tags", |row| &row.tags);
            writer.flags("flag", |_| true);
            writer.uuids("id", |_| Uuid::from_u128(0x0102));
        }
    }

    #[test]
    fn a_block_is_its_columns() {
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        let rows =
            [Row { name: "a", number: 1, tags: tags(&["x", "yz"]) }, Row { name: "", number: 258, tags: tags(&[]) }];
        let block = Block::new(&rows);
        assert_eq!(block.column_list(), "`name`, `number`, `tags`, `flag`, `id`");
        let bytes: Vec<u8> = block.into_pieces().flatten().collect();
        let mut expect = b"\x05\x02".to_vec();
        expect.extend(b"\x04name\x06String\x01a\x00");
        expect.extend(b"\x06number\x06UInt64\x01\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
        expect.extend(b"\x04tags\x0dArray(String)\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01x\x02yz");
        expect.extend(b"\x04flag\x04Bool\x01\x01");
        expect.extend(b"\x02id\x04UUID");
        expect.extend([&[0; 8][..], b"\x02\x01\0\0\0\0\0\0"].concat().repeat(2));
        assert_eq!(bytes, expect);
    }

    #[test]
    fn sizes_beyond_a_byte() {
        let check = |size: usize, expect: &[u8]| {
            let mut bytes = Vec::new();
            put_size(size, &mut bytes);
            assert_eq!(bytes, expect, "{size}");
        };
        check(0, &[0]);
        check(127, &[0x7f]);
        check(128, &[0x80, 1]);
        check(250_000, &[0x90, 0xa1, 0x0f]);
    }
}
