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

/// What nobody reads in other tests: `doctor` looks at every system.
async fn other(directory: &Path) {
    let url = format!("sqlite://{}?mode=rwc", directory.join("other.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE thing (ref TEXT PRIMARY KEY, at TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_can_be_relied_on_and_what_is_wrong() {
    let odoo = Odoo::start().await;
    odoo.create("res.partner", json!({ "name": "Acme", "ref": "P-1", "is_company": true })).await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    other(directory).await;
    let doctor = |system: &str, mapping: &str, key: &str| {
        let text = config(system, "\"ref\"", super::site::FIELDS, mapping);
        std::fs::write(directory.join("plumbline.toml"), text).unwrap();
        plumbline(directory, &odoo, key, &["doctor"])
    };
    let key = odoo.key("reader");
    let partners = format!("{PARTNERS}changed_at = \"write_date\"\n");
    for interface in Interface::ALL {
        let system = interface.system(&odoo.database, "reader");
        let well = [
            "not provable: `search_read`, `web_search_read` and `fields_get` only; ask for an API key",
            "next to ours, known to",
            "no total, but every list says where it ends; 500 a request",
            "`domain` filters; 200 keys a request",
            " 0 errors",
        ];
        check(&doctor(&system, &partners, key), 0, &well);
        // A key that has expired, a login that may not read, a field that this Odoo does not have, a model it lacks.
        check(&doctor(&system, &partners, "wrong"), 1, &["error", "list of thing", "refuse"]);
        let blind = interface.system(&odoo.database, "blind");
        let orders = "dataset = \"orders\"\nfields.ref = \"client_order_ref\"\n";
        check(&doctor(&blind, orders, odoo.key("blind")), 1, &["list of thing", "the user may not read this model"]);
        let typo = partners.replace("\"email\"", "\"e_mail\"");
        check(&doctor(&system, &typo, key), 1, &["e_mail"]);
        let nothing = "dataset = \"x.nothing\"\nfields.ref = \"name\"\n";
        check(&doctor(&system, nothing, key), 1, &["list of thing", "x.nothing"]);
    }
}

/// JSON-2 answers 422 to what it can read but not do; JSON-RPC says the same with status 200.
#[tokio::test(flavor = "multi_thread")]
async fn what_odoo_cannot_process_is_said_with_what_to_do() {
    let odoo = Odoo::start().await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    other(directory).await;
    let doctor = |system: &str| {
        std::fs::write(directory.join("plumbline.toml"), config(system, "\"ref\"", super::site::FIELDS, PARTNERS))
            .unwrap();
        plumbline(directory, &odoo, odoo.key("reader"), &["doctor"])
    };
    for interface in Interface::ALL {
        let system = interface.system(&odoo.database, "reader");
        let no_such_language = system.replace("key =", "lang = \"xx_XX\", key =");
        check(&doctor(&no_such_language), 1, &["list of thing", "Invalid language code: xx_XX", "the setting `lang`"]);
    }
    // An argument that this Odoo does not take, as a pack of one's own may name it.
    let asked = json!({ "domain": [], "specification": {}, "wher": [] });
    let (status, body) = odoo.call_as("reader", "res.partner", "web_search_read", &asked).await;
    assert_eq!(status, 422, "{body}");
    let pack =
        include_str!("../../../probes/odoo.toml").replace("order = \"id\", limit", "wher = [], order = \"id\", limit");
    std::fs::write(directory.join("own.toml"), pack).unwrap();
    let own = Interface::Json2.system(&odoo.database, "reader").replace("\"odoo\"", "\"own.toml\"");
    check(&doctor(&own), 1, &["list of thing", "wher", "an argument that this method of this Odoo does not take"]);
}
