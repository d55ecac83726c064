//! From decoded rows to verdicts: rows of 8 columns of both sides are mapped to records, joined by key, compared,
//! and every thousandth pair differs and is judged. In pages as large as those of a probe's run, records freed page by
//! page. One core, in processor time; best of several rounds. Asked of it: 2 million records a second.
//!
//! The limit of the same run hashes and compares the same records' encoded bytes, which must be touched in any case.

#![allow(clippy::expect_used, reason = "a measurement that cannot go on fails")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use plumbline::compare::{Context, Look, Side, agrees, join, judge, state_and_fields};
use plumbline::model::digest::encode;
use plumbline::model::mapping::{CurrencyRule, Dataset, FieldRule, Origin, Source, Stamp, Step};
use plumbline::model::{
    FieldType, Flow, FlowField, FlowId, Interval, Mapping, Moment, Number, Raw, RawRow, Record, Verdict,
};
use xxhash_rust::xxh3::xxh3_128;

const PAGE: usize = 10_000;
const PAGES: usize = 10;
const PAIRS: usize = PAGE * PAGES;
const WANTED: f64 = 2.0;
const ROUNDS: usize = 7;
const FIELDS: [(&str, FieldType); 8] = [
    ("number", FieldType::Integer),
    ("customer", FieldType::Integer),
    ("status", FieldType::Text),
    ("name", FieldType::Text),
    ("quantity", FieldType::Integer),
    ("price", FieldType::Decimal),
    ("total", FieldType::Money),
    ("placed_at", FieldType::Timestamp),
];

fn main() {
    let owner = Arc::new(mapping("shop", Vec::new()));
    let target = Arc::new(mapping("warehouse", vec![Step::TrimEnd]));
    let flow = flow(&owner, &target);
    let best = (0..ROUNDS).map(|_| round(&flow)).min().unwrap_or(Duration::MAX);
    let limit = (0..ROUNDS).map(|_| limit(&flow)).min().unwrap_or(Duration::MAX);
    let per_second = |count: usize, took: Duration| count as f64 / took.as_secs_f64() / 1e6;
    println!("compare, decoded rows to verdicts, 8 fields, one core");
    let records = per_second(2 * PAIRS, best);
    println!("  {records:.2} million records/s, wanted {WANTED}: {}", if records >= WANTED { "met" } else { "missed" });
    println!("  {:.2} million pairs/s", per_second(PAIRS, best));
    println!(
        "  {:.2} million records/s hashing and comparing the encoded records (limit)",
        per_second(2 * PAIRS, limit)
    );
    println!("  {:.3} of the limit", limit.as_secs_f64() / best.as_secs_f64());
}

/// What this thread has used of a core so far. What else runs on the machine does not count, nor does waiting for it.
fn processor_time() -> Duration {
    // The kernel brings the figure up to date when it switches.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells how long a thread ran");
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the first figure is nanoseconds on a processor"))
}

/// One timed pass over fresh rows.
fn round(flow: &Flow) -> Duration {
    let mut pages: Vec<_> = (0..PAGES).map(|page| (rows(page, false), rows(page, true))).collect();
    let began = processor_time();
    let matched: usize = pages.iter_mut().map(|(owner, target)| matches(flow, owner, target)).sum();
    let took = processor_time() - began;
    assert_eq!(matched, PAIRS - PAIRS / 1000);
    took
}

/// How many pairs of a page match.
fn matches(flow: &Flow, owner: &mut [RawRow], target: &mut [RawRow]) -> usize {
    let owner: Vec<Record> = owner.iter_mut().map(|row| flow.owner.record(row)).collect();
    let target: Vec<Record> = target.iter_mut().map(|row| flow.target.record(row)).collect();
    let pairs = join(&owner, &target);
    pairs.iter().filter(|pair| verdict(flow, &pair.owner, &pair.target) == Verdict::Match).count()
}

fn verdict(flow: &Flow, owner: &[&Record], target: &[&Record]) -> Verdict {
    if let ([owner], [target]) = (owner, target)
        && owner.in_scope
        && target.in_scope
        && agrees(flow, owner, target)
    {
        return Verdict::Match;
    }
    let look = |side, records: &[&Record], when| {
        let (state, fields) = state_and_fields(flow, side, records);
        Look { fields, ..Look::new(state, Interval::new(Moment::from_micros(when), Moment::from_micros(when))) }
    };
    let context = Context { deadline: flow.deadline, baseline: None, tolerances: &[], agreed: None };
    judge(None, &look(Side::Owner, owner, 1), &look(Side::Target, target, 2), None, context).verdict
}

/// Hashes each side's encoded records and compares the bytes.
fn limit(flow: &Flow) -> Duration {
    let encoded = |mapping: &Mapping, mut rows: Vec<RawRow>| -> Vec<Vec<u8>> {
        let bytes = |row: &mut RawRow| {
            let mut out = Vec::new();
            mapping.record(row).fields.iter().for_each(|value| encode(value, &mut out));
            out
        };
        rows.iter_mut().map(bytes).collect()
    };
    let page = |page| (encoded(&flow.owner, rows(page, false)), encoded(&flow.target, rows(page, true)));
    let pages: Vec<_> = (0..PAGES).map(page).collect();
    let began = processor_time();
    let equal = pages
        .iter()
        .flat_map(|(owner, target)| owner.iter().zip(target))
        .filter(|(owner, target)| black_box(xxh3_128(owner)) == black_box(xxh3_128(target)) && owner == target);
    black_box(equal.count());
    processor_time() - began
}

/// The target's rows lie in another order, pad the status, and hold another quantity in every thousandth row.
fn rows(page: usize, target: bool) -> Vec<RawRow> {
    (0..PAGE).map(|place| row(page * PAGE + if target { place * 7919 % PAGE } else { place }, target)).collect()
}

fn row(number: usize, target: bool) -> RawRow {
    let whole = i64::try_from(number).unwrap_or(0);
    let cents = |divisor: i64| format!("{}.{:02}", whole % 5000 / divisor, whole % 100).parse::<Number>();
    let quantity = if target && number.is_multiple_of(1000) { -1 } else { whole % 97 };
    vec![
        Raw::Int(whole),
        Raw::Int(whole % 9973),
        Raw::Text(if target { "shipped   " } else { "shipped" }.into()),
        Raw::Text(format!("Customer number {number}").into()),
        Raw::Int(quantity),
        cents(10).map_or(Raw::Null, Raw::Number),
        cents(1).map_or(Raw::Null, Raw::Number),
        Raw::Naive(Moment::from_micros(1_770_000_000_000_000 + whole * 1_000_003).to_utc().naive_utc()),
    ]
}

fn mapping(system: &str, status_steps: Vec<Step>) -> Mapping {
    let rule = |source: usize, field_type| FieldRule {
        field_type,
        origin: Origin::Source(source),
        when: None,
        steps: if FIELDS[source].0 == "status" { status_steps.clone() } else { Vec::new() },
        scale: None,
        minor_units: false,
        currency: "EUR".parse().ok().filter(|_| field_type == FieldType::Money).map(CurrencyRule::Const),
        zone: Tz::UTC,
        epoch: None,
    };
    Mapping {
        entity: name("order"),
        system: name(system),
        dataset: Dataset::Table("orders".to_owned()),
        sources: FIELDS.iter().map(|(name, _)| Source::Path((*name).to_owned())).collect(),
        key: vec![0],
        native: None,
        key_index: false,
        changed_at: Some(Stamp { source: 7, zone: Tz::UTC, epoch: None }),
        version: None,
        source_version: None,
        scope: Vec::new(),
        children: Vec::new(),
        xref: Vec::new(),
        fields: FIELDS.iter().enumerate().map(|(source, (_, field_type))| Some(rule(source, *field_type))).collect(),
        via: Vec::new(),
    }
}

fn flow(owner: &Arc<Mapping>, target: &Arc<Mapping>) -> Flow {
    let field = |(index, (field, field_type)): (usize, &(&str, FieldType))| FlowField {
        index,
        name: name(field),
        field_type: *field_type,
        tolerance: None,
        two_way: false,
        owner_projection: if *field == "status" { vec![Step::TrimEnd] } else { Vec::new() },
        target_projection: Vec::new(),
    };
    Flow {
        tenant: name("default"),
        id: FlowId { entity: name("order"), owner: owner.system.clone(), target: target.system.clone() },
        fields: FIELDS.iter().enumerate().map(field).collect(),
        deadline: Duration::from_secs(300),
        owner: Arc::clone(owner),
        target: Arc::clone(target),
        has_source_version: false,
    }
}

/// A name that is known to be valid.
fn name<N: std::str::FromStr>(text: &str) -> N
where
    N::Err: std::fmt::Debug,
{
    text.parse().expect("the names of the benchmark are valid")
}
