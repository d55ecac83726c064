//! Whatever is written: no panic, and every problem lies inside the file.

use proptest::prelude::*;

use super::{BASE, parsed};
use crate::config::EXAMPLE;

/// Pieces that configs are made of, and pieces that break them.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(EXAMPLE.lines().collect::<Vec<_>>()).prop_map(|line| format!("{line}\n")),
        prop::sample::select(vec![
            "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "\n", " ", "#", "\\", "\u{feff}", "ü",
            "\0", "\r",
        ])
        .prop_map(str::to_owned),
        prop::sample::select(vec![
            "true",
            "-1",
            "0x1F",
            "1e400",
            "nan",
            "1979-05-27T07:32:00Z",
            "9223372036854775808",
            "\"every 1s\"",
            "\"cron * * * * * *\"",
            "\"99%\"",
            "\"1h\"",
            "[]",
            "{}",
            "\"\"",
            "\"env:X\"",
            "\"file:/dev/null\"",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}

/// Without cron, whose longest gap takes most of the time of a parse.
fn base() -> String {
    BASE.replace("cron 0 * * * * *", "every 1m")
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(problems) = parsed(text) else { return Ok(()) };
    prop_assert!(problems.iter().len() > 0);
    let lines: Vec<&str> = text.split('\n').collect();
    let mut last = (0, 0);
    for problem in problems.iter() {
        let place = (problem.line, problem.column);
        prop_assert!(place >= last, "not sorted: {problems}");
        prop_assert!((1..=lines.len()).contains(&problem.line), "{problem:?}");
        prop_assert!((1..=lines[problem.line - 1].chars().count() + 1).contains(&problem.column), "{problem:?}");
        prop_assert!(!problem.to_string().contains('\n'), "{problem:?}");
        last = place;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text(pieces in prop::collection::vec(piece(), 0..40)) {
        check(&pieces.concat())?;
    }

    #[test]
    fn a_config_with_a_piece_put_in(at in 0..BASE.len(), cut in 0..30_usize, piece in piece()) {
        let base = base();
        let (at, end) = (at.min(base.len()), (at + cut).min(base.len()));
        check(&format!("{}{piece}{}", &base[..at], &base[end..]))?;
    }

    #[test]
    fn a_config_with_a_value_replaced(line in 0..200_usize, value in piece()) {
        let base = base();
        let assignments = base.lines().filter(|line| line.contains(" = ")).count();
        let mut seen = 0;
        let replaced: Vec<String> = base.lines().map(|text| match text.split_once(" = ") {
            Some((key, _)) => {
                seen += 1;
                if seen == line % assignments + 1 { format!("{key} = {value}") } else { text.to_owned() }
            }
            None => text.to_owned(),
        }).collect();
        check(&replaced.join("\n"))?;
    }

    #[test]
    fn schedules(text in "(every|cron)( [-0-9*/,a-zA-Z?#L]{1,8}){0,8}") {
        check(&base().replace("every 30s", &text))?;
    }
}

#[test]
fn a_value_over_several_lines_is_reported_on_one() {
    check(&BASE.replacen("kind = \"changes\"", "kind = \"\"\"", 1)).unwrap();
}

#[test]
fn deep_and_long_texts_are_answered() {
    for text in [
        format!("a = {}", "[".repeat(50_000)),
        format!("a = {}", "{ a = ".repeat(50_000)),
        "a.".repeat(50_000),
        format!("[{}]", vec!["a"; 50_000].join(".")),
        BASE.replace("kind = \"postgres\"", &format!("time_zone = \"{}\"", "x".repeat(1_000_000))),
        BASE.replace("every 30s", &format!("every {}", "1s".repeat(100_000))),
    ] {
        check(&text).unwrap();
    }
}
