use super::super::Faults;
use super::super::record::{Content, Entity, Field};
use super::*;

const KEY: &str = "SKU-0001";

fn at(seconds: f64) -> Moment {
    Moment::from_micros((seconds * 1e6) as i64)
}

fn wrote(system: System, seconds: f64, pieces: &[i64]) -> Write {
    let contents = pieces.iter().map(|pieces| Content::default().with(Field::Pieces, pieces)).collect();
    let committed = Interval::new(at(seconds), at(seconds + 0.001));
    Write { system, entity: Entity::Stock, key: KEY.to_owned(), contents, committed }
}

fn address() -> Address {
    Address { entity: Entity::Stock, target: System::Erp, key: KEY.to_owned() }
}

fn options() -> Options {
    Options::for_run(1, Some(Duration::from_secs(60)), Duration::from_secs(1), Faults::basic())
}

/// Agreement at 0 s, a change at 10 s that arrives at `arrival`.
fn late(arrival: f64) -> Vec<Write> {
    vec![
        wrote(System::Warehouse, 0.0, &[5]),
        wrote(System::Erp, 0.0, &[5]),
        wrote(System::Warehouse, 10.0, &[6]),
        wrote(System::Erp, arrival, &[6]),
    ]
}

fn plant(kind: FaultKind) -> Plant {
    Plant { address: address(), kind, effect: Effect::Changes, at: at(9.99), until: None }
}

fn report(seconds: f64, verdict: Verdict, likely: bool) -> Report {
    Report { address: address(), at: at(seconds), until: Moment::MAX, opened: true, verdict, likely }
}

fn lag(changed: (f64, f64), low: f64, high: f64, settled: bool) -> Freshness {
    Freshness {
        address: address(),
        changed: Interval::new(at(changed.0), at(changed.1)),
        lag: Lag { low: Duration::from_secs_f64(low), high: Duration::from_secs_f64(high) },
        settled,
        undecided: false,
    }
}

fn judged(plants: &[Plant], writes: &[Write], discrepancies: Vec<Report>, freshness: Vec<Freshness>) -> Summary {
    let day = Day { plants: plants.to_vec(), writes: writes.to_vec(), ..Day::default() };
    score(&day, &Reports { discrepancies, freshness, ..Reports::default() }, at(60.0), &options())
}

fn check_outcome(kind: FaultKind, said: Vec<Report>, expect: CaseOutcome) {
    let found = judged(&[plant(kind)], &late(25.0), said.clone(), Vec::new());
    assert_eq!(found.cases[0].outcome, expect, "{kind} reported as {said:?}");
    assert_eq!(found.found + found.missed + found.undecided, 1);
}

#[test]
fn a_fitting_report_finds_a_plant() {
    use CaseOutcome::{Found, Missed};
    use FaultKind::{Corrupt, Delay, Duplicate};
    check_outcome(Delay, vec![report(16.0, Verdict::Stale, false)], Found);
    check_outcome(Delay, vec![report(16.0, Verdict::Mismatch, true)], Found);
    check_outcome(Delay, vec![report(16.0, Verdict::Mismatch, false)], Missed);
    check_outcome(Delay, vec![], Missed);
    check_outcome(Delay, vec![report(40.0, Verdict::Stale, false)], Missed);
    check_outcome(Corrupt, vec![report(16.0, Verdict::Stale, true)], Found);
    check_outcome(Corrupt, vec![report(16.0, Verdict::Stale, false)], Missed);
    check_outcome(Duplicate, vec![report(16.0, Verdict::Mismatch, true)], Missed);
    check_outcome(Duplicate, vec![report(16.0, Verdict::Duplicate, false)], Found);
}

#[test]
fn what_was_said_before_and_stays_true_need_not_be_said_again() {
    use CaseOutcome::{Found, Missed};
    let until = |seconds| Report { until: at(seconds), ..report(9.0, Verdict::Stale, false) };
    check_outcome(FaultKind::Delay, vec![until(24.0)], Found);
    check_outcome(FaultKind::Delay, vec![until(11.0)], Missed);
}

#[test]
fn a_fault_that_was_over_too_soon_is_undecided() {
    let check = |arrival: f64, why: WhyUndecided| {
        let found = judged(&[plant(FaultKind::Drop)], &late(arrival), Vec::new(), Vec::new());
        assert_eq!((found.undecided, found.missed), (1, 0), "{arrival}");
        assert_eq!((&found.undecided_why, found.is_right()), (&BTreeMap::from([(why, 1)]), true), "{arrival}");
    };
    check(16.0, WhyUndecided::Brief);
    check(14.0, WhyUndecided::Punctual);
}

#[test]
fn a_report_without_a_long_difference_is_false() {
    let slow = report(10.5, Verdict::Stale, false);
    assert_eq!(judged(&[], &late(10.8), vec![slow.clone()], Vec::new()).false_reports, 1);
    assert_eq!(judged(&[], &late(25.0), vec![slow], Vec::new()).false_reports, 0);
    let elsewhere =
        Report { address: Address { key: "SKU-0002".to_owned(), ..address() }, ..report(16.0, Verdict::Stale, false) };
    let found = judged(&[], &late(25.0), vec![elsewhere], Vec::new());
    assert_eq!((found.false_reports, found.is_right()), (1, false));
}

/// An owner that leaves at 10 s what its target holds, passes by it for 0.1 s, and is followed soon after.
#[test]
fn an_owner_that_passes_by_does_not_restart_the_clock_of_a_target_that_stands_still() {
    let writes = |touched: Option<f64>| {
        let mut writes = vec![
            wrote(System::Warehouse, 0.0, &[5]),
            wrote(System::Erp, 0.0, &[5]),
            wrote(System::Warehouse, 10.0, &[6]),
            wrote(System::Warehouse, 20.0, &[5]),
            wrote(System::Warehouse, 20.1, &[7]),
            wrote(System::Erp, 23.0, &[7]),
        ];
        writes.extend(touched.map(|second| wrote(System::Erp, second, &[5])));
        writes
    };
    let check = |likely: bool, touched: Option<f64>, met: &[f64], expect: usize| {
        let day = Day { writes: writes(touched), ..Day::default() };
        let reports = Reports {
            discrepancies: vec![report(22.5, Verdict::Stale, likely)],
            agreed: BTreeMap::from([(address(), met.iter().copied().map(at).collect())]),
            ..Reports::default()
        };
        let found = score(&day, &reports, at(60.0), &options()).false_reports;
        assert_eq!(found, expect, "likely: {likely}, written {touched:?}, met at {met:?}");
    };
    check(true, None, &[], 0);
    check(true, None, &[9.0, 23.5], 0);
    // Who says for certain has to know.
    check(false, None, &[], 1);
    // Somebody saw them agree, or the target was written meanwhile.
    check(true, None, &[20.05], 1);
    check(true, Some(15.0), &[], 1);
    check(true, Some(20.05), &[], 1);
}

#[test]
fn a_lag_must_hold_the_truth() {
    let check = |event: Freshness, expect: (usize, usize)| {
        let found = judged(&[], &late(10.5), Vec::new(), vec![event.clone()]);
        assert_eq!((found.lag_checked, found.lag_outside), expect, "{event:?}");
    };
    check(lag((9.0, 10.5), 0.2, 1.2, true), (1, 0));
    check(lag((9.0, 10.5), 0.6, 1.2, true), (1, 1));
    check(lag((9.0, 10.5), 0.0, 0.4, true), (1, 1));
    check(lag((30.0, 31.0), 0.0, 0.4, true), (0, 0));
    check(lag((9.0, 10.5), 0.3, 0.4, false), (1, 0));
}

#[test]
fn an_agreement_between_two_looks_may_pass_unseen() {
    let check = |agreed: &[f64], expect: (usize, usize)| {
        let mut writes = late(10.5);
        writes.push(wrote(System::Erp, 12.0, &[5]));
        writes.push(wrote(System::Erp, 20.0, &[6]));
        let reports = Reports {
            freshness: vec![lag((9.9, 10.1), 9.5, 10.5, true)],
            agreed: BTreeMap::from([(address(), agreed.iter().copied().map(at).collect())]),
            ..Reports::default()
        };
        let day = Day { writes, ..Day::default() };
        let found = score(&day, &reports, at(60.0), &options());
        assert_eq!((found.lag_checked, found.lag_outside), expect, "seen to agree at {agreed:?}");
    };
    check(&[9.0, 21.0], (1, 0));
    check(&[9.0, 11.0, 21.0], (1, 1));
}

#[test]
fn matrix_and_delays_count_every_plant() {
    let plants = [plant(FaultKind::Delay), plant(FaultKind::Duplicate)];
    let found = judged(&plants, &late(25.0), vec![report(16.0, Verdict::Stale, false)], Vec::new());
    let row = |word: &str| BTreeMap::from([(word.to_owned(), 1)]);
    let matrix = [(FaultKind::Delay, row("stale")), (FaultKind::Duplicate, row("stale"))];
    assert_eq!(found.matrix, BTreeMap::from(matrix));
    let delay = found.delays[&FaultKind::Delay];
    assert_eq!((found.delays.len(), delay.found, delay.median_secs), (1, 1, delay.longest_secs));
    assert!((delay.median_secs - 5.999).abs() < 1e-6, "{delay:?}");
    assert_eq!(found.late, 0, "deadline 5 s and two looks of 1 s");
    let nothing = judged(&plants[..1], &late(25.0), Vec::new(), Vec::new());
    assert_eq!(nothing.matrix[&FaultKind::Delay], row("nothing"));
    let late = judged(&plants[..1], &late(25.0), vec![report(18.0, Verdict::Stale, false)], Vec::new());
    assert_eq!((late.found, late.late), (1, 1));
}

#[test]
fn quantiles_are_values_that_were_there() {
    assert_eq!(quantile(&mut [], 0.95), 0.0);
    assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
    assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 1.0), 3.0);
}

#[test]
fn an_unsettled_lag_is_known_from_below() {
    let mut writes = late(25.0);
    writes.pop();
    let events = vec![lag((9.9, 10.1), 5.1, 5.3, false), lag((9.9, 10.1), 5.1, 5.3, true)];
    let found = judged(&[], &writes, Vec::new(), events);
    assert_eq!((found.lag_checked, found.lag_outside), (1, 0));
}

fn disturbed(kind: DisturbanceKind, from: f64, to: f64) -> Day {
    let span = Interval::new(at(from), at(to));
    let disturbed = vec![Disturbed { system: System::Warehouse, kind, span }];
    Day { plants: vec![plant(FaultKind::Drop)], disturbed, writes: late(25.0) }
}

#[test]
fn what_an_outage_hides_is_not_missed_and_what_it_delays_is_not_late() {
    let judged = |day: &Day, said: Vec<Report>| {
        let found = score(day, &Reports { discrepancies: said, ..Reports::default() }, at(60.0), &options());
        (found.found, found.undecided, found.missed, found.late)
    };
    let hidden = disturbed(DisturbanceKind::Outage, 12.0, 20.0);
    assert_eq!(judged(&hidden, vec![]), (0, 1, 0, 0));
    assert_eq!(judged(&hidden, vec![report(24.0, Verdict::Stale, false)]), (1, 0, 0, 0));
    let short = disturbed(DisturbanceKind::Outage, 12.0, 12.5);
    assert_eq!(judged(&short, vec![]), (0, 0, 1, 0));
    assert_eq!(judged(&short, vec![report(24.0, Verdict::Stale, false)]), (1, 0, 0, 1));
}

#[test]
fn an_outage_must_be_noticed_while_it_is_felt() {
    let noticed = |kind, blind: &[f64], reshaped: &[f64]| {
        let of = |seconds: &[f64]| seconds.iter().map(|seconds| (System::Warehouse, at(*seconds))).collect();
        let reports = Reports { blind: of(blind), reshaped: of(reshaped), ..Reports::default() };
        let found = score(&disturbed(kind, 12.0, 20.0), &reports, at(60.0), &options());
        (found.unnoticed, found.disturbances[0].noticed_after_secs)
    };
    assert_eq!(noticed(DisturbanceKind::Outage, &[11.0, 14.0, 15.0], &[]), (0, Some(2.0)));
    assert_eq!(noticed(DisturbanceKind::Outage, &[30.0], &[13.0]), (1, None));
    assert_eq!(noticed(DisturbanceKind::Schema, &[13.0], &[13.5]), (0, Some(1.5)));
    assert_eq!(noticed(DisturbanceKind::Throttle, &[], &[]), (0, None), "a limit that is kept needs no word");
}

#[test]
fn checks_that_cannot_tell_count_where_nothing_was_disturbed() {
    let tally = |seconds: f64, owner| Tally { owner, target: System::Erp, at: at(seconds), checks: 10, unknown: 2 };
    let tallies = vec![tally(5.0, System::Warehouse), tally(14.0, System::Warehouse), tally(14.0, System::Crm)];
    let reports = Reports { tallies, ..Reports::default() };
    let found = score(&disturbed(DisturbanceKind::Outage, 12.0, 20.0), &reports, at(60.0), &options());
    assert_eq!((found.checks, found.unknown), (30, 4));
}

#[test]
fn an_estimate_must_hold_a_share_that_was_true() {
    // Two keys; one of them differs from 10 s to 25 s, longer than its deadline.
    let mut writes = late(25.0);
    let others =
        [System::Warehouse, System::Erp].map(|system| Write { key: "SKU-0002".to_owned(), ..wrote(system, 0.0, &[1]) });
    writes.extend(others);
    let day = |disturbed: Vec<Disturbed>| Day { writes: writes.clone(), disturbed, ..Day::default() };
    let said = |measure: Share, seconds: f64, low: f64, high: f64| Estimated {
        entity: Entity::Stock,
        target: System::Erp,
        measure,
        at: at(seconds),
        low,
        high,
    };
    let check = |day: &Day, said: Estimated, expect: (usize, usize)| {
        let reports = Reports { estimated: vec![said], ..Reports::default() };
        let summary = score(day, &reports, at(60.0), &options());
        assert_eq!((summary.estimates_checked, summary.estimates_outside), expect, "{said:?}");
    };
    let calm = day(Vec::new());
    check(&calm, said(Share::Agreement, 24.0, 0.4, 0.6), (1, 0));
    check(&calm, said(Share::Agreement, 24.0, 0.9, 1.0), (1, 1));
    check(&calm, said(Share::Agreement, 59.0, 0.9, 1.0), (1, 0));
    check(&calm, said(Share::Agreement, 59.0, 0.4, 0.6), (1, 1));
    check(&calm, said(Share::Completeness, 24.0, 0.9, 1.0), (1, 0));
    check(&calm, said(Share::Extra, 24.0, 0.3, 0.9), (1, 1));
    let span = Interval::new(at(20.0), at(22.0));
    let disturbed = Disturbed { system: System::Erp, kind: DisturbanceKind::Outage, span };
    check(&day(vec![disturbed]), said(Share::Agreement, 24.0, 0.9, 1.0), (0, 0));
}
