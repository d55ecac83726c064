//! `plumbline maintenance`: times that do not count against promises.

use anyhow::{Context as _, anyhow};
use uuid::Uuid;

use super::table::{instant, table};
use super::{ConfigFile, Exit, Failure};
use crate::audit::auditor::{open_state, secret};
use crate::config::{Config, parse_duration};
use crate::model::SystemId;
use crate::state::MaintenanceRow;

/// What to do with maintenance.
#[derive(Debug, clap::Subcommand)]
pub enum MaintenanceCommand {
    /// List what was said here and has not ended for more than a month; the config's own stands in the config.
    List(ConfigFile),
    /// Say that something is worked on, from now on or from a time on.
    Add(AddArgs),
    /// Say that the work is done.
    End(EndArgs),
}

/// What is worked on.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Why.
    #[arg(value_name = "REASON")]
    reason: String,
    /// For how long: `2h`.
    #[arg(long, value_name = "DURATION")]
    r#for: String,
    /// From: `2026-12-24T22:00:00Z`; now unless given.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// A system; can be given several times. Everything unless given.
    #[arg(long = "system", value_name = "SYSTEM")]
    systems: Vec<String>,
    /// Who says so.
    #[arg(long, value_name = "NAME", default_value = "somebody with access to the config")]
    by: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Which work is done.
#[derive(Debug, clap::Args)]
pub struct EndArgs {
    /// Its id, as `list` shows it.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Lists, adds or ends maintenance.
///
/// # Errors
/// A config with problems, an unknown system or id, or a state that does not answer.
pub async fn run(command: &MaintenanceCommand) -> Result<Exit, Failure> {
    match command {
        MaintenanceCommand::List(file) => list(file).await,
        MaintenanceCommand::Add(args) => add(args).await,
        MaintenanceCommand::End(args) => end(args).await,
    }
}

async fn list(file: &ConfigFile) -> Result<Exit, Failure> {
    let config = file.load()?;
    let state = open_state(&config, &secret(&config)?).await?;
    let since = state.now().await.context("the state's clock")? - std::time::Duration::from_secs(31 * 86_400);
    let rows = state.maintenance(since).await.context("maintenance cannot be read")?;
    state.close().await;
    if rows.is_empty() {
        println!("no maintenance");
        return Ok(Exit::Good);
    }
    let shown: Vec<Vec<String>> = rows.iter().map(row).collect();
    print!("{}", table(&["id", "from", "to", "systems", "reason", "by"], &shown, &[]));
    Ok(Exit::Good)
}

fn row(work: &MaintenanceRow) -> Vec<String> {
    let systems = if work.systems.is_empty() { "everything".to_owned() } else { work.systems.join(", ") };
    let times = [work.from, work.to].map(instant);
    let [from, to] = times;
    vec![work.id.clone(), from, to, systems, work.reason.clone(), work.by.clone()]
}

async fn add(args: &AddArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    refuse_unknown(&config, &args.systems)?;
    let length = parse_duration(&args.r#for).filter(|length| !length.is_zero());
    let length = length.ok_or_else(|| Failure::usage(anyhow!("`{}` is not a duration such as `2h`", args.r#for)))?;
    let state = open_state(&config, &secret(&config)?).await?;
    let now = state.now().await.context("the state's clock")?;
    let from = args.from.as_deref().map_or(Ok(now), |text| super::slo::time(text, now))?;
    let id = Uuid::now_v7().to_string()[24..].to_owned();
    let (systems, reason, by) = (args.systems.clone(), args.reason.clone(), args.by.clone());
    let work = MaintenanceRow { id, from, to: from + length, systems, reason, by };
    state.add_maintenance(&work).await.context("the maintenance is not recorded")?;
    state.close().await;
    println!("{}: from {} to {}", work.id, instant(work.from), instant(work.to));
    Ok(Exit::Good)
}

fn refuse_unknown(config: &Config, systems: &[String]) -> Result<(), Failure> {
    let is_unknown = |name: &&String| !config.systems.keys().any(|system| system.as_str() == name.as_str());
    let Some(unknown) = systems.iter().find(is_unknown) else { return Ok(()) };
    let known: Vec<&str> = config.systems.keys().map(SystemId::as_str).collect();
    Err(Failure::usage(anyhow!("`{unknown}` is not a system of the config (known: {})", known.join(", "))))
}

async fn end(args: &EndArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let state = open_state(&config, &secret(&config)?).await?;
    let now = state.now().await.context("the state's clock")?;
    let ended = state.end_maintenance(&args.id, now).await.context("the maintenance goes on")?;
    state.close().await;
    if !ended {
        return Err(Failure::usage(anyhow!("no maintenance `{}` goes on now", args.id)));
    }
    println!("{}: ended", args.id);
    Ok(Exit::Good)
}
