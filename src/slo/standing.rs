//! What is wrong, once for each cause: many broken promises with one root are one finding.
//!
//! Blindness comes first: what nobody can read is the blind system's business, however many keys are overdue meanwhile.
//! Of the flows that fail for certain, those that go through one system are that system's business when most of what goes
//! through it fails, the systems of the path upstream first. What is left is the flow's own.

use std::collections::{BTreeMap, BTreeSet};

use super::evaluate::Evaluation;
use super::promise::Promise;
use crate::incident::{Blame, Cause, Severity};
use crate::model::{FlowId, SystemId};

/// One promise about one thing, evaluated.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// The promise.
    pub promise: &'a Promise,
    /// The flow; of a queue's promise `None`.
    pub flow: Option<&'a FlowId>,
    /// Only these fields of it; all when empty.
    pub fields: &'a [String],
    /// The systems between owner and target, upstream first.
    pub via: &'a [SystemId],
    /// The queue that it is about.
    pub queue: Option<(&'a SystemId, &'a str)>,
    /// How it stands.
    pub evaluation: &'a Evaluation,
}

/// How a cause stands.
#[derive(Clone, Debug, PartialEq)]
pub struct CauseStanding {
    /// The cause.
    pub cause: Cause,
    /// How urgent it is; `None` when it does not fire: then it is held open, or clean.
    pub severity: Option<Severity>,
    /// Whether it is clean for certain.
    pub is_clean: bool,
    /// The promises that it breaks, as places in the list that was judged; the fastest burning first.
    pub broken: Vec<usize>,
    /// Which system is to blame.
    pub blame: Option<Blame>,
}

/// So many flows must fail before a system that they share is blamed.
const FEWEST_FLOWS: usize = 3;
/// And so large a share of the flows that go through it.
const MOST_FLOWS: f64 = 0.8;

/// What is wrong, and what becomes of the causes that are `open`.
pub fn standings(judged: &[Judged<'_>], open: &BTreeSet<Cause>) -> Vec<CauseStanding> {
    let mut causes: BTreeMap<Cause, CauseStanding> = BTreeMap::new();
    let mut failing = Vec::new();
    for (index, one) in judged.iter().enumerate() {
        match kind(one) {
            Kind::Blind => note(&mut causes, blind(one), index, blind_severity(one), judged),
            Kind::Firing(severity) => failing.push((index, severity)),
            Kind::Quiet => {}
        }
    }
    let shared = shared_systems(judged, &failing, open);
    for (index, severity) in failing {
        let one = &judged[index];
        let blamed = path(one).into_iter().find_map(|place| shared.get(&place));
        let (cause, blame) = match (blamed, one.flow, one.queue) {
            (Some(blame), ..) => (Cause::Path { system: blame.system.clone() }, Some(blame.clone())),
            (None, Some(flow), _) => (Cause::Flow(flow.clone()), blame_of(one, flow)),
            (None, None, Some((system, queue))) => {
                (Cause::Queue { system: system.clone(), queue: queue.to_owned() }, None)
            }
            (None, None, None) => continue,
        };
        note(&mut causes, (cause, blame), index, severity, judged);
    }
    for cause in open {
        if !causes.contains_key(cause) {
            causes.insert(cause.clone(), quiet(cause, judged));
        }
    }
    causes.into_values().collect()
}

enum Kind {
    Blind,
    Firing(Severity),
    Quiet,
}

/// A promise that fires only because what is overdue cannot be read any more is blind, too.
fn kind(one: &Judged<'_>) -> Kind {
    let evaluation = one.evaluation;
    match evaluation.severity() {
        Some(_) if evaluation.coverage_now < one.promise.coverage_floor => Kind::Blind,
        Some(severity) => Kind::Firing(severity),
        None if evaluation.no_data => Kind::Blind,
        None => Kind::Quiet,
    }
}

/// As urgent as the most urgent tier that might fire.
fn blind_severity(one: &Judged<'_>) -> Severity {
    let undecided = one.evaluation.tiers.iter().filter(|status| status.state >= super::evaluate::TierState::NoData);
    undecided.map(|status| status.tier.severity).max().unwrap_or(Severity::Ticket)
}

/// Who does not see, or is not seen: whoever was it for most of the first tier's long window.
fn blind(one: &Judged<'_>) -> (Cause, Option<Blame>) {
    let [owner, target, auditor, nobody] = one.evaluation.blind;
    let unseen = owner + target + auditor + nobody;
    let told = |system: &SystemId, minutes: u64| {
        let because = match minutes {
            0 => format!("reads of `{system}` are refused or cut short"),
            minutes => format!("`{system}` could not be read in {minutes} minutes of the last window"),
        };
        Blame { system: system.clone(), because }
    };
    match one.flow {
        Some(flow) if owner > 0 && owner >= target && owner >= auditor + nobody => {
            (Cause::Blind { system: flow.owner.clone() }, Some(told(&flow.owner, owner)))
        }
        Some(flow) if (target > 0 && target >= auditor + nobody) || unseen == 0 => {
            (Cause::Blind { system: flow.target.clone() }, Some(told(&flow.target, target)))
        }
        Some(_) => (Cause::Auditor, None),
        None => match one.queue {
            Some((system, _)) => (Cause::Blind { system: system.clone() }, Some(told(system, unseen))),
            None => (Cause::Auditor, None),
        },
    }
}

fn note(
    causes: &mut BTreeMap<Cause, CauseStanding>,
    (cause, blame): (Cause, Option<Blame>),
    index: usize,
    severity: Severity,
    judged: &[Judged<'_>],
) {
    let standing = causes.entry(cause.clone()).or_insert_with(|| CauseStanding {
        cause,
        severity: None,
        is_clean: false,
        broken: Vec::new(),
        blame,
    });
    standing.severity = standing.severity.max(Some(severity));
    let burn = |index: usize| judged[index].evaluation.burn().worst;
    let place = standing.broken.partition_point(|other| burn(*other) >= burn(index));
    standing.broken.insert(place, index);
}

/// What a system is to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Via,
    Target,
    Owner,
}

type Place<'j> = (Role, &'j SystemId);

/// The systems that a flow's data goes through, in the order in which they are blamed: the path upstream first, then the
/// target, then the owner.
fn path<'j>(one: &Judged<'j>) -> Vec<Place<'j>> {
    let ends = one.flow.into_iter().flat_map(|flow| [(Role::Target, &flow.target), (Role::Owner, &flow.owner)]);
    one.via.iter().map(|system| (Role::Via, system)).chain(ends).collect()
}

/// Systems most of whose flows fail, and the reason to blame them. One that is blamed already stays so for as long as any
/// of its flows fails.
fn shared_systems<'j>(
    judged: &[Judged<'j>],
    failing: &[(usize, Severity)],
    open: &BTreeSet<Cause>,
) -> BTreeMap<Place<'j>, Blame> {
    let failing = flows_by_place(judged, failing.iter().map(|(index, _)| *index));
    let all = flows_by_place(judged, 0..judged.len());
    let blame = |(place, flows): (Place<'j>, BTreeSet<&'j FlowId>)| {
        let of_all = all.get(&place).map_or(0, BTreeSet::len);
        let (role, system) = place;
        let is_open = open.contains(&Cause::Path { system: system.clone() });
        let is_most = flows.len() >= FEWEST_FLOWS && flows.len() as f64 >= MOST_FLOWS * of_all as f64;
        let word = match role {
            Role::Via => "through",
            Role::Target => "to",
            Role::Owner => "from",
        };
        let because = format!("{} of {of_all} flows {word} `{system}` break their promises", flows.len());
        (is_open || is_most).then(|| (place, Blame { system: system.clone(), because }))
    };
    failing.into_iter().filter_map(blame).collect()
}

fn flows_by_place<'j>(
    judged: &[Judged<'j>],
    indices: impl Iterator<Item = usize>,
) -> BTreeMap<Place<'j>, BTreeSet<&'j FlowId>> {
    let mut flows: BTreeMap<Place<'j>, BTreeSet<&'j FlowId>> = BTreeMap::new();
    for index in indices {
        let Some(flow) = judged[index].flow else { continue };
        for place in path(&judged[index]) {
            flows.entry(place).or_default().insert(flow);
        }
    }
    flows
}

/// A flow that fails alone: its path is to blame, upstream first; without one it is the target that does not have what
/// the owner has.
fn blame_of(one: &Judged<'_>, flow: &FlowId) -> Option<Blame> {
    let blame = |system: &SystemId, because: String| Some(Blame { system: system.clone(), because });
    match one.via.first() {
        Some(via) => {
            blame(via, format!("what goes from `{}` to `{}` comes through `{via}` first", flow.owner, flow.target))
        }
        None => blame(&flow.target, format!("`{}` was read and does not have what `{}` has", flow.target, flow.owner)),
    }
}

/// A cause that is open and broke nothing at this evaluation: clean when all that it is about is.
fn quiet(cause: &Cause, judged: &[Judged<'_>]) -> CauseStanding {
    let touches = |one: &Judged<'_>, system: &SystemId| {
        path(one).iter().any(|(_, of)| *of == system) || one.queue.is_some_and(|(of, _)| of == system)
    };
    let is_meant = |one: &&Judged<'_>| match cause {
        Cause::Flow(flow) => one.flow == Some(flow),
        Cause::Blind { system } | Cause::Path { system } => touches(one, system),
        Cause::Queue { system, queue } => one.queue == Some((system, queue.as_str())),
        Cause::Auditor => true,
        Cause::Delivery { .. } => false,
    };
    // A blind system sees again as soon as it is read; whether what it holds is right is for the flows to say.
    let is_clean = |one: &Judged<'_>| match cause {
        Cause::Blind { .. } | Cause::Auditor => !one.evaluation.no_data && one.evaluation.coverage_now > 0.999,
        _ => one.evaluation.is_clean(),
    };
    let mut meant = judged.iter().filter(is_meant).peekable();
    // What the config does not know any more cannot break anything.
    let is_clean = !matches!(cause, Cause::Delivery { .. }) && (meant.peek().is_none() || meant.all(is_clean));
    CauseStanding { cause: cause.clone(), severity: None, is_clean, broken: Vec::new(), blame: None }
}
