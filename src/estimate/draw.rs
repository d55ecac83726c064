//! How a run of the sample probe is cut: shared by the probe and by the plan that foretells it.

use std::time::Duration;

/// A run's keys are drawn in about so many pieces: enough of them to tell how alike neighbours are.
const PIECES_A_RUN: u64 = 40;
/// Keys of a piece, at least and at most.
const PIECE: (u64, u64) = (10, 250);

/// Keys of one piece if a run draws so many.
pub fn piece_of(keys_per_run: u64) -> u64 {
    (keys_per_run / PIECES_A_RUN).clamp(PIECE.0, PIECE.1)
}

/// As many keys a run as make two walks fit into `within`, with a tenth to spare: a key that was looked at first in one
/// walk may come last in the next.
pub fn keys_for(keys: u64, within: Duration, interval: Duration) -> u64 {
    let runs = (within.as_secs_f64() / 2.0 / interval.as_secs_f64().max(1e-3)).floor().max(1.0);
    ((keys as f64 * 1.1 / runs).ceil() as u64).max(PIECE.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_walks_fit_into_the_promise() {
        for (keys, within, interval) in
            [(50_000_u64, 86_400, 300), (1_000, 3_600, 60), (7, 600, 60), (1_000_000, 86_400, 60)]
        {
            let (within, interval) = (Duration::from_secs(within), Duration::from_secs(interval));
            let runs_a_walk = keys.div_ceil(keys_for(keys, within, interval)) as u32;
            assert!(interval * runs_a_walk * 2 <= within, "{keys} keys in {within:?}");
        }
    }

    #[test]
    fn pieces_are_neither_tiny_nor_huge() {
        for (keys, expect) in [(10, 10), (400, 10), (1_000, 25), (10_000, 250), (1_000_000, 250)] {
            assert_eq!(piece_of(keys), expect);
        }
    }
}
