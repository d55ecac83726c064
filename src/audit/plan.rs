//! From checked config to units: which entity, which owner, which flows, on which schedule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::compare::tolerances;
use crate::config::{Config, Entity, Probe, ProbeKind, Schedule, SweepSettings, SystemKind};
use crate::connect::{Reader, Translated};
use crate::model::digest::digest;
use crate::model::{EntityId, Flow, Mapping, Moment, SystemId, Value};

use super::key_store::Indexes;
use super::schema::Reading;
use super::timing::{Pace, interval_of};
use super::unit::{SampleParts, SchemaLook, SchemaParts, SideParts, SweepParts, TotalsParts, UnitFlow, UnitParts};

/// Readers by system.
pub type Readers = BTreeMap<SystemId, Arc<dyn Reader>>;

/// Without `pg_stat_activity` and without a declared `commit_delay`, a PostgreSQL row that is older than this is
/// taken to have been committed: no transaction is expected to stay open for longer.
const LONGEST_TRANSACTION: Duration = Duration::from_secs(3_600);

/// The units of all probes, in config order: the changes and the sample probe of one entity and owner are one unit.
pub fn units(config: &Config, readers: &Readers, indexes: &Indexes, now: Moment) -> Vec<Arc<UnitParts>> {
    let mut owners: Vec<(&EntityId, &SystemId)> = Vec::new();
    for probe in &config.probes {
        // A schema probe concerns every flow of its entity, and so all owners.
        let of_probe = config.flows.iter().map(|flow| &flow.id).filter(|flow| is_of(probe, &flow.entity, &flow.owner));
        for flow in of_probe {
            if !owners.contains(&(&flow.entity, &flow.owner)) {
                owners.push((&flow.entity, &flow.owner));
            }
        }
    }
    let probes = |entity: &EntityId, owner: &SystemId| {
        let find = |wanted: fn(ProbeKind) -> bool| {
            config.probes.iter().find(|probe| is_of(probe, entity, owner) && wanted(probe.kind))
        };
        Probes {
            changes: find(|kind| kind == ProbeKind::Changes),
            sample: find(|kind| matches!(kind, ProbeKind::Sample(_))),
            schema: find(|kind| kind == ProbeKind::Schema),
            sweep: find(|kind| matches!(kind, ProbeKind::Sweep(_))),
            totals: find(|kind| matches!(kind, ProbeKind::Totals(_))),
        }
    };
    let sources = Sources { config, readers, indexes };
    let unit = |(entity, owner)| unit(sources, (entity, owner), probes(entity, owner), now);
    let mut units: Vec<UnitParts> = owners.into_iter().filter_map(unit).collect();
    tell_once(&mut units);
    units.into_iter().map(Arc::new).collect()
}

/// Where several units of an entity look at one system, the first of them tells what has changed there.
fn tell_once(units: &mut [UnitParts]) {
    let mut told: Vec<(EntityId, SystemId)> = Vec::new();
    for unit in units {
        let entity = unit.entity.clone();
        let Some(schema) = &mut unit.schema else { continue };
        schema.tells.retain(|system| !told.contains(&(entity.clone(), system.clone())));
        told.extend(schema.tells.iter().map(|system| (entity.clone(), system.clone())));
    }
}

fn is_of(probe: &Probe, entity: &EntityId, owner: &SystemId) -> bool {
    probe.entity == *entity && (probe.owner == *owner || probe.kind == ProbeKind::Schema)
}

/// A unit for an entity and owner without a probe of its own, for a single look.
pub fn units_of(
    config: &Config,
    readers: &Readers,
    indexes: &Indexes,
    entity: &EntityId,
    now: Moment,
) -> Vec<Arc<UnitParts>> {
    let sources = Sources { config, readers, indexes };
    let mut owners: Vec<&SystemId> = Vec::new();
    for flow in config.flows.iter().filter(|flow| flow.id.entity == *entity) {
        if !owners.contains(&&flow.id.owner) {
            owners.push(&flow.id.owner);
        }
    }
    let probe = |owner: &SystemId| Probe {
        entity: entity.clone(),
        owner: owner.clone(),
        kind: ProbeKind::Changes,
        schedule: Schedule::Every(Duration::from_secs(1)),
    };
    let unit = |owner: &SystemId| {
        let probe = probe(owner);
        unit(sources, (entity, owner), Probes { changes: Some(&probe), ..Probes::default() }, now)
    };
    owners.into_iter().filter_map(unit).map(Arc::new).collect()
}

/// What units are made from.
#[derive(Clone, Copy)]
struct Sources<'s> {
    config: &'s Config,
    readers: &'s Readers,
    indexes: &'s Indexes,
}

/// The probes of one unit.
#[derive(Clone, Copy, Default)]
struct Probes<'p> {
    changes: Option<&'p Probe>,
    sample: Option<&'p Probe>,
    schema: Option<&'p Probe>,
    sweep: Option<&'p Probe>,
    totals: Option<&'p Probe>,
}

/// How often a unit without a changes probe looks at least at keys in flight.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

fn unit(
    sources: Sources<'_>,
    (entity_id, owner): (&EntityId, &SystemId),
    probes: Probes<'_>,
    now: Moment,
) -> Option<UnitParts> {
    let config = sources.config;
    let entity = config.entities.get(entity_id)?;
    let first = probes.changes.or(probes.sample).or(probes.schema).or(probes.sweep).or(probes.totals)?;
    let interval = interval_of(&first.schedule, now);
    let pace = if probes.changes.is_some() { interval } else { interval.min(LOOK_AGAIN) };
    let of_unit = |flow: &&Arc<Flow>| flow.id.entity == *entity_id && flow.id.owner == *owner;
    let flows = config.flows.iter().filter(of_unit).map(|flow| unit_flow(sources, entity, flow, pace));
    let flows = flows.collect::<Option<Vec<_>>>().filter(|flows| !flows.is_empty())?;
    let tightest = flows.iter().map(|flow| flow.flow.deadline).min()?;
    // Leases and state know the unit by this name, whatever probes it has.
    let name = format!("changes/{entity_id}/{owner}");
    let spread = digest([&Value::from(name.as_str())]).0 as u64;
    let span = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
    let rows_of = |system: &SystemId| Some(config.systems.get(system)?.budget.rows_per_run);
    let most = flows.iter().map(|flow| &flow.target.system).chain([owner]).filter_map(rows_of).min();
    let sample = probes.sample.and_then(|probe| sample(probe, most?));
    let sweep = probes.sweep.and_then(|probe| sweep(probe, config.plumbline.lease));
    let owner_side = side(sources, entity, owner, tightest)?;
    let totals = probes.totals.and_then(|probe| totals(probe, &owner_side, &flows));
    let schema = probes.schema.map(|probe| schema(sources.readers, probe, &owner_side, &flows));
    Some(UnitParts {
        jitter: Duration::from_micros(spread % span),
        name,
        entity: entity_id.clone(),
        fields: entity.fields.clone(),
        key: entity.key.clone(),
        owner: owner_side,
        flows,
        changes: probes.changes.map(|probe| probe.schedule.clone()),
        sample,
        schema,
        sweep,
        totals,
        rows_per_run: rows_of(owner)?,
    })
}

fn sample(probe: &Probe, most: usize) -> Option<SampleParts> {
    let ProbeKind::Sample(size) = probe.kind else { return None };
    let schedule = probe.schedule.clone();
    Some(SampleParts { interval: schedule.longest_interval(), schedule, size, most })
}

/// A sweep is committed so often, and others get their turn.
const PART_OF_SWEEP: Duration = Duration::from_secs(2);

fn sweep(probe: &Probe, lease: Duration) -> Option<SweepParts> {
    let ProbeKind::Sweep(SweepSettings { hours, chunk_rows }) = probe.kind else { return None };
    Some(SweepParts { schedule: probe.schedule.clone(), hours, part: PART_OF_SWEEP, chunk_rows, lease })
}

fn totals(probe: &Probe, owner: &SideParts, flows: &[UnitFlow]) -> Option<TotalsParts> {
    let ProbeKind::Totals(settings) = probe.kind else { return None };
    let are_held = |flow: &UnitFlow| {
        let sides = [&owner.mapping, &flow.target.mapping];
        sides.iter().all(|mapping| settings.fields.all().all(|field| mapping.fields[field].is_some()))
    };
    let flows = flows.iter().enumerate().filter(|(_, flow)| are_held(flow)).map(|(number, _)| number).collect();
    Some(TotalsParts { schedule: probe.schedule.clone(), settings, flows })
}

/// Every dataset that is read of a side is looked at, and the tables of other systems that translate for it.
fn schema(readers: &Readers, probe: &Probe, owner: &SideParts, flows: &[UnitFlow]) -> SchemaParts {
    let mut parts =
        SchemaParts { schedule: probe.schedule.clone(), looks: Vec::new(), readings: Vec::new(), tells: Vec::new() };
    for side in std::iter::once(owner).chain(flows.iter().map(|flow| &flow.target)) {
        let of_side = |system: &SystemId| {
            let (system, side) = (system.clone(), side.system.clone());
            move |read| Reading { system: system.clone(), side: side.clone(), read }
        };
        parts.looks.push(SchemaLook { reader: Arc::clone(&side.reader), mapping: Arc::clone(&side.mapping) });
        parts.readings.extend(side.mapping.uses().into_iter().map(of_side(&side.system)));
        parts.tells.push(side.system.clone());
        for xref in &side.mapping.xref {
            let Some(reader) = readers.get(&xref.system) else { continue };
            let is_looked_at = |look: &SchemaLook| {
                *look.reader.system() == xref.system && look.mapping.dataset == xref.by_from.dataset
            };
            if !parts.looks.iter().any(is_looked_at) {
                parts.looks.push(SchemaLook { reader: Arc::clone(reader), mapping: Arc::clone(&xref.by_from) });
            }
            parts.readings.extend(xref.uses().into_iter().map(of_side(&xref.system)));
            parts.tells.push(xref.system.clone());
        }
    }
    parts.tells.sort();
    parts.tells.dedup();
    parts
}

fn unit_flow(sources: Sources<'_>, entity: &Entity, flow: &Arc<Flow>, interval: Duration) -> Option<UnitFlow> {
    let (first, second) = if flow.id.owner < flow.id.target {
        (&flow.id.owner, &flow.id.target)
    } else {
        (&flow.id.target, &flow.id.owner)
    };
    Some(UnitFlow {
        name: flow.id.to_string(),
        pair: format!("{}: {first} <-> {second}", flow.id.entity),
        target: side(sources, entity, &flow.id.target, flow.deadline)?,
        pace: Pace::new(interval, flow.deadline),
        tolerances: tolerances(flow),
        flow: Arc::clone(flow),
    })
}

fn side(sources: Sources<'_>, entity: &Entity, system: &SystemId, deadline: Duration) -> Option<SideParts> {
    let settings = sources.config.systems.get(system)?;
    let mapping = Arc::clone(entity.mappings.get(system)?);
    let undeclared = settings.kind == SystemKind::Postgres && settings.commit_delay.is_zero();
    Some(SideParts {
        system: system.clone(),
        reader: reader(sources, system, &mapping, deadline)?,
        mapping,
        commit_delay: if undeclared { LONGEST_TRANSACTION } else { settings.commit_delay },
    })
}

/// A translation is used for this long at most, and at most for a quarter of the deadline: a bad verdict never rests on
/// one that was looked up before the change that it is about.
const LONGEST_TRANSLATION: Duration = Duration::from_secs(10);

/// The system's reader, with the index of keys and the tables that translate for this mapping.
fn reader(
    sources: Sources<'_>,
    system: &SystemId,
    mapping: &Arc<Mapping>,
    deadline: Duration,
) -> Option<Arc<dyn Reader>> {
    let readers = sources.readers;
    let mut reader = Arc::clone(readers.get(system)?);
    if mapping.key_index {
        reader = sources.indexes.before(reader, mapping)?;
    }
    if mapping.xref.is_empty() {
        return Some(reader);
    }
    let keep = LONGEST_TRANSLATION.min(deadline / 4);
    Some(Arc::new(Translated::new(reader, mapping, |system| readers.get(system).cloned(), keep, deadline)?))
}
