//! `[[slo]]`: promises, and the deadlines they set.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Slo;
use super::duration::{bounded, show};
use super::probe::Known;
use super::section::{Keys, Node, Section, number};
use crate::model::{EntityId, FlowId, Number};

pub(super) const KEYS: Keys = Keys {
    section: "[[slo]]",
    names: &["for_each", "name", "entity", "flow", "owner", "target", "indicator", "within", "objective", "window"],
    not_yet: &[],
};

/// Indicators that have a meaning but are not built yet.
const NOT_YET: [&str; 6] =
    ["agreement", "completeness", "totals_variance", "queue_age", "queue_depth", "probe_availability"];

pub(super) fn read(section: &Section<'_>, known: &Known<'_>, systems: &[&str]) -> Option<Slo> {
    let name = section.need("name").and_then(Node::parsed::<EntityId>).map(|name| name.to_string());
    section.get("indicator").and_then(indicator);
    let within = section.need("within").and_then(|node| bounded(node, Duration::from_secs(1), MONTH));
    let objective = section.need("objective").and_then(objective);
    let window = section
        .need("window")
        .and_then(|node| bounded(node, Duration::from_secs(60), Duration::from_secs(366 * 86_400)));
    if let (Some(within), Some(window), Some(node)) = (within, window, section.get("window"))
        && window <= within
    {
        section.reading.problem(node.at(), format!("the window must be longer than `within` (`{}`)", show(within)));
    }
    let flows = select(section, known, systems);
    Some(Slo { name: name?, flows: flows?, within: Some(within?), objective: objective?, window: window? })
}

const MONTH: Duration = Duration::from_secs(31 * 86_400);

fn indicator(node: Node<'_>) -> Option<()> {
    if let Some(name) = node.value.get_ref().as_str().filter(|name| NOT_YET.contains(name)) {
        return node.refuse(format!("the indicator `{name}` is not supported yet"));
    }
    node.choice(&[("freshness", ())])
}

/// `"99.5%"` or `0.995`, above 0 and below 1.
fn objective(node: Node<'_>) -> Option<f64> {
    let percent = node.value.get_ref().as_str().and_then(|text| text.strip_suffix('%'));
    let share = match percent {
        Some(percent) => percent.trim().parse::<Number>().ok().map(|percent| percent.shifted(-2)),
        None => number(node),
    };
    match share {
        Some(share) if share > Number::ZERO && share < Number::from(1_i64) => Some(share.to_f64_lossy()),
        _ => node.refuse("the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"),
    }
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
pub(super) fn tightest(slos: &[Slo]) -> BTreeMap<FlowId, Duration> {
    let mut promises: BTreeMap<FlowId, Duration> = BTreeMap::new();
    for slo in slos {
        let Some(within) = slo.within else { continue };
        for flow in &slo.flows {
            promises.entry(flow.clone()).and_modify(|known| *known = within.min(*known)).or_insert(within);
        }
    }
    promises
}
