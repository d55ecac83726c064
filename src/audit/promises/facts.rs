//! Facts on their way from ledger and state into the minutes of promises.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::watched::Floor;
use super::{AGAIN, Held, OVERLAP, Parts, Watched};
use crate::config::Config;
use crate::ledger::promises::{
    Covered, DecidedChanges, DecidedSamples, EndedRuns, OpenInFields, OverdueMinutes, QueueSamples, Span,
};
use crate::ledger::{Ledger, LedgerError};
use crate::model::Moment;
use crate::slo::{Blind, Counts, Indicator, Maintenance, Minute};
use crate::state::{FlowInFlight, StateError, StateStore};

/// Why facts could not be read.
pub type FactsError = LedgerError;

/// The overdue gauge of the last minutes, which the ledger does not have yet.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    minutes: BTreeMap<Minute, HashMap<String, Gauge>>,
}

/// The worst of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gauge {
    pub overdue: u64,
    /// How far the oldest is past its deadline.
    pub oldest: Duration,
}

impl Gauge {
    fn raise(&mut self, other: Self) {
        self.overdue = self.overdue.max(other.overdue);
        self.oldest = self.oldest.max(other.oldest);
    }
}

impl Gauges {
    /// Takes in the present figures; flows without keys in flight have none overdue.
    pub fn note(&mut self, minute: Minute, now: Moment, flows: &[FlowInFlight]) {
        let known = self.minutes.entry(minute).or_default();
        for flow in flows {
            let oldest = flow.oldest_overdue_at.map_or(Duration::ZERO, |oldest| now.since(oldest));
            known.entry(flow.flow.clone()).or_default().raise(Gauge { overdue: flow.overdue, oldest });
        }
        self.minutes = self.minutes.split_off(&minute.plus(-2 * OVERLAP));
    }

    /// Takes in the present figures of promises about some fields: what the ledger knows to be open in them.
    pub async fn note_fields(&mut self, minute: Minute, parts: &Parts, watched: &[Watched]) -> Result<(), LedgerError> {
        let now = parts.clock.now();
        let mut of_fields: BTreeMap<&[String], Vec<OpenInFields>> = BTreeMap::new();
        for one in watched.iter().filter(|one| !one.fields.is_empty() && one.promise.indicator.has_overdue()) {
            let (Some(name), Some(flow)) = (one.gauge(), &one.flow) else { continue };
            // However many promises are about the same fields, the ledger is asked once.
            if !of_fields.contains_key(&*one.fields) {
                of_fields.insert(&one.fields, parts.ledger.open_in_fields(&one.fields).await?);
            }
            let open = &of_fields[&*one.fields];
            let (entity, owner, target) = one.place();
            let is_ours = |row: &&OpenInFields| (&*row.entity, &*row.owner, &*row.target) == (entity, owner, target);
            let found = open.iter().find(is_ours).map_or_else(Gauge::default, |row| Gauge {
                overdue: row.open,
                oldest: now.since(Moment::from_micros(row.since)).saturating_sub(flow.deadline),
            });
            self.minutes.entry(minute).or_default().entry(name).or_default().raise(found);
        }
        Ok(())
    }

    /// The worst of a minute; `None` when nobody looked. A flow that state does not name has nothing overdue; of single
    /// fields that is known only where the ledger has said so.
    pub fn of(&self, minute: Minute, name: &str) -> Option<Gauge> {
        let known = self.minutes.get(&minute)?;
        known.get(name).copied().or_else(|| (!is_of_fields(name)).then(Gauge::default))
    }

    /// The last figure of a flow.
    pub fn last(&self, flow: &str) -> Gauge {
        self.minutes.last_key_value().and_then(|(minute, _)| self.of(*minute, flow)).unwrap_or_default()
    }

    pub fn apply(&self, watched: &mut [Watched]) {
        for one in watched {
            let Some(name) = one.gauge().filter(|_| one.promise.indicator.has_overdue()) else { continue };
            for minute in self.minutes.keys() {
                if let Some(gauge) = self.of(*minute, &name) {
                    one.series.overdue(*minute, gauge.overdue);
                }
            }
        }
    }
}

/// Gauges of promises about some fields are named after their flow and the promise.
fn is_of_fields(name: &str) -> bool {
    name.ends_with(')')
}

/// Entity, owner and target; of a queue nothing, its system and its name.
type Place = (String, String, String);

/// Which of the watched are about a place.
struct Places(HashMap<Place, Vec<usize>>);

impl Places {
    fn of(watched: &[Watched]) -> Self {
        let mut places: HashMap<Place, Vec<usize>> = HashMap::new();
        for (index, one) in watched.iter().enumerate() {
            let (entity, owner, target) = one.place();
            places.entry((entity.to_owned(), owner.to_owned(), target.to_owned())).or_default().push(index);
        }
        Self(places)
    }

    /// Gives the facts of a place to everything that is about it.
    fn each(
        &self,
        watched: &mut [Watched],
        (entity, owner, target): (&str, &str, &str),
        mut take: impl FnMut(&mut Watched),
    ) {
        let place = (entity.to_owned(), owner.to_owned(), target.to_owned());
        for index in self.0.get(&place).into_iter().flatten() {
            take(&mut watched[*index]);
        }
    }
}

/// Reads what is new, or everything: at first, once an hour, and after the ledger was away.
pub(super) async fn read(
    parts: &Parts,
    watched: &mut [Watched],
    held: &mut Held,
    now: Minute,
) -> Result<(), FactsError> {
    let spooled = parts.spool.status().oldest_age.as_secs() / 60;
    let passed = (now.0 - held.read_at.0).max(0);
    let overlap = OVERLAP + passed + i64::try_from(spooled).unwrap_or(i64::MAX / 4);
    let is_known = held.read_all.is_some_and(|read| now.0 - read.0 < AGAIN);
    if is_known && overlap < AGAIN {
        let from = now.plus(-overlap);
        let facts = Facts::read(&parts.ledger, watched, from, now.plus(2), 1).await?;
        watched.iter_mut().for_each(|one| one.series.forget_from(from));
        facts.tell(watched);
        held.read_at = now;
        return Ok(());
    }
    read_all(&parts.ledger, watched, now, Some(held.since)).await?;
    (held.read_all, held.read_at) = (Some(now), now);
    Ok(())
}

/// Reads everything that promises look back to. `begin`: from then on somebody should have looked.
pub(super) async fn read_all(
    ledger: &Ledger,
    watched: &mut [Watched],
    now: Minute,
    begin: Option<Minute>,
) -> Result<(), FactsError> {
    watched.iter_mut().for_each(|one| one.reset(now));
    let oldest = watched.iter().map(|one| one.series.reaches_back_to(now)).min().unwrap_or(now);
    let recent = watched.iter().map(|one| one.series.first_single()).min().unwrap_or(now);
    let old = Facts::read(ledger, watched, oldest, recent, 15).await?;
    let new = Facts::read(ledger, watched, recent, now.plus(2), 1).await?;
    old.tell(watched);
    new.tell(watched);
    if let Some(begin) = begin {
        watched.iter_mut().filter(|one| one.series.began().is_none()).for_each(|one| one.series.begin(begin));
    }
    Ok(())
}

/// The deepest and the oldest that a queue may be.
type Allowed = (u64, Duration);

fn allowed(indicator: Indicator) -> Option<Allowed> {
    match indicator {
        Indicator::QueueAge(within) => Some((u64::MAX, within)),
        Indicator::QueueDepth(at_most) => Some((at_most, Duration::from_secs(u64::MAX / 1_000_000))),
        Indicator::Freshness(_)
        | Indicator::Agreement
        | Indicator::Completeness
        | Indicator::TotalsVariance
        | Indicator::ProbeAvailability => None,
    }
}

/// What the ledger says of a span.
struct Facts {
    changes: Vec<DecidedChanges>,
    covered: Vec<Covered>,
    samples: Vec<DecidedSamples>,
    /// Of the fields that some promises are about: changes and sampled keys, as seen by these alone.
    of_fields: Vec<(Vec<String>, Vec<DecidedChanges>, Vec<DecidedSamples>)>,
    /// By floor; of a promise about some fields as that one told it.
    overdue: Vec<(Floor, Vec<OverdueMinutes>)>,
    totals: Vec<DecidedChanges>,
    /// By what promises allow a queue.
    queues: BTreeMap<Allowed, Vec<QueueSamples>>,
    runs: Vec<EndedRuns>,
}

impl Facts {
    async fn read(
        ledger: &Ledger,
        watched: &[Watched],
        from: Minute,
        to: Minute,
        minutes: u32,
    ) -> Result<Self, FactsError> {
        let span = Span { since: from.start(), until: to.start(), minutes };
        let measures = |indicator: fn(Indicator) -> bool| watched.iter().any(|one| indicator(one.promise.indicator));
        let is_fresh = |one: &&Watched| one.promise.indicator.has_overdue();
        let floors: BTreeSet<Floor> = watched.iter().filter(is_fresh).map(Watched::floor).collect();
        let field_sets: BTreeSet<&Vec<String>> =
            watched.iter().map(|one| &one.fields).filter(|fields| !fields.is_empty()).collect();
        let mut facts = Self {
            changes: ledger.decided_changes(span).await?,
            covered: ledger.covered(span).await?,
            samples: Vec::new(),
            of_fields: Vec::new(),
            overdue: Vec::new(),
            totals: Vec::new(),
            queues: BTreeMap::new(),
            runs: Vec::new(),
        };
        if measures(|indicator| matches!(indicator, Indicator::Agreement | Indicator::Completeness)) {
            facts.samples = ledger.decided_samples(span).await?;
        }
        if measures(|indicator| indicator == Indicator::TotalsVariance) {
            facts.totals = ledger.decided_totals(span).await?;
        }
        for fields in field_sets {
            let changes = ledger.decided_changes_of(span, fields).await?;
            facts.of_fields.push((fields.clone(), changes, ledger.decided_samples_of(span, fields).await?));
        }
        for (floor, slo) in floors {
            let rows = ledger.overdue_minutes(span, floor, slo.as_deref()).await?;
            facts.overdue.push(((floor, slo), rows));
        }
        if measures(|indicator| indicator == Indicator::ProbeAvailability) {
            facts.runs = ledger.ended_runs(span).await?;
        }
        let allowed: BTreeSet<Allowed> = watched.iter().filter_map(|one| allowed(one.promise.indicator)).collect();
        for (deepest, oldest) in allowed {
            let rows = ledger.queue_samples(span, deepest, oldest).await?;
            facts.queues.insert((deepest, oldest), rows);
        }
        Ok(facts)
    }

    fn tell(&self, watched: &mut [Watched]) {
        let places = Places::of(watched);
        tell_events(&places, watched, &[], &self.changes, &self.samples);
        for (fields, changes, samples) in &self.of_fields {
            tell_events(&places, watched, fields, changes, samples);
        }
        for row in &self.totals {
            places.each(watched, (&row.entity, &row.owner, &row.target), |one| {
                if one.promise.indicator == Indicator::TotalsVariance {
                    let counts = Counts { good: row.good, bad: row.bad, unknown: row.undecided };
                    one.series.add(Minute::of_seconds(row.at), counts);
                }
            });
        }
        self.covered.iter().for_each(|row| tell_covered(&places, watched, row));
        for (floor, rows) in &self.overdue {
            for row in rows {
                places.each(watched, (&row.entity, &row.owner, &row.target), |one| {
                    if one.promise.indicator.has_overdue() && one.floor() == *floor {
                        one.series.gauge(Minute::of_seconds(row.at), row.fine, row.bad);
                    }
                });
            }
        }
        for one in watched.iter_mut() {
            let rows = allowed(one.promise.indicator).and_then(|allowed| self.queues.get(&allowed));
            let (Some(rows), Some((system, queue))) = (rows, one.queue.clone()) else { continue };
            for row in rows.iter().filter(|row| row.system == system.as_str() && row.queue == queue) {
                let at = Minute::of_seconds(row.at);
                one.series.add(at, Counts { good: row.samples - row.bad, bad: row.bad, unknown: 0 });
                one.series.cover(at, at.plus(QUEUE_LASTS), None);
            }
        }
        for row in &self.runs {
            for one in watched.iter_mut().filter(|one| one.promise.indicator == Indicator::ProbeAvailability) {
                let (entity, owner, _) = one.place();
                if (entity, owner) == (row.entity.as_str(), row.owner.as_str()) {
                    let at = Minute::of_seconds(row.at);
                    one.series.add(at, Counts { good: row.good, bad: row.bad, unknown: 0 });
                    one.series.cover(at, at.plus(one.lasts), None);
                }
            }
        }
    }
}

/// Gives changes and sampled keys to the promises about these fields.
fn tell_events(
    places: &Places,
    watched: &mut [Watched],
    fields: &[String],
    changes: &[DecidedChanges],
    samples: &[DecidedSamples],
) {
    for row in changes {
        places.each(watched, (&row.entity, &row.owner, &row.target), |one| {
            if one.fields == fields && one.promise.indicator.has_overdue() {
                let counts = Counts { good: row.good, bad: row.bad, unknown: row.undecided };
                one.series.add(Minute::of_seconds(row.at), counts);
            }
        });
    }
    for row in samples {
        places.each(watched, (&row.entity, &row.owner, &row.target), |one| {
            if one.fields == fields {
                tell_samples(one, row);
            }
        });
    }
}

/// A sample of a queue vouches for so many minutes.
const QUEUE_LASTS: i64 = 5;

fn tell_covered(places: &Places, watched: &mut [Watched], row: &Covered) {
    let unread = row.expected.saturating_sub(row.decided);
    let blind = if row.decided == 0 { Blind::parse(&row.blind) } else { None };
    let (from, to) = (Minute::of_seconds(row.from), Minute::of_seconds(row.to).plus(1));
    places.each(watched, (&row.entity, &row.owner, &row.target), |one| match one.promise.indicator {
        Indicator::Freshness(_) if row.probe == "changes" => {
            one.series.cover(from, to, blind);
            // What was planned and could not be decided; it is looked at again until it is.
            one.series.add(to.plus(-1), Counts { unknown: unread, ..Counts::default() });
        }
        Indicator::TotalsVariance if row.probe == "totals" => {
            one.series.cover(from, to.plus(if blind.is_some() { 0 } else { one.lasts }), blind);
        }
        Indicator::Agreement | Indicator::Completeness if matches!(row.probe.as_str(), "sample" | "sweep") => {
            one.series.cover(from, to.plus(if blind.is_some() { 0 } else { one.lasts }), blind);
            if blind.is_some() {
                one.series.add(to.plus(-1), Counts { unknown: unread, ..Counts::default() });
            }
        }
        _ => {}
    });
}

fn tell_samples(one: &mut Watched, row: &DecidedSamples) {
    let counts = match one.promise.indicator {
        // The target's own frame finds what the owner lacks, and nothing else.
        Indicator::Agreement if row.frame != "target" => Counts { good: row.good, bad: row.bad, unknown: row.unknown },
        Indicator::Agreement => Counts { bad: row.bad, ..Counts::default() },
        Indicator::Completeness if row.frame != "target" => {
            Counts { good: row.good + row.bad - row.missing, bad: row.missing, unknown: row.unknown }
        }
        _ => return,
    };
    one.series.add(Minute::of_seconds(row.at), counts);
}

/// Maintenance of the config and of state, as far as any promise looks back.
pub(super) async fn maintenance(
    parts: &Parts,
    watched: &[Watched],
    now: Minute,
) -> Result<Vec<Maintenance>, StateError> {
    let since = watched.iter().map(|one| one.series.reaches_back_to(now)).min().unwrap_or(now);
    all_maintenance(&parts.config, Some(&parts.state), since).await
}

/// Maintenance that the config plans, and what people have said of it to state since then.
///
/// # Errors
/// When state does not answer.
pub async fn all_maintenance(
    config: &Config,
    state: Option<&StateStore>,
    since: Minute,
) -> Result<Vec<Maintenance>, StateError> {
    let mut all = config.maintenance.clone();
    let Some(state) = state else { return Ok(all) };
    let said = state.maintenance(since.start()).await?;
    all.extend(said.into_iter().map(|work| Maintenance {
        reason: work.reason,
        from: Minute::of(work.from),
        to: Minute::of(work.to),
        systems: work.systems,
    }));
    Ok(all)
}
