//! `[[probe]]`: scheduled looks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::duration::{bounded, show};
use super::entity::ReadEntity;
use super::problems::{At, quoted};
use super::section::{Keys, Node, Reading, Section};
use super::{Probe, ProbeKind, SampleSize, Schedule, SweepSettings, System, hours, schedule, zone};
use crate::model::mapping::VersionRule;
use crate::model::{EntityId, Flow, FlowId, Mapping, SystemId};

mod totals;

pub(super) const KEYS: Keys = Keys {
    section: "[[probe]]",
    names: &[
        "for_each",
        "entity",
        "owner",
        "kind",
        "schedule",
        "time_zone",
        "keys_per_run",
        "every_key_within",
        "between",
        "chunk_rows",
        "day",
        "amount",
        "status",
        "cut_off",
        "days",
    ],
    not_yet: &[],
};

/// Kinds that have a meaning but are not built yet.
const NOT_YET: [&str; 1] = ["queue"];

/// How many keys a run of a sample probe looks at unless the config says otherwise.
const KEYS_PER_RUN: usize = 1_000;

/// Fewer keys a run than this cost more in statements than they tell.
const FEWEST_KEYS: usize = 10;

/// About how many rows of a sweep one auditor takes at once unless the config says otherwise.
const CHUNK_ROWS: u64 = 500_000;

/// Fewer cost more in leases than auditors gain by sharing them.
const FEWEST_ROWS: usize = 10_000;

/// A probe as read, with the places that later checks point at.
pub(super) struct ReadProbe {
    pub probe: Probe,
    pub at: At,
    pub schedule_at: At,
}

/// What a probe is read against.
pub(super) struct Known<'k> {
    /// Entities that are named, whether they could be read or not.
    pub entities: &'k [&'k str],
    /// Those that could be read.
    pub read: &'k [ReadEntity],
    /// Flows of the entities that could be read.
    pub flows: &'k [Flow],
    /// Whether every entity could be read and yields flows: only then can a missing flow be the probe's fault.
    pub is_complete: bool,
}

impl Known<'_> {
    /// The entity that a node names; reports an unknown one.
    pub fn entity(&self, node: Node<'_>) -> Option<EntityId> {
        let name = node.text()?;
        if !self.entities.contains(&name) {
            node.reading.unknown(node.at(), name, "an entity", self.entities.iter().copied());
            return None;
        }
        name.parse().ok()
    }

    fn owners(&self, entity: &EntityId) -> Vec<&SystemId> {
        let mut owners: Vec<_> =
            self.flows.iter().filter(|flow| flow.id.entity == *entity).map(|flow| &flow.id.owner).collect();
        owners.dedup();
        owners
    }
}

pub(super) fn read(section: &Section<'_>, known: &Known<'_>) -> Option<ReadProbe> {
    let entity = section.need("entity").and_then(|node| known.entity(node));
    let kind = section.need("kind").and_then(read_kind);
    let zone = section.get("time_zone").map_or(Some(chrono_tz::UTC), zone::read);
    let schedule_node = section.need("schedule");
    let schedule = schedule_node.and_then(|node| schedule::read(node, zone.unwrap_or(chrono_tz::UTC)));
    let is_totals = matches!(kind, Some(Kind::Totals));
    if let (Some(node), Some(Schedule::Every(_)), false) = (section.get("time_zone"), &schedule, is_totals) {
        section.reading.problem(node.at(), "`time_zone` is for a cron schedule; `every` has none");
    }
    let entity = entity?;
    let kind = kind?;
    if !is_totals {
        totals::refuse(section);
    }
    for node in ["between", "chunk_rows"].into_iter().filter_map(|key| section.get(key)) {
        if !matches!(kind, Kind::Sweep) {
            section.reading.problem(node.at(), format!("`{}` is for a probe of kind `sweep`", node.key));
        }
    }
    let owner = match kind {
        Kind::Schema => any_owner(section, &entity, known)?,
        Kind::Changes | Kind::Sample | Kind::Sweep | Kind::Totals => read_owner(section, &entity, known)?,
    };
    let kind = match kind {
        Kind::Changes => {
            refuse_without_cursor(section, &entity, &owner, known);
            refuse_sizes(section);
            ProbeKind::Changes
        }
        Kind::Sample => ProbeKind::Sample(sample_size(section, schedule.as_ref())?),
        Kind::Schema => {
            refuse_sizes(section);
            ProbeKind::Schema
        }
        Kind::Totals => {
            refuse_sizes(section);
            ProbeKind::Totals(totals::read(section, &entity, &owner, known, zone?)?)
        }
        Kind::Sweep => {
            refuse_sizes(section);
            ProbeKind::Sweep(sweep_settings(section)?)
        }
    };
    let probe = Probe { entity, owner, kind, schedule: schedule? };
    Some(ReadProbe { probe, at: section.at, schedule_at: schedule_node.map_or(section.at, Node::at) })
}

/// The word under `kind`.
#[derive(Clone)]
enum Kind {
    Changes,
    Sample,
    Schema,
    Sweep,
    Totals,
}

fn read_kind(node: Node<'_>) -> Option<Kind> {
    if let Some(kind) = node.value.get_ref().as_str().filter(|kind| NOT_YET.contains(kind)) {
        return node.refuse(format!("a probe of kind `{kind}` is not supported yet"));
    }
    node.choice(&[
        ("changes", Kind::Changes),
        ("sample", Kind::Sample),
        ("schema", Kind::Schema),
        ("sweep", Kind::Sweep),
        ("totals", Kind::Totals),
    ])
}

fn sweep_settings(section: &Section<'_>) -> Option<SweepSettings> {
    let hours = section.get("between").map(hours::read);
    let chunk_rows = section.get("chunk_rows").map(|node| node.within(FEWEST_ROWS, usize::MAX));
    Some(SweepSettings {
        hours: if let Some(hours) = hours { Some(hours?) } else { None },
        chunk_rows: if let Some(rows) = chunk_rows { rows? as u64 } else { CHUNK_ROWS },
    })
}

fn refuse_sizes(section: &Section<'_>) {
    for node in ["keys_per_run", "every_key_within"].into_iter().filter_map(|key| section.get(key)) {
        section.reading.problem(node.at(), format!("`{}` is for a probe of kind `sample`", node.key));
    }
}

fn sample_size(section: &Section<'_>, schedule: Option<&Schedule>) -> Option<SampleSize> {
    let keys = section.get("keys_per_run");
    let Some(node) = section.get("every_key_within") else {
        let keys = keys.map_or(Some(KEYS_PER_RUN), |node| node.within(FEWEST_KEYS, 1_000_000));
        return keys.map(SampleSize::Keys);
    };
    if keys.is_some() {
        return node.refuse("cannot stand together with `keys_per_run`: one follows from the other");
    }
    let within = bounded(node, Duration::from_secs(1), Duration::from_secs(366 * 86_400))?;
    let Some(interval) = schedule.map(Schedule::longest_interval) else {
        return Some(SampleSize::EveryKeyWithin(within));
    };
    if within < interval * RUNS_A_PROMISE {
        let message = format!(
            "the probe runs up to {} apart: too seldom to look at every key within {}",
            show(interval),
            show(within)
        );
        let hint = format!("`{}` or more, or a denser schedule", show(interval * RUNS_A_PROMISE));
        return node.refuse_with_hint(message, hint);
    }
    Some(SampleSize::EveryKeyWithin(within))
}

/// A key that was looked at early in one walk may be looked at late in the next, so two walks must fit; and a walk of a
/// single run is no walk.
const RUNS_A_PROMISE: u32 = 4;

/// A schema probe looks at every system that holds the entity, whoever owns what of it.
fn any_owner(section: &Section<'_>, entity: &EntityId, known: &Known<'_>) -> Option<SystemId> {
    if let Some(node) = section.get("owner") {
        return node.refuse("is not for a probe of kind `schema`: it looks at every system that holds the entity");
    }
    known.owners(entity).first().map(|owner| (*owner).clone())
}

fn read_owner(section: &Section<'_>, entity: &EntityId, known: &Known<'_>) -> Option<SystemId> {
    let owners = known.owners(entity);
    if owners.is_empty() {
        // The entity yields no flow or could not be read: reported there.
        return None;
    }
    let names = owners.iter().map(|owner| owner.as_str());
    let Some(node) = section.get("owner") else {
        if let [only] = owners[..] {
            return Some(only.clone());
        }
        let message = format!("`{entity}` has several owners ({}); say which one with `owner`", quoted(names));
        section.reading.problem(section.at, message);
        return None;
    };
    let name = node.text()?;
    let found = owners.iter().find(|owner| owner.as_str() == name);
    if found.is_none() && known.is_complete {
        let what = format!("an owner of anything that another system holds of `{entity}`");
        node.reading.unknown(node.at(), name, what, names);
    }
    found.map(|owner| (*owner).clone())
}

/// A changes probe goes on from a stamp or a sequence of the owner.
fn refuse_without_cursor(section: &Section<'_>, entity: &EntityId, owner: &SystemId, known: &Known<'_>) {
    let Some(flow) = known.flows.iter().find(|flow| flow.id.entity == *entity && flow.id.owner == *owner) else {
        return;
    };
    let has_sequence = matches!(flow.owner.version, Some(VersionRule::Sequence(_)));
    if flow.owner.changed_at.is_none() && !has_sequence {
        let message = format!(
            "a changes probe needs `changed_at` (or `version = {{ sequence = … }}`) in `[entity.{entity}.in.{owner}]`"
        );
        section.reading.problem(section.at, message);
    }
}

/// Reports probes that look too seldom to decide their flows' deadlines.
///
/// Between two looks the moment of a change, and of its arrival, is known only to about one interval. So the lag
/// interval is about as wide as the probe's interval; beyond half the deadline too many lags could be either.
pub(super) fn check_interval(reading: &Reading<'_>, read: &ReadProbe, flows: &[Flow]) {
    if read.probe.kind != ProbeKind::Changes {
        return;
    }
    let interval = read.probe.schedule.longest_interval();
    let tightest = flows.iter().filter(|flow| is_read_by(&flow.id, &read.probe)).min_by_key(|flow| flow.deadline);
    let Some(flow) = tightest else { return };
    if interval > flow.deadline / 2 {
        let message = format!(
            "two looks are up to {} apart, so a lag is known only to about {0}: too little to decide the deadline {} of `{}`",
            show(interval),
            show(flow.deadline),
            flow.id
        );
        let hint = format!("look at least every {} (half the deadline)", show(flow.deadline / 2));
        reading.problem_with_hint(read.schedule_at, message, hint);
    }
}

/// Reports sample probes whose runs would need more rows than the budget of a system they read allows: each run reads
/// its keys and, where the sides differ, some of them again.
pub(super) fn check_budget(
    reading: &Reading<'_>,
    read: &ReadProbe,
    flows: &[Flow],
    systems: &BTreeMap<SystemId, System>,
) {
    let ProbeKind::Sample(SampleSize::Keys(keys)) = read.probe.kind else { return };
    let targets = flows.iter().filter(|flow| is_read_by(&flow.id, &read.probe)).map(|flow| &flow.id.target);
    for system in std::iter::once(&read.probe.owner).chain(targets) {
        let Some(allowed) = systems.get(system).map(|system| system.budget.rows_per_run) else { continue };
        if keys > allowed {
            let message = format!("a run of {keys} keys is more than `{system}` allows (`rows_per_run` = {allowed})");
            reading.problem(read.at, message);
        }
    }
}

/// Warns about flows that a sample probe cannot look at: a key must be drawn from one of the sides, and a list of which
/// the product gives only so many records cannot be followed to its end.
pub(super) fn warn_undrawable(
    reading: &Reading<'_>,
    read: &ReadProbe,
    flows: &[Flow],
    systems: &BTreeMap<SystemId, System>,
) {
    if !matches!(read.probe.kind, ProbeKind::Sample(_)) {
        return;
    }
    let is_cut = |system: &SystemId, mapping: &Mapping| {
        let pack = systems.get(system).and_then(|system| system.pack.as_deref());
        let entity = pack.and_then(|pack| pack.entity(mapping.dataset.name()));
        entity.is_some_and(|entity| entity.page.cap.is_some())
    };
    for flow in flows.iter().filter(|flow| is_read_by(&flow.id, &read.probe)) {
        if is_cut(&flow.id.owner, &flow.owner) && is_cut(&flow.id.target, &flow.target) {
            let message =
                format!("no sample can look at `{}`: of longer lists both sides give only the first `cap`", flow.id);
            reading.warning(read.at, message);
        }
    }
}

/// Whether the probe reads the flow's owner.
pub(super) fn is_read_by(flow: &FlowId, probe: &Probe) -> bool {
    flow.entity == probe.entity && (flow.owner == probe.owner || probe.kind == ProbeKind::Schema)
}

/// Reports a second probe of the same kind on the same owner: they would share a cursor or a walk.
pub(super) fn refuse_twice(reading: &Reading<'_>, probes: &[ReadProbe]) {
    for (index, read) in probes.iter().enumerate() {
        let kind = read.probe.kind.as_str();
        let same = |other: &&ReadProbe| {
            let other = &other.probe;
            other.entity == read.probe.entity && other.owner == read.probe.owner && other.kind.as_str() == kind
        };
        if probes[..index].iter().find(same).is_some() {
            let message = match read.probe.kind {
                ProbeKind::Schema => format!("`{}` already has a schema probe", read.probe.entity),
                _ => format!("`{}` already has a {kind} probe on `{}`", read.probe.entity, read.probe.owner),
            };
            reading.problem(read.at, message);
        }
    }
}

/// Warns about owners of an entity whose changes no probe reads.
pub(super) fn warn_unread(reading: &Reading<'_>, entity: &ReadEntity, flows: &[Flow], probes: &[ReadProbe]) {
    let reads =
        |flow: &Flow, read: &ReadProbe| read.probe.kind == ProbeKind::Changes && is_read_by(&flow.id, &read.probe);
    let is_unread = |flow: &&Flow| !probes.iter().any(|read| reads(flow, read));
    let of_entity = flows.iter().filter(|flow| flow.id.entity == entity.entity.id);
    let mut owners: Vec<_> = of_entity.filter(is_unread).map(|flow| &flow.id.owner).collect();
    owners.dedup();
    for owner in owners {
        reading.warning(entity.at, format!("no probe reads the changes of `{}` in `{owner}`", entity.entity.id));
    }
}
