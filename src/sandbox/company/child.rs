//! The sync job as a child process.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::super::book::WriteLog;
use super::super::record::Entity;
use super::super::sync::protocol::{Line, Order, Setup, Spoiled};
use super::Places;

/// The running sync job. It ends when this is dropped: its stdin ends with it.
pub struct Child {
    hooks: String,
    stdin: AsyncMutex<ChildStdin>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    _listening: AbortOnDropHandle<()>,
    _process: tokio::process::Child,
}

/// Who waits for which order to be carried out.
type Waiting = Mutex<HashMap<u64, oneshot::Sender<()>>>;

impl Child {
    /// Starts it and waits until it is at work. What it writes is noted in `log`.
    ///
    /// # Errors
    /// When it does not start or says something else than that it is ready.
    pub async fn start(places: &Places, setup: &Setup, log: &Arc<WriteLog>) -> anyhow::Result<Self> {
        let complaints = std::fs::File::create(&places.complaints)
            .with_context(|| format!("cannot write `{}`", places.complaints.display()))?;
        let mut process = Command::new(&places.program)
            .arg("sandbox-sync")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", places.program.display()))?;
        let mut stdin = process.stdin.take().context("it has no stdin")?;
        let mut lines = BufReader::new(process.stdout.take().context("it has no stdout")?).lines();
        stdin.write_all(line(setup)?.as_bytes()).await?;
        let first = lines.next_line().await?;
        let Some(Line::Ready { hooks }) = first.as_deref().map(serde_json::from_str).transpose()? else {
            anyhow::bail!("it did not start; `{}` says why", places.complaints.display());
        };
        let waiting: Arc<Waiting> = Arc::default();
        let listening = tokio::spawn(listen(lines, Arc::clone(&waiting), Arc::clone(log)));
        Ok(Self {
            hooks,
            stdin: AsyncMutex::new(stdin),
            waiting,
            next: AtomicU64::new(0),
            _listening: AbortOnDropHandle::new(listening),
            _process: process,
        })
    }

    /// Where it hears webhooks.
    pub fn hooks(&self) -> &str {
        &self.hooks
    }

    /// From now on it spoils the key; returns when it has heard so.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn spoil(&self, entity: Entity, key: &str, fault: Spoiled) -> anyhow::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, heard) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        self.order(&Order::Spoil { number, entity, key: key.to_owned(), fault }).await?;
        heard.await.context("the sync job ended by itself")
    }

    /// It sets the key right.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn repair(&self, entity: Entity, key: &str) -> anyhow::Result<()> {
        self.order(&Order::Repair { entity, key: key.to_owned() }).await
    }

    async fn order(&self, order: &Order) -> anyhow::Result<()> {
        let line = line(order)?;
        self.stdin.lock().await.write_all(line.as_bytes()).await.context("the sync job ended by itself")
    }
}

async fn listen(mut lines: Lines<BufReader<ChildStdout>>, waiting: Arc<Waiting>, log: Arc<WriteLog>) {
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Line::Wrote(write)) => log.note(write),
            Ok(Line::Done(number)) => {
                let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                if let Some(sender) = sender {
                    // Whoever gave the order may have gone home.
                    let _gone = sender.send(());
                }
            }
            Ok(Line::Ready { .. }) => {}
            Err(error) => tracing::warn!("the sync job said `{line}`: {error}"),
        }
    }
    // Whoever waits for an answer hears that there will be none.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn line(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}
