//! What stands in `alerts/`: rules and their tests by Prometheus' own tools, and an Alertmanager's routing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use plumbline::metrics::definition::{Definition, Kind};

use crate::support::repository_file;

const RULES: &str = "alerts/plumbline.rules.yml";

/// Runs a tool of Prometheus on these files; what it said is the failure.
fn passes(tool: &str, arguments: &[&str], files: &[PathBuf]) {
    let done = Command::new(tool).args(arguments).args(files).output();
    let done = done.unwrap_or_else(|error| panic!("`{tool}`: {error}: run scripts/install-test-tools.sh"));
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(done.status.success(), "{tool} {}:\n{said}", arguments.join(" "));
}

fn rule_tests() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository_file("alerts/tests")).unwrap();
    let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    files
}

fn rules() -> String {
    std::fs::read_to_string(repository_file(RULES)).unwrap()
}

/// The names of all rules, in order.
fn alerts(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn prometheus_finds_no_fault_with_the_rules() {
    passes("promtool", &["check", "rules", "--lint=all", "--lint-fatal"], &[repository_file(RULES)]);
}

#[test]
fn the_rules_fire_when_they_should_and_not_before() {
    passes("promtool", &["test", "rules"], &rule_tests());
}

#[test]
fn each_rule_is_shown_to_fire_and_to_wait() {
    let text: String = rule_tests().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for alert in alerts(&rules()) {
        let shown: Vec<&str> = text.split("- alertname: ").filter(|part| part.lines().next() == Some(alert)).collect();
        assert!(shown.iter().any(|part| part.contains("exp_labels")), "no test in alerts/tests fires `{alert}`");
        assert!(shown.iter().any(|part| part.contains("exp_alerts: []")), "no test shows that `{alert}` waits");
    }
}

#[test]
fn the_rules_name_only_metrics_that_exist() {
    let text = rules();
    let is_letter = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_letter(character)).filter(|word| word.starts_with("plumbline_"));
    let defined: BTreeSet<String> = Definition::ALL.iter().flat_map(series).collect();
    let mut named = BTreeSet::new();
    for word in words {
        assert!(defined.contains(word), "{RULES} names `{word}`, which does not exist");
        named.insert(word);
    }
    assert!(named.len() > 20, "{named:?}");
}

fn series(definition: &Definition) -> Vec<String> {
    let name = definition.name.to_owned();
    match definition.kind {
        Kind::Histogram => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
        Kind::Counter | Kind::Gauge => vec![name],
    }
}

#[test]
fn alertmanager_accepts_the_example_and_its_names_are_those_of_rules() {
    let file = repository_file("alerts/alertmanager.example.yml");
    passes("amtool", &["check-config"], std::slice::from_ref(&file));
    let known = rules();
    let known = alerts(&known);
    let text = std::fs::read_to_string(&file).unwrap();
    for matcher in text.split("alertname").skip(1) {
        let value = matcher.trim_start_matches(['=', '~', '"']).split('"').next().unwrap();
        // `[alertname, owner]` groups by the name; it matches nothing.
        if matcher.starts_with('=') {
            // The auditor's own incidents come with this name.
            let is_known = |name: &String| name == "PlumblineIncident" || known.iter().any(|rule| fits(name, rule));
            assert!(expanded(value).iter().all(is_known), "{value}");
        }
    }
}

/// `Plumbline(A|B)` and `A|B.*` as a list.
fn expanded(pattern: &str) -> Vec<String> {
    match pattern.split_once('(') {
        Some((prefix, rest)) => rest.trim_end_matches(')').split('|').map(|name| format!("{prefix}{name}")).collect(),
        None => pattern.split('|').map(str::to_owned).collect(),
    }
}

fn fits(pattern: &str, rule: &str) -> bool {
    pattern.strip_suffix(".*").map_or(pattern == rule, |prefix| rule.starts_with(prefix))
}
