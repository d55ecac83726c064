//! From a flow that breaks between two real databases to the mail about it, and from its repair to the mail's answer.

use std::process::{Command, Output};
use std::time::Duration;

use crate::config_text::ConfigText;
use crate::support::{free_port, libchdb, metric, wait_for};
use crate::verdicts::pair::{COMMIT_DELAY, PROBE, Pair, Product, QUANTITIES};

use super::mail::{MailServer, header, mails, picture};
use super::prometheus::{Program, answers};

/// Promises are evaluated by the minute: it takes one until the last bad one is behind the short window.
const MINUTES: Duration = Duration::from_secs(240);

/// Two minutes and one: a promise is broken, and kept again, within a test.
const PROMISE: &str = r#"
    [[slo]]
    name = "in-time"
    entity = "stock"
    within = "2s"
    objective = "99%"
    window = "1h"
    tiers = [{ severity = "page", factor = 2, long = "2m", short = "1m" }]
"#;

/// What the store sells under; it must not leave the house in clear.
const MASKED: &str = "fields.name = { type = \"text\", owner = \"erp\", store = \"masked\" }";
const NAMED: &str = r#"
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", qty = "qty", name = "name" }
"#;

fn config(pair: &Pair, listen: &str, smtp: u16) -> String {
    let plumbline = format!(
        "listen = \"{listen}\"\ndata_dir = \"data\"\n[plumbline.ledger]\nlibchdb = \"{}\"",
        libchdb().display()
    );
    let mail = format!(
        "[channel.mail]\nkind = \"email\"\nsmtp = \"smtp://127.0.0.1:{smtp}\"\nfrom = \"plumbline@example.org\"\n\
         to = \"ops@example.org\""
    );
    ConfigText::new()
        .plumbline(&plumbline)
        .database("erp", pair.owner.kind(), "env:ERP", COMMIT_DELAY)
        .database("store", pair.target.kind(), "env:STORE", COMMIT_DELAY)
        .entity("stock", &format!("{QUANTITIES}{MASKED}"))
        .mapping("stock", "erp", NAMED)
        .mapping("stock", "store", NAMED)
        .more(PROBE)
        .more(PROMISE)
        .more(&mail)
        .text()
}

#[tokio::test]
async fn a_broken_flow_becomes_a_mail_and_its_repair_an_answer_in_the_same_thread() {
    let (dir, letters) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (smtp, listen) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let _server = MailServer::start(smtp, &letters, &[]).await;
    let pair = Pair::new(Product::Postgres, Product::Mariadb).await;
    let file = dir.path().join("plumbline.toml");
    std::fs::write(&file, config(&pair, &listen, smtp)).unwrap();
    let urls = pair.urls();
    let environment = urls.each_ref().map(|(name, url)| (*name, url.as_str()));
    let arguments = ["serve".to_owned(), "--config".to_owned(), file.display().to_string()];
    let log = dir.path().join("plumbline.log");
    let serve = Program::start(env!("CARGO_BIN_EXE_plumbline"), &arguments, &log, &environment);
    let address = format!("http://{listen}");
    wait_for(MINUTES, async || answers(&format!("{address}/readyz")).await).await;
    // A change before the first look is none that it is to find.
    wait_for(MINUTES, async || metric(&address, "plumbline_probe_runs_total").await > 0.0).await;

    for number in 0..20 {
        pair.both(&format!("S-{number}"), 1).await;
    }
    // Whatever brings changes from the ERP to the store is dead.
    for number in 0..10 {
        pair.owner.put(&format!("S-{number}"), 2).await;
    }
    let rename = |now: &str| format!("UPDATE stock SET name = 'Hazelnut', updated_at = {now} WHERE qty = 2");
    pair.owner.run(&rename(pair.owner.now())).await;
    wait_for(MINUTES, async || !mails(&letters).is_empty()).await;
    let first = mails(&letters).remove(0);
    let root = header(&first, "Message-ID");
    assert!(header(&first, "Subject").starts_with("[page] stock: erp to store breaks its promise"), "{first}");
    assert!(first.contains("99 % of stock changes erp -> store within 2s over 1h"), "{first}");
    let text = text(&first);
    let (_, instances) = text.split_once("For instance:").unwrap_or_else(|| panic!("no records: {text}"));
    let keys: Vec<&str> = instances.lines().filter_map(|line| line.trim().strip_suffix(": stale")).collect();
    assert!(keys.len() == 3 && keys.iter().all(|key| key.starts_with("S-")), "{text}");
    assert_eq!(instances.matches("qty: 2 (right) / 1 (there)").count(), 3, "{text}");
    assert_eq!(instances.matches("name: H******t (right) /").count(), 3, "{text}");
    assert!(!first.contains("Hazelnut"), "{first}");
    assert_eq!(picture(&first)[..8], *b"\x89PNG\r\n\x1a\n");

    for number in 0..10 {
        pair.target.put(&format!("S-{number}"), 2).await;
    }
    pair.target.run(&rename(pair.target.now())).await;
    wait_for(MINUTES, async || mails(&letters).iter().any(|mail| header(mail, "Subject").contains("Resolved"))).await;
    let mails = mails(&letters);
    let last = mails.last().unwrap();
    assert!(header(last, "Subject").contains("Resolved: stock: erp -> store"), "{last}");
    assert_eq!((header(last, "In-Reply-To"), header(last, "References")), (root, root));
    assert_eq!(mails.iter().filter(|mail| header(mail, "Message-ID") == root).count(), 1, "one beginning");
    // The past can be replayed beside the auditor that has the ledger open, and after its death.
    let backtest = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumbline"));
        command.args(["slo", "backtest", "--from", "1h", "--config"]).arg(&file).envs(environment);
        command.output().unwrap()
    };
    let beside = backtest();
    assert!(is_told(&beside), "{beside:?}");
    drop(serve);
    // Its engine ends a moment after it.
    wait_for(MINUTES, async || is_told(&backtest())).await;
}

fn is_told(replay: &Output) -> bool {
    let text = String::from_utf8_lossy(&replay.stdout);
    replay.status.code() == Some(1) && text.contains("would have paged 1 time ") && text.contains("stock: erp -> store")
}

/// The plain text of a mail.
fn text(mail: &str) -> String {
    let (_, part) = mail.split_once("Content-Type: text/plain").unwrap();
    let (_, body) = part.split_once("\r\n\r\n").unwrap();
    body.split("\r\n--").next().unwrap().replace("=\r\n", "").replace("=3D", "=")
}
