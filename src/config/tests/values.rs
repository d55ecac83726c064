//! What a valid config means: defaults, secrets, addresses, paths.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{BASE, parsed};
use crate::config::{Config, EXAMPLE, Environment, Schedule, SystemKind, TlsMode, parse_with};

fn config(text: &str) -> Config {
    parsed(text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn url(config: &Config, name: &str) -> String {
    config.systems[&name.parse().unwrap()].url.expose_secret().to_owned()
}

#[test]
fn defaults() {
    let plumbline = config(&BASE.replace("tenant = \"acme\"", "")).plumbline;
    assert_eq!(plumbline.tenant.as_str(), "default");
    assert_eq!(plumbline.data_dir, Path::new("/etc/plumbline/plumbline-data"));
    assert_eq!(plumbline.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(plumbline.lease, Duration::from_secs(15));
    assert_eq!((plumbline.max_in_flight, plumbline.max_spool_bytes), (250_000, 1 << 30));
    assert_eq!(plumbline.ledger.database, "plumbline");
    assert!(plumbline.ledger.url.is_none() && plumbline.state_url.is_none() && plumbline.http_token.is_none());
}

#[test]
fn systems_have_defaults_that_follow_from_their_kind() {
    let config = config(BASE);
    let system = |name: &str| &config.systems[&name.parse().unwrap()];
    assert_eq!(system("erp").commit_delay, Duration::ZERO);
    assert_eq!(system("shop").commit_delay, Duration::from_secs(5));
    assert_eq!(system("files").kind, SystemKind::Sqlite);
    assert_eq!(system("erp").statement_timeout, Duration::from_secs(30));
    assert_eq!(system("erp").budget.concurrency, 4);
    assert_eq!(url(&config, "files"), "sqlite:///etc/plumbline/files.db");
}

#[test]
fn tls_is_required_unless_the_host_is_this_machine() {
    for (found, expect) in [
        ("postgres://auditor@localhost/erp", TlsMode::Off),
        ("postgres://auditor@127.0.0.1:5432/erp", TlsMode::Off),
        ("postgres://auditor@[::1]/erp", TlsMode::Off),
        ("postgres:///erp?host=/run/postgresql", TlsMode::Off),
        ("postgres://auditor@%2Frun%2Fpostgresql/erp", TlsMode::Off),
        ("postgres://auditor@localhost/erp?host=db.example.com", TlsMode::Require),
        ("postgres://auditor@db.example.com/erp", TlsMode::Require),
        ("postgres://auditor@10.0.0.5/erp", TlsMode::Require),
        ("postgres://auditor@localhost.example.com/erp", TlsMode::Require),
    ] {
        let config = config(&BASE.replace("postgres://auditor@localhost/erp", found));
        assert_eq!(config.systems[&"erp".parse().unwrap()].tls, expect, "{found}");
    }
}

#[test]
fn passwords_come_from_references_and_are_escaped() {
    let text = BASE.replace("localhost/erp\"", "localhost/erp\"\npassword = \"env:P\"");
    let environment = Environment::fixed([("P", "a/b@c d%")]);
    let config = parse_with(&text, Path::new("x.toml"), Path::new("/x"), &environment).unwrap();
    let url = url(&config, "erp");
    let parsed = ::url::Url::parse(&url).unwrap();
    assert_eq!(parsed.host_str(), Some("localhost"), "{url}");
    assert_eq!(parsed.password(), Some("a%2Fb%40c%20d%25"), "{url}");
}

#[test]
fn files_hold_secrets_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "0123456789abcdef\r\n").unwrap();
    let text = BASE.replace("tenant = \"acme\"", "http_token = \"file:token\"");
    let config = parse_with(&text, Path::new("x.toml"), dir.path(), &Environment::fixed([])).unwrap();
    assert_eq!(config.plumbline.http_token.unwrap().expose_secret(), "0123456789abcdef");
}

#[test]
fn a_config_file_is_loaded_from_its_own_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plumbline.toml");
    std::fs::write(&path, BASE).unwrap();
    let config = crate::config::load(&path).unwrap();
    assert_eq!(config.plumbline.data_dir, dir.path().join("plumbline-data"));
    assert_eq!(url(&config, "files"), format!("sqlite://{}/files.db", dir.path().display()));
}

/// No problem and no printed config shows what a secret is.
#[test]
fn secrets_are_never_printed() {
    let debug = format!("{:?}", config(EXAMPLE));
    assert!(!debug.contains("s3cret") && !debug.contains("0123456789abcdef"), "{debug}");
    for wrong in [
        "url = \"postgres://auditor:hunter2@localhost/erp\"",
        "url = \"postgres://auditor@localhost/erp?sslpassword=hunter2\"",
        "url = \"hunter2://x\"",
        "url = \"postgres://auditor:hunter2@[::1/erp\"",
        "url = [\"hunter2\"]",
        "url = \"env:ERP_PASSWORD\"",
        "password = \"hunter2\"",
        "password = { env = \"hunter2\" }",
        "url = \"postgres://auditor@localhost/erp\"\npassword = hunter2",
    ] {
        let text = BASE.replacen("url = \"postgres://auditor@localhost/erp\"", wrong, 1);
        let problems = parsed(&text).unwrap_err().to_string();
        assert!(!problems.contains("hunter2") && !problems.contains("s3cret"), "{wrong}: {problems}");
    }
}

#[test]
fn the_longest_gap_of_a_schedule() {
    let longest = |schedule: &str| {
        let text = BASE.replace("cron 0 * * * * *\"", &format!("{schedule}\"\ntime_zone = \"Europe/Berlin\""));
        let config = config(
            &text.replace("within = \"3m\"", "within = \"31d\"").replace("window = \"30d\"", "window = \"40d\""),
        );
        let Schedule::Cron(..) = config.probes[1].schedule else { panic!("{:?}", config.probes[1]) };
        config.probes[1].schedule.longest_interval().as_secs()
    };
    assert_eq!(longest("cron 0 */5 * * * *"), 300);
    assert_eq!(longest("cron 0 0 * * * *"), 3600);
    assert_eq!(longest("cron */20 * * * * *"), 20);
    // The night the clocks go back is an hour longer.
    assert_eq!(longest("cron 0 30 4 * * *"), 25 * 3600);
    // From Friday evening to Monday morning over that night.
    assert_eq!(longest("cron * * 8-17 * * Mon-Fri"), (2 * 24 + 15) * 3600 + 1);
}

#[test]
fn a_distant_state_database_is_reached_over_tls() {
    let state = |url: &str| {
        let text = BASE.replace("tenant = \"acme\"", &format!("state = \"{url}\""));
        config(&text).plumbline.state_url.unwrap().expose_secret().to_owned()
    };
    assert_eq!(state("postgres://me@db.example.com/s"), "postgres://me@db.example.com/s?sslmode=require");
    let verified = "postgres://me@db.example.com/s?sslmode=verify-full&sslrootcert=ca.pem";
    assert_eq!(state(verified), verified);
    assert_eq!(state("postgres://me@localhost/s"), "postgres://me@localhost/s");
    assert_eq!(state("sqlite:state.db"), "sqlite:///etc/plumbline/state.db");
}
