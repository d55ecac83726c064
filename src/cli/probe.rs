//! `plumbline probe`: one look at everything an owner holds, now.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::check::ConfigFile;
use super::look::{Wait, readers};
use super::{Exit, Failure};
use crate::audit::auditor::secret;
use crate::audit::key_store::Indexes;
use crate::audit::once::{Looker, Progress, Report};
use crate::audit::plan::units_of;
use crate::clock::{AnchoredClock, Clock};
use crate::config::Config;
use crate::ledger::rows::CheckRow;
use crate::model::{EntityId, Verdict};

/// What to look at and how to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The entity to look at.
    #[arg(value_name = "ENTITY", required_unless_present = "all", conflicts_with = "all")]
    entity: Option<String>,
    /// Look at every entity.
    #[arg(long)]
    all: bool,
    /// Look once and end. (The schedule is `plumbline serve`'s business.)
    #[arg(long, required = true)]
    once: bool,
    /// How to show what differs.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    file: ConfigFile,
}

/// How to show what differs.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One line for each differing key, with a header.
    Csv,
}

/// Looks once. Good when everything that could be decided agrees.
///
/// # Errors
/// A config with problems, or an unknown entity.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let entities = entities(&config, args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let report = runtime.block_on(look(&config, &entities, args.wait.most()))?;
    let text = match args.format {
        Format::Table => table(&report),
        Format::Json => json(&report)?,
        Format::Csv => csv(&report)?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the report")?;
    Ok(exit(&report))
}

/// A difference outranks a blind spot: it is certain.
fn exit(report: &Report) -> Exit {
    if report.differs() {
        Exit::Bad
    } else if report.is_blind() {
        Exit::CouldNotRead
    } else {
        Exit::Good
    }
}

fn entities(config: &Config, args: &Args) -> Result<Vec<EntityId>, Failure> {
    let Some(name) = &args.entity else { return Ok(config.entities.keys().cloned().collect()) };
    let known = config.entities.keys().find(|id| id.as_str() == name).cloned();
    let names = || config.entities.keys().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let unknown = || Failure::usage(anyhow::anyhow!("`{name}` is not an entity of the config (known: {})", names()));
    known.map(|id| vec![id]).ok_or_else(unknown)
}

async fn look(config: &Config, entities: &[EntityId], wait: Duration) -> anyhow::Result<Report> {
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    let readers = readers(config, &clock)?;
    let (indexes, _dir) = Indexes::for_a_look(secret(config)?.digest_key(), Arc::clone(&clock)).await?;
    let units = |entity| units_of(config, &readers, &indexes, entity, clock.now());
    let units = entities.iter().flat_map(units).collect();
    let looker = Looker {
        tenant: config.plumbline.tenant.clone(),
        clock,
        secret: secret(config)?.digest_key(),
        max_in_flight: config.plumbline.max_in_flight,
        wait,
    };
    let bar = progress_bar();
    let report = looker.look(units, |progress| bar.set_message(message(&progress))).await?;
    bar.finish_and_clear();
    Ok(report)
}

/// On a terminal only; elsewhere it shows nothing.
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn message(progress: &Progress) -> String {
    match progress {
        Progress::Reading { unit, records, in_flight } => format!("{unit}: {records} records, {in_flight} differ"),
        Progress::Indexing { unit, system, records } => {
            format!("{unit}: {records} records of {system} read for the index of its keys")
        }
        Progress::Waiting { unit, in_flight, left } => {
            format!("{unit}: {in_flight} keys in flight, at most {} s more", left.as_secs())
        }
    }
}

/// Differing keys shown in a table; the other formats have all of them.
const SHOWN: usize = 50;

fn table(report: &Report) -> String {
    let mut text = String::new();
    for (id, flow) in &report.flows {
        let counts: Vec<String> = Verdict::ALL
            .into_iter()
            .filter(|verdict| flow.of(*verdict) > 0)
            .map(|verdict| format!("{} {verdict}", flow.of(verdict)))
            .collect();
        let counts = if counts.is_empty() { "no records".to_owned() } else { counts.join(", ") };
        text.push_str(&format!("{id}: {counts}\n"));
        for row in flow.differing.iter().take(SHOWN) {
            text.push_str(&format!("  {:<10} {}{}\n", row.verdict, row.key, difference(row)));
        }
        let more = flow.differing.len().saturating_sub(SHOWN);
        if more > 0 {
            text.push_str(&format!("  and {more} more; `--format csv` lists them all\n"));
        }
    }
    if let Some(reason) = report.failure {
        text.push_str(&format!("not everything could be read: {reason}\n"));
    }
    text
}

fn difference(row: &CheckRow) -> String {
    let sides = row.owner_values.iter().zip(&row.target_values);
    let fields = row.fields.iter().zip(sides);
    let one = |(field, (owner, target)): (&String, (&String, &String))| {
        format!("  {field}: {} {owner}, {} {target}", row.owner, row.target)
    };
    let reason = if row.reason.is_empty() { String::new() } else { format!("  ({})", row.reason) };
    format!("{}{reason}", fields.map(one).collect::<String>())
}

fn json(report: &Report) -> anyhow::Result<String> {
    let flow = |(id, flow): (&crate::model::FlowId, &crate::audit::once::FlowReport)| {
        let verdicts: serde_json::Map<String, serde_json::Value> =
            Verdict::ALL.into_iter().map(|verdict| (verdict.to_string(), flow.of(verdict).into())).collect();
        let differing: Vec<serde_json::Value> = flow.differing.iter().map(differing).collect();
        serde_json::json!({
            "entity": id.entity.as_str(),
            "owner": id.owner.as_str(),
            "target": id.target.as_str(),
            "verdicts": verdicts,
            "differing": differing,
        })
    };
    let flows: Vec<serde_json::Value> = report.flows.iter().map(flow).collect();
    let document = serde_json::json!({ "flows": flows, "failure": report.failure });
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}

fn differing(row: &CheckRow) -> serde_json::Value {
    let sides = row.owner_values.iter().zip(&row.target_values);
    let fields: Vec<serde_json::Value> = row
        .fields
        .iter()
        .zip(sides)
        .map(|(field, (owner, target))| serde_json::json!({ "field": field, "owner": owner, "target": target }))
        .collect();
    serde_json::json!({
        "key": row.key,
        "key_hash": row.key_hash,
        "verdict": row.verdict,
        "likely": row.likely,
        "lag_low_seconds": row.lag_low_us as f64 / 1e6,
        "lag_high_seconds": row.lag_high_us as f64 / 1e6,
        "reason": row.reason,
        "fields": fields,
    })
}

fn csv(report: &Report) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["entity", "owner", "target", "key", "verdict", "likely", "reason", "differences"])?;
    for row in report.flows.values().flat_map(|flow| &flow.differing) {
        let differences = difference(row);
        writer.write_record([
            row.entity.as_str(),
            &row.owner,
            &row.target,
            &row.key,
            &row.verdict,
            if row.likely { "true" } else { "false" },
            &row.reason,
            differences.trim(),
        ])?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
