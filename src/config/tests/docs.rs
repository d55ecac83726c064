//! docs/config.md names everything that the parser knows.

use crate::config::section::Keys;
use crate::config::{
    alerting, calendar, children, condition, entity, field, field_rule, ledger, maintenance, mapping, plumbline, probe,
    read, slo, sql_expression, step, system, xref,
};

const DOCS: &str = include_str!("../../../docs/config.md");

const SECTIONS: [&Keys; 27] = [
    &read::KEYS,
    &plumbline::KEYS,
    &ledger::KEYS,
    &system::KEYS,
    &system::BUDGET_KEYS,
    &entity::KEYS,
    &field::KEYS,
    &mapping::KEYS,
    &mapping::STAMP_KEYS,
    &mapping::VERSION_KEYS,
    &children::KEYS,
    &xref::KEYS,
    &condition::KEYS,
    &field_rule::KEYS,
    &field_rule::CURRENCY_KEYS,
    &step::KEYS,
    &step::ROUND_KEYS,
    &step::PRECISION_KEYS,
    &probe::KEYS,
    &slo::KEYS,
    &slo::TIER_KEYS,
    &calendar::KEYS,
    &maintenance::KEYS,
    &alerting::KEYS,
    &alerting::channel::KEYS,
    &alerting::team::KEYS,
    &alerting::route::KEYS,
];

/// The text under a heading, up to the next one of any level.
fn under(heading: &str) -> &'static str {
    let start = DOCS.find(&format!("# `{heading}`\n")).unwrap_or_else(|| panic!("no heading for `{heading}`"));
    let text = DOCS[start..].split_once('\n').unwrap().1;
    text.split("\n#").next().unwrap()
}

#[test]
fn every_key_is_described_in_its_section() {
    for keys in SECTIONS {
        let text = under(keys.section);
        for name in keys.names {
            assert!(text.contains(&format!("| `{name}` |")), "`{name}` is not described under `{}`", keys.section);
        }
        for name in keys.not_yet {
            assert!(text.contains(&format!("`{name}`")), "`{name}` is not named under `{}`", keys.section);
        }
    }
}

#[test]
fn no_key_is_described_that_does_not_exist() {
    for keys in SECTIONS {
        for row in under(keys.section).lines().filter_map(|line| line.strip_prefix("| `")) {
            let name = row.split('`').next().unwrap();
            assert!(keys.names.contains(&name), "`{name}` under `{}` is not a key", keys.section);
        }
    }
}

/// A section that is missing from [`SECTIONS`] would not be checked.
#[test]
fn every_section_is_checked() {
    let mut declared = 0;
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config");
    let own = std::fs::read_dir(sources).unwrap();
    for file in own.chain(std::fs::read_dir(format!("{sources}/alerting")).unwrap()) {
        let path = file.unwrap().path();
        if path.is_file() {
            declared += std::fs::read_to_string(path).unwrap().matches("KEYS: Keys =").count();
        }
    }
    assert_eq!(declared, SECTIONS.len());
}

#[test]
fn every_word_is_named() {
    let words = field::TYPES.iter().map(|(name, _)| *name).chain(step::words());
    for word in words.chain(sql_expression::FUNCTIONS).chain(sql_expression::CAST_TYPES) {
        assert!(DOCS.contains(&format!("`{word}`")), "`{word}` is not named");
    }
}
