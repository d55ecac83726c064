//! `plumbline sweep`: every difference between two systems, now.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use super::check::ConfigFile;
use super::look::{Wait, readers};
use super::{Exit, Failure};
use crate::audit::auditor::secret;
use crate::audit::key_store::Indexes;
use crate::audit::plan::units_of;
use crate::audit::sweep::finder::Options;
use crate::audit::sweep::{FlowSweep, Sweeping};
use crate::audit::unit::UnitParts;
use crate::clock::{AnchoredClock, Clock};
use crate::config::Config;
use crate::model::EntityId;
use crate::sweep::Strategy;

mod progress;
mod report;

use progress::Shown;
pub(super) use report::table as write_table;

/// What to sweep and how to show what differs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The entity to sweep.
    #[arg(value_name = "ENTITY")]
    entity: String,
    /// Only this flow of the entity.
    #[arg(long, value_name = "OWNER:TARGET")]
    flow: Option<String>,
    /// How to look for differences.
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    strategy: Way,
    /// End when so many keys differ, those in flight among them; then the result is not complete.
    #[arg(long, value_name = "N")]
    max_differences: Option<u64>,
    /// End looking after so many seconds; then the result is not complete.
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<u64>,
    /// How to show what differs.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    wait: Wait,
    /// What the sweep may keep in memory; the rest waits in temporary files.
    #[arg(long, value_name = "MB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..))]
    memory: u16,
    #[command(flatten)]
    file: ConfigFile,
}

/// How to look for differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Whichever costs less; says which and why.
    Auto,
    /// The databases compute digests; only what differs is read.
    Digest,
    /// Every row of both sides is read.
    Stream,
}

/// How to show what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One line for each differing key, with a header.
    Csv,
    /// One JSON object a line: each difference, then each flow.
    Jsonl,
}

/// Sweeps. Good when everything agrees.
///
/// # Errors
/// A config with problems, an unknown entity or flow.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let entity = entity(&config, &args.entity)?;
    let wanted = args.flow.as_deref().map(|flow| flow_of(&config, &entity, flow)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let mut sweeps = runtime.block_on(sweep(&config, &entity, wanted, args))?;
    let exit = exit(&sweeps);
    let stdout = std::io::stdout();
    let mut out = std::io::BufWriter::new(stdout.lock());
    report::write(&mut out, &mut sweeps, args.format).context("cannot write the report")?;
    out.flush().context("cannot write the report")?;
    Ok(exit)
}

/// A difference outranks a blind spot: it is certain.
fn exit(sweeps: &[FlowSweep]) -> Exit {
    if sweeps.iter().any(FlowSweep::differs) {
        Exit::Bad
    } else if sweeps.iter().any(FlowSweep::is_blind) {
        Exit::CouldNotRead
    } else {
        Exit::Good
    }
}

pub(super) fn entity(config: &Config, name: &str) -> Result<EntityId, Failure> {
    let names = || config.entities.keys().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let unknown = || Failure::usage(anyhow::anyhow!("`{name}` is not an entity of the config (known: {})", names()));
    config.entities.keys().find(|id| id.as_str() == name).cloned().ok_or_else(unknown)
}

/// `owner:target` as the names of its systems.
pub(super) fn flow_of(config: &Config, entity: &EntityId, text: &str) -> Result<(String, String), Failure> {
    let flows = || config.flows.iter().filter(|flow| flow.id.entity == *entity);
    let is_it = |owner: &str, target: &str| {
        flows().any(|flow| flow.id.owner.as_str() == owner && flow.id.target.as_str() == target)
    };
    match text.split_once(':') {
        Some((owner, target)) if is_it(owner, target) => Ok((owner.to_owned(), target.to_owned())),
        _ => {
            let names: Vec<_> = flows().map(|flow| format!("`{}:{}`", flow.id.owner, flow.id.target)).collect();
            let error = anyhow::anyhow!("`--flow {text}` is not a flow of `{entity}` (known: {})", names.join(", "));
            Err(Failure::usage(error))
        }
    }
}

async fn sweep(
    config: &Config,
    entity: &EntityId,
    wanted: Option<(String, String)>,
    args: &Args,
) -> anyhow::Result<Vec<FlowSweep>> {
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    let readers = readers(config, &clock)?;
    let (indexes, _dir) = Indexes::for_a_look(secret(config)?.digest_key(), Arc::clone(&clock)).await?;
    let sweeping = Sweeping {
        tenant: config.plumbline.tenant.clone(),
        secret: secret(config)?.digest_key(),
        wait: args.wait.most(),
        options: Options { strategy: strategy(args.strategy), memory: usize::from(args.memory) << 20 },
        most_differences: args.max_differences,
        most_time: args.max_seconds.map(Duration::from_secs),
        only: None,
        clock: Arc::clone(&clock),
    };
    let is_wanted = |parts: &UnitParts, flow: usize| {
        wanted.as_ref().is_none_or(|(owner, target)| {
            parts.owner.system.as_str() == owner && parts.flows[flow].target.system.as_str() == target
        })
    };
    let mut shown = Shown::new(std::io::stderr().is_terminal());
    let mut sweeps = Vec::new();
    for parts in units_of(config, &readers, &indexes, entity, clock.now()) {
        for flow in (0..parts.flows.len()).filter(|flow| is_wanted(&parts, *flow)) {
            sweeps.push(sweeping.sweep(Arc::clone(&parts), flow, |progress| shown.show(&progress)).await?);
            shown.clear();
        }
    }
    Ok(sweeps)
}

const fn strategy(way: Way) -> Option<Strategy> {
    match way {
        Way::Auto => None,
        Way::Digest => Some(Strategy::Digest),
        Way::Stream => Some(Strategy::Stream),
    }
}
