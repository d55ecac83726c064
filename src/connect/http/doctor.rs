//! What `doctor` looks at: the login, the clock, each dataset, and whether its filters filter.

use super::HttpReader;
use super::keys::lookup_of;
use super::plan::Plan;
use super::request::Query;
use super::walk::Token;
use crate::config::pack::{Ask, Dialect, JsonPath, Pack, PageKind, Step};
use crate::connect::{Finding, ReadError, Severity, Shape};
use crate::model::Mapping;
use crate::model::mapping::Source;

/// A clock that is further off than this makes stamps say little.
const FAR_OFF: std::time::Duration = std::time::Duration::from_secs(30);

impl HttpReader {
    pub(super) async fn findings(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        let pack = &self.client.pack;
        let mut findings = vec![finding(
            Severity::Ok,
            "read-only",
            format!("not provable: {} only; ask for {}", sent(pack), pack.access),
        )];
        findings.push(self.clock_finding().await);
        for mapping in mappings {
            self.dataset_findings(mapping, &mut findings).await;
        }
        findings.extend(self.points_finding());
        findings
    }

    /// What the answers said about points, next to what `plumbline plan` counts with.
    fn points_finding(&self) -> Option<Finding> {
        let cost = self.client.pack.limit.cost.as_ref()?;
        let told = self.client.budget.told()?;
        let message = format!(
            "{} points a second fill a bucket of {}; {} % of it are ours",
            told.restore,
            told.maximum,
            (cost.share * 100.0).round()
        );
        if told.restore < cost.per_second {
            let message = format!("{message}. `plan` counts with {} a second: say what is true", cost.per_second);
            return Some(finding(Severity::Warning, "limit", message));
        }
        Some(finding(Severity::Ok, "limit", message))
    }

    /// What the page that was just read was thought to cost, next to what `plumbline plan` counts with.
    fn page_cost_finding(&self, subject: &str, plan: &Plan) -> Option<Finding> {
        let counted = self.client.pack.points_of_page(&plan.entity)?;
        let told = self.client.budget.told()?;
        if told.asked > counted {
            let message = format!("a page costs up to {} points, `plan` counts with {counted}", told.asked);
            return Some(finding(Severity::Warning, subject, message));
        }
        let message = format!("a page costs up to {} points, this one {}", told.asked, told.used);
        Some(finding(Severity::Ok, subject, message))
    }

    async fn clock_finding(&self) -> Finding {
        match self.their_clock().await {
            Ok(reading) => {
                let off = std::time::Duration::from_micros(reading.offset_micros.unsigned_abs());
                let severity = if off > FAR_OFF { Severity::Warning } else { Severity::Ok };
                let message = format!(
                    "{:+.1} s next to ours, known to ±{:.1} s (a proxy may have told it)",
                    reading.offset_micros as f64 / 1e6,
                    reading.uncertainty.as_secs_f64()
                );
                finding(severity, "clock", message)
            }
            Err(error) => failed("clock", &error),
        }
    }

    async fn dataset_findings(&self, mapping: &Mapping, findings: &mut Vec<Finding>) {
        let subject = |what: &str| format!("{what} of {}", mapping.entity);
        let plan = match self.plan(mapping) {
            Ok(plan) => plan,
            Err(error) => return findings.push(failed(&subject("dataset"), &error)),
        };
        match self.page(mapping, &plan, &Query::default(), &Token::First).await {
            Ok(page) => {
                findings.push(list_finding(&subject("list"), &plan, &page.facts));
                findings.extend(self.page_cost_finding(&subject("cost"), &plan));
            }
            Err(error) => return findings.push(failed(&subject("list"), &error)),
        }
        if let Ok(shape) = self.describe_dataset(mapping).await {
            findings.extend(missing_paths(&subject("paths"), mapping, &shape));
        }
        findings.push(self.changes_finding(&subject("changes"), mapping, &plan).await);
        if let Some((lookup, _)) = lookup_of(mapping, &plan) {
            let found = match self.prove_lookup(mapping, &plan, lookup).await {
                Ok(()) => finding(Severity::Ok, &subject("by-key read"), proven(&lookup.ask)),
                Err(error) => failed(&subject("by-key read"), &error),
            };
            findings.push(found);
        }
        if !plan.entity.blind.is_empty() {
            let blind = plan.entity.blind.join("`, `");
            let message =
                format!("a change of `{blind}` does not always move the stamp: only a sample or sweep sees it");
            findings.push(finding(Severity::Warning, &subject("blind paths"), message));
        }
    }

    async fn changes_finding(&self, subject: &str, mapping: &Mapping, plan: &Plan) -> Finding {
        if mapping.changed_at.is_none() {
            return finding(
                Severity::Ok,
                subject,
                "no stamp: cannot be the owner's side of a changes probe".to_owned(),
            );
        }
        let Some(since) = &plan.entity.since else {
            let message = "the product cannot be asked for changes: every read reads everything".to_owned();
            return finding(Severity::Warning, subject, message);
        };
        match self.prove_since(mapping, plan).await {
            Ok(()) => finding(Severity::Ok, subject, format!("`{}` filters", since.bounds.name())),
            Err(error) => failed(subject, &error),
        }
    }
}

/// What kind of requests a pack sends.
const fn sent(pack: &Pack) -> &'static str {
    match pack.dialect {
        Dialect::Rest => "GET",
        Dialect::GraphQl => "GraphQL `query`",
        Dialect::Json2 | Dialect::JsonRpc => "`search_read`, `web_search_read` and `fields_get`",
    }
}

pub(super) fn proven(ask: &Ask) -> String {
    match ask {
        Ask::Filter { param, max, .. } => format!("`{param}` filters; {max} keys a request"),
        Ask::Body { max, document: Some(_), .. } => format!("gives what it is asked for; {max} keys a request"),
        Ask::Body { body, max, .. } => {
            format!("`{}` filters; {max} keys a request", body.names().collect::<Vec<_>>().join("`, `"))
        }
        Ask::At { path, .. } => format!("`{path}` finds what the list shows; one key a request"),
    }
}

fn list_finding(subject: &str, plan: &Plan, facts: &super::walk::Facts) -> Finding {
    let size = plan.entity.page.size as u64;
    match facts.total {
        Some(total) if facts.rows < total.min(size) => {
            let message = format!(
                "the first page of {total} records holds {} instead of {}: the login may not read all of them",
                facts.rows,
                total.min(size)
            );
            finding(Severity::Error, subject, message)
        }
        Some(total) => finding(Severity::Ok, subject, format!("{total} records, {size} a request")),
        None if says_its_end(&plan.entity.page.kind) => {
            finding(Severity::Ok, subject, format!("no total, but every list says where it ends; {size} a request"))
        }
        None => {
            let message = "the product tells no total: a list that ends too early cannot be noticed".to_owned();
            finding(Severity::Warning, subject, message)
        }
    }
}

/// Whether a list cannot end by something that is missing.
const fn says_its_end(kind: &PageKind) -> bool {
    matches!(kind, PageKind::Keyset | PageKind::Cursor { more: Some(_), .. })
}

/// Paths of the mapping that no record of the first page has.
fn missing_paths(subject: &str, mapping: &Mapping, shape: &Shape) -> Option<Finding> {
    if shape.columns.is_empty() {
        return None;
    }
    let is_there = |path: &JsonPath| match &path.0[..] {
        [Step::Member(first), Step::Member(second), ..] => {
            let both = format!("{first}.{second}");
            let holds_object =
                |column: &crate::connect::Column| column.name == **first && !column.type_name.contains("object");
            shape.columns.iter().any(|column| column.name == both || holds_object(column))
        }
        [Step::Member(first), ..] => shape.columns.iter().any(|column| column.name == **first),
        _ => true,
    };
    let paths = mapping.sources.iter().filter_map(|source| match source {
        Source::Path(path) => Some((path, path.parse::<JsonPath>().ok()?)),
        Source::Sql(_) => None,
    });
    let missing: Vec<&str> = paths.filter(|(_, path)| !is_there(path)).map(|(text, _)| text.as_str()).collect();
    let message = format!("no record of the first page has `{}`", missing.join("`, `"));
    (!missing.is_empty()).then(|| finding(Severity::Warning, subject, message))
}

fn finding(severity: Severity, subject: &str, message: String) -> Finding {
    Finding { severity, subject: subject.to_owned(), message }
}

fn failed(subject: &str, error: &ReadError) -> Finding {
    finding(Severity::Error, subject, error.to_string())
}
