//! The config with which an auditor audits the company.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Options;
use super::crm;
use super::database::{self, Dialect};
use super::record::{Entity, System};
use super::store;

/// A sample of a walk around the products.
const KEYS_A_WALK: usize = 100;
/// More keys than a demo has: every sample looks at all of them.
const KEYS_A_SAMPLE: usize = 20_000;
/// The longest time between a stamp and its commit in the databases, beside what its statements travel.
const COMMIT_DELAY: Duration = Duration::from_millis(500);
/// Statements that a transaction makes at most, an order's with all its lines.
const STATEMENTS: u32 = 20;

/// Where the systems are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// URL of the ERP's database.
    pub erp: String,
    /// URL of the warehouse's database.
    pub warehouse: String,
    /// URL of the store.
    pub store: String,
    /// URL of the CRM.
    pub crm: String,
}

/// Writes plumbline.toml into a directory, and the secrets of the two services into files beside it.
///
/// # Errors
/// When a database's URL is of no known kind, or a file cannot be written.
pub fn write(directory: &Path, options: &Options, addresses: &Addresses) -> anyhow::Result<PathBuf> {
    let config = plumbline_toml(options, addresses)?;
    for (name, text) in store::LOGIN_FILES.iter().chain(&crm::LOGIN_FILES) {
        write_file(&directory.join(name), text)?;
    }
    for (system, url) in [(System::Erp, &addresses.erp), (System::Warehouse, &addresses.warehouse)] {
        if holds_secret(url) {
            write_file(&directory.join(format!("{system}.url")), url)?;
        }
    }
    let file = directory.join("plumbline.toml");
    write_file(&file, &config)?;
    Ok(file)
}

/// Databases on servers are reached with a password.
fn holds_secret(url: &str) -> bool {
    !url.starts_with("sqlite:")
}

fn write_file(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))
}

/// The text of plumbline.toml.
///
/// # Errors
/// When a database's URL is of no known kind.
pub fn plumbline_toml(options: &Options, addresses: &Addresses) -> anyhow::Result<String> {
    let database = |system: System, url: &str| -> anyhow::Result<String> {
        let dialect = Dialect::of(url)?;
        let shown = if holds_secret(url) { format!("file:{system}.url") } else { url.to_owned() };
        Ok(database::plumbline_toml(system, dialect, &shown, COMMIT_DELAY + options.round_trip * STATEMENTS))
    };
    let parts = [
        include_str!("config/company.toml").to_owned(),
        database(System::Erp, &addresses.erp)?,
        database(System::Warehouse, &addresses.warehouse)?,
        store::plumbline_toml(&addresses.store),
        crm::plumbline_toml(&addresses.crm),
        probes(options),
        slo(options),
    ];
    Ok(parts.join("\n"))
}

/// A changes probe for every entity and a walk around the products. Where there are faults that no stamp shows, probes
/// that look at all keys every time; where a schema may change, probes that look at it.
fn probes(options: &Options) -> String {
    let every = options.probe_every;
    let mut probes: Vec<String> = Entity::ALL.iter().map(|entity| probe(*entity, "changes", every, None)).collect();
    if options.faults.is_unstamped() {
        probes.extend(Entity::ALL.iter().map(|entity| probe(*entity, "sample", every, Some(KEYS_A_SAMPLE))));
    } else {
        probes.push(probe(Entity::Product, "sample", every * 2, Some(KEYS_A_WALK)));
    }
    if !options.faults.systems.is_empty() {
        probes.extend([Entity::Product, Entity::Stock].map(|entity| probe(entity, "schema", every, None)));
    }
    probes.concat()
}

fn probe(entity: Entity, kind: &str, every: Duration, keys: Option<usize>) -> String {
    let keys = keys.map_or_else(String::new, |keys| format!("keys_per_run = {keys}\n"));
    let every = every.as_millis();
    format!("[[probe]]\nentity = \"{entity}\"\nkind = \"{kind}\"\nschedule = \"every {every}ms\"\n{keys}\n")
}

/// Windows of minutes, so that a minute and a half is enough to break the promise: two late changes of a flow within two
/// minutes, or two at once that have not arrived yet.
fn slo(options: &Options) -> String {
    let within = options.deadline.as_millis();
    format!(
        "[[slo]]\nname = \"in-step\"\nwithin = \"{within}ms\"\nobjective = \"95%\"\nwindow = \"1h\"\nleast_bad = 2\n\
         tiers = [{{ severity = \"page\", factor = 2, long = \"2m\", short = \"1m\" }}]\n"
    )
}

/// Adds to a config who is told of incidents: the company's operations, by its mail server.
///
/// # Errors
/// When the file cannot be written.
pub fn add_mail(file: &Path, server: &str) -> anyhow::Result<()> {
    let config = std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let channel = format!(
        "\n[channel.mail]\nkind = \"email\"\nsmtp = \"{server}\"\nfrom = \"Plumbline <plumbline@company.example>\"\n\
         to = \"Operations <operations@company.example>\"\n"
    );
    write_file(file, &(config + &channel))
}
