//! The commands: what people type, and the exit codes that scripts read. No logic.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod check;
mod clickhouse;
mod doctor;
mod probe;
mod serve;
mod table;
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
    /// Check the config: print what follows from it, or all its problems.
    Check(ConfigFile),
    /// Look at every system: can it be reached, are the reads fast, could the login write?
    Doctor(ConfigFile),
    /// Serve ClickHouse's HTTP interface on loopback, with the engine inside.
    Clickhouse(clickhouse::ClickhouseArgs),
    /// Run the schedule until stopped.
    Serve(ConfigFile),
    /// Look once at everything an owner holds; exit 0 agree, 1 differ, 2 usage or config, 3 could not read.
    Probe(probe::Args),
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
    match start_log(&arguments.log).and_then(|()| dispatch(arguments.command)) {
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

/// Logs go to stderr as text, so that stdout holds results only.
fn start_log(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(anyhow::anyhow!("`--log {filter}` is not a filter: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|error| Failure::from(anyhow::anyhow!("logging cannot start: {error}")))
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Check(file) => Ok(check::run(&file.config)),
        Command::Doctor(file) => on_runtime(doctor::run(&file)),
        Command::Serve(file) => serve::run(&file),
        Command::Probe(args) => probe::run(&args),
        Command::Clickhouse(args) => clickhouse::start(args),
    }
}

/// Runs a command that waits for the outside.
fn on_runtime(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
