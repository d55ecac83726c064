//! Flows: ownership says which system is right about which field; everything else follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Entity;
use super::entity::ReadEntity;
use super::problems::quoted;
use super::section::Reading;
use crate::model::mapping::Step;
use crate::model::{Flow, FlowField, FlowId, Mapping, SystemId, TenantId};

/// The flows of an entity with the default deadline of its class: one for each owner and each other system that
/// holds at least one field that the owner owns. With several owners that is every ordered pair of them.
pub(super) fn derive(tenant: &TenantId, entity: &Entity) -> Vec<Flow> {
    let mut flows = Vec::new();
    for (owner, owner_mapping) in &entity.mappings {
        for (target, target_mapping) in entity.mappings.iter().filter(|(target, _)| *target != owner) {
            let fields = compared_fields(entity, owner_mapping, target_mapping);
            if fields.is_empty() {
                continue;
            }
            flows.push(Flow {
                tenant: tenant.clone(),
                id: FlowId { entity: entity.id.clone(), owner: owner.clone(), target: target.clone() },
                fields,
                deadline: entity.class.deadline(),
                owner: Arc::clone(owner_mapping),
                target: Arc::clone(target_mapping),
                has_source_version: target_mapping.source_version.is_some(),
            });
        }
    }
    flows
}

/// The fields that `owner` owns and both systems hold.
fn compared_fields(entity: &Entity, owner: &Mapping, target: &Mapping) -> Vec<FlowField> {
    let mut fields = Vec::new();
    for (index, field) in entity.fields.iter().enumerate() {
        let (Some(owner_rule), Some(target_rule)) = (&owner.fields[index], &target.fields[index]) else { continue };
        if !field.owners.contains(&owner.system) {
            continue;
        }
        fields.push(FlowField {
            index,
            name: field.name.clone(),
            field_type: field.field_type,
            tolerance: field.tolerance.clone(),
            two_way: field.owners.contains(&target.system),
            owner_projection: lossy(target, index, &target_rule.steps),
            target_projection: lossy(owner, index, &owner_rule.steps),
        });
    }
    fields
}

/// What a system's steps lose of a field. Steps of a translated field work on the system's own values, which the other
/// side does not have.
fn lossy(mapping: &Mapping, field: usize, steps: &[Step]) -> Vec<Step> {
    if mapping.is_translated(field) {
        return Vec::new();
    }
    steps.iter().filter(|step| step.is_lossy()).cloned().collect()
}

/// Gives each flow the tightest of the promises made about it.
pub(super) fn tighten(flows: &mut [Flow], promises: &BTreeMap<FlowId, Duration>) {
    for flow in flows {
        if let Some(within) = promises.get(&flow.id) {
            flow.deadline = *within;
        }
    }
}

/// Reports owners that cannot be right about a field because they do not hold it, and what is never compared.
pub(super) fn check_ownership(reading: &Reading<'_>, read: &ReadEntity, flows: &[Flow]) {
    if !reading.is_toml() {
        return;
    }
    let before = reading.count();
    let entity = &read.entity;
    for (index, field) in entity.fields.iter().enumerate() {
        for (owner, at) in field.owners.iter().zip(&read.owners_at[index]) {
            let problem = match entity.mappings.get(owner) {
                None => format!("owner `{owner}` has no mapping; add `[entity.{}.in.{owner}]`", entity.id),
                Some(mapping) if mapping.fields[index].is_none() => {
                    format!(
                        "owner `{owner}` does not hold `{}`; add it to `[entity.{}.in.{owner}]`",
                        field.name, entity.id
                    )
                }
                Some(_) => continue,
            };
            reading.problem(*at, problem);
        }
    }
    if reading.count() > before {
        return;
    }
    if flows.is_empty() {
        let message = format!("`{}` yields no flow: no other system holds a field that has an owner", entity.id);
        let hint = format!(
            "mapped in {}; give a field an `owner` and map it in another system",
            quoted(entity.mappings.keys().map(SystemId::as_str))
        );
        reading.problem_with_hint(read.at, message, hint);
        return;
    }
    warn_about_uncompared(reading, read, flows);
}

fn warn_about_uncompared(reading: &Reading<'_>, read: &ReadEntity, flows: &[Flow]) {
    for (index, field) in read.entity.fields.iter().enumerate() {
        let compared = flows.iter().any(|flow| flow.fields.iter().any(|field| field.index == index));
        if compared || read.entity.key.contains(&index) {
            continue;
        }
        let reason = if field.owners.is_empty() { "has no owner" } else { "is held by its owner alone" };
        reading.warning(
            read.fields_at[index],
            format!("`{}.{}` is never compared: it {reason}", read.entity.id, field.name),
        );
    }
}
