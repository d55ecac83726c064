//! What a sweep found, in each form. Differences are read from the disk as they are written.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::Format;
use crate::audit::sweep::told::Line;
use crate::audit::sweep::{Ended, FlowSweep};
use crate::model::Verdict;

/// Differing keys shown in a table; the other forms have all of them.
const SHOWN: u64 = 50;

pub(super) fn write(out: &mut impl Write, sweeps: &mut [FlowSweep], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => sweeps.iter_mut().try_for_each(|sweep| table(out, sweep)),
        Format::Json => json(out, sweeps),
        Format::Jsonl => sweeps.iter_mut().try_for_each(|sweep| jsonl(out, sweep)),
        Format::Csv => csv(out, sweeps),
    }
}

/// Hands over each difference once.
fn each(sweep: &mut FlowSweep, mut take: impl FnMut(&Line<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    sweep.differences.take_each(|bytes| take(&Line::from_bytes(bytes)?))
}

/// What a sweep found, for people.
pub(in crate::cli) fn table(out: &mut impl Write, sweep: &mut FlowSweep) -> anyhow::Result<()> {
    let counts: Vec<String> = Verdict::ALL
        .into_iter()
        .filter(|verdict| *verdict != Verdict::Match && sweep.of(*verdict) > 0)
        .map(|verdict| format!("{} {verdict}", sweep.of(verdict)))
        .collect();
    let agree = if sweep.ended == Ended::Complete { "no differences" } else { "no differences found" };
    let counts = if counts.is_empty() { agree.to_owned() } else { counts.join(", ") };
    writeln!(out, "{}: {counts}", sweep.flow)?;
    if let Some(choice) = &sweep.choice {
        writeln!(out, "  by {}: {}", choice.strategy, choice.reason)?;
    }
    let (owner, target) = (&sweep.flow.owner, &sweep.flow.target);
    let (ours, theirs) = (sweep.piece.owner_rows, sweep.piece.target_rows);
    writeln!(out, "  {ours} rows of {owner} and {theirs} of {target} in {:.1} s", sweep.took.as_secs_f64())?;
    match (&sweep.verified_through, ended(&sweep.ended)) {
        (Some(moment), _) => writeln!(out, "  verified through {moment:?}")?,
        (None, ended) => writeln!(out, "  not complete: {ended}")?,
    }
    let (mut shown, names) = (0, (owner.clone(), target.clone()));
    let more = sweep.differences.len().saturating_sub(SHOWN);
    each(sweep, |difference| {
        if shown < SHOWN {
            let (values, reason) = (values(difference, names.0.as_str(), names.1.as_str()), difference.reason);
            let reason = if reason.is_empty() { String::new() } else { format!("  ({reason})") };
            writeln!(out, "  {:<10} {}{values}{reason}", difference.verdict, difference.key)?;
        }
        shown += 1;
        Ok(())
    })?;
    if more > 0 {
        writeln!(out, "  and {more} more; `--format csv` lists them all")?;
    }
    Ok(())
}

fn ended(ended: &Ended) -> String {
    match ended {
        Ended::Complete => String::new(),
        Ended::TimeOver => "its time was over".to_owned(),
        Ended::EnoughFound => "as many differences as were asked for".to_owned(),
        Ended::Failed(reason) => reason.clone(),
    }
}

fn values(difference: &Line<'_>, owner: &str, target: &str) -> String {
    let one = |(field, ours, theirs): &(&str, &str, &str)| format!("  {field}: {owner} {ours}, {target} {theirs}");
    difference.fields.iter().map(one).collect()
}

/// A difference as JSON; names in the order of the alphabet, as everywhere in this report.
#[derive(Serialize)]
struct One<'d> {
    #[serde(serialize_with = "fields")]
    fields: &'d [(&'d str, &'d str, &'d str)],
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<&'d str>,
    key: &'d str,
    key_hash: &'d str,
    likely: bool,
    reason: &'d str,
    verdict: &'d str,
}

#[derive(Serialize)]
struct Field<'d> {
    field: &'d str,
    owner: &'d str,
    target: &'d str,
}

fn fields<S: Serializer>(fields: &&[(&str, &str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(fields.iter().map(|&(field, owner, target)| Field { field, owner, target }))
}

fn one<'d>(difference: &'d Line<'_>, flow: Option<&'d str>) -> One<'d> {
    let Line { key, key_hash, verdict, likely, reason, fields } = difference;
    One { fields, flow, key, key_hash, likely: *likely, reason, verdict }
}

fn summary(sweep: &FlowSweep) -> serde_json::Value {
    let count = |verdict: Verdict| (verdict.to_string(), sweep.of(verdict).into());
    let verdicts: serde_json::Map<String, serde_json::Value> =
        Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Match).map(count).collect();
    let failure = if let Ended::Failed(reason) = &sweep.ended { Some(reason) } else { None };
    serde_json::json!({
        "entity": sweep.flow.entity.as_str(),
        "owner": sweep.flow.owner.as_str(),
        "target": sweep.flow.target.as_str(),
        "strategy": sweep.choice.as_ref().map(|choice| choice.strategy.as_str()),
        "strategy_reason": sweep.choice.as_ref().map(|choice| &choice.reason),
        "about_differences": sweep.about,
        "owner_rows": sweep.piece.owner_rows,
        "target_rows": sweep.piece.target_rows,
        "seconds": sweep.took.as_secs_f64(),
        "complete": sweep.ended == Ended::Complete,
        "verified_through": sweep.verified_through.map(|moment| format!("{moment:?}")),
        "verdicts": verdicts,
        "failure": failure,
    })
}

fn json(out: &mut impl Write, sweeps: &mut [FlowSweep]) -> anyhow::Result<()> {
    write!(out, "{{\"flows\":[")?;
    for (number, sweep) in sweeps.iter_mut().enumerate() {
        let head = summary(sweep).to_string();
        let separator = if number > 0 { "," } else { "" };
        // The object's closing brace comes after the list.
        write!(out, "{separator}{},\"differences\":[", head.strip_suffix('}').unwrap_or(&head))?;
        let mut first = true;
        each(sweep, |difference| {
            let separator = if std::mem::take(&mut first) { "" } else { "," };
            write!(out, "{separator}")?;
            Ok(serde_json::to_writer(&mut *out, &one(difference, None))?)
        })?;
        write!(out, "]}}")?;
    }
    Ok(writeln!(out, "]}}")?)
}

fn jsonl(out: &mut impl Write, sweep: &mut FlowSweep) -> anyhow::Result<()> {
    let flow = sweep.flow.to_string();
    each(sweep, |difference| {
        serde_json::to_writer(&mut *out, &one(difference, Some(&flow)))?;
        Ok(writeln!(out)?)
    })?;
    Ok(writeln!(out, "{}", summary(sweep))?)
}

fn csv(out: &mut impl Write, sweeps: &mut [FlowSweep]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["entity", "owner", "target", "key", "verdict", "likely", "reason", "differences"])?;
    for sweep in sweeps {
        let flow = sweep.flow.clone();
        let (entity, owner, target) = (flow.entity.as_str(), flow.owner.as_str(), flow.target.as_str());
        each(sweep, |difference| {
            let values = values(difference, owner, target);
            let likely = if difference.likely { "true" } else { "false" };
            let Line { key, verdict, reason, .. } = difference;
            Ok(writer.write_record([entity, owner, target, key, verdict, likely, reason, values.trim()])?)
        })?;
    }
    Ok(writer.flush().map_err(io::Error::other)?)
}
