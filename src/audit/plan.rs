//! From checked config to units: which entity, which owner, which flows, on which schedule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::compare::tolerances;
use crate::config::{Config, Entity, Probe, ProbeKind, Schedule, SystemKind};
use crate::connect::{Reader, Translated};
use crate::model::digest::digest;
use crate::model::{EntityId, Flow, Mapping, Moment, SystemId, Value};

use super::timing::{Pace, interval_of};
use super::unit::{SideParts, UnitFlow, UnitParts};

/// Readers by system.
pub type Readers = BTreeMap<SystemId, Arc<dyn Reader>>;

/// Without `pg_stat_activity` and without a declared `commit_delay`, a PostgreSQL row that is older than this is
/// taken to have been committed: no transaction is expected to stay open for longer.
const LONGEST_TRANSACTION: Duration = Duration::from_secs(3_600);

/// The units of all changes probes, in config order.
pub fn units(config: &Config, readers: &Readers, now: Moment) -> Vec<Arc<UnitParts>> {
    let changes = config.probes.iter().filter(|probe| probe.kind == ProbeKind::Changes);
    changes.filter_map(|probe| unit(config, readers, probe, now)).map(Arc::new).collect()
}

/// A unit for an entity and owner without a probe of its own, for a single look.
pub fn units_of(config: &Config, readers: &Readers, entity: &EntityId, now: Moment) -> Vec<Arc<UnitParts>> {
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
    owners.into_iter().filter_map(|owner| unit(config, readers, &probe(owner), now)).map(Arc::new).collect()
}

fn unit(config: &Config, readers: &Readers, probe: &Probe, now: Moment) -> Option<UnitParts> {
    let entity = config.entities.get(&probe.entity)?;
    let interval = interval_of(&probe.schedule, now);
    let of_unit = |flow: &&Arc<Flow>| flow.id.entity == probe.entity && flow.id.owner == probe.owner;
    let flows = config.flows.iter().filter(of_unit).map(|flow| unit_flow(config, readers, entity, flow, interval));
    let flows = flows.collect::<Option<Vec<_>>>().filter(|flows| !flows.is_empty())?;
    let tightest = flows.iter().map(|flow| flow.flow.deadline).min()?;
    let name = format!("changes/{}/{}", probe.entity, probe.owner);
    let spread = digest([&Value::from(name.as_str())]).0 as u64;
    let span = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
    Some(UnitParts {
        jitter: Duration::from_micros(spread % span),
        name,
        entity: probe.entity.clone(),
        fields: entity.fields.clone(),
        key: entity.key.clone(),
        owner: side(config, readers, entity, &probe.owner, tightest)?,
        flows,
        schedule: probe.schedule.clone(),
        rows_per_run: config.systems.get(&probe.owner)?.budget.rows_per_run,
    })
}

fn unit_flow(
    config: &Config,
    readers: &Readers,
    entity: &Entity,
    flow: &Arc<Flow>,
    interval: Duration,
) -> Option<UnitFlow> {
    let (first, second) = if flow.id.owner < flow.id.target {
        (&flow.id.owner, &flow.id.target)
    } else {
        (&flow.id.target, &flow.id.owner)
    };
    Some(UnitFlow {
        name: flow.id.to_string(),
        pair: format!("{}: {first} <-> {second}", flow.id.entity),
        target: side(config, readers, entity, &flow.id.target, flow.deadline)?,
        pace: Pace::new(interval, flow.deadline),
        tolerances: tolerances(flow),
        flow: Arc::clone(flow),
    })
}

fn side(
    config: &Config,
    readers: &Readers,
    entity: &Entity,
    system: &SystemId,
    deadline: Duration,
) -> Option<SideParts> {
    let settings = config.systems.get(system)?;
    let mapping = Arc::clone(entity.mappings.get(system)?);
    let undeclared = settings.kind == SystemKind::Postgres && settings.commit_delay.is_zero();
    Some(SideParts {
        system: system.clone(),
        reader: reader(readers, system, &mapping, deadline)?,
        mapping,
        commit_delay: if undeclared { LONGEST_TRANSACTION } else { settings.commit_delay },
    })
}

/// A translation is used for this long at most, and at most for a quarter of the deadline: a bad verdict never rests on
/// one that was looked up before the change that it is about.
const LONGEST_TRANSLATION: Duration = Duration::from_secs(10);

/// The system's reader, with the tables that translate for this mapping.
fn reader(readers: &Readers, system: &SystemId, mapping: &Mapping, deadline: Duration) -> Option<Arc<dyn Reader>> {
    let reader = Arc::clone(readers.get(system)?);
    if mapping.xref.is_empty() {
        return Some(reader);
    }
    let keep = LONGEST_TRANSLATION.min(deadline / 4);
    Some(Arc::new(Translated::new(reader, mapping, |system| readers.get(system).cloned(), keep)?))
}
