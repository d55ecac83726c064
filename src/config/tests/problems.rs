//! Every kind of problem: what is written, where it is reported and in which words.

use super::{BASE, parsed};

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

#[test]
fn the_auditor_itself() {
    check(&[
        (
            "tenant = \"acme\"",
            "listen = \"localhost\"",
            &["2:10: `listen`: `localhost` is not an address with a port, such as `127.0.0.1:9464`"],
        ),
        (
            "tenant = \"acme\"",
            "listen = \"0.0.0.0:9464\"",
            &["2:10: `0.0.0.0:9464` can be reached from other machines; set `http_token`"],
        ),
        ("tenant = \"acme\"", "listen = \"0.0.0.0:9464\"\nhttp_token = \"env:TOKEN\"", &[]),
        (
            "tenant = \"acme\"",
            "http_token = \"hunter2hunter2hunter2\"",
            &["2:14: `http_token`: a secret must not stand here; write `env:NAME` or `file:PATH`"],
        ),
        (
            "tenant = \"acme\"",
            "http_token = \"env:ERP_PASSWORD\"",
            &["2:14: `http_token`: the token must have at least 16 characters"],
        ),
        (
            "tenant = \"acme\"",
            "http_token = \"env:NOT_SET\"",
            &["2:14: `http_token`: environment variable `NOT_SET` is not set"],
        ),
        ("tenant = \"acme\"", "http_token = \"env:EMPTY\"", &["2:14: `http_token`: `env:EMPTY` is empty"]),
        (
            "tenant = \"acme\"",
            "http_token = \"env:\"",
            &["2:14: `http_token`: `env:` must be followed by the name of a variable"],
        ),
        (
            "tenant = \"acme\"",
            "http_token = \"file:missing/token\"",
            &["2:14: `http_token`: `missing/token` cannot be read: No such file or directory (os error 2)"],
        ),
        ("tenant = \"acme\"", "http_token = \"file:\"", &["2:14: `http_token`: `file:` must be followed by a path"]),
        (
            "tenant = \"acme\"",
            "secret_key = \"env:TOKEN\"",
            &["2:14: `secret_key`: the key must be 64 hexadecimal digits (32 bytes), as `openssl rand -hex 32` prints"],
        ),
        (
            "tenant = \"acme\"",
            "lease = \"15\"",
            &["2:9: `lease`: `15` is not a duration; write numbers with `ms`, `s`, `m`, `h`, `d` or `w`: `1h30m`"],
        ),
        ("tenant = \"acme\"", "lease = \"2h\"", &["2:9: `lease`: must be from `1s` to `1h`, found `2h`"]),
        ("tenant = \"acme\"", "lease = 15", &["2:9: `lease`: must be a duration such as `\"30s\"`, found an integer"]),
        ("tenant = \"acme\"", "max_in_flight = 0", &["2:17: `max_in_flight`: must be from 1 to 100000000, found 0"]),
        (
            "tenant = \"acme\"",
            "max_in_flight = -1",
            &["2:17: `max_in_flight`: must be a whole number from 0 to 18446744073709551615, found `-1`"],
        ),
        (
            "tenant = \"acme\"",
            "max_spool_bytes = \"1GB\"",
            &["2:19: `max_spool_bytes`: `1GB` is not a size; write bytes, or a number with `KiB`, `MiB`, `GiB`, `TiB`"],
        ),
        (
            "tenant = \"acme\"",
            "max_spool_bytes = \"1KiB\"",
            &["2:19: `max_spool_bytes`: must be at least `1MiB`, found 1024 bytes"],
        ),
        (
            "tenant = \"acme\"",
            "state = \"postgres://me@db.example.com/state?sslmode=prefer\"",
            &[
                "2:9: `state`: the database is not on this machine, so `sslmode` must be `require`, `verify-ca` or `verify-full`",
            ],
        ),
        ("tenant = \"acme\"", "state = \"mysql://localhost/state\"", &["2:9: `state`: must begin with `postgres://`"]),
        (
            "tenant = \"acme\"",
            "state = \"postgres://me:secret@localhost/state\"",
            &[
                "2:9: `state`: a password must not stand in the config; write the whole URL as `env:NAME` or `file:PATH`, or (for a system) the password alone under `password`",
            ],
        ),
        (
            "tenant = \"acme\"",
            "ledger.url = \"clickhouse:9000\"",
            &["2:14: `url`: must be `http://HOST:PORT` or `https://HOST:PORT`"],
        ),
        (
            "tenant = \"acme\"",
            "ledger.url = \"http://me:secret@localhost:8123\"",
            &["2:14: `url`: must hold no login and no parameters; set `user` and `password`"],
        ),
        (
            "tenant = \"acme\"",
            "ledger = { user = \"me\", database = \"plumb line\" }",
            &[
                "2:19: `user` is for a ClickHouse server; set `url` too",
                "2:36: `database`: `plumb line` may hold letters, digits and `_` and must not begin with a digit",
            ],
        ),
        (
            "tenant = \"acme\"",
            "ledger = { password = \"secret\", url = \"nonsense\" }",
            &[
                "2:23: `password`: a secret must not stand here; write `env:NAME` or `file:PATH`",
                "2:39: `url`: not a URL: relative URL without a base",
            ],
        ),
    ]);
}

#[test]
fn systems() {
    check(&[
        (
            "kind = \"postgres\"",
            "kind = \"postgre\"",
            &[
                "5:8: `kind`: `postgre` is not allowed, only `postgres`, `mysql`, `mariadb`, `sqlite`, `http`; did you mean `postgres`?",
            ],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"oracle\"",
            &["5:8: `kind`: `oracle` is not allowed, only `postgres`, `mysql`, `mariadb`, `sqlite`, `http`"],
        ),
        ("kind = \"postgres\"", "kind = \"mysql\"", &["6:7: `url`: must begin with `mysql://`"]),
        (
            "postgres://auditor@localhost/erp",
            "postgres://auditor:hunter2@localhost/erp",
            &[
                "6:7: `url`: a password must not stand in the config; write the whole URL as `env:NAME` or `file:PATH`, or (for a system) the password alone under `password`",
            ],
        ),
        (
            "postgres://auditor@localhost/erp",
            "postgres://auditor@localhost/erp?password=hunter2",
            &[
                "6:7: `url`: a password must not stand in the config; write the whole URL as `env:NAME` or `file:PATH`, or (for a system) the password alone under `password`",
            ],
        ),
        (
            "postgres://auditor@localhost/erp",
            "postgres://auditor:hunter2@local host/erp",
            &["6:7: `url`: not a URL such as `postgres://USER@HOST/DATABASE`: invalid domain character"],
        ),
        (
            "postgres://auditor@localhost/erp",
            "env:ERP_PASSWORD",
            &["6:7: `url`: not a URL such as `postgres://USER@HOST/DATABASE`: relative URL without a base"],
        ),
        (
            "postgres://auditor@localhost/erp\"",
            "postgres://auditor@localhost/erp\"\npassword = \"hunter2\"",
            &["7:12: `password`: a secret must not stand here; write `env:NAME` or `file:PATH`"],
        ),
        (
            "postgres://auditor@localhost/erp\"",
            "env:ERP_URL\"\npassword = \"env:ERP_PASSWORD\"",
            &["6:7: `url`: already holds a password; remove it or the key `password`"],
        ),
        (
            "postgres://auditor@localhost/erp\"",
            "postgres:///erp\"\npassword = \"env:ERP_PASSWORD\"",
            &["6:7: `url`: has no host, so `password` cannot be used with it"],
        ),
        (
            "postgres://auditor@localhost/erp\"",
            "postgres://auditor@erp.example.com/erp\"\ntls = \"off\"",
            &["7:7: `off` is for loopback only; use `require` or `verify`"],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\ntls = \"on\"",
            &["6:7: `tls`: `on` is not allowed, only `off`, `require`, `verify`"],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\ntls_ca = \"missing.pem\"",
            &[
                "6:10: `tls_ca`: `/etc/plumbline/missing.pem` cannot be read: No such file or directory (os error 2)",
                "6:10: a certificate authority is used only with `tls = \"verify\"`",
            ],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\ntls = \"require\"\ntls_ca = \"/dev/null\"",
            &["7:10: a certificate authority is used only with `tls = \"verify\"`"],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\ntime_zone = \"Europe/Berln\"",
            &["6:13: `time_zone`: `Europe/Berln` is not a time zone; did you mean `Europe/Berlin`?"],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\ntime_zone = \"CET+1\"",
            &["6:13: `time_zone`: `CET+1` is not a time zone; write an IANA name such as `UTC` or `Europe/Berlin`"],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\ncommit_delay = \"2d\"",
            &["6:16: `commit_delay`: must be from `0s` to `1d`, found `2d`"],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\nstatement_timeout = \"0s\"",
            &["6:21: `statement_timeout`: must be from `100ms` to `1h`, found `0s`"],
        ),
        (
            "kind = \"postgres\"",
            "kind = \"postgres\"\nbudget = { requests_per_second = 0, concurrency = 0, rows = 5 }",
            &[
                "6:34: `requests_per_second`: must be from 0.001 to 1000000, found 0",
                "6:51: `concurrency`: must be from 1 to 256, found 0",
                "6:54: unknown key `rows`; known: `requests_per_second`, `concurrency`, `rows_per_run`",
            ],
        ),
        (
            "[system.files]",
            "[system.files]\nfor_each = []",
            &[
                "13:12: `for_each`: must be a list of names: `[\"shop-de\", \"shop-fr\"]`",
                "39:18: `files` is not a system; known: `erp`, `shop`",
            ],
        ),
        (
            "[system.files]",
            "[system.files]\nfor_each = [\"files\", \"b\"]",
            &[
                "12:9: `for_each`: all of these would be the same; `${each}` stands for the name in texts",
                "39:18: `files` is not a system; known: `erp`, `shop`",
            ],
        ),
        (
            "[system.files]",
            "[system.files]\nfor_each = [\"files\", \"erp\"]\ntime_zone = \"${each}\"",
            &[
                "13:22: `erp` is there twice",
                "14:13: `time_zone`: `files` is not a time zone (for `files`); write an IANA name such as `UTC` or `Europe/Berlin`",
            ],
        ),
        ("sqlite:files.db", "files.db", &["14:7: `url`: must begin with `sqlite:` and name a file: `sqlite:shop.db`"]),
        ("sqlite:files.db", "sqlite::memory:", &["14:7: `url`: must name a file: `sqlite:shop.db`"]),
        (
            "sqlite:files.db\"",
            "sqlite:files.db\"\npassword = \"env:ERP_PASSWORD\"\ntls = \"off\"",
            &["15:12: a SQLite file has no `password`", "16:7: a SQLite file has no `tls`"],
        ),
    ]);
}

#[test]
fn fields() {
    check(&[
        (
            "fields.number = \"text\"",
            "fields.number = \"txt\"",
            &[
                "18:17: `number`: `txt` is not allowed, only `text`, `integer`, `decimal`, `money`, `boolean`, `timestamp`, `date`, `uuid`, `bytes`, `json`; did you mean `text`?",
            ],
        ),
        (
            "fields.number = \"text\"",
            "fields.Number = \"text\"",
            &[
                "17:7: `number` is not one of the `fields`; did you mean `Number`?",
                "18:8: `Number` cannot be a name: may hold lower-case letters, digits, `-` and `_`, and starts with a letter; found `N`",
                "26:8: `number` is not a field of `order`; did you mean `Number`?",
                "33:8: `number` is not a field of `order`; did you mean `Number`?",
                "40:8: `number` is not a field of `order`; did you mean `Number`?",
            ],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shopp\"",
            &["19:42: `shopp` is not a system; did you mean `shop`?"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", owners = [\"erp\"]",
            &["19:59: only one of `owner`, `owners` may be given"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owners = [\"erp\", \"erp\"]",
            &["19:51: `erp` is named twice"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"files\"",
            &["19:42: owner `files` does not hold `total`; add it to `[entity.order.in.files]`"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = \"2s\"",
            &[
                "19:62: `tolerance`: the tolerance of a number is `\"0.01\"` (in its unit) or `\"0.5%\"` (of the owner's value)",
            ],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = \"100%\"",
            &["19:62: `tolerance`: must be less than `100%`"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = 0",
            &["19:62: `tolerance`: must be above zero; leave it out to compare exactly"],
        ),
        (
            "type = \"money\", owner = \"shop\"",
            "type = \"money\", owner = \"shop\", tolerance = -0.01",
            &["19:62: `tolerance`: must be above zero; leave it out to compare exactly"],
        ),
        (
            "type = \"timestamp\"",
            "type = \"timestamp\", tolerance = \"1%\"",
            &["21:49: `tolerance`: the tolerance of a timestamp is a duration above zero such as `\"2s\"`"],
        ),
        (
            "type = \"timestamp\"",
            "type = \"timestamp\", tolerance = 2",
            &["21:49: `tolerance`: the tolerance of a timestamp is a duration above zero such as `\"2s\"`"],
        ),
        (
            "type = \"text\", owner = \"erp\"",
            "type = \"text\", owner = \"erp\", tolerance = \"1\"",
            &[
                "20:61: `tolerance`: `text` is compared exactly; a tolerance is for integer, decimal, money and timestamp",
            ],
        ),
        (
            "type = \"text\", owner = \"erp\"",
            "type = \"text\", owner = \"erp\", store = \"hashed\"",
            &[
                "20:57: `store`: `hashed` is not allowed, only `clear`, `masked`, `hash`, `none`; did you mean `masked`?",
            ],
        ),
        (
            "type = \"text\", owner = \"erp\"",
            "type = \"text\", owner = \"erp\", kind = \"counter\"",
            &["20:56: a counter is a number; `status` is text"],
        ),
        (
            "key = \"number\"",
            "key = [\"number\", \"shop\"]",
            &["17:18: `shop` is not one of the `fields`; known: `number`, `total`, `status`, `paid`"],
        ),
        ("key = \"number\"", "key = [\"number\", \"number\"]", &["17:18: `number` is named twice"]),
        ("key = \"number\"", "key = []", &["17:7: the key must name at least one field"]),
        (
            "key = \"number\"",
            "key = \"total\"",
            &[
                "17:7: `total` is money, which cannot be a key",
                "38:1: key field `total` of `order` is not mapped; add it to `fields`",
            ],
        ),
        (
            "key = \"number\"",
            "class = \"near-realtime\"\nkey = \"number\"",
            &[
                "17:9: `class`: `near-realtime` is not allowed, only `realtime`, `near_realtime`, `batch`; did you mean `near_realtime`?",
            ],
        ),
        (
            "key = \"number\"",
            "for_each = [\"de\", \"fr\"]\nkey = \"number\"",
            &[
                "16:9: `for_each`: all of these would be the same; `${each}` stands for the name in texts",
                "45:10: `order` is not an entity; none is known here",
                "51:10: `order` is not an entity; none is known here",
                "58:10: `order` is not an entity; none is known here",
            ],
        ),
        (
            "fields.number = \"text\"",
            "fields.number = { type = \"integer\", tolerance = \"1\" }",
            &["18:8: `number` is part of the key and cannot have a tolerance"],
        ),
    ]);
}

#[test]
fn mappings() {
    check(&[
        (
            "[entity.order.in.files]",
            "[entity.order.in.flies]",
            &["38:18: `flies` is not a system; did you mean `files`?"],
        ),
        (
            "[entity.order.in.files]",
            "[entity.order.in.crm]",
            &["38:18: `crm` is not a system; known: `erp`, `shop`, `files`"],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = \"state\"\nlink = \"https://erp.example.org/{key}\"",
            &["29:8: `link`: the key `number` is not stored in clear, so no link can name it"],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = \"state\"\nlink = \"https://erp.example.org/orders\"",
            &["29:8: `link`: must say with `{key}` where the record's key goes"],
        ),
        (
            "fields.status = \"state\"",
            "fields.sttaus = \"state\"",
            &["28:8: `sttaus` is not a field of `order`; did you mean `status`?"],
        ),
        (
            "fields.status = \"state\"",
            "",
            &["20:42: owner `erp` does not hold `status`; add it to `[entity.order.in.erp]`"],
        ),
        (
            "fields.number = { path = \"ref\", steps = [{ strip_prefix = \"WC-\" }] }\n",
            "",
            &["23:1: key field `number` of `order` is not mapped; add it to `fields`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nkey = [\"id\"]",
            &["25:7: the key of `order` is `number`; a mapping cannot have another"],
        ),
        ("dataset = \"sale_order\"", "dataset = \"sale_order\"\nkey = \"number\"", &[]),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nchildren.lines = { dataset = \"l\", parnt = \"p\" }",
            &["25:35: unknown key `parnt`; did you mean `parent`?"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nchildren.\"a[]\" = { dataset = \"l\", parent = \"p\" }",
            &["25:10: `a[]` cannot be a name of children: paths are written `NAME[].column`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.status = { system = \"mdm\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &["25:26: `mdm` is not a system; known: `erp`, `shop`, `files`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.sku = { system = \"shop\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &["25:6: `sku` is not a field of `order`; known: `number`, `total`, `status`, `paid`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.total = { system = \"shop\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &["25:6: `total` cannot be translated: only fields of type `text`, `integer` or `uuid` can"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nxref.number = { system = \"shop\", dataset = \"t\", from = \"a\", to = \"b\" }",
            &[],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = \"lines[].state\"",
            &[
                "28:17: `status`: `lines[].state` reaches into children and may have many values; say with `agg` what they come to: `{ path = \"lines[].qty\", agg = \"sum\" }`",
            ],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = { path = \"state\", agg = \"max\" }",
            &["28:26: `path`: `state` has one value: an aggregate needs a path such as `lines[].qty`"],
        ),
        (
            "fields.status = \"state\"",
            "fields.status = { path = \"state\", const = \"x\" }",
            &["28:43: `const`: cannot stand together with `path`"],
        ),
        ("fields.status = \"state\"", "fields.status = {}", &["28:17: one of `path`, `sql`, `const` is missing"]),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nversion = { stamp = \"x\" }",
            &["25:11: one of `sequence`, `tag` is missing", "25:13: unknown key `stamp`; known: `sequence`, `tag`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nversion = { sequence = \"x\", tag = \"y\" }",
            &["25:35: `tag`: cannot stand together with `sequence`"],
        ),
        (
            "changed_at = \"write_date\"",
            "changed_at = { path = \"w\", zone = \"Mars\", epoch = \"minutes\" }",
            &[
                "25:35: `zone`: `Mars` is not a time zone; write an IANA name such as `UTC` or `Europe/Berlin`",
                "25:51: `epoch`: `minutes` is not allowed, only `seconds`, `milliseconds`, `microseconds`",
            ],
        ),
        ("changed_at = \"write_date\"", "changed_at = { zone = \"UTC\" }", &["25:14: key `path` is missing"]),
        (
            "changed_at = \"write_date\"\n",
            "",
            &["48:1: a changes probe needs `changed_at` (or `version = { sequence = … }`) in `[entity.order.in.erp]`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = { path = \"a\", eq = 1 }",
            &["25:9: `scope`: must be a list, found a table"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\" }]",
            &["25:10: one of `eq`, `ne`, `in`, `not_in`, `is_null` is missing"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", eq = 1, ne = 2 }]",
            &["25:37: `ne`: cannot stand together with `eq`"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", equals = 1 }]",
            &[
                "25:10: one of `eq`, `ne`, `in`, `not_in`, `is_null` is missing",
                "25:24: unknown key `equals`; known: `path`, `eq`, `ne`, `in`, `not_in`, `is_null`",
            ],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", in = [] }]",
            &["25:29: `in`: must not be empty"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", eq = nan }]",
            &["25:29: `eq`: must be a decimal number"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", is_null = \"yes\" }]",
            &["25:34: `is_null`: must be `true` or `false`, found text"],
        ),
        (
            "dataset = \"sale_order\"",
            "dataset = \"sale_order\"\nscope = [{ path = \"a\", eq = 1979-05-27 }]",
            &["25:29: `eq`: must be text, a number or a boolean, found a date or time"],
        ),
    ]);
}

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

#[test]
fn probes_and_promises() {
    check(&[
        (
            "kind = \"changes\"",
            "kind = \"change\"",
            &[
                "46:8: `kind`: `change` is not allowed, only `changes`, `sample`, `schema`, `sweep`, `totals`; did you mean `changes`?",
            ],
        ),
        (
            "owner = \"shop\"\nkind = \"changes\"",
            "owner = \"shop\"\nkind = \"schema\"",
            &["45:9: `owner`: is not for a probe of kind `schema`: it looks at every system that holds the entity"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"changes\"\ndays = 3\ncut_off = \"18:00\"",
            &["47:8: `days` is for a probe of kind `totals`", "48:11: `cut_off` is for a probe of kind `totals`"],
        ),
        ("kind = \"changes\"", "kind = \"totals\"", &["43:1: key `day` is missing"]),
        (
            "kind = \"changes\"",
            "kind = \"totals\"\nday = \"total\"\namount = \"totl\"\nstatus = \"nothing\"\ncut_off = \"6pm\"\ndays = 0",
            &[
                "47:7: `total` is not a field that fits here; known: `paid`",
                "48:10: `totl` is not a field that fits here; did you mean `total`?",
                "49:10: `nothing` is not a field that fits here; known: `number`, `total`, `status`, `paid`",
                "50:11: `cut_off`: `6pm` is not a time of day; write `18:00`",
                "51:8: `days`: must be from 1 to 3660, found 0",
            ],
        ),
        ("kind = \"changes\"", "kind = \"queue\"", &["46:8: `kind`: a probe of kind `queue` is not supported yet"]),
        (
            "entity = \"order\"\nowner",
            "entity = \"oder\"\nowner",
            &["44:10: `oder` is not an entity; did you mean `order`?"],
        ),
        (
            "entity = \"order\"\nowner = \"shop\"\n",
            "entity = \"order\"\n",
            &["43:1: `order` has several owners (`erp`, `shop`); say which one with `owner`"],
        ),
        (
            "owner = \"shop\"\nkind",
            "owner = \"files\"\nkind",
            &["45:9: `files` is not an owner of anything that another system holds of `order`; known: `erp`, `shop`"],
        ),
        ("owner = \"erp\"\nkind", "owner = \"shop\"\nkind", &["49:1: `order` already has a changes probe on `shop`"]),
        (
            "every 30s",
            "30s",
            &["47:12: `schedule`: `30s` is not a schedule; write `every 30s` or `cron 0 */5 * * * *`"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"changes\"\nkeys_per_run = 100",
            &["47:16: `keys_per_run` is for a probe of kind `sample`"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nkeys_per_run = 5",
            &["47:16: `keys_per_run`: must be from 10 to 1000000, found 5"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nkeys_per_run = 100\nevery_key_within = \"1d\"",
            &["48:20: `every_key_within`: cannot stand together with `keys_per_run`: one follows from the other"],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nevery_key_within = \"1m\"",
            &[
                "47:20: `every_key_within`: the probe runs up to 30s apart: too seldom to look at every key within 1m; `2m` or more, or a denser schedule",
            ],
        ),
        (
            "kind = \"changes\"",
            "kind = \"sample\"\nkeys_per_run = 200_000",
            &[
                "43:1: a run of 200000 keys is more than `erp` allows (`rows_per_run` = 100000)",
                "43:1: a run of 200000 keys is more than `files` allows (`rows_per_run` = 100000)",
                "43:1: a run of 200000 keys is more than `shop` allows (`rows_per_run` = 100000)",
            ],
        ),
        ("every 30s", "every 30", &["47:12: `schedule`: `30` is not a duration; write for instance `every 30s`"]),
        ("every 30s", "every 1ms", &["47:12: `schedule`: the interval must be from `100ms` to `366d`, found `1ms`"]),
        (
            "every 30s",
            "every 2m",
            &[
                "47:12: two looks are up to 2m apart, so a lag is known only to about 2m: too little to decide the deadline 3m of `order: shop -> erp`; look at least every 1m30s (half the deadline)",
            ],
        ),
        (
            "cron 0 * * * * *",
            "cron * * * * *",
            &[
                "53:12: `schedule`: a cron schedule has 6 or 7 fields (second minute hour day month weekday [year]), found 5",
            ],
        ),
        (
            "cron 0 * * * * *",
            "cron 0 61 * * * *",
            &["53:12: `schedule`: `0 61 * * * *` is not a cron schedule (second minute hour day month weekday [year])"],
        ),
        ("cron 0 * * * * *", "cron 0 0 0 30 2 *", &["53:12: `schedule`: `0 0 0 30 2 *` never comes"]),
        (
            "cron 0 * * * * *",
            "cron 0 * 8-17 * * Mon-Fri",
            &[
                "53:12: two looks are up to 2d14h1m apart, so a lag is known only to about 2d14h1m: too little to decide the deadline 3m of `order: erp -> shop`; look at least every 1m30s (half the deadline)",
            ],
        ),
        (
            "cron 0 * * * * *",
            "cron 0 */5 * * * *",
            &[
                "53:12: two looks are up to 5m apart, so a lag is known only to about 5m: too little to decide the deadline 3m of `order: erp -> shop`; look at least every 1m30s (half the deadline)",
            ],
        ),
        (
            "every 30s\"",
            "every 30s\"\ntime_zone = \"UTC\"",
            &["48:13: `time_zone` is for a cron schedule; `every` has none"],
        ),
        (
            "every 30s\"",
            "cron 0 * * * * *\"\ntime_zone = \"Europe/Paris \"",
            &["48:13: `time_zone`: `Europe/Paris ` is not a time zone; did you mean `Europe/Paris`?"],
        ),
        (
            "entity = \"order\"\nwithin",
            "entity = \"ordr\"\nwithin",
            &["57:10: `ordr` is not an entity; did you mean `order`?"],
        ),
        (
            "entity = \"order\"\nwithin",
            "owner = \"files\"\nwithin",
            &[
                "55:1: no flow matches the selectors; a promise about nothing would always be kept; flows: `order: erp -> shop`, `order: shop -> erp`, `order: shop -> files`",
            ],
        ),
        (
            "entity = \"order\"\nwithin",
            "target = \"fils\"\nwithin",
            &["57:10: `fils` is not a system; did you mean `files`?"],
        ),
        (
            "entity = \"order\"\nwithin",
            "flow = \"order: shop -> rep\"\nwithin",
            &[
                "57:8: `order: shop -> rep` is not a flow that the other selectors allow; did you mean `order: shop -> erp`?",
            ],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nindicator = \"freshnes\"",
            &[
                "59:13: `indicator`: `freshnes` is not allowed, only `freshness`, `agreement`, `completeness`, `totals_variance`, `queue_age`, `queue_depth`, `probe_availability`; did you mean `freshness`?",
            ],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nfields = [\"totl\"]",
            &["59:11: `totl` is not a field that the selected flows carry; did you mean `total`?"],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nfields = []",
            &["59:10: `fields`: must not be empty: a promise about nothing would always be kept"],
        ),
        (
            "within = \"3m\"",
            "indicator = \"completeness\"\nfields = [\"total\"]",
            &["59:10: `fields`: is for the indicators `freshness` and `agreement`"],
        ),
        (
            "within = \"3m\"",
            "within = \"3m\"\nindicator = \"agreement\"",
            &["58:10: `within`: is for the indicators `freshness` and `queue_age`"],
        ),
        (
            "entity = \"order\"\nwithin = \"3m\"",
            "indicator = \"queue_depth\"\nsystem = \"rep\"\nqueue = \"\"\nat_most = -1",
            &["60:11: `at_most`: must be a whole number from 0 to 18446744073709551615, found `-1`"],
        ),
        (
            "window = \"30d\"",
            "window = \"month\"\ntime_zone = \"Europe/Belin\"\ncalendar = \"ofice\"\ncoverage_floor = 2\n[calendar.office]\ntime_zone = \"Europe/Berlin\"\nweekdays = \"08:00-18:00\"",
            &[
                "61:13: `time_zone`: `Europe/Belin` is not a time zone; did you mean `Europe/Berlin`?",
                "62:12: `ofice` is not a calendar; did you mean `office`?",
                "63:18: `coverage_floor`: must be a share from 0 to 1, such as `\"50%\"`",
            ],
        ),
        (
            "window = \"30d\"",
            "window = \"30d\"\ntime_zone = \"Europe/Berlin\"\n[calendar.office]\ntime_zone = \"UTC\"\nmonday = [\"9-17\", \"08:00-12:00\", \"11:00-13:00\"]\nholidays = [\"Christmas\"]\n[calendar.never]\ntime_zone = \"UTC\"",
            &[
                "61:13: `time_zone` is for a window that is a calendar period, such as `month`",
                "64:11: `monday`: `9-17` is not a span of hours; write `08:00-18:00`, at most until `24:00`",
                "64:34: `monday`: `11:00-13:00` begins before the span before it ends",
                "65:13: `holidays`: `Christmas` is not a day, such as `2026-12-25`",
                "66:1: no hour counts; give `every_day`, `weekdays` or a day its hours",
            ],
        ),
        (
            "window = \"30d\"",
            "window = \"30d\"\ntiers = [{ severity = \"page\", factor = 101, long = \"1h\", short = \"5m\" }, { severity = \"pager\", long = \"1h\", short = \"5m\" }, { severity = \"ticket\", budget = \"2%\", long = \"31d\", short = \"5m\" }]",
            &[
                "61:10: the tier can never fire: it needs a burn of 101x, and when everything is bad the budget burns at 100x",
                "61:74: one of `factor`, `budget` is missing",
                "61:87: `severity`: `pager` is not allowed, only `page`, `ticket`; did you mean `page`?",
                "61:125: the tier needs windows that fit: short (`5m`) shorter than long (`31d`), long not longer than the SLO's counted window (`30d`)",
            ],
        ),
        (
            "window = \"30d\"",
            "window = \"30d\"\n[[maintenance]]\nfrom = 2026-12-24T22:00:00Z\nto = 2026-12-25T02:00:00Z\nreason = \"upgrade\"\nsystems = [\"erp\"]\n[[maintenance]]\nfrom = \"2026-12-25T02:30\"\nto = \"2026-12-25T04:00\"\ntime_zone = \"Europe/Berlin\"\nreason = \"backup\"\n[[maintenance]]\nfrom = \"2026-12-26T02:30\"\nto = \"soon\"\nreason = \"\"\nsystems = [\"rep\"]",
            &[
                "66:1: overlaps the maintenance `upgrade` of the same system",
                "73:6: `to`: `soon` is not a time, such as `2026-12-24T22:00` or `2026-12-24T22:00:00Z`",
                "74:10: `reason`: must not be empty",
                "75:12: `rep` is not a system; did you mean `erp`?",
            ],
        ),
        (
            "within = \"3m\"",
            "within = \"3 m\"",
            &["58:10: `within`: `3 m` is not a duration; write numbers with `ms`, `s`, `m`, `h`, `d` or `w`: `1h30m`"],
        ),
        (
            "within = \"3m\"",
            "within = \"40s\"",
            &[
                "47:12: two looks are up to 30s apart, so a lag is known only to about 30s: too little to decide the deadline 40s of `order: shop -> erp`; look at least every 20s (half the deadline)",
                "53:12: two looks are up to 1m apart, so a lag is known only to about 1m: too little to decide the deadline 40s of `order: erp -> shop`; look at least every 20s (half the deadline)",
            ],
        ),
        (
            "\"99%\"",
            "\"100%\"",
            &["59:13: `objective`: the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"],
        ),
        (
            "\"99%\"",
            "99",
            &["59:13: `objective`: the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"],
        ),
        (
            "\"99%\"",
            "\"high\"",
            &["59:13: `objective`: the objective is a share between 0 and 1, such as `\"99.5%\"` or `0.995`"],
        ),
        ("window = \"30d\"", "window = \"2m\"", &["60:10: the window must be longer than `within` (`3m`)"]),
        (
            "window = \"30d\"",
            "window = \"30d\"\n[[slo]]\nname = \"orders\"\nwithin = \"9m\"\nobjective = 0.5\nwindow = \"1d\"",
            &["62:8: `orders` is the name of another SLO"],
        ),
    ]);
}

#[test]
fn ownership() {
    check(&[
        (
            "owner = \"shop\" }\nfields.status = { type = \"text\", owner = \"erp\" }\nfields.paid = { type = \"timestamp\", owner = \"shop\" }",
            "}\nfields.status = \"text\"\nfields.paid = \"timestamp\"",
            &[
                "16:1: `order` yields no flow: no other system holds a field that has an owner; mapped in `erp`, `files`, `shop`; give a field an `owner` and map it in another system",
            ],
        ),
        (
            "type = \"timestamp\", owner = \"shop\"",
            "type = \"timestamp\", owner = \"erp\"",
            &["21:45: owner `erp` does not hold `paid`; add it to `[entity.order.in.erp]`"],
        ),
        ("type = \"timestamp\", owner = \"shop\"", "type = \"timestamp\", owners = [\"shop\", \"files\"]", &[]),
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
