//! The demo's incidents and the mails about them: read from state as any command would, and from the company's letterbox.

use std::sync::Arc;

use anyhow::Context as _;

use super::super::view::{IncidentLine, clock_face};
use crate::alert::view::matter;
use crate::incident::Incident;
use crate::model::{Moment, TenantId};
use crate::sandbox::post::{Mail, Post};
use crate::state::StateStore;

/// A demo has fewer.
const MOST: usize = 100;

/// Where incidents and mails are found.
#[derive(Clone)]
pub struct Story {
    state: StateStore,
    tenant: TenantId,
    post: Arc<Post>,
}

impl Story {
    /// From the auditor's state and the company's mail server.
    pub const fn new(state: StateStore, tenant: TenantId, post: Arc<Post>) -> Self {
        Self { state, tenant, post }
    }

    /// The incidents, newest first; times since `opened`.
    ///
    /// # Errors
    /// When state does not answer.
    pub async fn lines(&self, opened: Moment) -> anyhow::Result<Vec<IncidentLine>> {
        let held = self.state.incidents(&self.tenant, false, MOST).await.context("incidents cannot be read")?;
        let mails = self.post.mails();
        Ok(held.iter().map(|held| line(&held.incident, &mails, opened)).collect())
    }

    /// All incidents and the first mail that names records in full, for the end.
    ///
    /// # Errors
    /// When state does not answer.
    pub async fn told(&self, opened: Moment) -> anyhow::Result<String> {
        let lines = self.lines(opened).await?;
        let mut text = String::new();
        for IncidentLine { at, severity, state, matter, mails, .. } in lines.iter().rev() {
            let at = clock_face(*at);
            text.push_str(&format!("incident   opened {at} ({severity}), {state}: {matter}, {} mails\n", mails.len()));
        }
        let mails = self.post.mails();
        // Where a system cannot be read, there are no records to name.
        let names_records = |mail: &&Mail| mail.text.contains("For instance:");
        if let Some(mail) = mails.iter().find(names_records).or(mails.first()) {
            let chart = if mail.has_picture { " with its chart" } else { "" };
            text.push_str(&format!("a mail{chart}, {}:\n", mail.file.display()));
            let body = mail.text.lines().map(|line| format!("  | {line}").trim_end().to_owned() + "\n");
            text.push_str(&format!("  | {}\n  |\n", mail.subject));
            text.extend(body);
        }
        Ok(text)
    }
}

fn line(incident: &Incident, mails: &[Mail], opened: Moment) -> IncidentLine {
    let id = incident.id.to_string();
    let about = mails.iter().filter(|mail| mail.thread.contains(&id));
    IncidentLine {
        at: incident.opened_at.since(opened),
        severity: incident.severity.as_str(),
        state: incident.state.as_str(),
        matter: matter(incident),
        mails: about.map(|mail| mail.file.display().to_string()).collect(),
        id,
    }
}
