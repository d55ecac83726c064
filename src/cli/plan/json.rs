//! A plan as one JSON document.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Proposals;
use crate::plan::{FlowPlan, Keys, Plan, PointsPlan, Proposal, SamplePlan, SystemPlan};

/// The document, with what is proposed if that was asked for.
pub(super) fn document(plan: &Plan, proposals: Option<&Proposals>) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&json!({
        "flows": plan.flows.iter().map(flow).collect::<Vec<_>>(),
        "systems": plan.systems.iter().map(system).collect::<Vec<_>>(),
        "proposals": proposals.map(|(_, proposals)| proposals.iter().map(proposal).collect::<Vec<_>>()),
    }))
}

fn flow(flow: &FlowPlan) -> Value {
    let of_systems: Map<String, Value> =
        flow.points.iter().map(|(system, of)| (system.to_string(), points(of))).collect();
    let see = flow.see.iter().map(|seen| {
        json!({
            "share": seen.share,
            "keys": seen.bad,
            "apart_seconds": seen.apart.map(seconds),
            "together_seconds": seen.together.map(seconds),
        })
    });
    json!({
        "flow": flow.flow.to_string(),
        "keys": keys(flow.keys),
        "deadline_seconds": seconds(flow.deadline),
        "changes_interval_seconds": flow.changes.map(seconds),
        "sample": flow.sample.as_ref().map(sample),
        "statements_per_day": flow.calls,
        "rows_per_day": flow.rows,
        "points": of_systems,
        "drift": see.collect::<Vec<_>>(),
        "slos": flow.slos,
        "blind": flow.blind,
    })
}

fn system(system: &SystemPlan) -> Value {
    json!({
        "system": system.system.as_str(),
        "statements_per_day": system.calls,
        "rows_per_day": system.rows,
        "budget_share": system.share,
        "points": system.points.as_ref().map(points),
        "longest_run_seconds": seconds(system.longest_run),
        "too_much": system.too_much,
    })
}

fn proposal(proposal: &Proposal) -> Value {
    json!({
        "entity": proposal.entity.as_str(),
        "owner": proposal.owner.as_str(),
        "keys": keys(proposal.keys),
        "sample": proposal.sample.as_ref().ok().map(sample),
        "reason": proposal.sample.as_ref().err(),
    })
}

fn keys(keys: Keys) -> Value {
    let source = match keys {
        Keys::Counted(_) => "counted",
        Keys::Given(_) => "given",
        Keys::Assumed(_) => "assumed",
    };
    json!({ "count": keys.count(), "source": source })
}

fn sample(sample: &SamplePlan) -> Value {
    json!({
        "interval_seconds": seconds(sample.interval),
        "keys_per_run": sample.keys_per_run,
        "keys_per_piece": sample.piece,
        "walk_seconds": seconds(sample.walk),
        "every_key_seconds": seconds(sample.every_key),
        "at_most_bad_after_a_day": sample.at_most_after_a_day,
    })
}

fn points(points: &PointsPlan) -> Value {
    json!({ "most_per_day": points.a_day, "given_per_day": points.given_a_day, "share": points.share() })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
