//! Rules of fields: paths, steps, and aggregates over children.

use super::{BASE, check, parsed};

#[test]
fn rules_and_steps() {
    const STATUS: &str = "fields.status = \"state\"";
    const TOTAL: &str = "fields.total = { path = \"amount\", currency = \"EUR\" }";
    const NUMBER: &str = "fields.number = { path = \"ref\", steps = [{ strip_prefix = \"WC-\" }] }";
    check(&[
        (
            STATUS,
            "fields.status = { path = \"state\", steps = [\"lowre\"] }",
            &["28:44: `steps`: `lowre` is not a step; did you mean `lower`?"],
        ),
        (
            STATUS,
            "fields.status = { path = \"state\", steps = [\"truncate\"] }",
            &["28:44: `steps`: step `truncate` needs a value: `{ truncate = … }`"],
        ),
        (
            STATUS,
            "fields.status = { path = \"state\", steps = [{ truncate = \"x\" }] }",
            &["28:57: `truncate`: must be a whole number, found text"],
        ),
        (
            STATUS,
            "fields.status = { path = \"state\", steps = [{ trucate = 4 }] }",
            &["28:46: unknown key `trucate`; did you mean `truncate`?"],
        ),
        (
            STATUS,
            "fields.status = { path = \"state\", steps = [{ truncate = 4, round = 2 }] }",
            &["28:68: `round`: cannot stand together with `truncate`"],
        ),
        (
            STATUS,
            "fields.status = { path = \"state\", steps = [{ round = 2 }, { precision = \"second\" }] }",
            &[
                "28:44: `steps`: step `round` does not fit a field of type `text`",
                "28:59: `steps`: step `precision` does not fit a field of type `text`",
            ],
        ),
        (STATUS, "fields.status = { path = \"state\", steps = [{ map = {} }] }", &["28:52: `map`: must not be empty"]),
        (
            STATUS,
            "fields.status = { path = \"state\", steps = [{ map = { a = 1 } }] }",
            &["28:58: `a`: must be text, found an integer"],
        ),
        (
            STATUS,
            "fields.status = { path = \"state\", unit = \"minor\", scale = 2, currency = \"EUR\", epoch = \"seconds\" }",
            &[
                "28:42: `unit` does not fit a field of type `text`",
                "28:59: `scale` does not fit a field of type `text`",
                "28:73: `currency` does not fit a field of type `text`",
                "28:88: `epoch` does not fit a field of type `text`",
            ],
        ),
        (STATUS, "fields.status = { const = 3 }", &["28:27: `const`: the constant is not of the field's type `text`"]),
        (
            STATUS,
            "fields.status = { const = \"x\", steps = [\"trim\"], zone = \"UTC\" }",
            &[
                "28:40: `steps` does nothing to a constant; write the value it should have",
                "28:57: `zone` does nothing to a constant; write the value it should have",
            ],
        ),
        (
            TOTAL,
            "fields.total = \"amount\"",
            &["27:8: `total` is money and has no currency; add `currency = \"EUR\"` or `currency = { path = \"…\" }`"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\" }",
            &["27:8: `total` is money and has no currency; add `currency = \"EUR\"` or `currency = { path = \"…\" }`"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\", currency = \"EURO\" }",
            &["27:46: `currency`: `EURO` is not an ISO 4217 currency code"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\", currency = { pth = \"x\" } }",
            &["27:48: unknown key `pth`; did you mean `path`?"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\", currency = \"EUR\", unit = \"cents\" }",
            &["27:60: `unit`: `cents` is not allowed, only `minor`, `major`"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\", currency = \"EUR\", scale = 0 }",
            &["27:61: `scale`: must not be zero"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\", currency = \"EUR\", steps = [\"upper\"] }",
            &["27:62: `steps`: step `upper` does not fit a field of type `money`"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\", currency = \"EUR\", steps = [{ round = { digits = 2, mode = \"up\" } }] }",
            &["27:93: `mode`: `up` is not allowed, only `half_up`, `half_even`, `down`"],
        ),
        (
            TOTAL,
            "fields.total = { path = \"amount\", currency = \"EUR\", steps = [{ round = 2000 }] }",
            &["27:72: `round`: must be at most 1000 digits, found 2000"],
        ),
        (
            TOTAL,
            "fields.total = { const = 3, currency = { path = \"cur\" } }",
            &["27:26: `const`: a constant amount needs a constant currency"],
        ),
        (
            TOTAL,
            "fields.total = { const = \"three\", currency = \"EUR\" }",
            &["27:26: `const`: must be a decimal number, found text"],
        ),
        (
            "fields.paid = \"paid\"",
            "fields.paid = { path = \"paid\", steps = [{ precision = \"fortnight\" }] }",
            &["36:55: `precision`: `fortnight` is not allowed, only `millisecond`, `second`, `minute`, `hour`, `day`"],
        ),
        (
            "fields.paid = \"paid\"",
            "fields.paid = { path = \"paid\", steps = [{ precision = { nearest = 1 } }] }",
            &["36:55: key `unit` is missing", "36:67: `nearest`: must be `true` or `false`, found an integer"],
        ),
        (
            "fields.paid = \"paid\"",
            "fields.paid = { const = \"tomorrow\" }",
            &["36:25: `const`: the constant is not of the field's type `timestamp`"],
        ),
        (
            NUMBER,
            "fields.number = { path = \"ref\", steps = [\"trim\"] }",
            &[
                "26:8: `number` does not lead back to a row, so the key is found by an index of addresses; add `native`: a column by which rows are fetched, with an index in the database",
            ],
        ),
        (NUMBER, "fields.number = { path = \"ref\", when = { path = \"x\", eq = 1 } }\nnative = \"id\"", &[]),
        (
            NUMBER,
            "fields.number = { path = \"ref\", steps = [{ map = { a = \"x\", b = \"x\" } }] }\nnative = \"id\"",
            &[],
        ),
        (
            NUMBER,
            "key_index = true\nfields.number = \"ref\"",
            &[
                "26:13: the key is found by an index of addresses; add `native`: a column by which rows are fetched, with an index in the database",
            ],
        ),
        (
            "changed_at = \"write_date\"",
            "key_index = true\nnative = \"id\"",
            &[
                "25:13: the key is found by an index, which follows changes; add `changed_at`, or `version = { sequence = \"…\" }`",
            ],
        ),
        (
            NUMBER,
            "fields.number = { const = \"x\" }",
            &["26:1: every part of the key is constant: all records would have the same key"],
        ),
        (
            STATUS,
            "fields.status = { sql = \"lower(state); drop table x\" }",
            &["28:38: `sql`: `;` is not allowed: a SQL expression is one value"],
        ),
        (
            STATUS,
            "fields.status = { sql = \"(select 1)\" }",
            &["28:27: `sql`: `select` is not allowed in a SQL expression"],
        ),
        (
            STATUS,
            "fields.status = { sql = '''\ncoalesce(state,\n  pg_sleep(1))''' }",
            &[
                "30:3: `sql`: function `pg_sleep` is not allowed; known: `abs`, `ceil`, `ceiling`, `char_length`, `coalesce`, `concat`, `concat_ws`, `date`, `date_format`, `date_trunc`, `datetime`, `extract`, `floor`, `from_unixtime`, `greatest`, `hex`, `if`, `ifnull`, `iif`, `least`, `left`, `length`, `lower`, `ltrim`, `mod`, `nullif`, `replace`, `right`, `round`, `rtrim`, `split_part`, `strftime`, `substr`, `substring`, `to_char`, `to_timestamp`, `trim`, `trunc`, `unix_timestamp`, `upper`",
            ],
        ),
    ]);
}

const LINES: &str = "dataset = \"sale_order\"\nchildren.lines = { dataset = \"l\", parent = \"p\" }";

/// Rules of one field of the owner's mapping that has children, which begins in line 29.
#[test]
fn aggregates() {
    let base = BASE.replacen("dataset = \"sale_order\"", LINES, 1).replacen(
        "status = { type = \"text\"",
        "status = { type = \"integer\"",
        1,
    );
    let check = |rule: &str, expect: &[&str]| {
        let text = base.replacen("fields.status = \"state\"", &format!("fields.status = {rule}"), 1);
        let text =
            text.replacen("fields.status = { path = \"status\", steps = [\"lower\"] }", "fields.status = \"s\"", 1);
        let found: Vec<_> = match parsed(&text) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(found, expect, "{rule}");
    };
    check(r#"{ path = "lines[].qty", agg = "sum" }"#, &[]);
    check(r#"{ path = "lines[]", agg = "count" }"#, &[]);
    check(r#"{ path = "lines[].qty", agg = "sum", when = { path = "lines[].kind", eq = 1 } }"#, &[]);
    check(r#"{ path = "lines[].qty", agg = "sum", steps = [{ strip_prefix = "x" }, { round = 2 }] }"#, &[]);
    let choices = "only `sum`, `count`, `min`, `max`, `list`, `tally`";
    check(r#"{ path = "lines[].qty", agg = "mean" }"#, &[&format!("`agg`: `mean` is not allowed, {choices}")]);
    check(r#"{ path = "lnes[].qty", agg = "sum" }"#, &["`lnes` is not one of the `children`; did you mean `lines`?"]);
    check(
        r#"{ path = "lines[].a[].b", agg = "sum" }"#,
        &["`path`: `lines[].a[].b`: children of children are not supported"],
    );
    check(
        r#"{ path = "lines[]", agg = "sum" }"#,
        &["`path`: only `count` works on the children themselves; name a column of them"],
    );
    check(r#"{ path = "lines[].qty", agg = "list" }"#, &["this `agg` gives `json` or `text`; `status` is `integer`"]);
    let tally = "this `agg` gives `json` or `text`; `status` is `integer`";
    check(r#"{ path = "lines[].sku", agg = "tally", times = "lines[].qty" }"#, &[tally]);
    check(
        r#"{ path = "lines[].sku", agg = "tally", times = "qty" }"#,
        &[tally, "`times`: `qty` has one value: an aggregate needs a path such as `lines[].qty`"],
    );
    let only_tally = "`times` fits only `agg = \"tally\"`";
    check(r#"{ path = "lines[].qty", agg = "sum", times = "lines[].qty" }"#, &[&format!("`times`: {only_tally}")]);
    check(r#"{ path = "qty", times = "lines[].qty" }"#, &[only_tally]);
    check(r#"{ sql = "a + b", path = "lines[].qty", agg = "sum" }"#, &["`sql` cannot stand together with `agg`"]);
    check(
        r#"{ path = "lines[].qty", agg = "sum", steps = ["trim"] }"#,
        &["this step loses something of each element: not allowed with `agg`"],
    );
    check(r#"{ path = "lines[].qty", agg = "count", scale = 2 }"#, &["`scale` does nothing to a count"]);
    check(
        r#"{ path = "lines[].qty", agg = "sum", currency = "EUR" }"#,
        &["`currency` does not fit a field of type `integer`"],
    );
}

#[test]
fn children_refer_to_one_column() {
    let two = BASE.replacen("dataset = \"sale_order\"", LINES, 1);
    let two = two.replacen("key = \"number\"", "key = [\"number\", \"status\"]", 1);
    let found = parsed(&two).unwrap_err().to_string();
    assert!(
        found.contains("children refer to `native`, or to a key of one column; this mapping has neither"),
        "{found}"
    );
    let with_native = two.replacen("dataset = \"sale_order\"", "dataset = \"sale_order\"\nnative = \"id\"", 1);
    let found = parsed(&with_native).map_or_else(|problems| problems.to_string(), |_| String::new());
    assert!(!found.contains("children refer"), "{found}");
}
