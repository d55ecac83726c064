//! Systems and their budgets.

use super::check;

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
