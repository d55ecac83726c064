//! Flows: from the system that is right about fields to one other system that holds them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::field::{FieldType, Tolerance};
use super::id::{EntityId, FieldName, SystemId, TenantId};
use super::mapping::{Mapping, Step};

/// Names a flow: entity, owner, target. Written `stock: erp -> store`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FlowId {
    /// The business thing.
    pub entity: EntityId,
    /// The system that is right.
    pub owner: SystemId,
    /// The system that must follow.
    pub target: SystemId,
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.entity, self.owner, self.target)
    }
}

/// One compared field of a flow.
#[derive(Clone, Debug)]
pub struct FlowField {
    /// Index into the entity's fields and into [`super::Record::fields`].
    pub index: usize,
    /// The field's name.
    pub name: FieldName,
    /// Its type.
    pub field_type: FieldType,
    /// `None` means exactly equal.
    pub tolerance: Option<Tolerance>,
    /// Whether the field has several owners, so that both sides of this flow may change it.
    pub two_way: bool,
    /// What the target can hold: the target mapping's lossy steps, applied to the owner's value before comparing.
    pub owner_projection: Vec<Step>,
    /// The owner mapping's lossy steps, applied to the target's value before comparing.
    pub target_projection: Vec<Step>,
}

/// Owner system to one other system, for the fields it owns. Derived from the entity, never written by hand.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Whose flow it is.
    pub tenant: TenantId,
    /// Its name.
    pub id: FlowId,
    /// The compared fields, at least one.
    pub fields: Vec<FlowField>,
    /// The deadline D: the tightest `within` of the flow's SLOs, else the default of its class.
    pub deadline: Duration,
    /// How the owner holds the entity.
    pub owner: Arc<Mapping>,
    /// How the target holds it.
    pub target: Arc<Mapping>,
    /// Whether the target stores the owner's version ([`Mapping::source_version`]).
    pub has_source_version: bool,
}

impl Flow {
    /// The systems between owner and target, upstream first: where a flow breaks, blame goes upstream first. What the
    /// target's path has before the owner is no part of this flow.
    pub fn via(&self) -> &[SystemId] {
        let path = &self.target.via;
        let owner = path.iter().position(|system| *system == self.id.owner);
        owner.map_or(path, |owner| &path[owner + 1..])
    }

    /// Whether any field has several owners.
    pub fn is_two_way(&self) -> bool {
        self.fields.iter().any(|field| field.two_way)
    }
}
