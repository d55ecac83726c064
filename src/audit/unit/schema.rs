//! The schema probe: what the systems' tables and documents look like, next to what they looked like when all was well.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::run::{Run, Summary};
use crate::audit::schema::{Notice, Reading, Step, affects, covers, words};
use crate::compare::shape::{ChangeKind, ShapeChange};
use crate::connect::{ReadError, Reader, Shape};
use crate::ledger::rows::SchemaChangeRow;
use crate::metrics::RunKind;
use crate::model::mapping::Part;
use crate::model::{Interval, Mapping, Moment, SystemId};
use crate::state::Acceptance;

use super::ask::patiently;
use super::examine::LATE;
use super::{SchemaParts, Unit, UnitError};

impl Unit {
    /// One run of the schema probe: every dataset of every side is described, and what has changed is noted.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail. A system that cannot be read is a recorded outcome.
    pub async fn schema(&mut self) -> Result<Summary, UnitError> {
        let patience = self.patience(self.shared.clock.now());
        self.shapes_of(|_| true, patience).await
    }

    /// A run that describes the datasets of some of the systems.
    async fn shapes_of(
        &mut self,
        is_wanted: impl Fn(&SystemId) -> bool,
        patience: Duration,
    ) -> Result<Summary, UnitError> {
        let parts = Arc::clone(&self.parts);
        let Some(schema) = &parts.schema else { return Ok(Summary { complete: true, ..Summary::default() }) };
        let mut run = Run::begin(RunKind::Schema, self.lease.clone(), self.shared.clock.now());
        let mut seen_before = run.started;
        run.summary.complete = true;
        let accepted = self.accepted().await?;
        let before = self.schemas.clone();
        for look in schema.looks.iter().filter(|look| is_wanted(look.reader.system())) {
            let seen = self.shapes_seen.insert(look.reader.system().clone(), run.started);
            seen_before = seen_before.min(seen.unwrap_or(Moment::MIN));
            match patiently(&*look.reader, patience, look.reader.describe(&look.mapping)).await {
                Ok(mut shape) => {
                    let children = std::mem::take(&mut shape.children);
                    for shape in [shape].into_iter().chain(children) {
                        if let Err(error) = self.look_at_shape(&mut run, &*look.reader, &shape, &accepted).await {
                            self.note_failure(&mut run, &error);
                        }
                    }
                }
                // What cannot be looked at has not changed.
                Err(error) => self.note_failure(&mut run, &error),
            }
        }
        if self.schemas != before {
            run.schema = Some(self.schemas.to_bytes());
        }
        self.doubt(schema);
        if self.schemas.open().count() > before.open().count() {
            // Whatever was looked at since then may have been read after the change.
            self.unproven = Some(Interval::new(seen_before, self.shared.clock.now()));
        }
        let summary = self.commit(run, None).await?;
        // Who reads of a change here finds it in state.
        self.show_open(schema);
        Ok(summary)
    }

    /// Before what was read by `read` is called wrong for the first time, the shapes are looked at as they were then or
    /// later, however slow the probe's schedule is: a column may have changed just before that read.
    pub(super) async fn know_shapes(&mut self, flow: usize, read: Moment) {
        let sides = [&self.parts.owner.system, &self.parts.flows[flow].target.system].map(Clone::clone);
        let is_known = |side: &SystemId| self.shapes_seen.get(side).is_some_and(|seen| *seen >= read);
        if self.parts.schema.is_none() || sides.iter().all(is_known) {
            return;
        }
        if let Err(error) = self.shapes_of(|system| sides.contains(system), LATE).await {
            // A lost lease, a state or spool that fails: the run that asks meets the same at its own commit.
            tracing::debug!(unit = %self.parts.name, "shapes could not be looked at: {error}");
        }
    }

    async fn look_at_shape(
        &mut self,
        run: &mut Run,
        reader: &dyn Reader,
        shape: &Shape,
        accepted: &[Acceptance],
    ) -> Result<(), ReadError> {
        let parts = Arc::clone(&self.parts);
        let Some(schema) = &parts.schema else { return Ok(()) };
        let system = reader.system();
        for change in self.schemas.compared(system, shape) {
            if change.kind == ChangeKind::Removed && !reader.is_gone(&shape.dataset, &change.column).await? {
                // It came back while we looked: the next look will tell.
                return Ok(());
            }
        }
        let now = self.shared.clock.now();
        for notice in self.schemas.look(system, shape, &schema.readings, accepted, now) {
            self.tell_change(run, schema, (system, &shape.dataset), &notice, now);
        }
        Ok(())
    }

    fn tell_change(
        &self,
        run: &mut Run,
        schema: &SchemaParts,
        (system, dataset): (&SystemId, &str),
        notice: &Notice,
        now: Moment,
    ) {
        let change = &notice.change;
        let fields = self.affected_names(&schema.readings, system, dataset, change);
        if !schema.tells.contains(system) {
            return;
        }
        let entity = &self.parts.entity;
        let event = match notice.step {
            Step::Noted | Step::Opened => change.kind.as_str(),
            Step::Restored => "restored",
            Step::Accepted => "accepted",
            Step::Unmapped => "unmapped",
        };
        let text = words(change);
        match notice.step {
            Step::Opened => tracing::warn!(%entity, %system, "`{dataset}`: {text}; affects {}", fields.join(", ")),
            Step::Noted => tracing::info!(%entity, %system, "`{dataset}`: {text}; affects nothing"),
            _ => tracing::info!(%entity, %system, "`{dataset}`: {text}: {event}"),
        }
        if matches!(notice.step, Step::Noted | Step::Opened) {
            self.shared.metrics.schema_changed(entity, system, change.kind);
        }
        run.schema_change(SchemaChangeRow {
            tenant: self.shared.tenant.to_string(),
            system: system.to_string(),
            dataset: dataset.to_owned(),
            at: crate::audit::run::ledger_time(now),
            run_id: run.id,
            path: change.column.clone(),
            event: event.to_owned(),
            before: change.before.clone(),
            after: change.after.clone(),
            entity: entity.to_string(),
            fields,
        });
    }

    /// What a change affects: names of fields, and what else is made of the column.
    fn affected_names(
        &self,
        readings: &[Reading],
        system: &SystemId,
        dataset: &str,
        change: &ShapeChange,
    ) -> Vec<String> {
        let name = |part: Part| match part {
            Part::Field(field) => self.parts.fields.get(field).map_or("", |field| field.name.as_str()),
            other => other_part(other),
        };
        let mut names: Vec<String> = affects(readings, system.as_str(), dataset, change)
            .into_iter()
            .map(|(_, part)| name(part).to_owned())
            .collect();
        names.dedup();
        names
    }

    /// What people have accepted, if anything waits for it.
    async fn accepted(&self) -> Result<Vec<Acceptance>, UnitError> {
        if self.schemas.open().next().is_none() {
            return Ok(Vec::new());
        }
        let store = |source| UnitError::Store { unit: self.parts.name.clone(), source };
        self.shared.journal.accepted_changes(self.parts.entity.as_str()).await.map_err(store)
    }

    /// Whether somebody has accepted a change that is open: then it is looked at again at once.
    pub(super) async fn something_was_accepted(&self) -> Result<bool, UnitError> {
        let accepted = self.accepted().await?;
        Ok(self
            .schemas
            .open()
            .any(|(system, dataset, open)| accepted.iter().any(|by| covers(by, system, dataset, open))))
    }

    /// Works out anew what is in doubt.
    pub(super) fn doubt(&mut self, schema: &SchemaParts) {
        let mapping = |side: &SystemId| mapping_of(&self.parts, side);
        self.doubts = self.schemas.doubts(&schema.readings, mapping);
    }

    pub(super) fn show_open(&self, schema: &SchemaParts) {
        for system in &schema.tells {
            let open = self.schemas.open().filter(|(of, ..)| *of == system.as_str()).count();
            self.shared.metrics.schema_open(&self.parts.entity, system, open as u64);
        }
    }
}

fn mapping_of(parts: &super::UnitParts, side: &SystemId) -> Option<Arc<Mapping>> {
    let targets = parts.flows.iter().map(|flow| &flow.target);
    let found = std::iter::once(&parts.owner).chain(targets).find(|parts| parts.system == *side)?;
    Some(Arc::clone(&found.mapping))
}

/// What is made of a column besides fields, in the config's words.
pub fn other_part(part: Part) -> &'static str {
    match part {
        Part::Field(_) => "field",
        Part::Scope => "scope",
        Part::Stamp => "changed_at",
        Part::Version => "version",
        Part::Native => "native",
    }
}
