//! What a sample says about all: shares with their intervals, and how long it takes to see a drift. Pure.
//!
//! Keys are drawn in pieces of the key order, so that one read finds many of them. Neighbours tend to be right or wrong
//! together (a failed batch, a night without a sync), so a piece is a *cluster* and its keys say less than as many keys
//! drawn one by one: by the design effect (Kish, *Survey Sampling*, 1965, chapter 5). Intervals are Wilson's score
//! intervals (Wilson, "Probable inference", JASA 22, 1927) with the effective number of keys in place of the number,
//! which of the common forms keeps its promise best for small shares in such samples (Franco, Little, Louis, Slud,
//! "Comparative study of confidence intervals for proportions in complex sample surveys", JSSAM 7, 2019).

mod detect;
mod draw;
mod quantile;
mod tally;

#[cfg(test)]
mod worlds;

pub use detect::{at_most_when_all_good, keys_to_see, keys_to_vouch};
pub use draw::{keys_for, piece_of};
pub use tally::{Cluster, Estimate, Interval, Tally};

/// The share of samples whose interval holds the truth.
pub const CONFIDENCE: f64 = 0.95;
