//! `plumbline doctor`: can every system be read, and only read?

use std::sync::Arc;

use futures_util::future::join_all;

use super::table::table;
use super::{ConfigFile, Exit, Failure};
use crate::clock::AnchoredClock;
use crate::config::{Config, System};
use crate::connect::{self, Finding, Severity};
use crate::model::Mapping;

/// Examines all systems at once and prints what was found; bad when anything does not work or is not safe.
///
/// # Errors
/// When the config is not usable.
pub async fn run(file: &ConfigFile) -> Result<Exit, Failure> {
    let config = file.load()?;
    let examined = join_all(config.systems.values().map(|system| examine(&config, system))).await;
    let findings: Vec<(&System, Finding)> = config
        .systems
        .values()
        .zip(examined)
        .flat_map(|(system, findings)| findings.into_iter().map(move |finding| (system, finding)))
        .collect();
    print!("{}", page(&findings));
    let worst = findings.iter().map(|(_, finding)| finding.severity).max();
    Ok(if worst == Some(Severity::Error) { Exit::Bad } else { Exit::Good })
}

async fn examine(config: &Config, system: &System) -> Vec<Finding> {
    let mappings: Vec<Arc<Mapping>> =
        config.entities.values().filter_map(|entity| entity.mappings.get(&system.id).cloned()).collect();
    let translates =
        config.entities.values().flat_map(|entity| entity.mappings.values()).flat_map(|mapping| &mapping.xref);
    let tables = translates.filter(|xref| xref.system == system.id).flat_map(|xref| [&*xref.by_from, &*xref.by_to]);
    let mappings: Vec<&Mapping> = mappings.iter().map(Arc::as_ref).chain(tables).collect();
    match connect::open(system, Arc::new(AnchoredClock::from_machine())) {
        Ok(reader) => reader.doctor(&mappings).await,
        Err(error) => {
            let message = error.to_string();
            vec![Finding { severity: Severity::Error, subject: "connection".to_owned(), message }]
        }
    }
}

pub(super) fn page(findings: &[(&System, Finding)]) -> String {
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|(system, finding)| {
            let Finding { severity, subject, message } = finding;
            vec![word(*severity).to_owned(), system.id.to_string(), subject.clone(), message.clone()]
        })
        .collect();
    let count = |severity| findings.iter().filter(|(_, finding)| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let verdict = if errors == 0 { "ok" } else { "not ok" };
    format!(
        "{}{verdict}: {} findings, {errors} errors, {warnings} warnings\n",
        table(&["", "system", "subject", "finding"], &rows, &[]),
        findings.len()
    )
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}
