//! Promises and whether they are kept: from minutes of facts, a time and a promise to figures. Pure.
//!
//! [`Series`] holds what is known of each minute: how many events were good, bad or undecided, whether the minute was
//! covered at all, how many keys were overdue. [`evaluate`] computes every share twice, once with everything unknown good
//! and once with everything unknown bad: a [`Tier`] fires when even the best case burns too fast, and an incident ends
//! when even the worst case does not. [`Counted`] says which minutes count (business hours, holidays, maintenance).
//! [`standings`] makes of many evaluations what is wrong, once for each cause. [`backtest`] replays the past.

mod backtest;
mod calendar;
mod counted;
mod evaluate;
mod minute;
mod outage;
mod promise;
mod series;
mod standing;

pub use backtest::{Episode, backtest};
pub use calendar::{Calendar, Hours, Maintenance, Period};
pub(crate) use calendar::{instant, parse_hours};
pub use counted::Counted;
pub use evaluate::{Burn, Evaluation, Share, TierState, TierStatus, evaluate};
pub use minute::Minute;
pub use outage::{Outage, smallest_outage};
pub(crate) use promise::counted_minutes;
pub use promise::{Indicator, Objective, Promise, Tier, TierRefused, Window, default_tiers};
pub use series::{Blind, Counts, Facts, Series};
pub use standing::{CauseStanding, Judged, standings};

#[cfg(test)]
mod tests;
