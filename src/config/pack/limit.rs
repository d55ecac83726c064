//! `[limit]` of a pack: what the product allows, and how it says so.

use super::read::place;
use super::{Cost, Limits, Prices, Values, fill};
use crate::config::section::{Keys, Node, Read, Section};
use crate::model::Number;

pub(super) const KEYS: Keys = Keys {
    section: "[limit]",
    names: &["requests_per_second", "concurrency", "adaptive", "throttle", "remaining", "reset", "cost"],
    not_yet: &[],
};
pub(super) const COST_KEYS: Keys = Keys {
    section: "[limit] cost",
    names: &["asked", "used", "available", "maximum", "restore", "share", "per_second", "most", "object", "list"],
    not_yet: &[],
};

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 5.0,
            concurrency: 2,
            adaptive: true,
            throttle: vec![429],
            remaining: None,
            reset: None,
            cost: None,
        }
    }
}

pub(super) fn read(section: &Section<'_>, values: &Values) -> Limits {
    let defaults = Limits::default();
    let status = |node: Node<'_>| node.within(400, 599).and_then(|status: u64| u16::try_from(status).ok());
    let statuses = |node: Node<'_>| node.list().map(|list| list.into_iter().filter_map(status).collect());
    Limits {
        requests_per_second: section.get("requests_per_second").and_then(rate).unwrap_or(defaults.requests_per_second),
        concurrency: section.get("concurrency").and_then(|node| node.within(1, 64)).unwrap_or(defaults.concurrency),
        adaptive: section.or("adaptive", defaults.adaptive),
        throttle: section.get("throttle").and_then(statuses).unwrap_or(defaults.throttle),
        remaining: section.get("remaining").and_then(|node| place(node, values)),
        reset: section.get("reset").and_then(|node| place(node, values)),
        cost: section.get("cost").and_then(|node| cost(&node.section(&COST_KEYS)?, values)),
    }
}

fn cost(section: &Section<'_>, values: &Values) -> Option<Cost> {
    let [asked, used, available, maximum, restore] = ["asked", "used", "available", "maximum", "restore"].map(|key| {
        let node = section.need(key)?;
        match place(node, values)? {
            super::Place::Body(path) => Some(path),
            super::Place::Header(_) => node.refuse("must be `body:PATH`"),
        }
    });
    let share = section.need("share").and_then(|node| share(node, values));
    let points = |key| section.need(key).and_then(|node| points(node, values));
    let (per_second, most) = (points("per_second"), points("most"));
    let price = |key| section.get(key).and_then(|node| number(node, values, 0.0, 1e6));
    let prices = price("object").zip(price("list")).map(|(object, list)| Prices { object, list });
    Some(Cost {
        asked: asked?,
        used: used?,
        available: available?,
        maximum: maximum?,
        restore: restore?,
        share: share?,
        per_second: per_second?,
        most: most?,
        prices,
    })
}

fn share(node: Node<'_>, values: &Values) -> Option<f64> {
    number(node, values, 0.01, 1.0)
}

fn points(node: Node<'_>, values: &Values) -> Option<f64> {
    number(node, values, 0.001, 1e9)
}

/// A number, or a setting that is one.
fn number(node: Node<'_>, values: &Values, least: f64, most: f64) -> Option<f64> {
    let number = match node.value.get_ref().as_str() {
        Some(_) => fill::text(node, values)?.parse::<Number>().ok().map(|number| number.to_f64_lossy()),
        None => Some(Number::read(node)?.to_f64_lossy()),
    };
    match number {
        Some(number) if (least..=most).contains(&number) => Some(number),
        _ => node.refuse(format!("must be a number from {least} to {most}")),
    }
}

fn rate(node: Node<'_>) -> Option<f64> {
    let rate = Number::read(node)?.to_f64_lossy();
    if (0.001..=10_000.0).contains(&rate) {
        return Some(rate);
    }
    node.refuse(format!("must be from 0.001 to 10000, found {rate}"))
}
