//! How many keys the next piece of a sweep spans: a moving average aims each at the same time.

use std::time::Duration;

/// What a piece is to take.
const AIM: Duration = Duration::from_millis(500);
/// A piece grows or shrinks at most by this factor from one to the next.
const MOST_GROWTH: f64 = 4.0;
/// Share of the newest piece in the average.
const NEWEST: f64 = 0.5;

/// The width of pieces.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Keys that the next piece spans.
    width: f64,
    /// Rows that the next piece may hold.
    most_rows: f64,
    /// Seconds that a row takes, as an average.
    per_row: Option<f64>,
}

impl Pace {
    /// Begins with `width` keys; no piece is meant to hold more than `most_rows` rows.
    pub fn new(width: i64, most_rows: u64) -> Self {
        Self { width: (width as f64).max(1.0), most_rows: (most_rows as f64).max(1.0), per_row: None }
    }

    /// Keys that the next piece spans, at least 1.
    pub fn width(&self) -> i64 {
        // Beyond 2^62 a span would no longer fit its bounds.
        self.width.clamp(1.0, (1_i64 << 62) as f64) as i64
    }

    /// A piece of `width` keys held `rows` rows and took `took`.
    pub fn took(&mut self, width: i64, rows: u64, took: Duration) {
        let width = (width as f64).max(1.0);
        if rows == 0 {
            // A gap in the keys: get over it.
            self.width = width * MOST_GROWTH;
            return;
        }
        let now = took.as_secs_f64().max(1e-6) / rows as f64;
        let per_row = self.per_row.map_or(now, |before| before * (1.0 - NEWEST) + now * NEWEST);
        self.per_row = Some(per_row);
        let rows_wanted = (AIM.as_secs_f64() / per_row).min(self.most_rows);
        let wanted = width * rows_wanted / rows as f64;
        self.width = wanted.clamp(width / MOST_GROWTH, width * MOST_GROWTH).max(1.0);
    }

    /// A piece took longer than it may: the next one is much smaller. `false` when it cannot be.
    pub fn too_long(&mut self) -> bool {
        let could = self.width > 1.0;
        self.width = (self.width / (MOST_GROWTH * MOST_GROWTH)).max(1.0);
        could
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_settle_at_their_aim() {
        let mut pace = Pace::new(1_000, u64::MAX);
        for _ in 0..20 {
            let width = pace.width();
            // A row every key, a microsecond each.
            pace.took(width, width as u64, Duration::from_micros(width as u64));
        }
        assert!((450_000..=550_000).contains(&pace.width()), "{pace:?}");
    }

    #[test]
    fn pieces_hold_no_more_rows_than_they_may() {
        let mut pace = Pace::new(1_000, 10_000);
        for _ in 0..20 {
            let width = pace.width();
            pace.took(width, width as u64 * 2, Duration::from_millis(1));
        }
        assert_eq!(pace.width(), 5_000);
    }

    #[test]
    fn gaps_are_got_over_and_slow_pieces_cut() {
        let mut pace = Pace::new(100, 1_000);
        (0..10).for_each(|_| pace.took(pace.width(), 0, Duration::from_millis(1)));
        assert!(pace.width() > 100_000_000);
        assert!(pace.too_long() && pace.width() < 100_000_000);
        (0..60).for_each(|_| pace.took(pace.width(), 0, Duration::ZERO));
        assert_eq!(pace.width(), 1 << 62);
        let mut one = Pace::new(1, 1);
        assert!(!one.too_long());
    }
}
