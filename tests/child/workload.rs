//! The work that crash tests interrupt: numbered runs whose rows name their number. Shared by the child program,
//! which does it, and the tests, which know what must be there in the end.

use plumbline::ledger::rows::{
    CheckRow, CoverageRow, DiscrepancyRow, EstimateRow, FreshnessRow, RunRow, RunRows, SchemaChangeRow, SweepRow,
};
use plumbline::model::Moment;
use plumbline::state::StateSecret;
use plumbline::state::change::{InFlightChange, InFlightEntry, Lease, StateChange};
use uuid::Uuid;

/// The owners of two units that work side by side.
pub const OWNERS: [&str; 2] = ["left", "right"];

/// The run of the first unit that is padded in tests of a full disk.
pub const PADDED_RUN: u64 = 5;

pub fn secret() -> StateSecret {
    StateSecret::from_bytes([7; 32])
}

pub fn unit(entity: &str, owner: &str) -> String {
    format!("changes/{entity}/{owner}")
}

/// How many checks run `number` has.
pub fn check_count(number: u64) -> u64 {
    1 + (number * 7) % 11
}

pub fn position(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub fn number_of(position: Option<Vec<u8>>) -> u64 {
    let bytes = position.map(|bytes| bytes.try_into().expect("a position has eight bytes"));
    bytes.map_or(0, u64::from_be_bytes)
}

/// One key is in flight after each run, another one each time.
pub fn change(entity: &str, lease: &Lease, number: u64, run_id: Uuid) -> StateChange {
    let entry = |number: u64, entry: Option<InFlightEntry>| InFlightChange {
        flow: format!("{entity}: {} -> target", lease.unit),
        key_hash: format!("{number:032x}"),
        entry,
    };
    let payload = number.to_string().into_bytes();
    let at = Moment::from_micros(0);
    StateChange {
        position: Some(position(number)),
        in_flight: vec![
            entry(number - 1, None),
            entry(number, Some(InFlightEntry { due_at: at, overdue_at: at, payload })),
        ],
        ..StateChange::new(run_id, lease.clone())
    }
}

/// The rows of run `number`: keys are `NUMBER-ROW`. `padding` is appended to the first key.
pub fn rows(entity: &str, owner: &str, number: u64, run_id: Uuid, at: Moment, padding: &str) -> RunRows {
    let checks = (0..check_count(number)).map(|row| CheckRow {
        tenant: "default".to_owned(),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        target: "target".to_owned(),
        at: at.micros(),
        run_id,
        token: 1,
        probe: "changes".to_owned(),
        key_hash: format!("{number:016x}{row:016x}"),
        key: format!("{number}-{row}{}", if row == 0 { padding } else { "" }),
        verdict: "match".to_owned(),
        likely: false,
        lag_low_us: 0,
        lag_high_us: number,
        deadline_us: 1,
        reason: String::new(),
        fields: vec![],
        owner_values: vec![],
        target_values: vec![],
    });
    let checks: Vec<CheckRow> = checks.collect();
    RunRows {
        freshness: checks.iter().map(freshness).collect(),
        runs: vec![run_row(entity, owner, run_id, at)],
        coverage: vec![coverage(entity, owner, run_id, at)],
        discrepancies: vec![discrepancy(entity, owner, run_id, at)],
        estimates: vec![estimate(entity, owner, run_id, at)],
        schema_changes: vec![schema_change(entity, owner, run_id, at)],
        sweeps: vec![sweep(entity, owner, run_id, at)],
        checks,
        ..RunRows::default()
    }
}

fn sweep(entity: &str, owner: &str, run_id: Uuid, at: Moment) -> SweepRow {
    SweepRow {
        tenant: "default".to_owned(),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        target: "target".to_owned(),
        at: at.micros(),
        run_id,
        sweep_id: run_id,
        event: "checkpoint".to_owned(),
        verified_through: at.micros(),
        owner_records: 1,
        target_records: 1,
        differences: 0,
        strategy: "digest".to_owned(),
        strategy_reason: String::new(),
        first_looked_at: 0,
        first_differing: 0,
    }
}

fn freshness(check: &CheckRow) -> FreshnessRow {
    FreshnessRow {
        tenant: check.tenant.clone(),
        entity: check.entity.clone(),
        owner: check.owner.clone(),
        target: check.target.clone(),
        decided_at: check.at,
        changed_low: check.at,
        changed_high: check.at,
        run_id: check.run_id,
        key_hash: check.key_hash.clone(),
        outcome: "good".to_owned(),
        lag_low_us: 0,
        lag_high_us: 1,
        deadline_us: 1,
    }
}

fn run_row(entity: &str, owner: &str, run_id: Uuid, at: Moment) -> RunRow {
    RunRow {
        tenant: "default".to_owned(),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        probe: "changes".to_owned(),
        run_id,
        token: 1,
        auditor: "child".to_owned(),
        started_at: at.micros(),
        ended_at: at.micros(),
        outcome: "ok".to_owned(),
        reason: String::new(),
        owner_records: 0,
        target_records: 0,
        checks: 0,
        in_flight: 1,
    }
}

fn coverage(entity: &str, owner: &str, run_id: Uuid, at: Moment) -> CoverageRow {
    CoverageRow {
        tenant: "default".to_owned(),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        target: "target".to_owned(),
        probe: "changes".to_owned(),
        run_id,
        from: at.micros(),
        to: at.micros(),
        expected: 1,
        decided: 1,
        blind: String::new(),
    }
}

fn estimate(entity: &str, owner: &str, run_id: Uuid, at: Moment) -> EstimateRow {
    EstimateRow {
        tenant: "default".to_owned(),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        target: "target".to_owned(),
        at: at.micros(),
        run_id,
        measure: "agreement".to_owned(),
        frame: "owner".to_owned(),
        sampled: 1,
        bad: 0,
        population: 1,
        design_effect: 1.0,
        low: 1.0,
        estimate: 1.0,
        high: 1.0,
    }
}

fn schema_change(entity: &str, owner: &str, run_id: Uuid, at: Moment) -> SchemaChangeRow {
    SchemaChangeRow {
        tenant: "default".to_owned(),
        system: owner.to_owned(),
        dataset: entity.to_owned(),
        at: at.micros(),
        run_id,
        path: "qty".to_owned(),
        event: "removed".to_owned(),
        before: "integer".to_owned(),
        after: String::new(),
        entity: entity.to_owned(),
        fields: vec![],
    }
}

fn discrepancy(entity: &str, owner: &str, run_id: Uuid, at: Moment) -> DiscrepancyRow {
    DiscrepancyRow {
        tenant: "default".to_owned(),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        target: "target".to_owned(),
        at: at.micros(),
        discrepancy_id: run_id,
        run_id,
        event: "opened".to_owned(),
        key_hash: String::new(),
        key: String::new(),
        verdict: "missing".to_owned(),
        likely: false,
        since_low: at.micros(),
        since_high: at.micros(),
        fields: vec![],
    }
}
