//! The demo from end to end: company, auditor, embedded ledger, judgement, exit code.

use std::process::Command;

use plumbline::sandbox::score::{CaseOutcome, Summary};

#[test]
fn the_auditor_is_right_about_half_a_minute_of_faults() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let output = Command::new(env!("CARGO_BIN_EXE_plumbline"))
        .args(["demo", "--for", "30s", "--seed", "5", "--plain", "--summary"])
        .arg(&summary)
        .args(["--dir"])
        .arg(directory.path().join("company"))
        .output()
        .expect("the binary runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = format!("stdout:\n{out}\nstderr:\n{err}");
    let text = std::fs::read_to_string(&summary).unwrap_or_else(|error| panic!("no summary: {error}\n{said}"));
    let found: Summary = serde_json::from_str(&text).expect("a summary");
    assert_eq!((found.missed, found.false_reports, found.lag_outside), (0, 0, 0), "{text}\n{said}");
    assert!(found.planted >= 5 && found.found >= 3 && found.lag_checked >= 50, "{text}\n{said}");
    assert_eq!(found.planted, found.found + found.undecided);
    assert!(found.cases.iter().all(|case| case.outcome != CaseOutcome::Found || case.found_as.is_some()));
    assert_eq!(output.status.code(), Some(0), "{said}");
}
