//! Which deed a fault of some kind spoils, or is.

use rand::Rng;
use rand::rngs::StdRng;

use super::super::FaultKind;
use super::super::record::{Entity, System, status};
use super::daily::Daily;
use super::opening::sku;
use super::{Change, Deed, Meddle, Meddling};

/// No record of an owner has a number from here on.
const FIRST_STRAY: u32 = 900_000;

/// A deed that a fault of this kind can spoil, or that is the fault, and the targets in which it shows; `None` when
/// there is none just now.
pub fn deed(daily: &mut Daily, random: &mut StdRng, kind: FaultKind) -> Option<(Deed, Vec<System>)> {
    match kind {
        FaultKind::Drift | FaultKind::Lose | FaultKind::Stray | FaultKind::Child | FaultKind::Swap => {
            let meddling = meddling(daily, random, kind)?;
            let target = meddling.target;
            Some((Deed::Meddle(meddling), vec![target]))
        }
        _ => {
            let change = change(daily, random, kind)?;
            let targets = spoiled_targets(&change, random, kind);
            (!targets.is_empty()).then_some((Deed::Change(change), targets))
        }
    }
}

fn change(daily: &mut Daily, random: &mut StdRng, kind: FaultKind) -> Option<Change> {
    match kind {
        FaultKind::HotKey => Some(daily.reprice(random)),
        FaultKind::Truncate => Some(daily.visible_rename(random)),
        FaultKind::Leave => Some(daily.cancel(daily.order_in(&[status::OPEN], random)?)),
        FaultKind::Archive => Some(daily.gone(Entity::Customer, known_customer(daily, random)?, true)),
        FaultKind::Delete => {
            let (entity, key) = match random.random_range(0..3) {
                0 => (Entity::Order, daily.order_in(&[status::OPEN, status::SHIPPED], random)?),
                1 => (Entity::Shipment, daily.shipment(random)?),
                _ => (Entity::Customer, known_customer(daily, random)?),
            };
            Some(daily.gone(entity, key, false))
        }
        FaultKind::Webhook => {
            let entity = [Entity::Order, Entity::Customer][random.random_range(0..2)];
            daily.change_of(entity, random)
        }
        // A record that goes cannot be wrong or double.
        FaultKind::Corrupt | FaultKind::Duplicate => {
            any(daily, random).filter(|change| change.after.is_some() && !is_cancelled(change))
        }
        _ => any(daily, random),
    }
}

fn any(daily: &mut Daily, random: &mut StdRng) -> Option<Change> {
    daily.change_of(Entity::ALL[random.random_range(0..Entity::ALL.len())], random)
}

fn is_cancelled(change: &Change) -> bool {
    change.entity.targets().iter().any(|target| change.effect(*target) == super::Effect::Vanishes)
}

/// One customer in ten is never archived or deleted, so that there are some.
fn known_customer(daily: &Daily, random: &mut StdRng) -> Option<String> {
    let key = daily.customer(random);
    daily.held(Entity::Customer, &key).filter(|_| !key.ends_with('0')).map(|_| key.clone())
}

/// Where the fault shows: in all targets that must follow the change, or in one of them.
fn spoiled_targets(change: &Change, random: &mut StdRng, kind: FaultKind) -> Vec<System> {
    let mut targets = change.moves();
    match kind {
        FaultKind::Partial if change.entity.targets().len() < 2 => Vec::new(),
        FaultKind::Partial if !targets.is_empty() => vec![targets.swap_remove(random.random_range(0..targets.len()))],
        // The store keeps its SKUs and user names unique.
        FaultKind::Duplicate => targets.into_iter().filter(|target| *target != System::Store).collect(),
        _ => targets,
    }
}

fn meddling(daily: &Daily, random: &mut StdRng, kind: FaultKind) -> Option<Meddling> {
    let of = |entity, key, target, how| Some(Meddling { target, entity, key, how });
    match kind {
        FaultKind::Swap => {
            let (one, other) = (daily.product(random), daily.product(random));
            let target = Entity::Product.targets()[random.random_range(0..2)];
            let seen = |key| daily.held(Entity::Product, key)?.for_target(Entity::Product, target);
            if seen(&one) == seen(&other) {
                return None;
            }
            of(Entity::Product, one, target, Meddle::Swap { other })
        }
        FaultKind::Child => {
            let key = daily.order_in(&[status::OPEN, status::SHIPPED], random)?;
            of(Entity::Order, key, Entity::Order.targets()[random.random_range(0..2)], Meddle::EditUnstamped)
        }
        _ => {
            let entity = Entity::ALL[random.random_range(0..Entity::ALL.len())];
            let target = entity.targets()[random.random_range(0..entity.targets().len())];
            if kind == FaultKind::Drift {
                return of(entity, settled(daily, random, entity)?, target, Meddle::Edit);
            }
            // A product in the store has its stock with it: two things would be lost at once.
            if target == System::Store && entity != Entity::Customer {
                return None;
            }
            match kind {
                FaultKind::Lose => of(entity, settled(daily, random, entity)?, target, Meddle::Remove),
                _ => of(entity, stray(entity, random), target, Meddle::Invent),
            }
        }
    }
}

/// A record that the entity's targets hold.
fn settled(daily: &Daily, random: &mut StdRng, entity: Entity) -> Option<String> {
    match entity {
        Entity::Product | Entity::Stock => Some(daily.product(random)),
        Entity::Order => daily.order_in(&[status::OPEN, status::SHIPPED], random),
        Entity::Shipment => daily.shipment(random),
        Entity::Customer => known_customer(daily, random),
    }
}

fn stray(entity: Entity, random: &mut StdRng) -> String {
    let number = FIRST_STRAY + random.random_range(0..99_999);
    match entity {
        Entity::Product | Entity::Stock => sku(number as usize),
        Entity::Order | Entity::Shipment => number.to_string(),
        Entity::Customer => format!("c{number}"),
    }
}
