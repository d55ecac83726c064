//! What waits to be accepted, as state knows it: for `doctor` and for the command that accepts.

use std::sync::Arc;

use anyhow::Context as _;

use super::{OpenChange, Schemas, affects};
use crate::audit::unit::{SchemaParts, UnitParts, other_part};
use crate::model::mapping::Part;
use crate::model::{EntityId, FlowId, Moment, SystemId};
use crate::state::StateStore;
use crate::state::change::schema_name;

/// What schema probes know.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Changes that affect something and that nobody has accepted yet; by entity and system.
    pub waiting: Vec<Waiting>,
    /// When the shapes of an entity in a system were last seen.
    pub looked_at: Vec<(EntityId, SystemId, Moment)>,
}

/// A change that waits to be accepted.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Whose probe saw it.
    pub entity: EntityId,
    /// The system that changed.
    pub system: String,
    /// Its table or dataset.
    pub dataset: String,
    /// What changed, and since when it is known.
    pub open: OpenChange,
    /// Fields that are made of the column, and what else is.
    pub parts: Vec<String>,
    /// The flows that compare those.
    pub flows: Vec<FlowId>,
}

/// What the schema probes of these units know, by what they left in state.
///
/// # Errors
/// When state does not answer, or holds another format.
pub async fn overview(state: &StateStore, units: &[Arc<UnitParts>]) -> anyhow::Result<Overview> {
    let mut overview = Overview::default();
    for unit in units {
        let Some(schema) = &unit.schema else { continue };
        let Some(bytes) = state.position(&schema_name(&unit.name)).await? else { continue };
        let format = || format!("the stored shapes of `{}` were written by another version", unit.name);
        let schemas = Schemas::from_bytes(&bytes).with_context(format)?;
        for system in &schema.tells {
            let looked_at = schemas.looked_at(system);
            overview.looked_at.extend(looked_at.map(|at| (unit.entity.clone(), system.clone(), at)));
        }
        for (system, dataset, open) in schemas.open() {
            overview.add(waiting(unit, schema, (system, dataset), open));
        }
    }
    Ok(overview)
}

impl Overview {
    /// Units of one entity that look at the same system tell of the same change.
    fn add(&mut self, waiting: Waiting) {
        let is_same = |known: &&mut Waiting| {
            known.entity == waiting.entity
                && known.system == waiting.system
                && known.dataset == waiting.dataset
                && known.open.change == waiting.open.change
        };
        let Some(known) = self.waiting.iter_mut().find(is_same) else { return self.waiting.push(waiting) };
        known.open.seen_at = known.open.seen_at.min(waiting.open.seen_at);
        known.parts.extend(waiting.parts);
        known.parts.sort();
        known.parts.dedup();
        known.flows.extend(waiting.flows);
    }
}

fn waiting(unit: &UnitParts, schema: &SchemaParts, (system, dataset): (&str, &str), open: &OpenChange) -> Waiting {
    let affected = affects(&schema.readings, system, dataset, &open.change);
    let name = |part: &Part| match part {
        Part::Field(field) => unit.fields.get(*field).map_or("", |field| field.name.as_str()),
        other => other_part(*other),
    };
    let mut parts: Vec<String> = affected.iter().map(|(_, part)| name(part).to_owned()).collect();
    parts.dedup();
    let compares = |flow: &crate::model::Flow| {
        affected.iter().any(|(side, part)| {
            let is_side = **side == flow.id.owner || **side == flow.id.target;
            is_side && !matches!(part, Part::Field(field) if flow.fields.iter().all(|of| of.index != *field))
        })
    };
    let flows = unit.flows.iter().filter(|flow| compares(&flow.flow)).map(|flow| flow.flow.id.clone()).collect();
    Waiting {
        entity: unit.entity.clone(),
        system: system.to_owned(),
        dataset: dataset.to_owned(),
        open: open.clone(),
        parts,
        flows,
    }
}
