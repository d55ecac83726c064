//! How fast a sweep on a schedule goes, and how much time it needs: by what this process has seen of the flow under way.
//! Rests do not count.

use std::time::Duration;

use crate::audit::sweep::finder::Piece;

/// What the parts so far came to.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The flow under way and where it stood when this process took it up.
    began: Option<(usize, Piece)>,
    worked: Duration,
}

/// What a part shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speed {
    /// Records of both sides in a second of work.
    pub records_a_second: f64,
    /// Work left; `None` while nothing tells.
    pub left: Option<Duration>,
}

impl Rate {
    /// A part of this flow took so long and came so far; `before` is where it stood at the part's begin.
    pub fn went(&mut self, flow: usize, before: Piece, piece: Piece, took: Duration) -> Speed {
        if self.began.is_none_or(|(known, _)| known != flow) {
            (self.began, self.worked) = (Some((flow, before)), Duration::ZERO);
        }
        self.worked += took;
        let from = self.began.map_or(before, |(_, from)| from);
        let records = |piece: Piece| piece.owner_rows + piece.target_rows;
        let seconds = self.worked.as_secs_f64().max(0.001);
        let done = piece.done.saturating_sub(from.done);
        let left = (done > 0 || piece.done >= 1_000).then(|| {
            let share = 1_000_u64.saturating_sub(piece.done) as f64 / done.max(1) as f64;
            self.worked.mul_f64(share)
        });
        Speed { records_a_second: records(piece).saturating_sub(records(from)) as f64 / seconds, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_from_work_done_here() {
        let piece = |done: u64| Piece { owner_rows: done * 50, target_rows: done * 50, done };
        let mut rate = Rate::default();
        let mut check = |flow, before, now, seconds, records: f64, left: Option<u64>| {
            let speed = rate.went(flow, piece(before), piece(now), Duration::from_secs(seconds));
            let expect = Speed { records_a_second: records, left: left.map(Duration::from_secs) };
            assert_eq!(speed, expect, "{before} to {now}");
        };
        // Taken up at 20 %: what another process did says nothing of this one's speed.
        check(0, 200, 200, 2, 0.0, None);
        check(0, 200, 300, 2, 2_500.0, Some(28));
        check(0, 300, 600, 4, 5_000.0, Some(8));
        check(0, 600, 1_000, 2, 8_000.0, Some(0));
        check(1, 0, 500, 5, 10_000.0, Some(5));
    }
}
