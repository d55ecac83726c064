//! `plumbline schema`: changes of columns and JSON shapes that wait, and their acceptance.

use std::sync::Arc;

use anyhow::Context as _;

use super::look::readers;
use super::table::table;
use super::{ConfigFile, Exit, Failure};
use crate::audit::auditor::{open_state, secret, stored_state};
use crate::audit::key_store::Indexes;
use crate::audit::plan::units;
use crate::audit::schema::{Overview, Waiting, overview, words};
use crate::clock::{AnchoredClock, Clock};
use crate::config::Config;

/// What to do with the changes that wait.
#[derive(Debug, clap::Subcommand)]
pub enum SchemaCommand {
    /// List the changes that affect fields and that nobody has accepted yet; exit 1 if there are any.
    List(ConfigFile),
    /// Take the present shape of an entity in a system for granted: from now on differences count as what they are.
    Accept(AcceptArgs),
}

/// What to accept.
#[derive(Debug, clap::Args)]
pub struct AcceptArgs {
    /// The entity and the system that changed, as `list` shows them.
    #[arg(value_name = "ENTITY/SYSTEM")]
    place: String,
    /// Only what happened to this column or path.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Who accepts; kept with the acceptance.
    #[arg(long, value_name = "NAME", default_value = "somebody with access to the config")]
    by: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Lists or accepts.
///
/// # Errors
/// A config with problems, nothing to accept there, or a state that does not answer.
pub async fn run(command: &SchemaCommand) -> Result<Exit, Failure> {
    match command {
        SchemaCommand::List(file) => list(file).await,
        SchemaCommand::Accept(args) => accept(args).await,
    }
}

async fn list(file: &ConfigFile) -> Result<Exit, Failure> {
    let config = file.load()?;
    let waiting = known(&config).await?.unwrap_or_default().waiting;
    if waiting.is_empty() {
        println!("no change waits to be accepted");
        return Ok(Exit::Good);
    }
    let rows: Vec<Vec<String>> = waiting.iter().map(row).collect();
    print!("{}", table(&["entity/system", "dataset", "change", "since", "affects", "flows"], &rows, &[]));
    Ok(Exit::Bad)
}

fn row(waiting: &Waiting) -> Vec<String> {
    vec![
        format!("{}/{}", waiting.entity, waiting.system),
        waiting.dataset.clone(),
        words(&waiting.open.change),
        format!("{:?}", waiting.open.seen_at),
        waiting.parts.join(", "),
        flows(waiting),
    ]
}

/// The flows that a change affects, in a line.
pub(super) fn flows(waiting: &Waiting) -> String {
    waiting.flows.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

async fn accept(args: &AcceptArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let Some((entity, system)) = args.place.split_once('/') else {
        return Err(Failure::usage(anyhow::anyhow!("`{}` is not written `ENTITY/SYSTEM`", args.place)));
    };
    let waiting = known(&config).await?.unwrap_or_default().waiting;
    let is_meant = |waiting: &&Waiting| {
        waiting.entity.as_str() == entity
            && waiting.system == system
            && args.column.as_ref().is_none_or(|column| waiting.open.change.column == *column)
    };
    let meant: Vec<&Waiting> = waiting.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let places: Vec<String> =
            waiting.iter().map(|waiting| format!("`{}/{}`", waiting.entity, waiting.system)).collect();
        let known =
            if places.is_empty() { "nothing waits".to_owned() } else { format!("waiting: {}", places.join(", ")) };
        return Err(Failure::usage(anyhow::anyhow!("no change of `{}` waits to be accepted ({known})", args.place)));
    }
    let changes: Vec<_> = meant
        .iter()
        .map(|waiting| (waiting.system.clone(), waiting.dataset.clone(), words(&waiting.open.change)))
        .collect();
    let state = open_state(&config, &secret(&config)?).await?;
    state.accept_changes(entity, &args.by, &changes).await.context("the acceptance could not be kept")?;
    state.close().await;
    for (_, dataset, change) in &changes {
        println!("accepted: `{dataset}`: {change}");
    }
    println!("the auditor looks at it within seconds; without a running one, with its next start");
    Ok(Exit::Good)
}

/// What the schema probes of a config know; `None` where no auditor has ever run, or none of them is one.
pub(super) async fn known(config: &Config) -> anyhow::Result<Option<Overview>> {
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    // Opened, not reached: units are made of readers.
    let readers = readers(config, &clock)?;
    let Some(state) = stored_state(config).await? else { return Ok(None) };
    let indexes = Indexes::new(state.clone(), secret(config)?.digest_key(), Arc::clone(&clock));
    let units = units(config, &readers, &indexes, clock.now());
    if units.iter().all(|unit| unit.schema.is_none()) {
        return Ok(None);
    }
    let found = overview(&state, &units).await.context("what schema probes know cannot be read");
    state.close().await;
    found.map(Some)
}
