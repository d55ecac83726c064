//! `[[slo]]`: promises, their tiers, and the deadlines they set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::calendar::Calendars;
use super::duration::{bounded, show};
use super::probe::{Known, ReadProbe, is_read_by};
use super::problems::At;
use super::section::{Keys, Node, Reading, Section, number};
use super::{ProbeKind, Slo, zone};
use crate::incident::Severity;
use crate::model::{EntityId, FieldName, FlowId, Number, SystemId};
use crate::slo::{Calendar, Indicator, Objective, Period, Promise, Tier, Window, counted_minutes, default_tiers};

pub(super) const KEYS: Keys = Keys {
    section: "[[slo]]",
    names: &[
        "for_each",
        "name",
        "entity",
        "flow",
        "owner",
        "target",
        "fields",
        "system",
        "queue",
        "indicator",
        "within",
        "at_most",
        "objective",
        "window",
        "time_zone",
        "calendar",
        "tiers",
        "least_bad",
        "overdue_floor",
        "coverage_floor",
    ],
    not_yet: &[],
};

pub(super) const TIER_KEYS: Keys =
    Keys { section: "tiers = [{ … }]", names: &["severity", "factor", "budget", "long", "short"], not_yet: &[] };

/// Fewer bad events than this fire no tier, unless the config says otherwise.
const LEAST_BAD: u64 = 3;
/// With less of the first tier's long window seen there is no data, unless the config says otherwise.
const COVERAGE_FLOOR: f64 = 0.5;

/// What an SLO is read against.
pub(super) struct Against<'k> {
    pub known: &'k Known<'k>,
    pub systems: &'k [&'k str],
    pub calendars: &'k Calendars,
}

/// An SLO as read, with the place that later checks point at.
pub(super) struct ReadSlo {
    pub slo: Slo,
    pub at: At,
}

pub(super) fn read(section: &Section<'_>, against: &Against<'_>) -> Option<ReadSlo> {
    let name = section.need("name").and_then(Node::parsed::<EntityId>).map(|name| name.to_string());
    let indicator = indicator(section);
    let objective = section.need("objective").and_then(objective);
    let window = window(section);
    let calendar = section.get("calendar").map(|node| calendar(node, against.calendars));
    check_length(section, indicator, window);
    let tiers = match (objective, window, &calendar) {
        (Some(objective), Some(window), None) => tiers(section, objective, counted_minutes(window, None)),
        (Some(objective), Some(window), Some(Some(calendar))) => {
            tiers(section, objective, counted_minutes(window, Some(calendar)))
        }
        _ => None,
    };
    let least_bad = section.get("least_bad").map_or(Some(LEAST_BAD), |node| node.within(1, 1_000_000));
    let overdue_floor = overdue_floor(section, indicator, least_bad);
    let coverage_floor = section.get("coverage_floor").map_or(Some(COVERAGE_FLOOR), share_or_none);
    let queue = match indicator {
        Some(Indicator::QueueAge(_) | Indicator::QueueDepth(_)) => Some(Some(queue(section, against.systems)?)),
        Some(_) => {
            section.refuse(&["system", "queue"], "is for the indicators `queue_age` and `queue_depth`");
            Some(None)
        }
        None => None,
    }?;
    let flows = match queue {
        Some(_) => Vec::new(),
        None => select(section, against.known, against.systems)?,
    };
    let (flows, fields) = of_fields(section, indicator, flows, against.known)?;
    let promise = Promise {
        name: name?,
        indicator: indicator?,
        objective: objective?,
        window: window?,
        tiers: tiers?,
        least_bad: least_bad?,
        overdue_floor: overdue_floor?,
        coverage_floor: coverage_floor?,
        calendar: calendar.map_or(Some(None), |calendar| calendar.map(Some))?,
    };
    let slo = Slo { promise, flows, fields, queue };
    Some(ReadSlo { slo, at: section.at })
}

const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// The word under `indicator`.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Freshness,
    Agreement,
    Completeness,
    TotalsVariance,
    QueueAge,
    QueueDepth,
    ProbeAvailability,
}

const KINDS: [(&str, Kind); 7] = [
    ("freshness", Kind::Freshness),
    ("agreement", Kind::Agreement),
    ("completeness", Kind::Completeness),
    ("totals_variance", Kind::TotalsVariance),
    ("queue_age", Kind::QueueAge),
    ("queue_depth", Kind::QueueDepth),
    ("probe_availability", Kind::ProbeAvailability),
];

fn indicator(section: &Section<'_>) -> Option<Indicator> {
    let kind = section.get("indicator").map_or(Some(Kind::Freshness), |node| node.choice(&KINDS))?;
    if !matches!(kind, Kind::Freshness | Kind::QueueAge) {
        section.refuse(&["within"], "is for the indicators `freshness` and `queue_age`");
    }
    if kind != Kind::QueueDepth {
        section.refuse(&["at_most"], "is for the indicator `queue_depth`");
    }
    let within = || section.need("within").and_then(|node| bounded(node, Duration::from_secs(1), MONTH));
    match kind {
        Kind::Freshness => within().map(Indicator::Freshness),
        Kind::QueueAge => within().map(Indicator::QueueAge),
        Kind::QueueDepth => {
            section.need("at_most").and_then(|node| node.within(0, u64::MAX)).map(Indicator::QueueDepth)
        }
        Kind::Agreement => Some(Indicator::Agreement),
        Kind::Completeness => Some(Indicator::Completeness),
        Kind::TotalsVariance => Some(Indicator::TotalsVariance),
        Kind::ProbeAvailability => Some(Indicator::ProbeAvailability),
    }
}

/// `"99.5%"` or `0.995`, above 0 and below 1.
fn objective(node: Node<'_>) -> Option<Objective> {
    let share = share(node).and_then(|share| Objective::new(share.to_f64_lossy()));
    share.or_else(|| node.refuse("the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"))
}

/// `"99.5%"` or `0.995`.
fn share(node: Node<'_>) -> Option<Number> {
    let percent = node.value.get_ref().as_str().and_then(|text| text.strip_suffix('%'));
    match percent {
        Some(percent) => percent.trim().parse::<Number>().ok().map(|percent| percent.shifted(-2)),
        None => number(node),
    }
}

/// A share from 0 to 1, both allowed.
fn share_or_none(node: Node<'_>) -> Option<f64> {
    let share = share(node).map(|share| share.to_f64_lossy()).filter(|share| (0.0..=1.0).contains(share));
    share.or_else(|| node.refuse("must be a share from 0 to 1, such as `\"50%\"`"))
}

/// `30d`, or a calendar period in a time zone.
fn window(section: &Section<'_>) -> Option<Window> {
    let node = section.need("window")?;
    let zone = section.get("time_zone").map(zone::read);
    let word = node.value.get_ref().as_str().unwrap_or_default();
    if let Some((_, period)) = Period::ALL.iter().find(|(name, _)| *name == word) {
        return Some(Window::Calendar(*period, zone.unwrap_or(Some(Tz::UTC))?));
    }
    if let (Some(node), Some(Some(_))) = (section.get("time_zone"), zone) {
        section.reading.problem(node.at(), "`time_zone` is for a window that is a calendar period, such as `month`");
    }
    bounded(node, Duration::from_secs(60), Duration::from_secs(366 * 86_400)).map(Window::Rolling)
}

fn check_length(section: &Section<'_>, indicator: Option<Indicator>, window: Option<Window>) {
    if let (Some(Indicator::Freshness(within)), Some(Window::Rolling(length)), Some(node)) =
        (indicator, window, section.get("window"))
        && length <= within
    {
        section.reading.problem(node.at(), format!("the window must be longer than `within` (`{}`)", show(within)));
    }
}

fn calendar(node: Node<'_>, calendars: &Calendars) -> Option<Arc<Calendar>> {
    let name = node.text()?;
    match calendars.get(name) {
        Some(calendar) => calendar.clone(),
        None => {
            node.reading.unknown(node.at(), name, "a calendar", calendars.keys().map(String::as_str));
            None
        }
    }
}

/// As many keys may be overdue as there may be bad events without a tier firing.
fn overdue_floor(section: &Section<'_>, indicator: Option<Indicator>, least_bad: Option<u64>) -> Option<u64> {
    let Some(node) = section.get("overdue_floor") else { return Some(least_bad?.saturating_sub(1)) };
    if indicator.is_some_and(|indicator| !indicator.has_overdue()) {
        return node.refuse("is for the indicator `freshness`");
    }
    node.within(0, 1_000_000_000)
}

/// The tiers that are written, or the usual ones.
fn tiers(section: &Section<'_>, objective: Objective, window: i64) -> Option<Vec<Tier>> {
    let Some(node) = section.get("tiers") else {
        let tiers = default_tiers(objective, window);
        if tiers.is_empty() {
            let message = "none of the usual tiers can fire at this objective; write `tiers`";
            section.reading.problem(section.at, message);
            return None;
        }
        return Some(tiers);
    };
    let nodes = node.list()?;
    if nodes.is_empty() {
        return node.refuse("must not be empty: nobody would be told of a breach");
    }
    let count = nodes.len();
    let tiers: Vec<Tier> = nodes.into_iter().filter_map(|node| tier(node, objective, window)).collect();
    (tiers.len() == count).then_some(tiers)
}

fn tier(node: Node<'_>, objective: Objective, window: i64) -> Option<Tier> {
    let section = node.section(&TIER_KEYS)?;
    let severities = [("page", Severity::Page), ("ticket", Severity::Ticket)];
    let severity = section.need("severity").and_then(|node| node.choice(&severities));
    let minutes = |key| {
        let duration = section.need(key).and_then(|node| bounded(node, Duration::from_secs(60), MONTH))?;
        i64::try_from(duration.as_secs().div_ceil(60)).ok()
    };
    let (long, short) = (minutes("long"), minutes("short"));
    let (key, size) = section.exactly_one(&["factor", "budget"])?;
    let size_of = |node: Node<'_>| match share(node).map(|share| share.to_f64_lossy()) {
        Some(size) if size > 0.0 && size.is_finite() => Some(size),
        _ => node.refuse("must be a number above 0, such as `14.4` or `\"2%\"`"),
    };
    let size_value = size_of(size);
    let (severity, long, short, size_value) = (severity?, long?, short?, size_value?);
    let tier = match key {
        "budget" => Tier::of_share(severity, size_value, window, long, short),
        _ => Tier { severity, factor: size_value, long, short },
    };
    match tier.check(objective, window) {
        Ok(()) => Some(tier),
        Err(refused) => {
            node.reading.problem(node.at(), format!("the tier {refused}"));
            None
        }
    }
}

/// The queue that a promise is about.
fn queue(section: &Section<'_>, systems: &[&str]) -> Option<(SystemId, String)> {
    section.refuse(&["entity", "flow", "owner", "target"], "is not for a queue: name it with `system` and `queue`");
    let system = section.need("system").and_then(|node| {
        let name = node.text()?;
        if !systems.contains(&name) {
            node.reading.unknown(node.at(), name, "a system", systems.iter().copied());
            return None;
        }
        name.parse().ok()
    });
    let queue = section.need("queue").and_then(Node::name).map(str::to_owned);
    Some((system?, queue?))
}

/// The flows that all given selectors allow.
fn select(section: &Section<'_>, known: &Known<'_>, systems: &[&str]) -> Option<Vec<FlowId>> {
    let before = section.reading.count();
    let entity = section.get("entity").and_then(|node| known.entity(node));
    let system = |key| {
        let node: Node<'_> = section.get(key)?;
        let name = node.text()?;
        if !systems.contains(&name) {
            node.reading.unknown(node.at(), name, "a system", systems.iter().copied());
        }
        Some(name)
    };
    let (owner, target) = (system("owner"), system("target"));
    let flow = section.optional::<String>("flow");
    if section.reading.count() > before {
        return None;
    }
    let matches = |id: &&FlowId| {
        entity.as_ref().is_none_or(|entity| id.entity == *entity)
            && owner.is_none_or(|owner| id.owner.as_str() == owner)
            && target.is_none_or(|target| id.target.as_str() == target)
            && flow.as_ref().is_none_or(|flow| id.to_string() == *flow)
    };
    let found: Vec<FlowId> = known.flows.iter().map(|flow| &flow.id).filter(matches).cloned().collect();
    if found.is_empty() && known.is_complete {
        refuse_empty(section, known, flow.as_deref());
        return None;
    }
    Some(found)
}

/// The fields that it is about, and the flows that carry one of them.
fn of_fields(
    section: &Section<'_>,
    indicator: Option<Indicator>,
    flows: Vec<FlowId>,
    known: &Known<'_>,
) -> Option<(Vec<FlowId>, Vec<FieldName>)> {
    let Some(node) = section.get("fields") else { return Some((flows, Vec::new())) };
    if !matches!(indicator, Some(Indicator::Freshness(_) | Indicator::Agreement) | None) {
        return node.refuse("is for the indicators `freshness` and `agreement`");
    }
    let carried =
        |flow: &FlowId| known.flows.iter().find(|known| known.id == *flow).map_or(&[][..], |flow| &flow.fields);
    let all: BTreeSet<&FieldName> = flows.iter().flat_map(carried).map(|field| &field.name).collect();
    let (mut fields, nodes) = (Vec::new(), node.one_or_many());
    for node in &nodes {
        let name = node.text()?;
        match all.iter().find(|field| field.as_str() == name) {
            Some(field) => fields.push((*field).clone()),
            None if known.is_complete => {
                node.reading.unknown(
                    node.at(),
                    name,
                    "a field that the selected flows carry",
                    all.iter().map(|field| field.as_str()),
                );
            }
            None => {}
        }
    }
    if nodes.is_empty() {
        return node.refuse("must not be empty: a promise about nothing would always be kept");
    }
    let has_one = |flow: &FlowId| carried(flow).iter().any(|field| fields.contains(&field.name));
    let flows = flows.iter().filter(|flow| has_one(flow)).cloned().collect();
    (fields.len() == nodes.len()).then_some((flows, fields))
}

fn refuse_empty(section: &Section<'_>, known: &Known<'_>, flow: Option<&str>) {
    let names: Vec<String> = known.flows.iter().map(|flow| flow.id.to_string()).collect();
    let names = names.iter().map(String::as_str);
    match section.get("flow").zip(flow) {
        Some((node, flow)) => {
            section.reading.unknown(node.at(), flow, "a flow that the other selectors allow", names);
        }
        None if !section.reading.is_toml() => {}
        None => section.reading.problem_with_hint(
            section.at,
            "no flow matches the selectors; a promise about nothing would always be kept",
            format!("flows: {}", super::problems::quoted(names)),
        ),
    }
}

/// Reports a name that is used twice.
pub(super) fn refuse_twice(sections: &[Section<'_>]) {
    let mut seen: Vec<&str> = Vec::new();
    for node in sections.iter().filter_map(|section| section.get("name")) {
        let Some(name) = node.value.get_ref().as_str() else { continue };
        if seen.contains(&name) {
            node.reading.problem(node.at(), format!("`{name}` is the name of another SLO"));
        }
        seen.push(name);
    }
}

/// The tightest promise about each flow.
pub(super) fn tightest<'s>(slos: impl IntoIterator<Item = &'s Slo>) -> BTreeMap<FlowId, Duration> {
    let mut promises: BTreeMap<FlowId, Duration> = BTreeMap::new();
    for slo in slos {
        let Some(within) = slo.within() else { continue };
        for flow in &slo.flows {
            promises.entry(flow.clone()).and_modify(|known| *known = within.min(*known)).or_insert(within);
        }
    }
    promises
}

/// Warns about promises that nothing measures: what nobody looks at has no data.
pub(super) fn check_probes(reading: &Reading<'_>, read: &ReadSlo, probes: &[ReadProbe]) {
    let (what, measures): (_, fn(ProbeKind) -> bool) = match read.slo.promise.indicator {
        Indicator::Agreement | Indicator::Completeness => {
            ("no sample probe and no sweep", |kind| matches!(kind, ProbeKind::Sample(_) | ProbeKind::Sweep(_)))
        }
        Indicator::TotalsVariance => ("no totals probe", |kind| matches!(kind, ProbeKind::Totals(_))),
        Indicator::Freshness(_) | Indicator::QueueAge(_) | Indicator::QueueDepth(_) | Indicator::ProbeAvailability => {
            return;
        }
    };
    let is_read = |flow: &FlowId| {
        let mut probes = probes.iter().map(|read| &read.probe);
        probes.any(|probe| measures(probe.kind) && is_read_by(flow, probe))
    };
    for flow in read.slo.flows.iter().filter(|flow| !is_read(flow)) {
        let message = format!("{what} measures the promise `{}` for `{flow}`", read.slo.name());
        reading.warning(read.at, message);
    }
}
