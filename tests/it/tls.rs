//! Databases and the ledger over TLS: with a certificate that is checked, with any certificate, and with the wrong one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use chrono::TimeDelta;
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::config::{Environment, parse_with};
use plumbline::connect::{self, ReadError};
use plumbline::sandbox;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config_text::{ConfigText, demo_options, nobody_answers};
use crate::engine::TestEngine;
use crate::support::{PrivateMariadb, PrivatePostgres};
use crate::verdicts::pair::QUANTITIES;

/// A certificate for 127.0.0.1 with its key, readable for the server's own user, and the authority that signed it.
pub struct Certificate {
    dir: TempDir,
}

/// From when until when a certificate is valid, in days from now.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    from: i64,
    until: i64,
}

impl Validity {
    pub const NOW: Self = Self { from: -1, until: 2 };
    pub const OVER: Self = Self { from: -30, until: -1 };
    pub const TO_COME: Self = Self { from: 1, until: 30 };

    /// As `openssl` wants it: `20261123120000Z`.
    fn dates(self) -> [String; 2] {
        let now = AnchoredClock::from_machine().now().to_utc();
        [self.from, self.until].map(|days| (now + TimeDelta::days(days)).format("%Y%m%d%H%M%SZ").to_string())
    }
}

/// What `openssl ca` needs to sign with dates of our choice.
const AUTHORITY: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n\
    default_md = sha256\npolicy = any\nx509_extensions = names\n[any]\ncommonName = supplied\n\
    [names]\nsubjectAltName = IP:127.0.0.1,DNS:localhost\n";

impl Certificate {
    pub fn new(user: &str) -> Self {
        Self::valid(user, Validity::NOW)
    }

    pub fn valid(user: &str, validity: Validity) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(Command::new("chmod").arg("755").arg(dir.path()));
        let openssl = |arguments: &[&str]| run(Command::new("openssl").current_dir(dir.path()).args(arguments));
        let new_key = ["-newkey", "rsa:2048", "-nodes"];
        let authority = ["-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&[["req"].as_slice(), &new_key, &authority].concat());
        let request = ["-subj", "/CN=test server", "-keyout", "key.pem", "-out", "request.pem"];
        openssl(&[["req"].as_slice(), &new_key, &request].concat());
        for (name, text) in [("ca.conf", AUTHORITY), ("index", ""), ("serial", "01\n")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let [from, until] = validity.dates();
        let sign = ["ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key"];
        let what = ["-in", "request.pem", "-startdate", &from, "-enddate", &until, "-out", "certificate.pem"];
        openssl(&[sign.as_slice(), &what].concat());
        let key = dir.path().join("key.pem");
        run(Command::new("chmod").arg("600").arg(&key));
        if is_root() {
            run(Command::new("chown").arg(user).arg(&key));
        }
        Self { dir }
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Reads the clock of a system with these TLS settings.
async fn read_clock(kind: &str, url: &str, tls: &str) -> Result<(), ReadError> {
    let fields = "fields = { sku = \"sku\", qty = \"qty\" }";
    let config = ConfigText::new()
        .database("erp", kind, "env:URL", tls)
        .database("store", "sqlite", "sqlite:store.db", "")
        .entity("stock", QUANTITIES)
        .mapping("stock", "erp", &format!("dataset = \"stock\"\nchanged_at = \"at\"\n{fields}"))
        .mapping("stock", "store", &format!("dataset = \"stock\"\n{fields}"))
        .probe("stock", "changes", "every 30s", "");
    let environment = Environment::fixed([("URL", url)]);
    let parsed = parse_with(&config.text(), Path::new("plumbline.toml"), Path::new("/"), &environment);
    let config = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    let system = config.systems.values().find(|system| system.id.as_str() == "erp").unwrap();
    let reader = connect::open(system, Arc::new(AnchoredClock::from_machine()))?;
    reader.clock().await.map(drop)
}

fn verify(certificate: &Certificate) -> String {
    format!("tls = \"verify\"\ntls_ca = \"{}\"", certificate.file("ca.pem"))
}

/// A certificate that is no longer or not yet valid is refused with the reason and what to do.
async fn check_dated(kind: &str, url: &str, certificate: &Certificate, expect: &str) {
    let refused = read_clock(kind, url, &verify(certificate)).await.unwrap_err();
    assert!(matches!(&refused, ReadError::Unreachable { reason, .. } if reason.contains(expect)), "{refused:?}");
    // Whoever does not check it does not mind.
    read_clock(kind, url, "tls = \"require\"").await.unwrap();
}

/// What is said of each.
const DATED: [(Validity, &str); 2] = [
    (Validity::OVER, "certificate has expired: renew it there"),
    (Validity::TO_COME, "not valid yet: look at the clocks of both machines"),
];

async fn check(kind: &str, url: &str, own: &Certificate, other: &Certificate) {
    read_clock(kind, url, "tls = \"require\"").await.unwrap();
    read_clock(kind, url, &verify(own)).await.unwrap();
    let refused = read_clock(kind, url, &verify(other)).await.unwrap_err();
    assert!(matches!(&refused, ReadError::Unreachable { reason, .. } if reason.contains("`tls_ca`")), "{refused:?}");
    let refused = read_clock(kind, url, "tls = \"verify\"").await.unwrap_err();
    assert!(matches!(refused, ReadError::Unreachable { .. }), "{refused:?}");
}

#[tokio::test]
async fn postgres_over_tls() {
    let (own, other) = (Certificate::new("postgres"), Certificate::new("postgres"));
    let server = PrivatePostgres::start_with(&[
        ("ssl", "on"),
        ("ssl_cert_file", &own.file("certificate.pem")),
        ("ssl_key_file", &own.file("key.pem")),
    ])
    .await;
    check("postgres", &server.url(), &own, &other).await;
}

#[tokio::test]
async fn postgres_with_a_certificate_that_is_not_valid_now() {
    for (validity, expect) in DATED {
        let own = Certificate::valid("postgres", validity);
        let server = PrivatePostgres::start_with(&[
            ("ssl", "on"),
            ("ssl_cert_file", &own.file("certificate.pem")),
            ("ssl_key_file", &own.file("key.pem")),
        ])
        .await;
        check_dated("postgres", &server.url(), &own, expect).await;
    }
}

#[tokio::test]
async fn mariadb_over_tls() {
    let (own, other) = (Certificate::new("mysql"), Certificate::new("mysql"));
    let server =
        PrivateMariadb::start_with(&[("ssl_cert", &own.file("certificate.pem")), ("ssl_key", &own.file("key.pem"))])
            .await;
    check("mariadb", &server.url(), &own, &other).await;
}

#[tokio::test]
async fn mariadb_with_a_certificate_that_is_not_valid_now() {
    for (validity, expect) in DATED {
        let own = Certificate::valid("mysql", validity);
        let (certificate, key) = (own.file("certificate.pem"), own.file("key.pem"));
        let server = PrivateMariadb::start_with(&[("ssl_cert", &certificate), ("ssl_key", &key)]).await;
        check_dated("mariadb", &server.url(), &own, expect).await;
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_used_where_tls_is_required() {
    let server = PrivatePostgres::start().await;
    let refused = read_clock("postgres", &server.url(), "tls = \"require\"").await.unwrap_err();
    assert!(matches!(refused, ReadError::Unreachable { .. }), "{refused:?}");
    read_clock("postgres", &server.url(), "tls = \"off\"").await.unwrap();
}

/// Takes TLS off what comes in and passes it on to `upstream`.
async fn tls_front(certificate: &Certificate, upstream: String) -> u16 {
    let chain = CertificateDer::pem_file_iter(certificate.file("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate.file("key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain.map(Result::unwrap).collect(), key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((incoming, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate hangs up.
                let Ok(mut incoming) = acceptor.accept(incoming).await else { return };
                let mut outgoing = TcpStream::connect(upstream).await.unwrap();
                tokio::io::copy_bidirectional(&mut incoming, &mut outgoing).await.ok();
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_over_tls_is_used_only_with_a_trusted_certificate() {
    let test = TestEngine::start().await;
    let (own, other) = (Certificate::new("root"), Certificate::new("root"));
    let port = tls_front(&own, test.engine.url().trim_start_matches("http://").to_owned()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = sandbox::config::write(directory.path(), &demo_options(), &nobody_answers()).unwrap();
    let ledger = format!(
        "\n[plumbline.ledger]\nurl = \"https://localhost:{port}\"\nuser = \"{}\"\npassword = \"env:LEDGER\"\n",
        test.engine.user(),
    );
    let config = std::fs::read_to_string(&file).unwrap() + &ledger;
    std::fs::write(&file, config).unwrap();
    let migrate = |authority: &Certificate| {
        Command::new(env!("CARGO_BIN_EXE_plumbline"))
            .arg("migrate")
            .current_dir(directory.path())
            .env("LEDGER", test.engine.password())
            .env("SSL_CERT_FILE", authority.file("ca.pem"))
            .output()
            .unwrap()
    };
    let refused = migrate(&other);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("certificate"), "{told}");
    let done = migrate(&own);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let tables = test.writer().query("SELECT count() FROM system.tables WHERE database = 'plumbline'");
    assert!(tables.fetch_one::<u64>().await.unwrap() > 0);
    test.engine.stop().await;
}
