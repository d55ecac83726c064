//! The columns of the ledger's tables, as the shipper sends them.

use super::native::{Columns, Writer};
use crate::ledger::rows::{
    CheckRow, CoverageRow, DiscrepancyRow, EstimateRow, FreshnessRow, IncidentRow, RunRow, SampleRow, SchemaChangeRow,
    SloMinuteRow, SweepRow, TotalsRow,
};

impl Columns for CheckRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("run_id", |row| row.run_id);
        writer.numbers("token", |row| row.token);
        writer.texts("probe", |row| &row.probe);
        writer.texts("key_hash", |row| &row.key_hash);
        writer.texts("key", |row| &row.key);
        writer.texts("verdict", |row| &row.verdict);
        writer.flags("likely", |row| row.likely);
        writer.numbers("lag_low_us", |row| row.lag_low_us);
        writer.numbers("lag_high_us", |row| row.lag_high_us);
        writer.numbers("deadline_us", |row| row.deadline_us);
        writer.texts("reason", |row| &row.reason);
        writer.lists("fields", |row| &row.fields);
        writer.lists("owner_values", |row| &row.owner_values);
        writer.lists("target_values", |row| &row.target_values);
    }
}

impl Columns for FreshnessRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("decided_at", |row| row.decided_at);
        writer.times("changed_low", |row| row.changed_low);
        writer.times("changed_high", |row| row.changed_high);
        writer.uuids("run_id", |row| row.run_id);
        writer.texts("key_hash", |row| &row.key_hash);
        writer.texts("outcome", |row| &row.outcome);
        writer.numbers("lag_low_us", |row| row.lag_low_us);
        writer.numbers("lag_high_us", |row| row.lag_high_us);
        writer.numbers("deadline_us", |row| row.deadline_us);
    }
}

impl Columns for RunRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("probe", |row| &row.probe);
        writer.uuids("run_id", |row| row.run_id);
        writer.numbers("token", |row| row.token);
        writer.texts("auditor", |row| &row.auditor);
        writer.times("started_at", |row| row.started_at);
        writer.times("ended_at", |row| row.ended_at);
        writer.texts("outcome", |row| &row.outcome);
        writer.texts("reason", |row| &row.reason);
        writer.numbers("owner_records", |row| row.owner_records);
        writer.numbers("target_records", |row| row.target_records);
        writer.numbers("checks", |row| row.checks);
        writer.numbers("in_flight", |row| row.in_flight);
    }
}

impl Columns for CoverageRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.texts("probe", |row| &row.probe);
        writer.uuids("run_id", |row| row.run_id);
        writer.times("from", |row| row.from);
        writer.times("to", |row| row.to);
        writer.numbers("expected", |row| row.expected);
        writer.numbers("decided", |row| row.decided);
        writer.texts("blind", |row| &row.blind);
    }
}

impl Columns for DiscrepancyRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("discrepancy_id", |row| row.discrepancy_id);
        writer.uuids("run_id", |row| row.run_id);
        writer.texts("event", |row| &row.event);
        writer.texts("key_hash", |row| &row.key_hash);
        writer.texts("key", |row| &row.key);
        writer.texts("verdict", |row| &row.verdict);
        writer.flags("likely", |row| row.likely);
        writer.times("since_low", |row| row.since_low);
        writer.times("since_high", |row| row.since_high);
        writer.lists("fields", |row| &row.fields);
    }
}

impl Columns for SweepRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("run_id", |row| row.run_id);
        writer.uuids("sweep_id", |row| row.sweep_id);
        writer.texts("event", |row| &row.event);
        writer.times("verified_through", |row| row.verified_through);
        writer.numbers("owner_records", |row| row.owner_records);
        writer.numbers("target_records", |row| row.target_records);
        writer.numbers("differences", |row| row.differences);
        writer.texts("strategy", |row| &row.strategy);
        writer.texts("strategy_reason", |row| &row.strategy_reason);
        writer.numbers("first_looked_at", |row| row.first_looked_at);
        writer.numbers("first_differing", |row| row.first_differing);
    }
}

impl Columns for TotalsRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("run_id", |row| row.run_id);
        writer.texts("amount", |row| &row.amount);
        writer.texts("day", |row| &row.day);
        writer.texts("currency", |row| &row.currency);
        writer.texts("status", |row| &row.status);
        writer.numbers("owner_records", |row| row.owner_records);
        writer.numbers("target_records", |row| row.target_records);
        // The engine makes decimals of texts, exactly.
        writer.texts("owner_debit", |row| &row.owner_debit);
        writer.texts("owner_credit", |row| &row.owner_credit);
        writer.texts("owner_net", |row| &row.owner_net);
        writer.texts("target_debit", |row| &row.target_debit);
        writer.texts("target_credit", |row| &row.target_credit);
        writer.texts("target_net", |row| &row.target_net);
        writer.texts("variance", |row| &row.variance);
        writer.texts("allowed", |row| &row.allowed);
        writer.flags("differs", |row| row.differs);
        writer.flags("complete", |row| row.complete);
        writer.texts("reason", |row| &row.reason);
        writer.texts("owner_way", |row| &row.owner_way);
        writer.texts("target_way", |row| &row.target_way);
    }
}

impl Columns for EstimateRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("run_id", |row| row.run_id);
        writer.texts("measure", |row| &row.measure);
        writer.texts("frame", |row| &row.frame);
        writer.numbers("sampled", |row| row.sampled);
        writer.numbers("bad", |row| row.bad);
        writer.numbers("population", |row| row.population);
        writer.shares("design_effect", |row| row.design_effect);
        writer.shares("low", |row| row.low);
        writer.shares("estimate", |row| row.estimate);
        writer.shares("high", |row| row.high);
    }
}

impl Columns for SchemaChangeRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("system", |row| &row.system);
        writer.texts("dataset", |row| &row.dataset);
        writer.times("at", |row| row.at);
        writer.uuids("run_id", |row| row.run_id);
        writer.texts("path", |row| &row.path);
        writer.texts("event", |row| &row.event);
        writer.texts("before", |row| &row.before);
        writer.texts("after", |row| &row.after);
        writer.texts("entity", |row| &row.entity);
        writer.lists("fields", |row| &row.fields);
    }
}

impl Columns for SampleRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("run_id", |row| row.run_id);
        writer.texts("frame", |row| &row.frame);
        writer.numbers("good", |row| row.good);
        writer.numbers("bad", |row| row.bad);
        writer.numbers("missing", |row| row.missing);
        writer.numbers("unknown", |row| row.unknown);
    }
}

impl Columns for SloMinuteRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("slo", |row| &row.slo);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("run_id", |row| row.run_id);
        writer.texts("indicator", |row| &row.indicator);
        writer.texts("state", |row| &row.state);
        writer.shares("sli_best", |row| row.sli_best);
        writer.shares("sli_worst", |row| row.sli_worst);
        writer.shares("raw_best", |row| row.raw_best);
        writer.shares("raw_worst", |row| row.raw_worst);
        writer.shares("burn_best", |row| row.burn_best);
        writer.shares("burn_worst", |row| row.burn_worst);
        writer.shares("budget_left", |row| row.budget_left);
        writer.shares("budget_left_worst", |row| row.budget_left_worst);
        writer.shares("coverage", |row| row.coverage);
        writer.numbers("good", |row| row.good);
        writer.numbers("bad", |row| row.bad);
        writer.numbers("unknown", |row| row.unknown);
        writer.numbers("overdue", |row| row.overdue);
        writer.numbers("oldest_us", |row| row.oldest_us);
        writer.flags("in_maintenance", |row| row.in_maintenance);
    }
}

impl Columns for IncidentRow {
    fn columns(writer: &mut Writer<'_, Self>) {
        writer.texts("tenant", |row| &row.tenant);
        writer.texts("slo", |row| &row.slo);
        writer.texts("entity", |row| &row.entity);
        writer.texts("owner", |row| &row.owner);
        writer.texts("target", |row| &row.target);
        writer.times("at", |row| row.at);
        writer.uuids("incident_id", |row| row.incident_id);
        writer.texts("event", |row| &row.event);
        writer.texts("severity", |row| &row.severity);
        writer.texts("cause", |row| &row.cause);
        writer.texts("actor", |row| &row.actor);
        writer.shares("burn_rate", |row| row.burn_rate);
        writer.numbers("records", |row| row.records);
        writer.texts("detail", |row| &row.detail);
        writer.uuids("run_id", |row| row.run_id);
    }
}

#[cfg(test)]
mod tests {
    use clickhouse::Row;

    use super::super::native::Block;
    use super::*;

    fn check<T: Columns + Row>() {
        let expect: Vec<String> = T::COLUMN_NAMES.iter().map(|name| format!("`{name}`")).collect();
        assert_eq!(Block::new::<T>(&[]).column_list(), expect.join(", "));
    }

    #[test]
    fn every_field_of_a_row_is_a_column() {
        check::<CheckRow>();
        check::<FreshnessRow>();
        check::<RunRow>();
        check::<CoverageRow>();
        check::<DiscrepancyRow>();
        check::<EstimateRow>();
        check::<SchemaChangeRow>();
        check::<SampleRow>();
        check::<SloMinuteRow>();
        check::<IncidentRow>();
        check::<SweepRow>();
        check::<TotalsRow>();
    }
}
