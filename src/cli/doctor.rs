//! `plumbline doctor`: can every system be read, and only read?

use std::sync::Arc;

use futures_util::future::join_all;

use super::schema::{flows, known};
use super::table::table;
use super::{ConfigFile, Exit, Failure};
use crate::audit::schema::{Overview, words};
use crate::clock::AnchoredClock;
use crate::config::{Config, System};
use crate::connect::{self, Finding, Severity};
use crate::model::Mapping;

mod indexes;

/// Examines all systems at once and prints what was found; bad when anything does not work or is not safe.
///
/// # Errors
/// When the config is not usable.
pub async fn run(file: &ConfigFile) -> Result<Exit, Failure> {
    let config = file.load()?;
    let examined = join_all(config.systems.values().map(|system| examine(&config, system))).await;
    let shapes = known(&config).await;
    let findings: Vec<(&System, Finding)> = config
        .systems
        .values()
        .zip(examined)
        .map(|(system, mut findings)| {
            findings.extend(schema_findings(system, &shapes));
            (system, findings)
        })
        .flat_map(|(system, findings)| findings.into_iter().map(move |finding| (system, finding)))
        .chain(indexes::findings(&config).await)
        .collect();
    print!("{}", page(&findings));
    let worst = findings.iter().map(|(_, finding)| finding.severity).max();
    Ok(if worst == Some(Severity::Error) { Exit::Bad } else { Exit::Good })
}

async fn examine(config: &Config, system: &System) -> Vec<Finding> {
    let mappings: Vec<Arc<Mapping>> =
        config.entities.values().filter_map(|entity| entity.mappings.get(&system.id).cloned()).collect();
    // Where an index finds the keys, records are read by address.
    let own: Vec<Mapping> = mappings.iter().map(|mapping| as_read(mapping)).collect();
    let translates =
        config.entities.values().flat_map(|entity| entity.mappings.values()).flat_map(|mapping| &mapping.xref);
    let tables = translates.filter(|xref| xref.system == system.id).flat_map(|xref| [&*xref.by_from, &*xref.by_to]);
    let mappings: Vec<&Mapping> = own.iter().chain(tables).collect();
    match connect::open(system, Arc::new(AnchoredClock::from_machine())) {
        Ok(reader) => reader.doctor(&mappings).await,
        Err(error) => {
            let message = error.to_string();
            vec![Finding { severity: Severity::Error, subject: "connection".to_owned(), message }]
        }
    }
}

/// What schema probes have found, by what they left in state; nothing where there are none or none has looked yet.
fn schema_findings(system: &System, shapes: &anyhow::Result<Option<Overview>>) -> Vec<Finding> {
    let overview = match shapes {
        Ok(Some(overview)) => overview,
        Ok(None) => return Vec::new(),
        Err(error) => {
            let message = format!("{error:#}");
            return vec![Finding { severity: Severity::Warning, subject: "schema".to_owned(), message }];
        }
    };
    let mut findings = Vec::new();
    for (entity, _, looked_at) in overview.looked_at.iter().filter(|(_, of, _)| *of == system.id) {
        let subject = format!("schema of {entity}");
        let waiting = overview.waiting.iter().filter(|waiting| waiting.entity == *entity);
        let waiting: Vec<_> = waiting.filter(|waiting| waiting.system == system.id.as_str()).collect();
        if waiting.is_empty() {
            let message = format!("no change waits to be accepted; last seen {looked_at:?}");
            findings.push(Finding { severity: Severity::Ok, subject: subject.clone(), message });
        }
        for waiting in waiting {
            let message = format!(
                "`{}`: {}, known since {:?}; affects {} ({}); change the mapping, or `plumbline schema accept {entity}/{}`",
                waiting.dataset,
                words(&waiting.open.change),
                waiting.open.seen_at,
                waiting.parts.join(", "),
                flows(waiting),
                system.id,
            );
            findings.push(Finding { severity: Severity::Warning, subject: subject.clone(), message });
        }
    }
    findings
}

fn as_read(mapping: &Mapping) -> Mapping {
    let by_native = mapping.by_native().filter(|_| mapping.key_index);
    // Findings name the entity as people know it.
    by_native.map_or_else(|| mapping.clone(), |native| Mapping { entity: mapping.entity.clone(), ..native })
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
