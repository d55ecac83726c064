//! The demo from end to end: company, auditor, embedded ledger, judgement, exit code.

use std::process::Command;

use plumbline::sandbox::FaultKind;
use plumbline::sandbox::score::{CaseOutcome, Summary};

/// Runs the demo to its end; its summary, and everything it said.
fn demo(arguments: &[&str]) -> (Summary, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let output = Command::new(env!("CARGO_BIN_EXE_plumbline"))
        .args(["demo", "--plain", "--summary"])
        .arg(&summary)
        .args(["--dir"])
        .arg(directory.path().join("company"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = format!("stdout:\n{out}\nstderr:\n{err}");
    let text = std::fs::read_to_string(&summary).unwrap_or_else(|error| panic!("no summary: {error}\n{said}"));
    let found: Summary = serde_json::from_str(&text).expect("a summary");
    let said = format!("{text}\n{said}");
    assert_eq!((found.missed, found.false_reports, found.lag_outside), (0, 0, 0), "{said}");
    assert_eq!(found.planted, found.found + found.undecided);
    assert!(found.cases.iter().all(|case| case.outcome != CaseOutcome::Found || case.found_as.is_some()));
    assert_eq!(output.status.code(), Some(0), "{said}");
    (found, said)
}

#[test]
fn the_auditor_is_right_about_half_a_minute_of_faults() {
    let (found, said) = demo(&["--for", "30s", "--seed", "5"]);
    assert!(found.planted >= 5 && found.found >= 3 && found.lag_checked >= 50, "{said}");
}

/// Also an outage, refused requests, a changed schema and wrong clocks.
#[test]
fn the_auditor_is_right_about_a_minute_of_every_kind_of_fault() {
    let (found, said) = demo(&["--for", "60s", "--seed", "3", "--faults", "all"]);
    assert!(found.found >= 10 && found.lag_checked >= 100, "{said}");
    assert!(found.matrix.len() >= FaultKind::ALL.len() - 2, "{said}");
    let counted: usize = found.matrix.values().flat_map(|row| row.values()).sum();
    assert_eq!(counted, found.planted, "{said}");
    // So many faults break the promise: an incident with its mail.
    let (_, mail) = said.split_once("a mail with its chart, ").unwrap_or_else(|| panic!("no mail: {said}"));
    assert!(mail.contains("/company/mails/00") && mail.contains("  | [page] "), "{said}");
    assert!(mail.contains("  | For instance:"), "{said}");
    let delayed: usize = found.delays.values().map(|delay| delay.found).sum();
    assert_eq!(delayed, found.found, "{said}");
}
