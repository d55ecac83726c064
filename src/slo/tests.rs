//! Tiers fire and clear at the minute that arithmetic says; causes are told apart.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::incident::{Cause, Severity};
use crate::model::{FlowId, SystemId};

const START: Minute = Minute(30_000_000);
const DAY: i64 = 1440;

fn promise(indicator: Indicator, objective: f64) -> Promise {
    let objective = Objective::new(objective).unwrap();
    let window = Window::Rolling(Duration::from_secs(30 * 86_400));
    Promise {
        name: "fresh".to_owned(),
        indicator,
        objective,
        window,
        tiers: default_tiers(objective, window.minutes()),
        least_bad: 3,
        overdue_floor: 0,
        coverage_floor: 0.5,
        calendar: None,
    }
}

fn freshness() -> Promise {
    promise(Indicator::Freshness(Duration::from_secs(300)), 0.995)
}

/// What a minute is like.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Now {
    good: u64,
    bad: u64,
    unknown: u64,
    seen: Option<Result<(), Blind>>,
    overdue: Option<u64>,
}

const FINE: Now = Now { good: 100, bad: 0, unknown: 0, seen: Some(Ok(())), overdue: Some(0) };
const IDLE: Now = Now { good: 0, ..FINE };
const WRONG: Now = Now { good: 0, bad: 100, ..FINE };

/// Facts from `START` on: so many minutes of each kind.
fn world(promise: &Promise, parts: &[(i64, Now)]) -> (Series, Minute) {
    let minutes: i64 = parts.iter().map(|(minutes, _)| minutes).sum();
    let longest = promise.tiers.iter().map(|tier| tier.long).max().unwrap_or(1);
    let end = START.plus(minutes - 1);
    let mut series = Series::new(end, longest.max(minutes), promise.window.minutes(), promise.overdue_floor);
    let mut at = START;
    for (minutes, now) in parts {
        for _ in 0..*minutes {
            series.add(at, Counts { good: now.good, bad: now.bad, unknown: now.unknown });
            match now.seen {
                Some(Ok(())) => series.cover(at, at.plus(1), None),
                Some(Err(blind)) => series.cover(at, at.plus(1), Some(blind)),
                None => {}
            }
            now.overdue.into_iter().for_each(|overdue| series.overdue(at, overdue));
            at = at.plus(1);
        }
    }
    (series, end)
}

fn at(promise: &Promise, series: &Series, now: Minute) -> Evaluation {
    let counted = Counted::all(now.plus(-60 * DAY), now.plus(1));
    evaluate(promise, series, (&counted, &counted), (now, now.plus(1)))
}

/// The minutes after `START` at which a tier begins and ceases to be in a state.
fn changes(promise: &Promise, series: &Series, tier: usize, from: i64, to: i64, is: TierState) -> Vec<(i64, bool)> {
    let mut changes = Vec::new();
    let mut before = false;
    for minute in from..to {
        let now = at(promise, series, START.plus(minute)).tiers[tier].state == is;
        if now != before {
            changes.push((minute, now));
            before = now;
        }
    }
    changes
}

/// After `start` a total failure of so many minutes, then all is well.
fn outage(promise: &Promise, start: i64, minutes: i64, after: i64) -> Series {
    world(promise, &[(start, FINE), (minutes, WRONG), (after, FINE)]).0
}

#[test]
fn every_default_tier_fires_and_clears_at_the_minute_that_arithmetic_says() {
    let promise = promise(Indicator::Agreement, 0.995);
    let start = 4 * DAY;
    // The share of bad that fires: factor x 0.5 %. Of a long window that is so many minutes of total failure:
    // 14.4 x 0.005 x 60 = 4.32; 6 x 0.005 x 360 = 10.8; 3 x 0.005 x 1440 = 21.6; 1 x 0.005 x 4320 = 21.6.
    let fires_in = [5, 11, 22, 22];
    for (tier, fires_in) in fires_in.into_iter().enumerate() {
        let short = promise.tiers[tier].short;
        let failure = 60;
        let series = outage(&promise, start, failure, 800);
        // It ceases when the short window burns slower than the factor: when more than 1 - factor x budget of it is good.
        let least = promise.tiers[tier].factor * 0.005 * short as f64;
        let ceases = start + failure - 1 + short - (least.ceil() as i64) + 1;
        let found = changes(&promise, &series, tier, start - 5, ceases + 5, TierState::Fires);
        assert_eq!(found, [(start + fires_in - 1, true), (ceases, false)], "tier {tier}");
        // It is clean when the short window burns slower than it is given.
        let clean = at(&promise, &series, START.plus(start + failure + short - 1)).tiers[tier].state;
        let before = at(&promise, &series, START.plus(start + failure + short - 2)).tiers[tier].state;
        assert_eq!(clean, TierState::Clean, "tier {tier}");
        let expect = match 1.0 / short as f64 / 0.005 {
            burn if burn >= promise.tiers[tier].factor => TierState::Fires,
            burn if burn >= 1.0 => TierState::Holds,
            _ => TierState::Clean,
        };
        assert_eq!(before, expect, "tier {tier}: a single bad minute in {short}");
    }
}

#[test]
fn an_outage_a_minute_too_short_fires_nothing() {
    let promise = promise(Indicator::Agreement, 0.995);
    for (tier, minutes) in [(0, 4), (1, 10), (2, 21), (3, 21)] {
        let series = outage(&promise, 4 * DAY, minutes, 400);
        assert_eq!(changes(&promise, &series, tier, 4 * DAY - 5, 4 * DAY + 300, TierState::Fires), [], "tier {tier}");
    }
}

#[test]
fn few_bad_events_are_too_few() {
    let mut promise = promise(Indicator::Agreement, 0.995);
    let rare = Now { good: 0, bad: 1, ..FINE };
    let (series, now) = world(&promise, &[(2 * DAY, IDLE), (2, rare)]);
    assert_eq!(at(&promise, &series, now).severity(), None);
    promise.least_bad = 2;
    assert_eq!(at(&promise, &series, now).severity(), Some(Severity::Page));
}

#[test]
fn prices_that_never_arrive_keep_it_firing_however_idle_the_source_is() {
    let promise = freshness();
    let burst = Now { good: 0, bad: 500, overdue: Some(500), ..FINE };
    let stuck = Now { overdue: Some(500), ..IDLE };
    let (series, now) = world(&promise, &[(2 * DAY, FINE), (1, burst), (DAY, stuck), (DAY, IDLE)]);
    let found = |minute: i64| at(&promise, &series, START.plus(minute));
    assert_eq!(found(2 * DAY + 5).severity(), Some(Severity::Page));
    assert_eq!(found(3 * DAY).severity(), Some(Severity::Page), "a day later nothing has changed");
    assert!(!found(3 * DAY + 4).is_clean());
    assert_eq!(found(3 * DAY + 8).tiers[0].state, TierState::Clean, "once nothing is overdue it recovers");
    assert!(at(&promise, &series, now).is_clean());
}

#[test]
fn forty_percent_unread_and_the_rest_wrong_is_a_breach() {
    let promise = freshness();
    let bad = Now { good: 0, bad: 60, unknown: 40, ..FINE };
    let (series, now) = world(&promise, &[(DAY, FINE), (10, bad)]);
    let found = at(&promise, &series, now);
    assert_eq!(found.severity(), Some(Severity::Page));
    assert!(found.tiers[0].long.best < found.tiers[0].long.worst);
}

#[test]
fn what_only_the_unknown_decides_is_no_data() {
    let promise = freshness();
    let throttled = Now { good: 60, bad: 0, unknown: 40, ..FINE };
    let (series, now) = world(&promise, &[(DAY, FINE), (30, throttled)]);
    let found = at(&promise, &series, now);
    assert_eq!((found.severity(), found.no_data), (None, true));
    assert!(!found.is_clean());
    let blind = Now { seen: Some(Err(Blind::Target)), good: 0, ..FINE };
    let (series, _) = world(&promise, &[(DAY, FINE), (30, blind), (120, FINE)]);
    let states = changes(&promise, &series, 0, DAY - 5, DAY + 140, TierState::NoData);
    // 4.32 minutes of an hour, as for a failure that is seen; it ceases with the short window, of which 0.36 minutes
    // are a burn of 14.4.
    assert_eq!(states, [(DAY + 4, true), (DAY + 30 + 4, false)]);
    assert_eq!(at(&promise, &series, START.plus(DAY + 20)).blind, [0, 21, 0, 0]);
}

#[test]
fn nothing_is_said_of_the_time_before_the_first_look_and_of_what_is_still_on_its_way() {
    let promise = freshness();
    let (series, now) = world(&promise, &[(3, IDLE)]);
    let found = at(&promise, &series, now);
    assert_eq!((found.no_data, found.coverage, found.severity()), (false, 1.0, None));
    let counted = Counted::all(now.plus(-DAY), now.plus(10));
    let late = |settled: Minute| evaluate(&promise, &series, (&counted, &counted), (now.plus(9), settled));
    assert!(!late(now.plus(1)).no_data, "coverage is told later than it happens");
    assert!(late(now.plus(10)).no_data, "and is missing when it is not told in time");
}

#[test]
fn budgets_are_signed_and_say_when_they_are_used_up() {
    let promise = promise(Indicator::Agreement, 0.99);
    let leaky = Now { good: 98, bad: 2, ..FINE };
    let (series, now) = world(&promise, &[(10 * DAY, FINE), (5 * DAY, leaky)]);
    let found = at(&promise, &series, now);
    // 2 % bad in a third of the time: two thirds of the budget are used, the rest at a burn of 2.
    assert!((found.budget_left - 1.0 / 3.0).abs() < 1e-9, "{}", found.budget_left);
    assert!((found.sli.0 - (1.0 - 0.02 / 3.0)).abs() < 1e-9);
    assert_eq!(found.exhausted_in, Some(30 * DAY / 6));
    let (series, now) = world(&promise, &[(10 * DAY, leaky)]);
    let found = at(&promise, &series, now);
    assert!((found.budget_left + 1.0).abs() < 1e-9, "twice the budget is used: {}", found.budget_left);
    assert_eq!(found.exhausted_in, Some(0));
    let (series, now) = world(&promise, &[(10 * DAY, FINE)]);
    assert_eq!(at(&promise, &series, now).exhausted_in, None);
}

#[test]
fn maintenance_is_left_out_and_kept_in_the_raw_figure() {
    let promise = promise(Indicator::Agreement, 0.995);
    let (series, now) = world(&promise, &[(DAY, FINE), (30, WRONG), (5, FINE)]);
    let work = Maintenance {
        reason: "upgrade".to_owned(),
        from: START.plus(DAY),
        to: START.plus(DAY + 30),
        systems: vec!["store".to_owned()],
    };
    assert!(work.concerns(["erp", "store"]) && !work.concerns(["crm"]));
    let raw = Counted::all(now.plus(-60 * DAY), now.plus(1));
    let adjusted = raw.clone().without([&work]);
    let found = evaluate(&promise, &series, (&adjusted, &raw), (now, now.plus(1)));
    assert_eq!((found.severity(), found.sli), (None, (1.0, 1.0)));
    assert!(found.raw.0 < 0.98, "{:?}", found.raw);
}

#[test]
fn windows_slide_over_counted_time() {
    // Half of each hour counts: the hour before now is two hours long, and what happens outside is not seen.
    let promise = promise(Indicator::Agreement, 0.995);
    let (series, now) = world(&promise, &[(DAY, FINE), (30, WRONG), (30, FINE), (5, WRONG)]);
    let pauses: Vec<Maintenance> = (0..60)
        .map(|hour| Maintenance {
            reason: String::new(),
            from: START.plus(DAY - 1500 + hour * 60),
            to: START.plus(DAY - 1500 + hour * 60 + 30),
            systems: Vec::new(),
        })
        .collect();
    let raw = Counted::all(now.plus(-60 * DAY), now.plus(1));
    let half = raw.clone().without(&pauses);
    assert!(!half.holds(START.plus(DAY)) && half.holds(START.plus(DAY + 30)));
    let counts = |counted: &Counted| {
        let begin = counted.back(now.plus(1), 60);
        series.sum(counted, begin, now.plus(1)).counts
    };
    assert_eq!(counts(&half).bad, 0, "both failures lie in pauses");
    assert_eq!(half.minutes(half.back(now.plus(1), 60), now.plus(1)), 60);
}

#[test]
fn a_backtest_says_when_and_why() {
    let promise = promise(Indicator::Agreement, 0.995);
    let (series, now) = world(&promise, &[(DAY, FINE), (10, WRONG), (30, FINE), (10, WRONG), (5 * 60, FINE)]);
    let counted = Counted::all(START, now.plus(1));
    let found = backtest(&promise, &series, &counted, (START, now.plus(1)));
    let [episode] = &found[..] else { panic!("{found:?}") };
    assert_eq!(episode.from, START.plus(DAY + 4));
    assert_eq!((episode.severity, episode.tier.as_str()), (Severity::Page, "14.4x over 1h and 5m"));
}

fn flow(text: &str) -> FlowId {
    match text.parse::<Cause>().unwrap() {
        Cause::Flow(flow) => flow,
        _ => panic!("{text}"),
    }
}

fn systems(names: &[&str]) -> Vec<SystemId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

struct World {
    promise: Promise,
    flows: Vec<(FlowId, Vec<SystemId>, Evaluation)>,
}

impl World {
    fn new(flows: &[(&str, &[&str], Now)]) -> Self {
        let promise = freshness();
        let flows = flows.iter().map(|(name, via, now)| {
            let (series, end) = world(&promise, &[(DAY, FINE), (30, *now)]);
            (flow(name), systems(via), at(&promise, &series, end))
        });
        let flows = flows.collect();
        Self { promise, flows }
    }

    fn standings(&self, open: &[&str]) -> Vec<(String, bool, bool, usize)> {
        let judged: Vec<Judged<'_>> = self
            .flows
            .iter()
            .map(|(flow, via, evaluation)| Judged {
                fields: &[],
                promise: &self.promise,
                flow: Some(flow),
                via,
                queue: None,
                evaluation,
            })
            .collect();
        let open: BTreeSet<Cause> = open.iter().map(|cause| cause.parse().unwrap()).collect();
        let told = |found: CauseStanding| {
            (found.cause.to_string(), found.severity.is_some(), found.is_clean, found.broken.len())
        };
        standings(&judged, &open).into_iter().map(told).collect()
    }
}

fn told(cause: &str, fires: bool, is_clean: bool, broken: usize) -> (String, bool, bool, usize) {
    (cause.to_owned(), fires, is_clean, broken)
}

const DEAD: Now = Now { good: 0, seen: Some(Err(Blind::Target)), overdue: Some(7), ..FINE };

#[test]
fn a_dead_system_is_one_cause_however_many_flows_it_has() {
    let names: Vec<String> = (0..10_000).map(|number| format!("flow e{number}: erp -> store")).collect();
    let mut flows: Vec<(&str, &[&str], Now)> = names.iter().map(|name| (name.as_str(), &[][..], DEAD)).collect();
    flows.truncate(200);
    let mut world = World::new(&flows);
    // Evaluated once, shown ten thousand times: each flow stands for itself.
    let one = world.flows[0].clone();
    world.flows = names.iter().map(|name| (flow(name), one.1.clone(), one.2.clone())).collect();
    assert_eq!(world.standings(&[]), [told("blind store", true, false, 10_000)]);
}

#[test]
fn flows_that_fail_together_are_their_systems_business_and_others_their_own() {
    let late = Now { good: 0, bad: 100, ..FINE };
    let world = World::new(&[
        ("flow a: erp -> store", &["queue"], late),
        ("flow b: erp -> store", &["queue"], late),
        ("flow c: erp -> crm", &["queue"], late),
        ("flow d: erp -> store", &[], FINE),
        ("flow e: crm -> erp", &[], late),
    ]);
    assert_eq!(world.standings(&[]), [told("flow e: crm -> erp", true, false, 1), told("path queue", true, false, 3)]);
    let two = World::new(&[("flow a: erp -> store", &["queue"], late), ("flow b: erp -> store", &["queue"], late)]);
    let own = [told("flow a: erp -> store", true, false, 1), told("flow b: erp -> store", true, false, 1)];
    assert_eq!(two.standings(&[]), own, "two are no pattern");
    let rest = World::new(&[("flow a: erp -> store", &["queue"], late), ("flow b: erp -> store", &["queue"], FINE)]);
    assert_eq!(rest.standings(&["path queue"]), [told("path queue", true, false, 1)], "what is blamed stays blamed");
}

#[test]
fn causes_end_when_all_that_they_are_about_is_clean() {
    let world = World::new(&[("flow a: erp -> store", &[], FINE), ("flow b: erp -> crm", &[], DEAD)]);
    let found =
        world.standings(&["flow a: erp -> store", "blind store", "path erp", "flow gone: erp -> crm", "auditor"]);
    let dead = World::new(&[("flow b: erp -> crm", &[], DEAD)]).standings(&[]);
    assert_eq!(dead, [told("blind crm", true, false, 1)]);
    assert_eq!(
        found,
        [
            told("flow a: erp -> store", false, true, 0),
            told("flow gone: erp -> crm", false, true, 0),
            told("blind crm", true, false, 1),
            told("blind store", false, true, 0),
            told("path erp", false, false, 0),
            told("auditor", false, false, 0),
        ]
    );
}

proptest! {
    /// Whatever is unknown, the best case is never worse than the worst, and what the best case says is said with it.
    #[test]
    fn the_worst_case_is_never_better_than_the_best(
        parts in prop::collection::vec((1i64..200, 0u64..50, 0u64..5, 0u64..5, 0u8..5, prop::option::of(0u64..3)), 1..12),
    ) {
        let promise = freshness();
        let parts: Vec<(i64, Now)> = parts.into_iter().map(|(minutes, good, bad, unknown, seen, overdue)| {
            let seen = match seen {
                0 => None,
                1 => Some(Err(Blind::Owner)),
                2 => Some(Err(Blind::Target)),
                _ => Some(Ok(())),
            };
            (minutes, Now { good, bad, unknown, seen, overdue })
        }).collect();
        let (series, now) = world(&promise, &parts);
        let found = at(&promise, &series, now);
        prop_assert!(found.sli.0 >= found.sli.1 - 1e-12);
        prop_assert!(found.budget_left >= found.budget_left_worst - 1e-9);
        for tier in &found.tiers {
            prop_assert!(tier.long.best <= tier.long.worst + 1e-9 && tier.short.best <= tier.short.worst + 1e-9);
            prop_assert!(tier.long.worst <= promise.objective.ceiling() * (1.0 + 1e-9));
        }
        prop_assert!(!(found.is_clean() && found.severity().is_some()));
    }

    /// A tier fires exactly when both windows' shares say so.
    #[test]
    fn a_tier_fires_when_both_of_its_windows_do(minutes in prop::collection::vec((0u64..20, 0u64..3), 61..200)) {
        let promise = promise(Indicator::Agreement, 0.995);
        let parts: Vec<(i64, Now)> =
            minutes.iter().map(|(good, bad)| (1, Now { good: *good, bad: *bad, ..FINE })).collect();
        let (series, now) = world(&promise, &parts);
        let share = |last: usize| {
            let part = &minutes[minutes.len() - last.min(minutes.len())..];
            let (good, bad) = part.iter().fold((0, 0), |(good, bad), one| (good + one.0, bad + one.1));
            (bad as f64 / ((good + bad).max(1) as f64), bad)
        };
        for status in at(&promise, &series, now).tiers {
            let threshold = status.tier.factor * 0.005;
            let (long, bad) = share(status.tier.long as usize);
            let (short, _) = share(status.tier.short as usize);
            let close = (long - threshold).abs() < 1e-9 || (short - threshold).abs() < 1e-9;
            let fires = bad >= 3 && long >= threshold && short >= threshold;
            prop_assert!(close || (status.state == TierState::Fires) == fires, "{status:?} {long} {short}");
        }
    }
}
