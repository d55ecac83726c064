//! Which verdicts say what was planted.

use super::super::FaultKind;
use super::super::plan::Effect;
use super::{Plant, Report};
use crate::model::Verdict;

/// Whether a report says what was planted. Stale against mismatch may be confused only where it is marked likely.
pub fn fits(plant: &Plant, report: &Report) -> bool {
    let (verdict, likely) = (report.verdict, report.likely);
    match plant.kind {
        FaultKind::Duplicate => verdict == Verdict::Duplicate,
        FaultKind::Lose => verdict == Verdict::Missing,
        FaultKind::Stray | FaultKind::Delete | FaultKind::Archive | FaultKind::Leave => verdict == Verdict::Extra,
        FaultKind::Corrupt | FaultKind::Truncate | FaultKind::Drift | FaultKind::Swap | FaultKind::Child => {
            verdict == Verdict::Mismatch || (verdict == Verdict::Stale && likely)
        }
        FaultKind::Delay
        | FaultKind::Drop
        | FaultKind::Partial
        | FaultKind::Webhook
        | FaultKind::HotKey
        | FaultKind::Reorder => match plant.effect {
            Effect::Appears => verdict == Verdict::Missing,
            Effect::Vanishes => matches!(verdict, Verdict::Extra | Verdict::Stale),
            // Who did not look in between cannot know that the target had the newer state once, nor that it holds an
            // older one when that was long ago.
            Effect::Changes if plant.kind == FaultKind::Reorder => {
                matches!(verdict, Verdict::Stale | Verdict::Mismatch)
            }
            Effect::Changes => verdict == Verdict::Stale || (verdict == Verdict::Mismatch && likely),
        },
    }
}
