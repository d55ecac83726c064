//! `plumbline migrate`: brings our own state and ledger up to date, before a new release takes over.

use anyhow::Context as _;

use super::{ConfigFile, Exit, Failure};
use crate::audit::auditor::{Options, ledger_options, open_ledger, open_state, secret};
use crate::ledger;

/// Safe to run twice, and while the release before still runs. Audited systems are not touched.
///
/// # Errors
/// A config with problems, or a store that cannot be opened or brought up to date.
pub async fn run(file: &ConfigFile) -> Result<Exit, Failure> {
    let config = file.load()?;
    let data_dir = &config.plumbline.data_dir;
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make `{}`", data_dir.display()))?;
    let state = open_state(&config, &secret(&config)?).await?;
    state.close().await;
    println!("state: up to date");
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let (engine, client) = open_ledger(&config, &Options { program }).await?;
    let migrated = ledger::migrate(&client, &ledger_options(&config.plumbline.ledger)).await;
    if let Some(engine) = engine.and_then(std::sync::Arc::into_inner) {
        engine.stop().await;
    }
    migrated.context("the ledger cannot be brought up to date")?;
    println!("ledger: up to date");
    Ok(Exit::Good)
}
