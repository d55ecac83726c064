//! Private PostgreSQL and MariaDB servers that a test may stop, kill, restart and reconfigure.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use sqlx::{Connection as _, MySql, Postgres};
use tempfile::TempDir;

use super::{free_port, repository_file, wait_until};

/// A database server product that tests can start.
pub trait Product: sqlx::Database {
    /// Its name for `scripts/private-server.sh`.
    const PRODUCT: &'static str;
    /// The signal that asks it to shut down without waiting for its clients.
    const STOP_SIGNAL: &'static str;
    /// The signal that ends it at once but lets it give back shared memory.
    const END_SIGNAL: &'static str;
    /// The variable that names the run's shared server.
    const VARIABLE: &'static str;
}

impl Product for Postgres {
    const PRODUCT: &'static str = "postgres";
    const STOP_SIGNAL: &'static str = "INT";
    const END_SIGNAL: &'static str = "QUIT";
    const VARIABLE: &'static str = "PLUMBLINE_TEST_POSTGRES";
}

impl Product for MySql {
    const PRODUCT: &'static str = "mariadb";
    const STOP_SIGNAL: &'static str = "TERM";
    const END_SIGNAL: &'static str = "KILL";
    const VARIABLE: &'static str = "PLUMBLINE_TEST_MARIADB";
}

/// A PostgreSQL of one test.
pub type PrivatePostgres = PrivateServer<Postgres>;
/// A MariaDB of one test.
pub type PrivateMariadb = PrivateServer<MySql>;

/// A server of one test: own directory, own port. It ends when this value is dropped or the process ends.
pub struct PrivateServer<P: Product> {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
    product: PhantomData<P>,
}

impl PrivateServer<Postgres> {
    /// A streaming replica of this server that answers.
    pub async fn replica(&self) -> Self {
        let mut replica = Self::without_data();
        let directory = replica.directory.path().display().to_string();
        let output = script(&["replica", &directory, &replica.port.to_string(), &self.url()]).output();
        let output = output.expect("the script runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        replica.restart().await;
        replica
    }
}

impl<P: Product> PrivateServer<P> {
    /// A new, empty server that answers.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Like [`start`](Self::start), with a clock that is so many seconds ahead.
    pub async fn start_ahead(seconds: i64) -> Self {
        let mut server = Self::prepare(&[]);
        server.set_clock(seconds);
        server.restart().await;
        server
    }

    /// Lets the clock of a server made by [`start_ahead`](Self::start_ahead) jump while it runs.
    pub fn set_clock(&self, seconds: i64) {
        let directory = self.directory.path();
        fs::write(directory.join("clock.new"), format!("{seconds:+}\n")).expect("the clock can be written");
        fs::rename(directory.join("clock.new"), directory.join("clock")).expect("the clock can be set");
    }

    /// Like [`start`](Self::start), with settings for its configuration file.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(settings);
        server.restart().await;
        server
    }

    /// Everything but the start.
    fn prepare(settings: &[(&str, &str)]) -> Self {
        let mut server = Self::without_data();
        server.initialise();
        for (name, value) in settings {
            server.set_config(name, value);
        }
        server
    }

    fn without_data() -> Self {
        remove_what_ended_processes_left();
        let prefix = format!("{DIRECTORY_PREFIX}{}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary directory");
        Self { directory, port: free_port(), child: None, product: PhantomData }
    }

    /// The superuser's URL.
    pub fn url(&self) -> String {
        let output = script(&["url", P::PRODUCT, &self.port.to_string()]).output().expect("the script runs");
        String::from_utf8(output.stdout).expect("the URL is ASCII").trim().to_owned()
    }

    /// The port on 127.0.0.1, the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the configuration file; takes effect with the next [`restart`](Self::restart).
    pub fn set_config(&mut self, name: &str, value: &str) {
        let path = self.directory.path().join("server.conf");
        let mut text = fs::read_to_string(&path).expect("the configuration file can be read");
        writeln!(text, "{name} = {}", quoted::<P>(value)).expect("a string can be written to");
        fs::write(path, text).expect("the configuration file can be written");
    }

    /// Ends the server at once, as a crash would, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.end("KILL").await;
    }

    /// Shuts the server down and waits until it is gone. Connections are closed, not waited for.
    pub async fn stop(&mut self) {
        self.end(P::STOP_SIGNAL).await;
    }

    /// Stops the server if it runs, starts it on the same data and port, and waits until it answers.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.child = Some(self.spawn().expect("the server can be started"));
        let url = self.url();
        loop {
            if let Ok(connection) = P::Connection::connect(&url).await {
                connection.close().await.expect("a new connection can be closed");
                return;
            }
            self.fail_if_ended();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    fn initialise(&self) {
        let directory = self.directory.path().display().to_string();
        let output =
            script(&["init", P::PRODUCT, &directory, &self.port.to_string()]).output().expect("the script runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join("log"))?;
        let mut command = script(&["run", P::PRODUCT, &self.directory.path().display().to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        spawn_from_lasting_thread(command)
    }

    fn fail_if_ended(&mut self) {
        let child = self.child.as_mut().expect("the server was started");
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            panic!("{} ended with {status}:\n{log}", P::PRODUCT);
        }
    }

    async fn end(&mut self, signal: &str) {
        let Some(mut child) = self.child.take() else { return };
        send_signal(&child, signal);
        let gone = std::cell::RefCell::new(&mut child);
        wait_until(async || gone.borrow_mut().try_wait().expect("a child can be waited for").is_some()).await;
    }
}

impl<P: Product> Drop for PrivateServer<P> {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        send_signal(&child, P::END_SIGNAL);
        child.wait().expect("a child can be waited for");
    }
}

/// The names of our directories begin so; the id of the process that made them follows.
pub(super) const DIRECTORY_PREFIX: &str = "plumbline-server-";

/// A process that was killed, or that shared its server among its tests, leaves the server's directory behind.
pub(super) fn remove_what_ended_processes_left() {
    let entries = fs::read_dir(std::env::temp_dir()).expect("the temporary directory can be listed");
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(DIRECTORY_PREFIX)?.split('-').next());
        let ended = maker.is_some_and(|id| !Path::new("/proc").join(id).exists());
        if ended {
            // Another process may be removing it, too: what is gone in the end is what counts.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

pub(super) fn send_signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success(), "process {} takes signal {signal}", child.id());
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(repository_file("scripts/private-server.sh"));
    command.args(arguments);
    command
}

/// A value as the configuration file of the product wants it.
fn quoted<P: Product>(value: &str) -> String {
    if P::PRODUCT == "postgres" { format!("'{}'", value.replace('\'', "''")) } else { value.to_owned() }
}

type Answer = Sender<io::Result<Child>>;

/// Starts a child from a thread that lives as long as the process: the server asks the kernel to be ended with its
/// parent, and to the kernel the parent is the thread, which for a test ends with the test.
pub(super) fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Sender<(Command, Answer)>> = LazyLock::new(|| {
        let (sender, receiver): (_, Receiver<(Command, Answer)>) = channel();
        std::thread::spawn(move || {
            for (mut command, answer) in receiver {
                answer.send(command.spawn()).expect("the caller waits for the answer");
            }
        });
        sender
    });
    let (answer, child) = channel();
    SPAWNER.send((command, answer)).expect("the thread lives as long as the process");
    child.recv().expect("the thread answers")
}
