//! `plumbline totals`: records and money by business day on each side of a flow, and what differs.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use clap::ValueEnum;

use super::check::ConfigFile;
use super::look::{Wait, readers};
use super::sweep::{entity, flow_of};
use super::table::table;
use super::{Exit, Failure};
use crate::audit::auditor::secret;
use crate::audit::key_store::Indexes;
use crate::audit::plan::units_of;
use crate::audit::sweep::finder::Options;
use crate::audit::sweep::{FlowSweep, Sweeping, sides};
use crate::audit::totals::{SideTotals, of_days, tolerance_of, totals};
use crate::audit::unit::UnitParts;
use crate::clock::{AnchoredClock, Clock};
use crate::config::Config;
use crate::model::{EntityId, FieldType, FlowId};
use crate::totals::{Calendar, Days, Fields, Question, Sum, Variance, lines};

/// What to add up and how to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The entity to add up.
    #[arg(value_name = "ENTITY")]
    entity: String,
    /// Only this flow of the entity.
    #[arg(long, value_name = "OWNER:TARGET")]
    flow: Option<String>,
    /// The field with the business day: a date or a time stamp.
    #[arg(long, value_name = "FIELD")]
    day: String,
    /// The field to add up: money or a number. Without it records are counted.
    #[arg(long, value_name = "FIELD")]
    amount: Option<String>,
    /// A field that tells the records of a day apart.
    #[arg(long, value_name = "FIELD")]
    status: Option<String>,
    /// Where the business is: an IANA name.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: Tz,
    /// What happens at this time of day or later belongs to the next day.
    #[arg(long, value_name = "HH:MM", default_value = "00:00", value_parser = time_of_day)]
    cut_off: NaiveTime,
    /// The first day; all when absent.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// The day after the last one.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<NaiveDate>,
    /// Look for the keys that differ on the days that differ.
    #[arg(long)]
    keys: bool,
    /// How to show what differs.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    file: ConfigFile,
}

/// How to show what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// What was found in one flow.
struct Found {
    flow: FlowId,
    sides: [SideTotals; 2],
    variances: Vec<Variance>,
    /// Lines that differ by no more than the flow's tolerance allows their records.
    tolerated: usize,
    keys: Option<FlowSweep>,
}

fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| format!("`{text}` is not a time of day; write `18:00`"))
}

/// Adds up. Good when every line agrees and everything could be read.
///
/// # Errors
/// A config with problems; an unknown entity, flow or field; a system that cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let entity = entity(&config, &args.entity)?;
    let wanted = args.flow.as_deref().map(|flow| flow_of(&config, &entity, flow)).transpose()?;
    let fields = fields(&config, &entity, args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let mut found = runtime.block_on(add_up(&config, &entity, wanted, fields, args))?;
    let text = match args.format {
        Format::Table => found.iter_mut().map(shown).collect::<anyhow::Result<String>>()?,
        Format::Json => json(&mut found)?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the totals")?;
    let is_blind = |found: &Found| found.sides.iter().any(|side| side.totals.unreadable > 0);
    Ok(if found.iter().any(|found| !found.variances.is_empty()) {
        Exit::Bad
    } else if found.iter().any(is_blind) {
        Exit::CouldNotRead
    } else {
        Exit::Good
    })
}

fn fields(config: &Config, entity: &EntityId, args: &Args) -> Result<Fields, Failure> {
    let all = config.entities.get(entity).map(|entity| entity.fields.as_slice()).unwrap_or_default();
    let find = |option: &str, name: &str, types: &[FieldType]| {
        let position = all.iter().position(|field| field.name.as_str() == name);
        let fits = |position: &usize| types.is_empty() || types.contains(&all[*position].field_type);
        position.filter(fits).ok_or_else(|| {
            let names: Vec<_> = all
                .iter()
                .filter(|field| types.is_empty() || types.contains(&field.field_type))
                .map(|field| format!("`{}`", field.name))
                .collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Failure::usage(anyhow::anyhow!("`--{option} {name}` is not a field that fits (known: {known})"))
        })
    };
    let amounts = [FieldType::Money, FieldType::Decimal, FieldType::Integer];
    Ok(Fields {
        day: find("day", &args.day, &[FieldType::Date, FieldType::Timestamp])?,
        amount: args.amount.as_deref().map(|name| find("amount", name, &amounts)).transpose()?,
        status: args.status.as_deref().map(|name| find("status", name, &[])).transpose()?,
    })
}

async fn add_up(
    config: &Config,
    entity: &EntityId,
    wanted: Option<(String, String)>,
    fields: Fields,
    args: &Args,
) -> anyhow::Result<Vec<Found>> {
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    let readers = readers(config, &clock)?;
    let (indexes, _dir) = Indexes::for_a_look(secret(config)?.digest_key(), Arc::clone(&clock)).await?;
    let is_wanted = |parts: &UnitParts, flow: usize| {
        let (owner, target) = (parts.owner.system.as_str(), parts.flows[flow].target.system.as_str());
        let holds = |field: Option<usize>| {
            let side = |mapping: &crate::model::Mapping| field.is_none_or(|field| mapping.fields[field].is_some());
            side(&parts.owner.mapping) && side(&parts.flows[flow].target.mapping)
        };
        wanted.as_ref().is_none_or(|wanted| (wanted.0.as_str(), wanted.1.as_str()) == (owner, target))
            && holds(Some(fields.day))
            && holds(fields.amount)
            && holds(fields.status)
    };
    let calendar = Calendar { zone: args.time_zone, cut_off: args.cut_off };
    let question = Question { calendar, fields, days: Days { from: args.from, to: args.to } };
    let mut all = Vec::new();
    for parts in units_of(config, &readers, &indexes, entity, clock.now()) {
        for flow in (0..parts.flows.len()).filter(|flow| is_wanted(&parts, *flow)) {
            let sides = totals(&sides(&parts, flow), &question).await?;
            let tolerance = tolerance_of(&parts.flows[flow].flow, &question);
            let mut variances = lines(&sides[0].totals, &sides[1].totals, tolerance.as_ref());
            let tolerated = variances.iter().filter(|line| !line.differs() && line.owner != line.target).count();
            variances.retain(Variance::differs);
            let keys = match variances.is_empty() || !args.keys {
                true => None,
                false => Some(drill_down(config, &clock, (&parts, flow), &variances, question, args).await?),
            };
            all.push(Found { flow: parts.flows[flow].flow.id.clone(), sides, variances, tolerated, keys });
        }
    }
    Ok(all)
}

/// Sweeps the records of the days that differ.
async fn drill_down(
    config: &Config,
    clock: &Arc<dyn Clock>,
    (parts, flow): (&Arc<UnitParts>, usize),
    variances: &[Variance],
    question: Question,
    args: &Args,
) -> anyhow::Result<FlowSweep> {
    let days = variances.iter().map(|variance| variance.line.day).collect();
    let sweeping = Sweeping {
        tenant: config.plumbline.tenant.clone(),
        clock: Arc::clone(clock),
        secret: secret(config)?.digest_key(),
        wait: args.wait.most(),
        options: Options { strategy: None, memory: 64 << 20 },
        most_differences: None,
        most_time: None,
        only: Some(of_days(Arc::clone(&parts.flows[flow].flow), question, days)),
    };
    sweeping.sweep(Arc::clone(parts), flow, |_| {}).await
}

fn shown(found: &mut Found) -> anyhow::Result<String> {
    let (owner, target) = (found.flow.owner.as_str(), found.flow.target.as_str());
    let mut text = match found.variances.len() {
        0 => format!("{}: {} lines agree\n", found.flow, found.sides[0].totals.lines.len()),
        differ => format!("{}: {differ} lines differ\n", found.flow),
    };
    if found.tolerated > 0 {
        text.push_str(&format!("  {} lines differ within the flow's tolerance\n", found.tolerated));
    }
    for (side, name) in found.sides.iter().zip([owner, target]) {
        let how = if side.is_pushed_down { "added up by the database" } else { "added up from all records" };
        text.push_str(&format!("  {name}: {how}\n"));
        if side.totals.unreadable > 0 {
            let count = side.totals.unreadable;
            text.push_str(&format!(
                "  {name}: {count} records have no readable day or amount: its totals are not whole\n"
            ));
        }
    }
    if !found.variances.is_empty() {
        let head =
            ["day", "currency", "status", &format!("{owner} n"), &format!("{target} n"), owner, target, "variance"];
        let rows: Vec<Vec<String>> = found.variances.iter().map(row).collect();
        text.push_str(&table(&head, &rows, &[3, 4, 5, 6, 7]));
    }
    if let Some(sweep) = &mut found.keys {
        let mut out = Vec::new();
        super::sweep::write_table(&mut out, sweep)?;
        text.push_str(&String::from_utf8(out)?);
    }
    Ok(text)
}

fn row(variance: &Variance) -> Vec<String> {
    let Variance { line, owner, target, .. } = variance;
    let day = line.day.map_or_else(|| "none".to_owned(), |day| day.to_string());
    let net = |sum: &Sum| sum.net().to_string();
    vec![
        day,
        line.currency.clone(),
        line.status.clone(),
        owner.records.to_string(),
        target.records.to_string(),
        net(owner),
        net(target),
        variance.net().to_string(),
    ]
}

fn json(found: &mut [Found]) -> anyhow::Result<String> {
    let sum = |sum: &Sum| {
        serde_json::json!({
            "records": sum.records,
            "debit": sum.debit.to_string(),
            "credit": sum.credit.to_string(),
            "net": sum.net().to_string(),
        })
    };
    let mut flows = Vec::new();
    for found in found {
        let variance = |variance: &Variance| {
            serde_json::json!({
                "day": variance.line.day.map(|day| day.to_string()),
                "currency": variance.line.currency,
                "status": variance.line.status,
                "owner": sum(&variance.owner),
                "target": sum(&variance.target),
                "variance": variance.net().to_string(),
            })
        };
        let side = |side: &SideTotals| {
            serde_json::json!({
                "lines": side.totals.lines.len(),
                "unreadable": side.totals.unreadable,
                "pushed_down": side.is_pushed_down,
            })
        };
        let mut keys = Vec::new();
        if let Some(sweep) = &mut found.keys {
            while !sweep.differences.is_empty() {
                let taken = sweep.differences.take(1_000)?;
                keys.extend(taken.into_iter().map(|one| serde_json::json!({ "key": one.key, "verdict": one.verdict })));
            }
        }
        flows.push(serde_json::json!({
            "entity": found.flow.entity.as_str(),
            "owner": found.flow.owner.as_str(),
            "target": found.flow.target.as_str(),
            "sides": found.sides.iter().map(side).collect::<Vec<_>>(),
            "tolerated": found.tolerated,
            "differing": found.variances.iter().map(variance).collect::<Vec<_>>(),
            "keys": found.keys.is_some().then_some(keys),
        }));
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&serde_json::json!({ "flows": flows }))?))
}
