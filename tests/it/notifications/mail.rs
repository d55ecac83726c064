//! Mail through a real SMTP server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plumbline::alert::sender::Pace;
use plumbline::incident::Happened;
use tempfile::TempDir;

use super::bench::Bench;
use super::receiver::{Receiver, Request};
use crate::support::{free_port, repository_file, wait_until};
use crate::tls::Certificate;

/// A mail server; killed when dropped. Its mails stay.
pub struct MailServer {
    child: Child,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl MailServer {
    pub async fn start(port: u16, directory: &TempDir, arguments: &[&str]) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "/usr/bin/python3"])
            .arg(repository_file("tests/smtp/server.py"))
            .arg(port.to_string())
            .arg(directory.path())
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_until(async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Self { child }
    }
}

/// The mails that came, in order, with header lines unfolded.
pub fn mails(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "eml")).collect();
    files.sort();
    let text = |file: &PathBuf| {
        let mail = std::fs::read_to_string(file).unwrap();
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        format!("{}\r\n\r\n{body}", head.replace("\r\n ", " "))
    };
    files.iter().map(text).collect()
}

pub async fn has(directory: &TempDir, count: usize) -> Vec<String> {
    wait_until(async || mails(directory).len() >= count).await;
    mails(directory)
}

pub fn header<'m>(mail: &'m str, name: &str) -> &'m str {
    let head = mail.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

/// The decoded picture of a mail.
pub fn picture(mail: &str) -> Vec<u8> {
    use base64::Engine as _;
    let (_, part) = mail.split_once("Content-Type: image/png").expect("the mail has a picture");
    let (_, body) = part.split_once("\r\n\r\n").unwrap();
    let body: String = body.split("\r\n--").next().unwrap().split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

#[tokio::test]
async fn an_incident_is_one_thread_of_mails_with_its_chart() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new("root");
    let (port, authority) = (free_port(), certificate.file("ca.pem"));
    let tls = ["--certificate", &certificate.file("certificate.pem"), "--key", &certificate.file("key.pem")];
    let login = ["--login", "plumbline:correct horse"];
    let _server = MailServer::start(port, &directory, &[tls.as_slice(), &login].concat()).await;
    let config = format!(
        "[channel.mail]\nkind = \"email\"\nsmtp = \"smtp://127.0.0.1:{port}\"\ntls_ca = \"{authority}\"\n\
         user = \"plumbline\"\npassword = \"env:PASSWORD\"\nfrom = \"Plumbline <plumbline@example.org>\"\n\
         to = [\"ops@example.org\", \"On Call <oncall@example.org>\"]"
    );
    let bench = Bench::new(&config, &[]).await;
    let incident = bench.incident(1, Duration::from_secs(60)).await;
    bench.opens(&incident).await;
    bench.happens(&incident, Happened::Worsened).await;
    bench.happens(&incident, Happened::Acknowledged { by: "ann".to_owned() }).await;
    bench.resolves(&incident).await;
    let _sending = bench.start();
    let mails = has(&directory, 4).await;
    let root = header(&mails[0], "Message-ID");
    assert_eq!(root, format!("<incident.plumbline-{}@example.org>", incident.id));
    assert_eq!(header(&mails[0], "In-Reply-To"), "");
    for later in &mails[1..] {
        assert_eq!((header(later, "In-Reply-To"), header(later, "References")), (root, root));
        assert_ne!(header(later, "Message-ID"), root);
    }
    for mail in &mails {
        assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
        assert_eq!(header(mail, "X-Envelope"), "plumbline@example.org ops@example.org oncall@example.org tls=True");
        assert_eq!(header(mail, "To"), "ops@example.org, \"On Call\" <oncall@example.org>");
        assert!(mail.contains("multipart/alternative") && mail.contains("text/plain") && mail.contains("text/html"));
        assert_eq!(picture(mail)[..8], *b"\x89PNG\r\n\x1a\n");
    }
    let subjects: Vec<&str> = mails.iter().map(|mail| header(mail, "Subject")).collect();
    assert!(subjects[0].starts_with("[page] price: erp to store breaks its promise"), "{subjects:?}");
    assert!(subjects[3].contains("Resolved: price: erp -> store"), "{subjects:?}");
}

#[tokio::test]
async fn a_mail_server_that_is_away_for_long_gets_everything_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (port, pager) = (free_port(), Receiver::start([]).await);
    let config = format!(
        "[alert]\nfallback_after = \"1s\"\n\
         [channel.mail]\nkind = \"email\"\nsmtp = \"smtp://127.0.0.1:{port}\"\nfrom = \"plumbline@example.org\"\nto = \"ops@example.org\"\n\
         [channel.pager]\nkind = \"pagerduty\"\nurl = \"{}\"\nkey = \"env:KEY\"\n\
         [[route]]\nchannel = \"mail\"",
        pager.url
    );
    let bench = Bench::new(&config, &[]).await;
    let sending = bench.start();
    let mut incidents = Vec::new();
    for number in 0..3 {
        let incident = bench.incident(number, Duration::from_secs(2 + number as u64)).await;
        bench.opens(&incident).await;
        incidents.push(incident);
    }
    let retried = "plumbline_notifications_total{channel=\"mail\",outcome=\"retried\"}";
    wait_until(async || sending.metric(retried) >= 12.0).await;
    for incident in &incidents {
        bench.resolves(incident).await;
    }
    // Somebody else is told once that mails do not get through.
    let told = pager.has(1).await;
    assert!(told[0].json()["payload"]["summary"].as_str().unwrap().contains("messages do not get through to mail"));
    let _server = MailServer::start(port, &directory, &[]).await;
    let mails = has(&directory, 6).await;
    bench.quiet().await;
    for incident in &incidents {
        let about = |mail: &&String| mail.contains(&format!("plumbline-{}", incident.id));
        let subjects: Vec<&str> = mails.iter().filter(about).map(|mail| header(mail, "Subject")).collect();
        assert_eq!(subjects.len(), 2, "{subjects:?}");
        assert!(subjects[0].contains("breaks its promise") && subjects[1].contains("Resolved"), "{subjects:?}");
    }
    assert_eq!(mails.len(), 6);
    // And that they do again.
    let actions = |told: &Request| told.json()["event_action"].as_str().unwrap().to_owned();
    assert_eq!(pager.has(2).await.iter().map(actions).collect::<Vec<_>>(), ["trigger", "resolve"]);
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_and_a_wrong_certificate_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, other) = (Certificate::new("root"), Certificate::new("root"));
    let (port, pager) = (free_port(), Receiver::start([]).await);
    let (own, key) = (certificate.file("certificate.pem"), certificate.file("key.pem"));
    let arguments = ["--certificate", &own, "--key", &key, "--implicit", "--refuse", "gone@example.org"];
    let _server = MailServer::start(port, &directory, &arguments).await;
    let channel = |name: &str, authority: &Certificate, to: &str| {
        let authority = authority.file("ca.pem");
        format!(
            "[channel.{name}]\nkind = \"email\"\nsmtp = \"smtps://127.0.0.1:{port}\"\ntls_ca = \"{authority}\"\n\
             from = \"plumbline@example.org\"\nto = \"{to}\"\nfallback = \"pager\"\n"
        )
    };
    let config = format!(
        "{}{}[channel.pager]\nkind = \"pagerduty\"\nurl = \"{}\"\nkey = \"env:KEY\"\n[[route]]\nchannel = [\"gone\", \"strange\"]",
        channel("gone", &certificate, "gone@example.org"),
        channel("strange", &other, "ops@example.org"),
        pager.url
    );
    let bench = Bench::new(&config, &[]).await;
    let incident = bench.incident(1, Duration::from_secs(5)).await;
    bench.opens(&incident).await;
    let sending = bench.start();
    let told = pager.has(1).await;
    let text = told[0].json()["payload"]["custom_details"]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("no such mailbox"), "{text}");
    // A certificate may be put right: it is tried again, and nothing was sent to the stranger.
    let retried = "plumbline_notifications_total{channel=\"strange\",outcome=\"retried\"}";
    wait_until(async || sending.metric(retried) >= 2.0).await;
    assert_eq!(mails(&directory), Vec::<String>::new());
}

#[tokio::test]
async fn a_refused_mailbox_takes_the_mail_from_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let (port, pager) = (free_port(), Receiver::start([]).await);
    let arguments = ["--refuse", "gone@example.org", "--greylist", "late@example.org"];
    let _server = MailServer::start(port, &directory, &arguments).await;
    let config = format!(
        "[channel.mail]\nkind = \"email\"\nsmtp = \"smtp://127.0.0.1:{port}\"\nfrom = \"plumbline@example.org\"\n\
         to = [\"ops@example.org\", \"gone@example.org\", \"late@example.org\"]\nfallback = \"pager\"\n\
         [channel.pager]\nkind = \"pagerduty\"\nurl = \"{}\"\nkey = \"env:KEY\"\n[[route]]\nchannel = \"mail\"",
        pager.url
    );
    let bench = Bench::new(&config, &[]).await;
    let sending = bench.start();
    let receivers = |mails: &[String]| -> Vec<String> {
        mails.iter().map(|mail| header(mail, "X-Envelope").split(' ').nth(1).unwrap().to_owned()).collect()
    };
    for number in 1..=2 {
        let incident = bench.incident(number, Duration::from_secs(5)).await;
        bench.opens(&incident).await;
        has(&directory, 2 * number as usize).await;
        bench.quiet().await;
    }
    // Who was told to come again is not given it once more because of somebody else, nor kept from it.
    let expected = ["ops@example.org", "late@example.org"].repeat(2);
    assert_eq!(receivers(&mails(&directory)), expected);
    // It is told once: both mails were refused by the same mailbox.
    let told = pager.has(1).await;
    let text = told[0].json()["payload"]["custom_details"]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("mail does not reach everybody"), "{text}");
    assert!(text.contains("`gone@example.org`") && text.contains("no such mailbox"), "{text}");
    assert!(!text.contains("ops@example.org") && !text.contains("late@example.org"), "{text}");
    assert_eq!(pager.requests().len(), 1);
    assert_eq!(sending.metric("plumbline_notifications_total{channel=\"mail\",outcome=\"delivered\"}"), 2.0);
    assert_eq!(sending.metric("plumbline_notifications_total{channel=\"mail\",outcome=\"dead\"}"), 0.0);
}

/// The tries that a sender makes in an hour in which its receiver is away, with the time handed in.
#[tokio::test]
async fn an_hour_without_a_receiver_costs_some_tries_and_neither_messages_nor_their_order() {
    let config = "[channel.mail]\nkind = \"email\"\nsmtp = \"smtp://127.0.0.1:1\"\nfrom = \"plumbline@example.org\"\n\
                  to = \"ops@example.org\"";
    let bench = Bench::new(config, &[]).await;
    let began = bench.now().await;
    let mut incident = bench.incident(1, Duration::ZERO).await;
    incident.opened_at = began;
    bench.opens(&incident).await;
    let ended = began + Duration::from_secs(600);
    bench.happens_at(&incident, Happened::Resolved { by: None }, ended).await;
    let claim = async |at| bench.state.claim("mail", "auditor", at, Duration::from_secs(70), false).await.unwrap();
    let (back, mut now, mut tries) = (began + Duration::from_secs(3600), began, 0);
    while now < back {
        let claimed = claim(now).await.expect("it is due");
        assert_eq!(
            (claimed.row.kind.as_str(), claimed.attempts),
            ("opened", tries + 1),
            "the end waits for the beginning"
        );
        let next = now + Pace::default().wait_after(claimed.attempts, None);
        bench.state.retry(&claimed, next, "nobody answers").await.unwrap();
        assert_eq!(claim(next - Duration::from_millis(1)).await, None, "too early");
        (now, tries) = (next, tries + 1);
    }
    assert!((17..=35).contains(&tries), "{tries} tries");
    assert!(now.since(back) <= Duration::from_secs(300), "soon after it is back it has everything");
    for kind in ["opened", "resolved"] {
        let claimed = claim(now).await.expect("it is due");
        assert_eq!(claimed.row.kind, kind);
        assert!(bench.state.delivered(&claimed, now, None, None).await.unwrap());
    }
    assert_eq!(claim(now + Duration::from_secs(86_400)).await, None, "once");
}
