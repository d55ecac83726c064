//! The auditor's side of the engine: starts the process, restarts it when it dies, ends it.
//!
//! Parent and child speak over pipes. The child's standard input brings the logins in its first line and then stays
//! open: when it closes, however the parent ended, the child ends as well. The child says `ready URL` on its standard
//! output once it takes requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::auth::{Login, Users};
use super::logins::Logins;
use super::reader::ReaderAccess;

/// How long the engine may take until it takes requests; a large directory is checked when it opens.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the engine may take to end when asked.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the child says, before its address, once it takes requests.
pub const READY: &str = "ready ";

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The program cannot be run.
    #[error("cannot run `{program}`")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process ended before it took requests.
    #[error("the ledger's engine does not start: {said}")]
    Ended {
        /// The last that it said.
        said: String,
    },
    /// The process takes too long.
    #[error("the ledger's engine took no requests within {0:?}")]
    TimedOut(Duration),
}

/// What to run, and on what.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The program with the subcommand `clickhouse`; usually this one.
    pub program: PathBuf,
    /// Where the tables are.
    pub data_dir: PathBuf,
    /// The library's file, if configured.
    pub libchdb: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one, which then stays the same over restarts.
    pub listen: SocketAddr,
    /// The login of dashboards; a random password when `None`.
    pub reader: Option<Login>,
}

impl EmbeddedOptions {
    /// `program` on `data_dir`, on a free port of loopback.
    pub fn new(program: PathBuf, data_dir: PathBuf) -> Self {
        Self { program, data_dir, libchdb: None, listen: SocketAddr::from(([127, 0, 0, 1], 0)), reader: None }
    }

    /// This program on `data_dir`.
    ///
    /// # Errors
    /// When the system does not tell which file this program is.
    pub fn this_program(data_dir: PathBuf) -> std::io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?, data_dir))
    }
}

#[derive(Debug, Default)]
struct Status {
    up: AtomicBool,
    restarts: AtomicU64,
    pid: AtomicU32,
}

/// A running engine, kept running until it is stopped or dropped.
#[derive(Debug)]
pub struct EmbeddedEngine {
    address: SocketAddr,
    users: Users,
    data_dir: PathBuf,
    status: Arc<Status>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl EmbeddedEngine {
    /// Starts the engine and waits until it takes requests. While it runs, [`ReaderAccess::find`] says how to read it.
    ///
    /// # Errors
    /// When it does not start; the text holds what the process said, for instance how to get libchdb.
    pub async fn start(mut options: EmbeddedOptions) -> Result<Self, EngineError> {
        let reader = options.reader.clone().unwrap_or_else(|| random_login("reader"));
        let users = Users { writer: random_login("plumbline"), reader: Some(reader.clone()) };
        let status = Arc::<Status>::default();
        let process = Process::start(&options, &users).await?;
        options.listen = process.address;
        let data_dir = options.data_dir.clone();
        let access = ReaderAccess { url: format!("http://{}", process.address), login: reader };
        if let Err(error) = access.leave(&data_dir) {
            tracing::warn!(%error, "commands cannot read the ledger while this runs: {error}");
        }
        status.running(&process);
        let stop = CancellationToken::new();
        let supervisor = Supervisor { options, users: users.clone(), status: status.clone(), stop: stop.clone() };
        let address = process.address;
        let task = tokio::spawn(supervisor.keep_running(process));
        Ok(Self { address, users, data_dir, status, stop, task: Some(task) })
    }

    /// The address for clients; stays the same over restarts.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The writer's user name.
    pub fn user(&self) -> &str {
        &self.users.writer.user
    }

    /// The writer's password.
    pub fn password(&self) -> &str {
        self.users.writer.password.expose_secret()
    }

    /// The login that may only read, for dashboards.
    pub fn reader(&self) -> Option<&Login> {
        self.users.reader.as_ref()
    }

    /// Whether the process runs and has said that it takes requests.
    pub fn is_up(&self) -> bool {
        self.status.up.load(Ordering::Acquire)
    }

    /// How often the process was started again.
    pub fn restarts(&self) -> u64 {
        self.status.restarts.load(Ordering::Acquire)
    }

    /// The process's id, or `None` while there is none.
    pub fn process_id(&self) -> Option<u32> {
        Some(self.status.pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    /// Ends the process and waits for it: running statements end, then the tables are closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the supervisor of the ledger's engine failed");
        }
    }
}

impl Drop for EmbeddedEngine {
    fn drop(&mut self) {
        ReaderAccess::take_back(&self.data_dir);
        self.stop.cancel();
    }
}

impl Status {
    fn running(&self, process: &Process) {
        self.pid.store(process.child.id().unwrap_or_default(), Ordering::Release);
        self.up.store(true, Ordering::Release);
    }

    fn ended(&self) {
        self.up.store(false, Ordering::Release);
        self.pid.store(0, Ordering::Release);
    }
}

fn random_login(user: &str) -> Login {
    let password: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
    Login { user: user.to_owned(), password: SecretString::from(password) }
}

struct Supervisor {
    options: EmbeddedOptions,
    users: Users,
    status: Arc<Status>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn keep_running(self, mut process: Process) {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return process.stop().await,
                outcome = process.child.wait() => {
                    self.status.ended();
                    let outcome = outcome.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::warn!(%outcome, "the ledger's engine died ({outcome}); starting it again");
                }
            }
            process = loop {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                self.status.restarts.fetch_add(1, Ordering::AcqRel);
                let started = tokio::select! {
                    () = self.stop.cancelled() => return,
                    started = Process::start(&self.options, &self.users) => started,
                };
                match started {
                    Ok(process) => break process,
                    Err(error) => {
                        pause = LONGEST_PAUSE.min(pause * 2);
                        tracing::error!(%error, "the ledger's engine does not start again: {error}");
                    }
                }
            };
            pause = FIRST_PAUSE;
            self.status.running(&process);
        }
    }
}

/// One run of the engine's process.
struct Process {
    child: Child,
    address: SocketAddr,
    /// Closed to end the process.
    input: ChildStdin,
}

impl Process {
    async fn start(options: &EmbeddedOptions, users: &Users) -> Result<Self, EngineError> {
        let mut child = command(options).spawn().map_err(|source| spawn_failed(options, source))?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(EngineError::Ended { said: "its pipes are missing".to_owned() });
        };
        let line = Logins::from_users(users).to_line();
        if let Err(error) = input.write_all(line.as_bytes()).await {
            // It has ended already; what it said is below.
            tracing::debug!(%error, "the ledger's engine does not take its logins: {error}");
        }
        let said = tokio::spawn(log_lines(errors));
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = line.strip_prefix(READY).and_then(|address| address.parse().ok()) {
                    return Some(address);
                }
            }
            None
        };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Some(address)) => {
                // The engine may print; nobody reads it, but a full pipe would stop the process.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Ok(Self { child, address, input })
            }
            Ok(None) => Err(EngineError::Ended { said: last_words(child, said.await.unwrap_or_default()).await }),
            Err(_) => Err(EngineError::TimedOut(START_TIMEOUT)),
        }
    }

    async fn stop(mut self) {
        drop(self.input);
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!("the ledger's engine does not end when asked; killing it");
            if let Err(error) = self.child.kill().await {
                tracing::error!(%error, "the ledger's engine cannot be killed: {error}");
            }
        }
    }
}

/// What a process that ended said, or how it ended if it said nothing.
async fn last_words(mut child: Child, said: String) -> String {
    if !said.is_empty() {
        return said;
    }
    match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
        Ok(Ok(status)) => format!("it said nothing and ended with {status}"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it closed its output and does not end".to_owned(),
    }
}

fn spawn_failed(options: &EmbeddedOptions, source: std::io::Error) -> EngineError {
    EngineError::Spawn { program: options.program.clone(), source }
}

fn command(options: &EmbeddedOptions) -> Command {
    let mut command = Command::new(&options.program);
    command.arg("clickhouse").arg("--supervised").arg("--data-dir").arg(&options.data_dir);
    command.arg("--listen").arg(options.listen.to_string());
    if let Some(libchdb) = &options.libchdb {
        command.arg("--libchdb").arg(libchdb);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Passes on what the process says, and returns the last of it when it ends.
async fn log_lines(errors: tokio::process::ChildStderr) -> String {
    let mut lines = BufReader::new(errors).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!(target: "plumbline::engine", "{line}");
        if !line.trim().is_empty() {
            last = line.trim_start_matches("error: ").to_owned();
        }
    }
    last
}
