//! `plumbline notify test`: a message to a channel, and what its receiver made of it.

use tokio::process::Command;

use super::bench::REST;
use super::receiver::{Answer, Receiver};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The exit code, and all that was said.
async fn notify_test(channel: &str, hook: &Receiver) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plumbline.toml");
    let text = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"\n";
    std::fs::write(&path, format!("{text}{REST}")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_plumbline"))
        .args(["notify", "test", channel, "--config"])
        .arg(&path)
        .envs([("HOOK", hook.url.as_str()), ("KEY", KEY)])
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!said.contains(KEY), "{said}");
    (output.status.code(), said)
}

#[tokio::test]
async fn a_channel_is_tried_and_its_receivers_answer_is_told() {
    let hook = Receiver::start([]).await;
    let check = async |code: Option<i32>, part: &str| {
        let (found, said) = notify_test("hook", &hook).await;
        assert_eq!(found, code, "{said}");
        assert!(said.contains(part), "{part}: {said}");
    };
    check(Some(0), "`hook` took the message").await;
    hook.then([Answer::Says(403, "", "no"), Answer::Says(503, "", "later")]);
    check(Some(1), "`hook` refused the message: ").await;
    check(Some(1), "`hook` did not take the message, but may do so later: ").await;
    let requests = hook.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].header("plumbline-signature").is_some(), "{}", requests[0].head);
    // What is no channel is told with those that are, and nothing is sent.
    let (code, said) = notify_test("hok", &hook).await;
    assert!(code == Some(2) && said.contains("`hok` is not a channel (known: `hook`)"), "{code:?}: {said}");
    assert_eq!(hook.requests().len(), 3);
}
