//! What `plumbline check` prints.

use std::fmt::Write;

use super::duration::show;
use super::probe::is_read_by;
use super::{Config, ProbeKind, Problems, SampleSize, Schedule, Slo};
use crate::model::{Flow, FlowId};
use crate::slo::{Indicator, Tier, smallest_outage};

/// The flows with their fields, deadline and probe, then the warnings; or all problems.
pub fn render_check(result: &Result<Config, Problems>) -> String {
    match result {
        Ok(config) => render_config(config),
        Err(problems) => format!("{problems}\n"),
    }
}

fn render_config(config: &Config) -> String {
    let mut rows = vec![["flow", "fields", "deadline", "probe"].map(str::to_owned)];
    rows.extend(config.flows.iter().map(|flow| row(config, flow)));
    let mut text = table(&rows);
    text.push_str(&promises(config));
    for warning in &config.warnings {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "warning: {warning}");
    }
    let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let parts = [
        count(config.systems.len(), "system"),
        count(config.flows.len(), "flow"),
        count(config.probes.len(), "probe"),
        count(config.slos.len(), "SLO"),
        count(config.warnings.len(), "warning"),
    ];
    let _written = writeln!(text, "ok: {}", parts.join(", "));
    text
}

/// What each tier of each promise detects at the planned number of checks.
fn promises(config: &Config) -> String {
    let mut text = String::new();
    for slo in &config.slos {
        let promise = &slo.promise;
        // Writing to a string cannot fail.
        let _written = writeln!(text, "slo {}: {} {}", promise.name, promise.objective, promise.window);
        for tier in &promise.tiers {
            let (severity, found) = (tier.severity.as_str(), outage(config, slo, tier));
            let _written = writeln!(text, "  {severity} {tier}: {found}");
        }
    }
    text
}

fn outage(config: &Config, slo: &Slo, tier: &Tier) -> String {
    let planned = slo.flows.iter().filter_map(|flow| samples_a_minute(config, flow)).min_by(f64::total_cmp);
    let is_sampled = matches!(slo.promise.indicator, Indicator::Agreement | Indicator::Completeness);
    // Changes come as they come; that something is overdue is seen every minute.
    let checks = if is_sampled { planned } else { Some(1.0) };
    let least = if is_sampled { slo.promise.least_bad } else { 1 };
    let found = checks.and_then(|checks| smallest_outage(tier, slo.promise.objective, checks, least));
    let Some(found) = found else {
        return "detects nothing: too few checks are planned".to_owned();
    };
    let share = (found.share * 1e4).round() / 100.0;
    let minutes = show(std::time::Duration::from_secs(found.minutes.unsigned_abs() * 60));
    let checks = if is_sampled { format!(", {} bad checks", found.bad) } else { String::new() };
    format!("detects {share} % bad, or all bad for {minutes}{checks}")
}

/// Sampled keys a minute; `None` without a sample probe or a sweep. Where that follows from the number of keys, which only
/// `plumbline plan` asks for, at least one is.
fn samples_a_minute(config: &Config, flow: &FlowId) -> Option<f64> {
    let probes = config.probes.iter().filter(|probe| is_read_by(flow, probe));
    let keys = probes.filter_map(|probe| match probe.kind {
        ProbeKind::Sample(SampleSize::Keys(keys)) => {
            Some(keys as f64 * 60.0 / probe.schedule.longest_interval().as_secs_f64().max(1e-3))
        }
        ProbeKind::Sample(SampleSize::EveryKeyWithin(_)) | ProbeKind::Sweep(_) => Some(1.0),
        _ => None,
    });
    keys.max_by(f64::total_cmp)
}

fn row(config: &Config, flow: &Flow) -> [String; 4] {
    let name = |field: &crate::model::FlowField| match field.two_way {
        true => format!("{} (two-way)", field.name),
        false => field.name.to_string(),
    };
    let fields: Vec<_> = flow.fields.iter().map(name).collect();
    let probes = config.probes.iter().filter(|probe| is_read_by(&flow.id, probe));
    let shown: Vec<_> = probes.map(|probe| shown(probe.kind, &probe.schedule)).collect();
    let schedule = if shown.is_empty() { "none".to_owned() } else { shown.join("; ") };
    [path(flow), fields.join(", "), show(flow.deadline), schedule]
}

/// The flow's name, with the systems that its data comes through.
fn path(flow: &Flow) -> String {
    if flow.via().is_empty() {
        return flow.id.to_string();
    }
    let via: Vec<_> = flow.via().iter().map(crate::model::SystemId::as_str).collect();
    format!("{} (via {})", flow.id, via.join(", "))
}

fn shown(kind: ProbeKind, schedule: &Schedule) -> String {
    match kind {
        ProbeKind::Changes => schedule.to_string(),
        ProbeKind::Schema => format!("schema {schedule}"),
        ProbeKind::Totals(totals) => format!("totals of {} days {schedule}", totals.days),
        ProbeKind::Sweep(sweep) => {
            let hours = sweep.hours.map(|hours| format!(" between {hours}")).unwrap_or_default();
            format!("sweep {schedule}{hours}")
        }
        ProbeKind::Sample(SampleSize::Keys(keys)) => format!("sample {keys} keys {schedule}"),
        ProbeKind::Sample(SampleSize::EveryKeyWithin(within)) => {
            format!("sample every key within {} {schedule}", show(within))
        }
    }
}

/// Columns two spaces apart.
fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: &[String; 4]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
