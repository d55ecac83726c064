//! What the tests stand on: real databases, the engine library, ports and waiting.
//!
//! `scripts/test.sh` starts one PostgreSQL and one MariaDB for the whole run and names them in
//! `PLUMBLINE_TEST_POSTGRES` and `PLUMBLINE_TEST_MARIADB`, and a PostgreSQL for [`Odoo`] in
//! `PLUMBLINE_TEST_ODOO_POSTGRES`. Without these variables a test process starts its own. Every test gets a database of its own on them. Tests that stop, kill or reconfigure a server start a
//! [`PrivateServer`].

use std::future::Future;
use std::net::TcpListener;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod database;
mod odoo;
mod server;

#[allow(unused_imports, reason = "tests name these types when they hand them on")]
pub use database::{TestDatabase, TestServer, TestSqlite, mariadb, postgres, sqlite};
#[allow(unused_imports, reason = "tests name these types when they hand them on")]
pub use odoo::Odoo;
#[allow(unused_imports, reason = "tests name these types when they hand them on")]
pub use server::{PrivateMariadb, PrivatePostgres, PrivateServer};

/// How long [`wait_until`] waits before it calls the condition broken. Not an expectation of speed: longer than an
/// auditor itself may put off a look at a key that is overdue (60 s).
const GIVE_UP_AFTER: Duration = Duration::from_secs(180);

/// An HTTP client whose requests end after so long. The first one says which cryptography TLS uses in this process.
pub fn http_client(timeout: Duration) -> reqwest::Client {
    // An error means that somebody said so before.
    drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().timeout(timeout).build().expect("a client")
}

/// The sum of all series of a metric that the auditor at `address` (`http://HOST:PORT`) shows; NaN while it shows none.
pub async fn metric(address: &str, name: &str) -> f64 {
    let shown = async {
        let answer = http_client(Duration::from_secs(10)).get(format!("{address}/metrics")).send().await.ok()?;
        answer.text().await.ok()
    };
    let text = shown.await.unwrap_or_default();
    let of_metric = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']);
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    text.lines().filter(of_metric).filter_map(value).reduce(|sum, value| sum + value).unwrap_or(f64::NAN)
}

/// A TCP port on loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Waits until `condition` holds. Fails the test, naming the caller, when it does not within three minutes.
#[track_caller]
pub fn wait_until(condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    wait_for(GIVE_UP_AFTER, condition)
}

/// As [`wait_until`], for what takes its minutes by nature.
#[track_caller]
pub fn wait_for(give_up_after: Duration, mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        while !condition().await {
            assert!(started.elapsed() < give_up_after, "{caller}: not so after {give_up_after:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The engine library, where `scripts/fetch-libchdb.sh` puts it.
pub fn libchdb() -> PathBuf {
    let path = cache_dir().join("plumbline/libchdb/26.5.3/libchdb.so");
    assert!(path.is_file(), "`{}` does not exist: run scripts/fetch-libchdb.sh", path.display());
    path
}

/// The Python interpreter that has the client of `tests/clients/requirements.txt`.
pub fn python() -> PathBuf {
    installed_client("python", "requirements.txt", "bin/python")
}

/// The directory with the client of `tests/clients/package.json`, for `NODE_PATH`.
pub fn node_modules() -> PathBuf {
    installed_client("node", "package.json", "node_modules")
}

fn installed_client(kind: &str, requirements: &str, file: &str) -> PathBuf {
    let version = requirement(requirements);
    let path = cache_dir().join(format!("plumbline/clients/{kind}-{version}")).join(file);
    assert!(path.exists(), "`{}` does not exist: run scripts/install-test-tools.sh", path.display());
    path
}

/// The only version that a file of `tests/clients` names.
fn requirement(file: &str) -> String {
    let text = std::fs::read_to_string(repository_file("tests/clients").join(file)).expect("the file can be read");
    let digits = |character: char| character.is_ascii_digit() || character == '.';
    let mut versions = text.split(|character| !digits(character)).filter(|word| word.split('.').count() == 3);
    versions.next().expect("the file names a version").to_owned()
}

/// A file of this package, by its path from the package's root.
pub fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A variable of the environment, when set and not empty.
#[expect(clippy::disallowed_methods, reason = "the test runner speaks to its tests through the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn cache_dir() -> PathBuf {
    let home_cache = || PathBuf::from(environment("HOME").expect("HOME is set")).join(".cache");
    environment("XDG_CACHE_HOME").map_or_else(home_cache, PathBuf::from)
}
