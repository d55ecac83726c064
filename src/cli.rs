//! The commands: what people type, and the exit codes that scripts read. No logic.

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod check;
mod clickhouse;
mod demo;
mod doctor;
mod incident;
mod look;
mod maintenance;
mod migrate;
mod notify;
mod pack;
mod plan;
mod probe;
mod schema;
mod serve;
mod slo;
mod sweep;
mod table;
mod totals;
mod view;

use check::ConfigFile;

/// Plumbline audits whether business systems agree: which records differ, by how much and since when.
#[derive(Debug, Parser)]
#[command(name = "plumbline", version, arg_required_else_help = true)]
struct Arguments {
    /// What to log: a level, or a filter such as `info,plumbline::audit=debug`.
    #[arg(long, global = true, value_name = "FILTER", default_value = "info")]
    log: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch an auditor at work on a small company whose sync job makes mistakes; exit 0 if it was right.
    Demo(demo::DemoArgs),
    /// Check the config: print what follows from it, or all its problems.
    Check(ConfigFile),
    /// Look at every system: can it be reached, are the reads fast, could the login write?
    Doctor(ConfigFile),
    /// Begin, check and try packs for systems that speak HTTP.
    #[command(subcommand)]
    Pack(pack::PackCommand),
    /// Foretell what the probes cost, how soon they see a drift and what they never see; propose a schedule.
    Plan(plan::Args),
    /// Show changes of columns and JSON shapes that wait to be accepted; accept them.
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    /// Try the ways in which people are told of incidents.
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// How the promises are kept, and how they would have been.
    #[command(subcommand)]
    Slo(slo::SloCommand),
    /// What is broken, and what people do about it.
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// Times that do not count against promises.
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// Bring the state database and the ledger's tables up to date.
    Migrate(ConfigFile),
    /// Serve ClickHouse's HTTP interface on loopback, with the engine inside.
    Clickhouse(clickhouse::ClickhouseArgs),
    /// Run the schedule until stopped.
    Serve(ConfigFile),
    /// The demo company's sync job; `plumbline demo` starts it and tells it what to do.
    #[command(hide = true)]
    SandboxSync,
    /// Look once at everything an owner holds; exit 0 agree, 1 differ, 2 usage or config, 3 could not read.
    Probe(probe::Args),
    /// Find every difference between two systems; exit 0 agree, 1 differ, 2 usage or config, 3 could not read.
    Sweep(sweep::Args),
    /// Count records and add up money by business day on each side; exit 0 agree, 1 differ, 2 usage or config, 3 could not read.
    Totals(totals::Args),
}

/// How a command ended; the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything agrees, or simply done.
    Good = 0,
    /// Something differs, or `doctor` and `demo` found fault.
    Bad = 1,
    /// The command line or the config is wrong.
    Usage = 2,
    /// A system, the state or the ledger could not be read.
    CouldNotRead = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command gave up. Without more knowledge that is because something could not be read.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub exit: Exit,
    /// What is said to people.
    pub error: anyhow::Error,
}

impl Failure {
    /// The command line or the config is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::CouldNotRead, error: error.into() }
    }
}

/// Parses the command line, runs the command and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match dispatch(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {:#}", failure.error);
            failure.exit.into()
        }
    }
}

/// Prints clap's message. Asking for help or the version is not an error.
fn usage(error: &clap::Error) -> ExitCode {
    if error.print().is_err() {
        // Nobody listens on the other end; the exit code still says it.
        return Exit::Usage.into();
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Good.into() }
}

/// Where logs go, as text. Never to stdout, which holds results only.
#[derive(Clone, Debug)]
pub enum LogTo {
    /// Beside the results.
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

fn start_log(filter: &str, to: LogTo) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(anyhow::anyhow!("`--log {filter}` is not a filter: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    let started = match to {
        LogTo::Stderr => log.with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogTo::File(path) => {
            let file = File::options().create(true).append(true).open(&path);
            let file = file.with_context(|| format!("cannot write the log `{}`", path.display()))?;
            log.with_writer(Mutex::new(file)).with_ansi(false).try_init()
        }
    };
    started.map_err(|error| Failure::from(anyhow::anyhow!("logging cannot start: {error}")))
}

fn dispatch(Arguments { log, command }: Arguments) -> Result<Exit, Failure> {
    let logged = || start_log(&log, LogTo::Stderr);
    match command {
        Command::Demo(args) => demo::start(&args, &log),
        Command::Check(file) => logged().map(|()| check::run(&file.config)),
        Command::Doctor(file) => logged().and_then(|()| on_runtime(doctor::run(&file))),
        Command::Pack(command) => logged().and_then(|()| on_runtime(pack::run(&command))),
        Command::Plan(args) => logged().and_then(|()| on_runtime(plan::run(&args))),
        Command::Schema(command) => logged().and_then(|()| on_runtime(schema::run(&command))),
        Command::Slo(command) => logged().and_then(|()| on_runtime(slo::run(&command))),
        Command::Incident(command) => logged().and_then(|()| on_runtime(incident::run(&command))),
        Command::Maintenance(command) => logged().and_then(|()| on_runtime(maintenance::run(&command))),
        Command::Migrate(file) => logged().and_then(|()| on_runtime(migrate::run(&file))),
        Command::Notify(command) => logged().and_then(|()| on_runtime(notify::run(&command))),
        Command::Serve(file) => logged().and_then(|()| serve::run(&file)),
        Command::Probe(args) => logged().and_then(|()| probe::run(&args)),
        Command::Sweep(args) => logged().and_then(|()| sweep::run(&args)),
        Command::Totals(args) => logged().and_then(|()| totals::run(&args)),
        Command::SandboxSync => on_runtime(async {
            crate::sandbox::sync::run(tokio::io::BufReader::new(tokio::io::stdin())).await?;
            Ok(Exit::Good)
        }),
        Command::Clickhouse(args) => logged().and_then(|()| clickhouse::start(args)),
    }
}

/// Runs a command that waits for the outside.
fn on_runtime(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
