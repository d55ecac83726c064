//! Fields that stand apart while the record moves: a target that follows its owner, though not in these.
//!
//! An owner that changes faster than it is looked at may have held, unseen, what the target holds, so a record's lateness
//! cannot be proven. But where look after look finds the target with one value in a field that the owner was not met with,
//! longer than the deadline, the owner would have had to come to this value and leave it again between two looks.

use std::time::Duration;

use super::{Look, Standing};
use crate::model::Interval;

/// So many looks tell a field that stands apart from one that happened to be met so.
const LOOKS: u32 = 4;
/// Looks closer than this part of the deadline are one: they meet the same state.
const CLOSE: u32 = 8;

/// Takes in a look at both sides, and the second one at the owner if there was one. What nobody looked at for longer than the
/// deadline stands from now on.
pub(super) fn taken_in(
    known: &[Standing],
    owner: &Look,
    target: &Look,
    confirm: Option<&Look>,
    deadline: Duration,
) -> Vec<Standing> {
    let fields = owner.fields.iter().zip(&target.fields).enumerate();
    let met = |field: usize, value: &u64| {
        confirm.is_some_and(|confirm| confirm.fields.get(field).is_none_or(|owner| owner == value))
    };
    let apart = fields.filter(|(field, (owner, target))| owner != target && !met(*field, target));
    let at = target.window;
    apart
        .map(|(field, (_, target))| match known.iter().find(|known| (known.field, known.target) == (field, *target)) {
            Some(known) if at.low.since(known.counted) > deadline => {
                Standing { since: at.high, counted: at.high, looks: 1, ..*known }
            }
            Some(known) if at.low.since(known.counted) * CLOSE < deadline => *known,
            Some(known) => Standing { counted: at.high, looks: known.looks.saturating_add(1), ..*known },
            None => Standing { field, target: *target, since: at.high, counted: at.high, looks: 1 },
        })
        .collect()
}

/// Whether a field has stood apart for longer than the deadline at a look in `window`.
pub(super) fn is_late(standing: &[Standing], window: Interval, deadline: Duration) -> bool {
    standing.iter().any(|field| field.looks >= LOOKS && window.low.since(field.since) > deadline)
}

#[cfg(test)]
mod tests {
    use crate::compare::{Context, Held, Judgement, Look, State, Track, judge};
    use crate::model::{Digest, Interval, Moment, Verdict};
    use std::time::Duration;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// A record of two fields, read at a second.
    fn holds(fields: [u64; 2], second: i64) -> Look {
        let digest = Digest(u128::from(fields[0]) << 64 | u128::from(fields[1]));
        let at = Moment::from_micros(second * 1_000_000);
        let state = State::Present(Held { digest, two_way: None, one_way: None, tolerant: Vec::new() });
        Look { fields: fields.to_vec(), ..Look::new(state, Interval::new(at, at)) }
    }

    fn judged(track: Option<Track>, owner: &Look, target: &Look, confirm: Option<&Look>) -> Judgement {
        judge(
            track,
            owner,
            target,
            confirm,
            Context { deadline: DEADLINE, baseline: None, tolerances: &[], agreed: None },
        )
    }

    /// An owner that has another price at every look, and a target that always has an earlier one; the titles are as given,
    /// by the second of the look.
    fn follow(titles: &[(i64, u64, u64)]) -> Judgement {
        let mut last = None;
        for &(second, owner, target) in titles {
            let price = second.unsigned_abs();
            let (owner, target) = (holds([price, owner], second), holds([price + 1_000, target], second));
            let track = last.map(|last: Judgement| last.track.expect("it differs"));
            let judgement = judged(track.clone(), &owner, &target, None);
            last = Some(match judgement.needs_confirmation {
                true => judged(track, &owner, &target, Some(&owner)),
                false => judgement,
            });
        }
        last.expect("a look")
    }

    #[test]
    fn a_field_that_stands_apart_past_the_deadline_is_wrong() {
        let check = |titles: &[(i64, u64, u64)], expect: (Verdict, bool)| {
            let judgement = follow(titles);
            assert_eq!((judgement.verdict, judgement.likely), expect, "{titles:?}");
        };
        let apart: Vec<_> = (0..8).map(|look| (look * 5, 7, 8)).collect();
        check(&apart[..7], (Verdict::InFlight, false));
        check(&apart, (Verdict::Mismatch, true));
        // Too few looks, and looks that are as good as one.
        check(&[(0, 7, 8), (15, 7, 8), (35, 7, 8)], (Verdict::InFlight, false));
        // Nobody looked for longer than the deadline.
        let gap: Vec<_> = (0..7).map(|look| (look * 5, 7, 8)).chain([(70, 7, 8)]).collect();
        check(&gap, (Verdict::InFlight, false));
        let close: Vec<_> = (0..8).map(|look| (look, 7, 8)).chain([(40, 7, 8)]).collect();
        check(&close, (Verdict::InFlight, false));
        // The owner's title may move, too.
        let mut moves = apart.clone();
        moves[4] = (20, 9, 8);
        check(&moves, (Verdict::Mismatch, true));
        // The target had another title in between, or they agreed in it.
        for moved in [(20, 7, 9), (20, 8, 8)] {
            let mut moves = apart.clone();
            moves[4] = moved;
            check(&moves, (Verdict::InFlight, false));
        }
    }

    #[test]
    fn what_the_owner_has_when_it_is_read_again_does_not_stand_apart() {
        let apart: Vec<_> = (0..7).map(|look| (look * 5, 7, 8)).collect();
        let track = follow(&apart).track;
        let (owner, target) = (holds([35, 7], 35), holds([1_035, 8], 35));
        assert!(judged(track.clone(), &owner, &target, None).needs_confirmation);
        let moved = judged(track, &owner, &target, Some(&holds([36, 8], 36)));
        assert_eq!((moved.verdict, moved.needs_confirmation), (Verdict::InFlight, false));
    }
}
