//! What a sweep does not keep in memory: suspects, waiting keys, found differences, rows without a partner. In files
//! without a name, which nobody else can open and which go with the process.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::compare::Side;
use crate::model::digest::{decode, encode};
use crate::sweep::{Content, Matching, Open};

/// Values on their way to the disk, in the form in which they lie there.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    count: u64,
}

impl Frames {
    /// Adds a value: one that [`Shelf::take`] of whatever shelf it is put on can read.
    ///
    /// # Errors
    /// Only for what is longer than a frame may be.
    pub fn push(&mut self, value: &impl Serialize) -> io::Result<()> {
        let begin = self.bytes.len();
        self.bytes.extend([0; LENGTH]);
        self.bytes = postcard::to_extend(value, std::mem::take(&mut self.bytes)).map_err(io::Error::other)?;
        let length = u32::try_from(self.bytes.len() - begin - LENGTH).map_err(io::Error::other)?;
        self.bytes[begin..begin + LENGTH].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
        Ok(())
    }
}

/// Bytes of a frame's length.
const LENGTH: usize = 4;

/// Values in the order in which they came. A few stay in memory, the others go to disk.
pub struct Shelf<T> {
    recent: Vec<T>,
    kept: usize,
    file: Option<File>,
    written: u64,
    read: u64,
    len: u64,
}

impl<T: Serialize + DeserializeOwned> Shelf<T> {
    /// Keeps at most `kept` values in memory.
    pub const fn new(kept: usize) -> Self {
        Self { recent: Vec::new(), kept, file: None, written: 0, read: 0, len: 0 }
    }

    /// Values on it.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn push(&mut self, value: T) -> io::Result<()> {
        self.recent.push(value);
        self.len += 1;
        if self.recent.len() > self.kept { self.put_down() } else { Ok(()) }
    }

    fn put_down(&mut self) -> io::Result<()> {
        let mut frames = Frames::default();
        self.recent.drain(..).try_for_each(|value| frames.push(&value))?;
        self.write(&frames)
    }

    fn write(&mut self, frames: &Frames) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.seek(SeekFrom::Start(self.written))?;
        file.write_all(&frames.bytes)?;
        self.written += frames.bytes.len() as u64;
        Ok(())
    }

    /// Adds values that are in their form already: they go to disk at once.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn append(&mut self, frames: &Frames) -> io::Result<()> {
        if frames.count == 0 {
            return Ok(());
        }
        self.put_down()?;
        self.len += frames.count;
        self.write(frames)
    }

    /// Takes all values off, one after the other, each in the form in which it lies on disk: what reads it need not own it.
    ///
    /// # Errors
    /// When the disk fails, or whoever takes them.
    pub fn take_each<E: From<io::Error>>(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.put_down()?;
        if let Some(file) = self.file.as_mut() {
            file.seek(SeekFrom::Start(self.read)).map_err(E::from)?;
            let mut reader = BufReader::with_capacity(BUFFER, file);
            let mut bytes = Vec::new();
            while self.read < self.written {
                frame_into(&mut reader, &mut bytes)?;
                self.read += (LENGTH + bytes.len()) as u64;
                self.len -= 1;
                take(&bytes)?;
            }
        }
        (self.file, self.read, self.written) = (None, 0, 0);
        Ok(())
    }

    /// Takes up to `most` values off, those on disk first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn take(&mut self, most: usize) -> io::Result<Vec<T>> {
        let mut taken = Vec::new();
        if let Some(file) = self.file.as_mut().filter(|_| self.read < self.written) {
            file.seek(SeekFrom::Start(self.read))?;
            let mut reader = BufReader::new(file);
            while taken.len() < most && self.read < self.written {
                let bytes = frame(&mut reader)?;
                self.read += (LENGTH + bytes.len()) as u64;
                taken.push(postcard::from_bytes(&bytes).map_err(io::Error::other)?);
            }
        }
        if self.read == self.written && self.read > 0 {
            // Everything on disk has been taken: what comes next begins anew.
            (self.file, self.read, self.written) = (None, 0, 0);
        }
        let room = most.saturating_sub(taken.len()).min(self.recent.len());
        taken.extend(self.recent.drain(..room));
        self.len -= taken.len() as u64;
        Ok(taken)
    }
}

fn frame(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    frame_into(reader, &mut bytes)?;
    Ok(bytes)
}

fn frame_into(reader: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; LENGTH];
    reader.read_exact(&mut length)?;
    bytes.resize(u32::from_le_bytes(length) as usize, 0);
    reader.read_exact(bytes)
}

/// Buckets of rows without a partner, by their key: each holds so little that it fits into memory.
pub struct Spilled {
    buckets: Vec<BufWriter<File>>,
    rows: u64,
}

/// At 64 MB for a bucket these hold some hundred million rows.
const BUCKETS: usize = 128;
const BUFFER: usize = 32 * 1024;

impl Spilled {
    /// Without rows.
    ///
    /// # Errors
    /// When no temporary file can be made.
    pub fn new() -> io::Result<Self> {
        let bucket = || Ok(BufWriter::with_capacity(BUFFER, tempfile::tempfile()?));
        let buckets = (0..BUCKETS).map(|_| bucket()).collect::<io::Result<_>>()?;
        Ok(Self { buckets, rows: 0 })
    }

    /// Rows on disk.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Puts a row on disk.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn put(&mut self, open: &Open) -> io::Result<()> {
        // The low bits choose the place in a hash table: the high ones choose the bucket.
        let bucket = (open.key >> 121) as usize % BUCKETS;
        let bytes = to_bytes(open);
        self.rows += 1;
        self.buckets[bucket].write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.buckets[bucket].write_all(&bytes)
    }

    /// Brings together what lies on disk, bucket by bucket; `suspect` gets the keys of what does not agree.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settle(self, matching: &mut Matching, mut suspect: impl FnMut(&[u8])) -> io::Result<()> {
        for bucket in self.buckets {
            let mut file = bucket.into_inner().map_err(io::IntoInnerError::into_error)?;
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(0))?;
            let mut reader = BufReader::with_capacity(BUFFER, file);
            let mut read = 0;
            while read < length {
                let bytes = frame(&mut reader)?;
                read += 4 + bytes.len() as u64;
                let open = from_bytes(&bytes).ok_or_else(|| io::Error::other("a row on disk is damaged"))?;
                matching.take_open(open, &mut suspect);
            }
            matching.drain().for_each(|open| suspect(&open.name));
        }
        Ok(())
    }
}

fn to_bytes(open: &Open) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + open.name.len());
    bytes.push(u8::from(open.side == Side::Target) | u8::from(open.content.digest.is_some()) << 1);
    bytes.extend(open.key.to_le_bytes());
    bytes.extend(open.content.digest.unwrap_or_default().to_le_bytes());
    bytes.extend((open.name.len() as u32).to_le_bytes());
    bytes.extend(&*open.name);
    open.content.tolerant.iter().for_each(|value| encode(value, &mut bytes));
    bytes
}

fn from_bytes(bytes: &[u8]) -> Option<Open> {
    let (flags, rest) = bytes.split_first()?;
    let (key, rest) = rest.split_first_chunk::<16>()?;
    let (digest, rest) = rest.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (name, mut rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let mut tolerant = Vec::new();
    while !rest.is_empty() {
        tolerant.push(decode(&mut rest)?);
    }
    let digest = (flags & 2 != 0).then(|| u128::from_le_bytes(*digest));
    let side = if flags & 1 == 0 { Side::Owner } else { Side::Target };
    let content = Content { digest, tolerant: tolerant.into() };
    Some(Open { key: u128::from_le_bytes(*key), side, content, name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    #[test]
    fn a_shelf_gives_everything_back_once() {
        let mut shelf = Shelf::new(3);
        let mut taken = Vec::new();
        for number in 0_u32..20 {
            shelf.push(number).unwrap();
            if number % 5 == 4 {
                taken.extend(shelf.take(2).unwrap());
            }
        }
        assert_eq!(shelf.len(), 12);
        while !shelf.is_empty() {
            taken.extend(shelf.take(7).unwrap());
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_taken_in_its_form_is_all_there_is() {
        let mut shelf = Shelf::new(3);
        let mut frames = Frames::default();
        for number in 0_u32..10 {
            shelf.push(number).unwrap();
            frames.push(&(number + 100)).unwrap();
        }
        shelf.append(&frames).unwrap();
        shelf.append(&Frames::default()).unwrap();
        shelf.push(200).unwrap();
        assert_eq!(shelf.take(4).unwrap(), [0, 1, 2, 3]);
        assert_eq!(shelf.len(), 17);
        let mut taken = Vec::new();
        let take = |bytes: &[u8]| -> io::Result<()> {
            taken.push(postcard::from_bytes::<u32>(bytes).map_err(io::Error::other)?);
            Ok(())
        };
        shelf.take_each(take).unwrap();
        assert_eq!(taken, (4..10).chain(100..110).chain([200]).collect::<Vec<_>>());
        assert!(shelf.is_empty() && shelf.take(1).unwrap().is_empty());
    }

    #[test]
    fn rows_on_disk_find_their_partners() {
        let open = |side, key: u128, digest| {
            let tolerant: Box<[Value]> = Box::new([Value::from(1), Value::from("a")]);
            Open { key, side, content: Content { digest, tolerant }, name: Box::new([key as u8]) }
        };
        let row = open(Side::Target, u128::MAX, Some(7));
        assert_eq!(from_bytes(&to_bytes(&row)), Some(row));
        let mut spilled = Spilled::new().unwrap();
        let far = |key: u128| key << 120 | key;
        for key in 1..100 {
            spilled.put(&open(Side::Owner, far(key), Some(key))).unwrap();
            if key != 50 {
                spilled.put(&open(Side::Target, far(key), Some(if key == 60 { 0 } else { key }))).unwrap();
            }
        }
        spilled.put(&open(Side::Owner, far(70), None)).unwrap();
        let mut suspects = Vec::new();
        spilled.settle(&mut Matching::new(Vec::new()), |name| suspects.push(name[0])).unwrap();
        suspects.sort_unstable();
        assert_eq!(suspects, [50, 60, 70]);
    }
}
