//! Reading everything in pieces, and having databases compare by themselves.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{ReadError, ReadWindow};
use crate::model::{Mapping, Record};
use crate::sweep::{Batch, Form, Obstacle, PartDigest, Recipe, RowHash, Span};
use crate::totals::{Days, Fields};

/// Receives each record of a read.
pub type OnRecord<'a> = &'a mut (dyn FnMut(Record) + Send);

/// Receives each group of a sum.
pub type OnGroup<'a> = &'a mut (dyn FnMut(Group) + Send);

/// Records that a database has added up: they share a quarter of an hour, scope, currency and status.
#[derive(Clone, Debug)]
pub struct Group {
    /// How many they are.
    pub records: u64,
    /// One that stands for all, with the sum of the positive amounts. It has no key.
    pub positive: Record,
    /// The same with the sum of the negative amounts.
    pub negative: Record,
}

/// What is known of a dataset before it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// The smallest and the largest key, where the key is one integer column and there are rows.
    pub keys: Option<(i64, i64)>,
    /// The key is one integer column: spans of it can be read.
    pub is_counted: bool,
    /// Rows, as the database estimates them.
    pub rows: Option<u64>,
    /// How well the rows lie in the order of their keys, 0 to 1; 1 when nobody knows.
    pub in_order: f64,
    /// Pages of the table, where pieces of those can be read.
    pub pages: Option<u64>,
}

/// Tells the sides apart: a row that holds what nothing can be read from differs between two marks, so that digests
/// never say of two unreadable rows that they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The owner's rows.
    Owner,
    /// The target's.
    Target,
}

/// Rows by the hash of their keys: as many buckets as this, a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets(pub u32);

/// A reader that can go through a dataset in pieces.
#[async_trait]
pub trait Sweeper: Send + Sync {
    /// What the dataset is like.
    async fn extent(&self, mapping: &Mapping) -> Result<Extent, ReadError>;

    /// The records whose integer keys lie in `span`, in no promised order. Rows with a null key are not among them.
    async fn read_span(&self, mapping: &Mapping, span: Span, on_record: OnRecord<'_>) -> Result<ReadWindow, ReadError>;

    /// How the database can hash the recipe's columns, key first; what keeps it from it is no failure of the read.
    async fn forms(&self, mapping: &Mapping, recipe: &Recipe) -> Result<Result<Vec<Form>, Obstacle>, ReadError>;

    /// The digest of each of some spans, parallel to them. The recipe's forms must be those that both sides can take.
    async fn digest_spans(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        spans: &[Span],
    ) -> Result<Vec<PartDigest>, ReadError>;

    /// The hash of each row of some spans that do not overlap, in no promised order; those that
    /// [`digest_spans`](Self::digest_spans) combines.
    async fn hash_rows(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        spans: &[Span],
    ) -> Result<Vec<RowHash>, ReadError>;

    /// How the recipe's columns can be hashed here, key first, without making records of them; what keeps us from it is no
    /// failure of the read.
    async fn plain_forms(&self, mapping: &Mapping, recipe: &Recipe) -> Result<Result<Vec<Form>, Obstacle>, ReadError>;

    /// Reads the recipe's columns of the rows of a span and hashes them here, alike for every engine. In no promised order.
    async fn read_hashes(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        span: Span,
    ) -> Result<Vec<RowHash>, ReadError>;

    /// All rows in the order of their keys, each with its key and the hash of the recipe's values, in batches, until the
    /// receiver goes away. Only for keys that are integers, texts or UUIDs as the columns have them
    /// ([`names_keys`](crate::sweep::names_keys)); rows whose key cannot be read are left out.
    async fn scan_hashes(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        batches: mpsc::Sender<Batch>,
    ) -> Result<(), ReadError>;

    /// Digests of the buckets of keys of which rows lie in these pages.
    async fn digest_pages(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        mark: Mark,
        pages: Range<u64>,
        buckets: Buckets,
    ) -> Result<BTreeMap<i64, PartDigest>, ReadError>;

    /// Adds up amounts where the database can; `false` when it cannot, and then nothing was handed over. Groups of other
    /// days may be among them.
    async fn add_up(
        &self,
        mapping: &Mapping,
        fields: Fields,
        days: Days,
        on_group: OnGroup<'_>,
    ) -> Result<bool, ReadError>;

    /// The records of some days, by the field with the day; `false` when the database cannot go to days, and then nothing was
    /// handed over. Records of other days may be among them.
    async fn read_days(
        &self,
        mapping: &Mapping,
        day: usize,
        days: Days,
        on_record: OnRecord<'_>,
    ) -> Result<bool, ReadError>;

    /// The records of some buckets that lie in these pages.
    async fn read_pages(
        &self,
        mapping: &Mapping,
        recipe: &Recipe,
        pages: Range<u64>,
        buckets: (Buckets, &[i64]),
        on_record: OnRecord<'_>,
    ) -> Result<ReadWindow, ReadError>;
}
