//! The auditor itself: `[plumbline]`.

use super::check;

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
