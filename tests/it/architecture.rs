//! The parts of the source keep to their places: who may use whom, and what the pure middle may not touch.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repository_file;

/// Each part with the parts that it may use. The model is below all, the commands are above all.
const MAY_USE: [(&str, &[&str]); 22] = [
    ("model", &[]),
    ("causes", &[]),
    ("fault", &[]),
    ("readiness", &[]),
    ("retry", &[]),
    ("clock", &["model"]),
    ("compare", &["model"]),
    ("sweep", &["model", "compare"]),
    ("totals", &["model"]),
    ("estimate", &[]),
    ("incident", &["model"]),
    ("slo", &["model", "incident"]),
    ("plan", &["model", "config", "estimate", "slo"]),
    ("config", &["model", "incident", "slo", "totals"]),
    ("state", &["model", "causes", "clock", "config", "fault", "incident", "retry"]),
    ("connect", &["model", "clock", "config", "sweep", "totals"]),
    ("ledger", &["model", "causes", "clock", "config", "fault", "retry", "state"]),
    ("metrics", &["model", "compare", "connect", "incident", "slo"]),
    ("alert", &["model", "causes", "config", "fault", "incident", "metrics", "retry", "state"]),
    (
        "audit",
        &[
            "model",
            "alert",
            "causes",
            "clock",
            "compare",
            "config",
            "connect",
            "estimate",
            "fault",
            "incident",
            "slo",
            "readiness",
            "retry",
            "state",
            "sweep",
            "totals",
            "ledger",
            "metrics",
        ],
    ),
    ("server", &["model", "clock", "config", "metrics", "readiness"]),
    // The demo's judge must not reason with what it judges: neither compare nor connect.
    ("sandbox", &["model", "clock", "retry"]),
];

/// The part above all: it may use everything.
const ABOVE_ALL: &str = "cli";

/// What the pure parts may not name: the network, files, clocks, chance and anything that waits.
const IMPURE: [&str; 12] = [
    "tokio",
    "sqlx",
    "reqwest",
    "rand::",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant::now",
    "async fn",
];

#[test]
fn each_part_uses_only_parts_below_it() {
    let mut wrong = Vec::new();
    for (part, allowed) in MAY_USE {
        for (file, code) in sources(part) {
            let used = parts_used(&code);
            wrong.extend(
                used.iter()
                    .filter(|name| *name != part && !allowed.contains(&name.as_str()))
                    .map(|name| format!("{}: `{part}` may not use `{name}`", file.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_part_has_its_place() {
    let library = fs::read_to_string(repository_file("src/lib.rs")).unwrap();
    let declared: BTreeSet<_> = library.lines().filter_map(|line| line.strip_prefix("pub mod ")).collect();
    let placed = MAY_USE.iter().map(|(part, _)| *part).chain([ABOVE_ALL]);
    let placed: BTreeSet<_> = placed.map(|part| format!("{part};")).collect();
    assert_eq!(declared, placed.iter().map(String::as_str).collect());
}

#[test]
fn the_pure_middle_touches_nothing_outside() {
    let mut wrong = Vec::new();
    for (file, code) in sources("model")
        .into_iter()
        .chain(sources("compare"))
        .chain(sources("estimate"))
        .chain(sources("plan"))
        .chain(sources("incident"))
        .chain(sources("slo"))
    {
        let named = IMPURE.iter().filter(|word| code.contains(**word));
        wrong.extend(named.map(|word| format!("{}: names `{word}`", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_float_holds_money_or_is_compared() {
    // What a driver hands over may be a float (raw.rs); what the field holds is not, nor does comparing make one.
    let held = ["src/model/money.rs", "src/model/value.rs"].map(repository_file);
    let held = held.map(|file| (file.clone(), code_of(&file)));
    for (file, code) in sources("compare").into_iter().chain(held) {
        for float in ["f32", "f64"] {
            assert!(!code.contains(float), "{} names `{float}`", file.display());
        }
    }
}

#[test]
fn the_names_of_parts_are_found_in_all_spellings() {
    let used = |code: &str| parts_used(code).into_iter().collect::<Vec<_>>();
    assert_eq!(used("use crate::model::Key;"), ["model"]);
    assert_eq!(used("use crate::{model::{Key, Value}, state::*, config};"), ["config", "model", "state"]);
    assert_eq!(used("let a = crate::ledger::open(crate::clock::now());"), ["clock", "ledger"]);
    assert_eq!(used("use crate :: model;\nuse other_crate::model;"), Vec::<String>::new());
}

/// The files of one part with their code.
fn sources(part: &str) -> Vec<(PathBuf, String)> {
    let mut files = vec![repository_file(&format!("src/{part}.rs"))];
    collect(&repository_file(&format!("src/{part}")), &mut files);
    files.into_iter().map(|file| (file.clone(), code_of(&file))).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A file without its comments and without the tests at its end.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// The parts that follow `crate::`, alone or in braces.
fn parts_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(first_words_of_list(list)),
            None => used.extend(first_word(rest)),
        }
    }
    used
}

/// The first word of each entry of a list in braces, whose opening brace was taken.
fn first_words_of_list(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut outer = String::new();
    for character in list.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            other if depth == 0 => outer.push(other),
            _ => {}
        }
    }
    outer.split(',').filter_map(first_word).collect()
}

fn first_word(text: &str) -> Option<String> {
    let is_letter = |character: &char| character.is_ascii_alphanumeric() || *character == '_';
    let word: String = text.trim_start().chars().take_while(is_letter).collect();
    (!word.is_empty()).then_some(word)
}
