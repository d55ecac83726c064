//! `plumbline pack`: begin a pack, check it, try it on a live system or on recorded answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Subcommand;

use super::table::table;
use super::{ConfigFile, Exit, Failure, doctor};
use crate::clock::{AnchoredClock, Clock};
use crate::config::pack::{Pack, TEMPLATE};
use crate::config::{Config, Entity, System};
use crate::connect::Severity;
use crate::connect::http::{Sampled, sample, sample_recorded, try_datasets};
use crate::model::Mapping;

/// What to do with packs.
#[derive(Debug, Subcommand)]
pub enum PackCommand {
    /// Write a small pack to begin with.
    New(NewArgs),
    /// Check a pack; with a system, ask it for every dataset.
    Test(TestArgs),
    /// Show records as the system sends them, next to what the mapping makes of them.
    Sample(SampleArgs),
}

/// Where to begin.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// Name of the pack; the file is NAME.toml.
    #[arg(value_name = "NAME")]
    name: String,
}

/// What to test.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// A shipped pack by name, or the path of a pack that ends with `.toml`.
    #[arg(value_name = "PACK", required_unless_present = "system", conflicts_with = "system")]
    pack: Option<String>,
    /// Ask this system of the config.
    #[arg(long, value_name = "SYSTEM")]
    system: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// What to show.
#[derive(Debug, clap::Args)]
pub struct SampleArgs {
    /// The system.
    #[arg(long, value_name = "SYSTEM")]
    system: String,
    /// The entity whose mapping is used.
    #[arg(long, value_name = "ENTITY")]
    entity: String,
    /// A recorded answer (JSON, or what `curl -i` prints) instead of the live system.
    #[arg(long, value_name = "FILE")]
    answer: Option<PathBuf>,
    /// How many records.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    limit: usize,
    #[command(flatten)]
    file: ConfigFile,
}

/// Runs one of the commands.
///
/// # Errors
/// Wrong arguments, a config or pack with problems, or a system that cannot be read.
pub async fn run(command: &PackCommand) -> Result<Exit, Failure> {
    match command {
        PackCommand::New(args) => new(args, Path::new(".")),
        PackCommand::Test(args) => test(args).await,
        PackCommand::Sample(args) => show(args).await,
    }
}

fn new(args: &NewArgs, directory: &Path) -> Result<Exit, Failure> {
    let name = &args.name;
    let is_word = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if name.is_empty() || !name.chars().all(is_word) {
        return Err(Failure::usage(anyhow!("`{name}` must be made of `a` to `z`, digits and `-`")));
    }
    let file = directory.join(format!("{name}.toml"));
    let today = AnchoredClock::from_machine().now().to_utc().date_naive();
    let text = TEMPLATE.replace("NAME", name).replace("TODAY", &today.to_string());
    let mut options = std::fs::File::options();
    let mut target = options
        .write(true)
        .create_new(true)
        .open(&file)
        .map_err(|error| Failure::usage(anyhow!(error).context(format!("cannot write `{}`", file.display()))))?;
    std::io::Write::write_all(&mut target, text.as_bytes())
        .with_context(|| format!("cannot write `{}`", file.display()))?;
    println!("wrote {}; next: plumbline pack test {name}.toml", file.display());
    Ok(Exit::Good)
}

async fn test(args: &TestArgs) -> Result<Exit, Failure> {
    if let Some(name) = &args.pack {
        let pack = Pack::alone(name, Path::new(".")).map_err(|problems| Failure::usage(anyhow!("{problems}")))?;
        print!("{}", datasets(&pack));
        return Ok(Exit::Good);
    }
    let config = args.file.load()?;
    let system = system(&config, args.system.as_deref().unwrap_or_default())?;
    let findings = try_datasets(system, Arc::new(AnchoredClock::from_machine())).await?;
    let worst = findings.iter().map(|finding| finding.severity).max();
    let findings: Vec<_> = findings.into_iter().map(|finding| (system, finding)).collect();
    print!("{}", doctor::page(&findings));
    Ok(if worst == Some(Severity::Error) { Exit::Bad } else { Exit::Good })
}

/// What a pack offers.
fn datasets(pack: &Pack) -> String {
    let rows: Vec<Vec<String>> = pack
        .entities
        .iter()
        .map(|(name, entity)| {
            let by: Vec<&str> = entity.lookups.iter().map(|lookup| lookup.path.as_str()).collect();
            let changes = match (&entity.since, &entity.changed_at) {
                (Some(since), _) => since.bounds.name(),
                (None, Some(_)) => "all are read".to_owned(),
                (None, None) => "none".to_owned(),
            };
            vec![name.clone(), entity.question.place().to_owned(), changes, by.join(", "), entity.blind.join(", ")]
        })
        .collect();
    let head = ["dataset", "asked at", "changes", "by", "blind"];
    format!("{}ok: {} ({}), checked {}\n", table(&head, &rows, &[]), pack.id, pack.title, pack.verified)
}

async fn show(args: &SampleArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let system = system(&config, &args.system)?;
    let (entity, mapping) = mapping(&config, system, &args.entity)?;
    let samples = match (&args.answer, &system.pack) {
        (Some(file), Some(pack)) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(anyhow!(error).context(format!("cannot read `{}`", file.display()))))?;
            sample_recorded(pack, mapping, &text, args.limit)
                .map_err(|reason| anyhow!("`{}`: {reason}", file.display()))?
        }
        _ => sample(system, mapping, Arc::new(AnchoredClock::from_machine()), args.limit).await?,
    };
    print!("{}", side_by_side(entity, mapping, &samples));
    Ok(Exit::Good)
}

fn system<'c>(config: &'c Config, name: &str) -> Result<&'c System, Failure> {
    let found = config.systems.values().find(|system| system.id.as_str() == name);
    let system = found.ok_or_else(|| Failure::usage(anyhow!("`{name}` is not a system of the config")))?;
    if system.pack.is_none() {
        return Err(Failure::usage(anyhow!("`{name}` is a database, and packs are for systems of kind `http`")));
    }
    Ok(system)
}

fn mapping<'c>(config: &'c Config, system: &System, name: &str) -> Result<(&'c Entity, &'c Mapping), Failure> {
    let entity = config.entities.values().find(|entity| entity.id.as_str() == name);
    let entity = entity.ok_or_else(|| Failure::usage(anyhow!("`{name}` is not an entity of the config")))?;
    let mapping = entity.mappings.get(&system.id);
    let mapping = mapping.ok_or_else(|| Failure::usage(anyhow!("`{name}` is not mapped in `{}`", system.id)))?;
    Ok((entity, mapping))
}

/// Each record: what came on the left, what became of it on the right.
fn side_by_side(entity: &Entity, mapping: &Mapping, samples: &[Sampled]) -> String {
    let mut text = String::new();
    for sample in samples {
        let record = &sample.record;
        let mut mapped = vec![("key".to_owned(), record.key.to_string())];
        for (field, value) in entity.fields.iter().zip(&record.fields) {
            mapped.push((field.name.to_string(), value.to_string()));
        }
        if mapping.changed_at.is_some() {
            let stamp = record.changed_at.map_or_else(|| "not readable".to_owned(), |at| format!("{at:?}"));
            mapped.push(("changed_at".to_owned(), stamp));
        }
        mapped.push(("in scope".to_owned(), record.in_scope.to_string()));
        let lines = sample.raw.len().max(mapped.len());
        let cell = |cells: &[(String, String)], line: usize| {
            cells.get(line).map_or([String::new(), String::new()], |(name, value)| [name.clone(), short(value)])
        };
        let rows: Vec<Vec<String>> =
            (0..lines).map(|line| [cell(&sample.raw, line), cell(&mapped, line)].concat()).collect();
        text.push_str(&table(&["path", "as sent", "field", "as mapped"], &rows, &[]));
        text.push('\n');
    }
    text.push_str(&format!("{} records\n", samples.len()));
    text
}

/// Longest value shown.
const WIDEST: usize = 60;

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(WIDEST).collect();
    if text.chars().nth(WIDEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pack_is_accepted_and_never_overwrites() {
        let directory = tempfile::tempdir().unwrap();
        let args = NewArgs { name: "acme".to_owned() };
        assert_eq!(new(&args, directory.path()).map_err(|failure| failure.error.to_string()), Ok(Exit::Good));
        let pack = Pack::alone("acme.toml", directory.path()).unwrap();
        assert_eq!(pack.id, "acme");
        assert!(datasets(&pack).contains("orders   /orders   updated_since  id"), "{}", datasets(&pack));
        assert!(new(&args, directory.path()).is_err());
        assert!(new(&NewArgs { name: "../acme".to_owned() }, directory.path()).is_err());
    }
}
