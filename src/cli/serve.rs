//! `plumbline serve`: runs the schedule until it is stopped.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::check::ConfigFile;
use super::{Exit, Failure};
use crate::audit::auditor::{Auditor, Options, Stop};
use crate::readiness::Status;
use crate::server::Server;

/// Runs until the first signal, then stops gently; a second signal stops at once.
///
/// # Errors
/// A config with problems, a part of our own that cannot be opened, or an auditor that can no longer keep what it
/// finds.
pub fn run(file: &ConfigFile) -> Result<Exit, Failure> {
    let config = Arc::new(file.load()?);
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let stop = Stop::default();
        tokio::spawn(listen_for_signals(stop.clone())?);
        let opened = stop.now.run_until_cancelled(Auditor::open(Arc::clone(&config), &Options { program })).await;
        let Some(auditor) = opened else { return Ok(Exit::Good) };
        let auditor = auditor?;
        let plumbline = &config.plumbline;
        let status: Arc<dyn Status> = auditor.watch();
        let token = plumbline.http_token.as_ref();
        let server = Server::bind(plumbline.listen, token, auditor.metrics(), status).await?;
        tracing::info!("listening on http://{}", server.address());
        let serving = tokio::spawn(server.run(stop.now.clone()));
        let outcome = auditor.run(stop.clone()).await;
        stop.now.cancel();
        serving.await.context("the HTTP server died")??;
        outcome?;
        tracing::info!("stopped");
        Ok(Exit::Good)
    })
}

/// First signal: gently. Second: at once.
fn listen_for_signals(stop: Stop) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        for (step, token) in [("finishing what runs; again to stop at once", &stop.gentle), ("stopping", &stop.now)] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("{step}");
            token.cancel();
        }
    })
}
