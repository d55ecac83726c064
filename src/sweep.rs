//! What a sweep decides by itself: what databases may compare, which rows of two sides go together, how large a piece of
//! the keys is, and which way costs less. Pure: no I/O, no clock, no randomness.

mod choose;
mod matching;
mod pace;
mod pushdown;
mod span;

pub use choose::{Choice, Cost, Facts, Sample, Strategy, choose, grain};
pub use matching::{Batch, Content, Matching, Open};
pub use pace::Pace;
pub use pushdown::{Form, Item, Obstacle, Recipe, common_forms, is_counted, names_keys, recipes};
pub use span::{PartDigest, Parts, RowHash, Span, differing_keys, differing_spans, parts_of};
