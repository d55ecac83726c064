//! `plumbline check`, `pack` and `doctor` with the pack `odoo`, as an engineer meets them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::site::{Interface, PARTNERS, config};
use crate::support::Odoo;

fn plumbline(directory: &Path, odoo: &Odoo, key: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumbline"));
    let command = command.args(arguments).current_dir(directory);
    command.env("ODOO", &odoo.url).env("KEY", key).output().expect("the binary runs")
}

#[track_caller]
fn check(output: &Output, code: i32, words: &[&str]) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_checked_shown_and_proven() {
    let odoo = Odoo::start().await;
    odoo.create("res.partner", json!({ "name": "Acme", "ref": "P-1", "is_company": true })).await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let fields = super::site::FIELDS;
    for interface in Interface::ALL {
        let text = config(&interface.system(&odoo.database, "reader"), "\"ref\"", fields, PARTNERS);
        let probe = "[[probe]]\nentity = \"thing\"\nkind = \"changes\"\nschedule = \"every 30s\"\n";
        std::fs::write(directory.join("plumbline.toml"), format!("{text}{probe}")).unwrap();
        let run = |arguments: &[&str]| plumbline(directory, &odoo, odoo.key("reader"), arguments);
        check(&run(&["check"]), 0, &["thing: odoo -> other"]);
        check(&run(&["pack", "test", "odoo"]), 0, &["partners", "res.partner", "qty_available", "ok: odoo"]);
        let live = run(&["pack", "test", "--system", "odoo"]);
        check(&live, 0, &["changes: `domain` filters", "by `ref`: `domain` filters"]);
        let sample = run(&["pack", "sample", "--system", "odoo", "--entity", "thing"]);
        check(&sample, 0, &["write_date"]);
        let refused =
            plumbline(directory, &odoo, "wrong", &["pack", "sample", "--system", "odoo", "--entity", "thing"]);
        check(&refused, 3, &["refuse"]);
    }
}
