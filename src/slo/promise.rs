//! What is promised, and when somebody is told that it is being broken.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::calendar::{Calendar, Period};
use super::minute::{Minute, minutes_of};
use crate::incident::Severity;

/// A share of good that was promised: above 0, below 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Objective(f64);

impl Objective {
    /// A share above 0 and below 1: a promise of everything has no budget, and no burn.
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.0 && share < 1.0).then_some(Self(share))
    }

    /// The share.
    pub const fn share(self) -> f64 {
        self.0
    }

    /// The share that may be bad.
    pub const fn budget(self) -> f64 {
        1.0 - self.0
    }

    /// The fastest that a budget can burn: when everything is bad. No tier with a greater factor can fire.
    pub fn ceiling(self) -> f64 {
        1.0 / self.budget()
    }
}

impl fmt::Display for Objective {
    /// As people write it: `99.5 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = format!("{:.6}", self.0 * 100.0);
        let shown = percent.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{shown} %")
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indicator {
    /// Changes that arrive within this; beside it, keys that have not arrived by then.
    Freshness(Duration),
    /// Keys of uniform samples that agree.
    Agreement,
    /// Keys of uniform samples of the owner that the target has.
    Completeness,
    /// Lines of control totals that tie out.
    TotalsVariance,
    /// Samples of a queue whose oldest entry is at most this old.
    QueueAge(Duration),
    /// Samples of a queue that holds at most so many entries.
    QueueDepth(u64),
    /// Runs of the probes that ended well.
    ProbeAvailability,
}

impl Indicator {
    /// The word that the config uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Freshness(_) => "freshness",
            Self::Agreement => "agreement",
            Self::Completeness => "completeness",
            Self::TotalsVariance => "totals_variance",
            Self::QueueAge(_) => "queue_age",
            Self::QueueDepth(_) => "queue_depth",
            Self::ProbeAvailability => "probe_availability",
        }
    }

    /// Whether keys past their deadline now are held against the promise.
    pub const fn has_overdue(self) -> bool {
        matches!(self, Self::Freshness(_))
    }
}

/// Over what time a promise is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last so long.
    Rolling(Duration),
    /// Since the begin of the present period in a time zone.
    Calendar(Period, Tz),
}

impl Window {
    /// Its length in minutes; of a calendar period the usual one.
    pub fn minutes(self) -> i64 {
        match self {
            Self::Rolling(length) => minutes_of(length),
            Self::Calendar(period, _) => period.usual_minutes(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolling(_) => write!(f, "over {}", span(self.minutes())),
            Self::Calendar(period, zone) => write!(f, "this {} ({zone})", period.as_str()),
        }
    }
}

/// Minutes in the largest unit that divides them: `30d`, `6h`, `90m`.
pub(super) fn span(minutes: i64) -> String {
    match minutes {
        days if days % 1440 == 0 => format!("{}d", days / 1440),
        hours if hours % 60 == 0 => format!("{}h", hours / 60),
        minutes => format!("{minutes}m"),
    }
}

/// Fires when a share of the budget is used up within a long window and goes on being used in a short one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tier {
    /// How urgent it is.
    pub severity: Severity,
    /// How many times faster than allowed: share of the budget × window ÷ long window.
    pub factor: f64,
    /// Minutes of the long window.
    pub long: i64,
    /// Minutes of the short window, within which it recovers.
    pub short: i64,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x over {} and {}", (self.factor * 100.0).round() / 100.0, span(self.long), span(self.short))
    }
}

/// Why a tier makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TierRefused {
    /// Its factor is beyond what even a total failure burns.
    #[error("can never fire: it needs a burn of {}x, and when everything is bad the budget burns at {largest}x", rounded(*.factor))]
    NeverFires {
        /// What it needs.
        factor: f64,
        /// The largest factor that can fire, cut to two digits.
        largest: f64,
    },
    /// Its windows do not fit into each other.
    #[error("needs windows that fit: short (`{}`) shorter than long (`{}`), long not longer than the SLO's counted window (`{}`)", span(*.short), span(*.long), span(*.window))]
    Windows {
        /// Minutes of the short window.
        short: i64,
        /// Minutes of the long window.
        long: i64,
        /// Counted minutes of the SLO's window.
        window: i64,
    },
}

fn rounded(factor: f64) -> f64 {
    (factor * 100.0).round() / 100.0
}

impl Tier {
    /// A tier that fires when `share` of the budget of `window` counted minutes is used within `long`.
    pub fn of_share(severity: Severity, share: f64, window: i64, long: i64, short: i64) -> Self {
        Self { severity, factor: share * window as f64 / long as f64, long, short }
    }

    /// Whether it can fire, and its windows fit.
    ///
    /// # Errors
    /// When it cannot, with the largest factor that can.
    pub fn check(&self, objective: Objective, window: i64) -> Result<(), TierRefused> {
        if self.short < 1 || self.short >= self.long || self.long > window {
            return Err(TierRefused::Windows { short: self.short, long: self.long, window });
        }
        if self.factor > objective.ceiling() * (1.0 + 1e-9) {
            let largest = (objective.ceiling() * 100.0 + 1e-6).floor() / 100.0;
            return Err(TierRefused::NeverFires { factor: self.factor, largest });
        }
        Ok(())
    }
}

/// Minutes of thirty days.
const MONTH: i64 = 30 * 1440;

/// Severity, share of the budget, long and short window in minutes of the default tiers at thirty days: 14.4x, 6x, 3x, 1x
/// (Google, "The Site Reliability Workbook", chapter 5, table 5-8, and one tier more).
const DEFAULTS: [(Severity, f64, i64, i64); 4] = [
    (Severity::Page, 0.02, 60, 5),
    (Severity::Page, 0.05, 360, 30),
    (Severity::Ticket, 0.10, 1440, 120),
    (Severity::Ticket, 0.10, 4320, 360),
];

/// The shortest long window of a default tier: its short window has at least a minute.
const SHORTEST_LONG: i64 = 5;

/// The tiers of an SLO that names none, for a window of so many counted minutes: the windows shrink with windows shorter
/// than thirty days, and tiers that could never fire at this objective are left out.
pub fn default_tiers(objective: Objective, window: i64) -> Vec<Tier> {
    let scale = |minutes: i64| if window < MONTH { minutes * window / MONTH } else { minutes };
    let tier = |(severity, share, usual_long, usual_short): (Severity, f64, i64, i64)| {
        // The factor does not change with windows that shrink alike; very short ones do not shrink as much as the window.
        let usual = Tier::of_share(severity, share, window.max(MONTH), usual_long, usual_short);
        let long = scale(usual_long).max(SHORTEST_LONG).min(window);
        Tier { long, short: scale(usual_short).min(long - 1).max(1), ..usual }
    };
    let tiers = DEFAULTS.map(tier).into_iter();
    tiers.filter(|tier| tier.check(objective, window).is_ok()).collect()
}

/// A promise in numbers.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Its name.
    pub name: String,
    /// What is measured.
    pub indicator: Indicator,
    /// The share of good that is promised.
    pub objective: Objective,
    /// Over what time.
    pub window: Window,
    /// When somebody is told.
    pub tiers: Vec<Tier>,
    /// Fewer bad events than this in a tier's long window do not fire it.
    pub least_bad: u64,
    /// A minute with more overdue keys than this is bad.
    pub overdue_floor: u64,
    /// With less coverage than this in the first tier's long window there is no data.
    pub coverage_floor: f64,
    /// Which hours count; `None` when all do.
    pub calendar: Option<Arc<Calendar>>,
}

impl Promise {
    /// Counted minutes of its window, as tiers and budget are reckoned: with a calendar the usual share of a week.
    pub fn counted_minutes(&self) -> i64 {
        counted_minutes(self.window, self.calendar.as_deref())
    }

    /// Where the window begins that `now` is the last minute of.
    pub fn window_begin(&self, now: Minute) -> Minute {
        match self.window {
            Window::Rolling(_) => now.plus(1 - self.window.minutes()),
            Window::Calendar(period, zone) => period.begin(zone, now),
        }
    }
}

/// Counted minutes of a window.
pub(crate) fn counted_minutes(window: Window, calendar: Option<&Calendar>) -> i64 {
    let share = calendar.map_or(1.0, Calendar::share_of_week);
    ((window.minutes() as f64 * share).round() as i64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(share: f64) -> Objective {
        Objective::new(share).unwrap()
    }

    fn shown(tiers: &[Tier]) -> Vec<String> {
        tiers.iter().map(|tier| format!("{} {tier}", tier.severity.as_str())).collect()
    }

    #[test]
    fn default_tiers_follow_the_window_and_the_objective() {
        let check = |share: f64, days: i64, expect: &[&str]| {
            assert_eq!(shown(&default_tiers(objective(share), days * 1440)), expect, "{share} over {days} days");
        };
        let usual = [
            "page 14.4x over 1h and 5m",
            "page 6x over 6h and 30m",
            "ticket 3x over 1d and 2h",
            "ticket 1x over 3d and 6h",
        ];
        check(0.995, 30, &usual);
        check(0.9999, 30, &usual);
        check(0.9, 30, &usual[1..]);
        check(
            0.995,
            7,
            &[
                "page 14.4x over 14m and 1m",
                "page 6x over 84m and 7m",
                "ticket 3x over 336m and 28m",
                "ticket 1x over 1008m and 84m",
            ],
        );
        check(
            0.995,
            90,
            &[
                "page 43.2x over 1h and 5m",
                "page 18x over 6h and 30m",
                "ticket 9x over 1d and 2h",
                "ticket 3x over 3d and 6h",
            ],
        );
    }

    #[test]
    fn a_tier_that_cannot_fire_names_the_largest_factor_that_can() {
        let tier = |factor: f64| Tier { severity: Severity::Page, factor, long: 60, short: 5 };
        assert_eq!(tier(10.0).check(objective(0.9), 43_200), Ok(()));
        assert_eq!(
            tier(14.4).check(objective(0.9), 43_200).unwrap_err().to_string(),
            "can never fire: it needs a burn of 14.4x, and when everything is bad the budget burns at 10x"
        );
        assert_eq!(tier(200.0).check(objective(0.995), 43_200), Ok(()), "a total failure fires it");
        let refused = Tier { short: 60, ..tier(2.0) }.check(objective(0.9), 43_200).unwrap_err();
        assert!(refused.to_string().starts_with("needs windows that fit: short (`1h`)"), "{refused}");
    }

    #[test]
    fn objectives_leave_a_budget() {
        for wrong in [0.0, 1.0, 1.5, -0.1, f64::NAN] {
            assert_eq!(Objective::new(wrong), None);
        }
        assert_eq!(objective(0.995).to_string(), "99.5 %");
        assert_eq!(objective(0.99999).to_string(), "99.999 %");
        assert_eq!(objective(0.9).to_string(), "90 %");
    }
}
