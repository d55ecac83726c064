//! What would have happened: the evaluation of a past span, minute by minute.

use super::counted::Counted;
use super::evaluate::evaluate;
use super::minute::Minute;
use super::promise::Promise;
use super::series::Series;
use crate::incident::Severity;

/// One time that somebody would have been told.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// When it would have begun.
    pub from: Minute,
    /// When it would have ended; `None` when it had not by the end of the span.
    pub to: Option<Minute>,
    /// The most urgent it would have been.
    pub severity: Severity,
    /// The tier that would have fired first, in words.
    pub tier: String,
    /// The fastest burn.
    pub burn: f64,
    /// How often it would have come back within an hour.
    pub reopened: u32,
}

/// What comes back so soon is the same episode, as it is the same incident.
const REOPEN: i64 = crate::incident::REOPEN_WITHIN.as_secs() as i64 / 60;

/// Evaluates `promise` at the end of each minute of `[from, to)`. `series` holds single minutes from a long window before
/// `from` on.
pub fn backtest(promise: &Promise, series: &Series, counted: &Counted, (from, to): (Minute, Minute)) -> Vec<Episode> {
    let mut episodes: Vec<Episode> = Vec::new();
    for number in from.0..to.0 {
        let now = Minute(number);
        if promise.window_begin(now) > now {
            continue;
        }
        let evaluation = evaluate(promise, series, (counted, counted), (now, now.plus(1)));
        let open = episodes.last_mut().filter(|episode| episode.to.is_none());
        match (open, evaluation.firing()) {
            (Some(episode), Some(firing)) => episode.worsen(firing.tier.severity, firing.long.best),
            (Some(episode), None) if evaluation.is_clean() => episode.to = Some(now),
            (Some(_), None) | (None, None) => {}
            (None, Some(firing)) => {
                let is_recent = |last: &&mut Episode| last.to.is_some_and(|end| now.0 - end.0 <= REOPEN);
                match episodes.last_mut().filter(is_recent) {
                    Some(last) => {
                        last.to = None;
                        last.reopened += 1;
                        last.worsen(firing.tier.severity, firing.long.best);
                    }
                    None => episodes.push(Episode {
                        from: now,
                        to: None,
                        severity: firing.tier.severity,
                        tier: firing.tier.to_string(),
                        burn: firing.long.best,
                        reopened: 0,
                    }),
                }
            }
        }
    }
    episodes
}

impl Episode {
    fn worsen(&mut self, severity: Severity, burn: f64) {
        self.severity = self.severity.max(severity);
        self.burn = self.burn.max(burn);
    }
}
