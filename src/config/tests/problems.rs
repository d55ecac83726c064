//! Every kind of problem: what is written, where it is reported and in which words.

use super::{BASE, parsed};

mod auditor;
mod entities;
mod probes;
mod promises;
mod rules;
mod systems;

/// Replaces one part of the base config and compares all problems, without the file's name.
fn check(rows: &[(&str, &str, &[&str])]) {
    let mut failures = String::new();
    for (find, replace, expect) in rows {
        assert!(BASE.contains(find), "the base config lacks {find}");
        let text = BASE.replacen(find, replace, 1);
        let found: Vec<String> = match parsed(&text) {
            Ok(_) => Vec::new(),
            Err(problems) => {
                problems.iter().map(|problem| format!("{}:{}: {problem}", problem.line, problem.column)).collect()
            }
        };
        if found != *expect {
            failures.push_str(&format!("    ({find:?}, {replace:?}, &{found:?}),\n"));
        }
    }
    assert!(failures.is_empty(), "these rows give something else:\n{failures}");
}

#[test]
fn unknown_and_missing_keys() {
    check(&[
        (
            "dataset = \"sale_order\"",
            "dataste = \"sale_order\"",
            &["24:1: unknown key `dataste`; did you mean `dataset`?"],
        ),
        (
            "[system.files]",
            "[sistem.files]",
            &[
                "12:2: unknown key `sistem`; did you mean `system`?",
                "38:18: `files` is not a system; known: `erp`, `shop`",
            ],
        ),
        (
            "tenant = \"acme\"",
            "colour = \"red\"",
            &[
                "2:1: unknown key `colour`; known: `tenant`, `data_dir`, `state`, `ledger`, `listen`, `http_token`, `secret_key`, `lease`, `max_in_flight`, `max_spool_bytes`, `auditor`",
            ],
        ),
        ("kind = \"postgres\"\n", "", &["4:1: key `kind` is missing"]),
        ("url = \"postgres://auditor@localhost/erp\"\n", "", &["4:1: key `url` is missing"]),
        ("key = \"number\"\n", "", &["16:1: key `key` is missing"]),
        (
            "entity = \"order\"\nowner = \"shop\"\nkind = \"changes\"\nschedule = \"every 30s\"",
            "",
            &["43:1: key `entity` is missing", "43:1: key `kind` is missing", "43:1: key `schedule` is missing"],
        ),
        ("name = \"orders\"\n", "", &["55:1: key `name` is missing"]),
        (
            "type = \"money\", owner = \"shop\"",
            "typo = \"money\"",
            &["19:18: unknown key `typo`; did you mean `type`?"],
        ),
        ("steps = [\"lower\"]", "step = [\"lower\"]", &["35:36: unknown key `step`; did you mean `steps`?"]),
    ]);
}

#[test]
fn what_is_not_toml() {
    check(&[
        ("tenant = \"acme\"", "tenant = ", &["2:10: not TOML: string values must be quoted, expected literal string"]),
        ("tenant = \"acme\"", "tenant = \"acme", &["2:15: not TOML: invalid basic string, expected `\"`"]),
        ("[system.erp]", "[system.erp", &["4:12: not TOML: unclosed table, expected `]`"]),
        ("tenant = \"acme\"", "tenant = \"acme\"\ntenant = \"acme\"", &["3:1: not TOML: duplicate key"]),
        (
            "tenant = \"acme\"",
            "tenant = acme\nlease = 5 s\ncolour = 1",
            &[
                "2:10: not TOML: string values must be quoted, expected literal string",
                "3:9: not TOML: string values must be quoted, expected literal string",
                "4:1: unknown key `colour`; known: `tenant`, `data_dir`, `state`, `ledger`, `listen`, `http_token`, `secret_key`, `lease`, `max_in_flight`, `max_spool_bytes`, `auditor`",
            ],
        ),
        (
            "[system.shop]",
            "[system.erp]",
            &["8:9: not TOML: duplicate key", "9:1: not TOML: duplicate key", "10:1: not TOML: duplicate key"],
        ),
    ]);
}

#[test]
fn wrong_types() {
    check(&[
        ("\"acme\"", "1", &["2:10: `tenant`: must be text, found an integer"]),
        (
            "\"acme\"",
            "\"Acme\"",
            &[
                "2:10: `tenant`: `Acme` is not allowed: may hold lower-case letters, digits, `-` and `_`, and starts with a letter; found `A`",
            ],
        ),
        ("\"acme\"", "\"\"", &["2:10: `tenant`: `` is not allowed: must have 1 to 64 characters, got 0"]),
        ("kind = \"postgres\"", "kind = [\"postgres\"]", &["5:8: `kind`: must be text, found a list"]),
        (
            "[system.files]\nkind = \"sqlite\"\nurl = \"sqlite:files.db\"",
            "[system]\nfiles = 3",
            &["13:9: `files`: must be a table, found an integer"],
        ),
        (
            "[system.files]",
            "[system.Files]",
            &[
                "12:9: `Files` cannot be a name: may hold lower-case letters, digits, `-` and `_`, and starts with a letter; found `F`",
                "38:18: `files` is not a system; did you mean `Files`?",
            ],
        ),
        ("key = \"number\"", "key = 1979-05-27", &["17:7: `key`: must be text, found a date or time"]),
        ("[[slo]]", "[slo]", &["55:1: `slo` is a list: write `[[slo]]`"]),
        ("dataset = \"sale_order\"", "dataset = \"\"", &["24:11: `dataset`: must not be empty"]),
        (
            "dataset = \"sale_order\"",
            "dataset = \"a.b.c\"",
            &["24:11: `dataset`: `a.b.c` must be `table` or `schema.table`"],
        ),
        ("changed_at = \"write_date\"", "changed_at = true", &["25:14: `changed_at`: must be text, found a boolean"]),
        (
            "changed_at = \"write_date\"",
            "changed_at = \"a\\u0000b\"",
            &["25:14: `changed_at`: must not hold control characters"],
        ),
        ("steps = [\"lower\"]", "steps = \"lower\"", &["35:44: `steps`: must be a list, found text"]),
    ]);
}

/// A mapping with everything: what fits is accepted, the rest is named where it stands.
#[test]
fn what_does_not_fit_is_named() {
    let mapping = r#"
[entity.order.in.erp]
dataset = "sale_order"
key = ["shop", "number"]
native = "id"
scope = [{ path = "state", in = ["sale", "done"] }]
changed_at = "write_date"
source_version = "woo_modified"
via = ["middleware"]
children.lines = { dataset = "order_line", parent = "order_id", changed_at = "write_date" }
xref.sku = { system = "mdm", dataset = "sku_map", from = "erp_sku", to = "sku" }
fields.shop   = { const = "eu" }
fields.number = { path = "ref", steps = [{ strip_prefix = "WC-" }] }
fields.qty    = { path = "lines[].qty", agg = "sum" }
fields.total  = { path = "amount", unit = "minor", currency = { path = "cur" } }
fields.weight = { path = "grams", scale = "0.001" }
fields.name   = { path = "name", steps = ["html_decode", { truncate = 40 }] }
fields.stock  = { path = "qty", when = { path = "managed", eq = true } }

[entity.order]
key = ["shop", "number"]
fields.shop = "text"
fields.number = "text"
fields.qty = "integer"
fields.name = "text"
fields.stock = "integer"
fields.total = "money"
fields.weight = "decimal"

[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"
"#;
    insta::assert_snapshot!(parsed(mapping).unwrap_err(), @r"
    plumbline.toml:9:8: `middleware` is not a system; known: `erp`
    plumbline.toml:11:6: `sku` is not a field of `order`; known: `shop`, `number`, `qty`, `name`, `stock`, `total`, `weight`
    plumbline.toml:11:23: `mdm` is not a system; known: `erp`
    3 problems
    ");
}
