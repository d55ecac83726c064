//! What SLOs are evaluated from, added up by minute or by quarter of an hour; and what shows why one is broken.

use std::time::Duration;

use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::LedgerError;
use super::migrate::timed;
use super::queries::Ledger;
use crate::model::{FlowId, Moment};

const LIMIT: Duration = Duration::from_secs(60);

/// Which facts: those of `[since, until)`, added up over so many minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub since: Moment,
    /// To.
    pub until: Moment,
    /// 1, or 15.
    pub minutes: u32,
}

impl Span {
    /// With the time that runs take which ended, or began, within it.
    fn with_runs(self) -> Self {
        let run = Duration::from_secs(3600);
        Self { since: self.since - run, until: self.until + run, ..self }
    }
}

/// Changes of a flow that were decided in a span.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct DecidedChanges {
    /// The entity.
    pub entity: String,
    /// The owner.
    pub owner: String,
    /// The target.
    pub target: String,
    /// The span's begin, seconds since 1970.
    pub at: i64,
    /// In time.
    pub good: u64,
    /// Late.
    pub bad: u64,
    /// Nobody can tell.
    pub undecided: u64,
}

/// What one kind of probe covered of a flow; the runs that ended in one span are one row for each way to be blind.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Covered {
    /// The entity.
    pub entity: String,
    /// The owner.
    pub owner: String,
    /// The target.
    pub target: String,
    /// `changes`, `sample`, `sweep` or `totals`.
    pub probe: String,
    /// From, seconds since 1970.
    pub from: i64,
    /// To.
    pub to: i64,
    /// Keys that should have been decided.
    pub expected: u64,
    /// Keys that were.
    pub decided: u64,
    /// Who was blind, or empty.
    pub blind: String,
}

/// Sampled and swept keys of a flow that were decided in a span.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct DecidedSamples {
    /// The entity.
    pub entity: String,
    /// The owner.
    pub owner: String,
    /// The target.
    pub target: String,
    /// `owner` or `target`: whose keys they are; `sweep` for all of both.
    pub frame: String,
    /// The span's begin, seconds since 1970.
    pub at: i64,
    /// Keys that agree.
    pub good: u64,
    /// Keys that do not.
    pub bad: u64,
    /// Of the bad ones, those that the target lacks.
    pub missing: u64,
    /// Keys that could not be decided.
    pub unknown: u64,
}

/// The overdue gauge of a flow in a span.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct OverdueMinutes {
    /// The entity.
    pub entity: String,
    /// The owner.
    pub owner: String,
    /// The target.
    pub target: String,
    /// The span's begin, seconds since 1970.
    pub at: i64,
    /// Minutes with more overdue keys than the floor.
    pub bad: u64,
    /// Minutes with no more.
    pub fine: u64,
}

/// The samples of a queue in a span.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct QueueSamples {
    /// The system.
    pub system: String,
    /// The queue.
    pub queue: String,
    /// The span's begin, seconds since 1970.
    pub at: i64,
    /// Samples.
    pub samples: u64,
    /// Of them: deeper or older than asked.
    pub bad: u64,
}

/// The runs of a unit's probes that ended in a span.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct EndedRuns {
    /// The entity.
    pub entity: String,
    /// The owner.
    pub owner: String,
    /// The span's begin, seconds since 1970.
    pub at: i64,
    /// Runs that read everything.
    pub good: u64,
    /// Runs that did not.
    pub bad: u64,
}

/// A key whose last verdict in a span is bad.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct WrongRecord {
    /// The key as its store rule allows.
    pub key: String,
    /// The verdict's word.
    pub verdict: String,
    /// Differing fields.
    pub fields: Vec<String>,
    /// The owner's values of `fields`.
    pub owner_values: Vec<String>,
    /// The target's values of `fields`.
    pub target_values: Vec<String>,
}

/// A key that came to differ for certain.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct WorstKey {
    /// The entity.
    pub entity: String,
    /// The owner.
    pub owner: String,
    /// The target.
    pub target: String,
    /// The key as its store rule allows.
    pub key: String,
    /// How often.
    pub times: u64,
}

/// Differences of a flow that are open now.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct OpenInFields {
    /// The entity.
    pub entity: String,
    /// The owner.
    pub owner: String,
    /// The target.
    pub target: String,
    /// How many.
    pub open: u64,
    /// Since when the oldest of them is, at the latest; microseconds since 1970.
    pub since: i64,
}

/// How many keys of a flow were looked at.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct CheckedKeys {
    /// Keys looked at.
    pub checked: u64,
    /// Keys whose last verdict is bad.
    pub wrong: u64,
}

impl Ledger {
    /// Changes by flow and span of decision.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn decided_changes(&self, span: Span) -> Result<Vec<DecidedChanges>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, {at} AS at, sumIf(events, outcome = 'good') AS good, \
                    sumIf(events, outcome = 'bad') AS bad, sumIf(events, outcome = 'undecided') AS undecided \
                    FROM freshness_minute WHERE tenant = ? AND {within} GROUP BY entity, owner, target, at)";
        self.of_span("read decided changes", text, "minute", span).await
    }

    /// What `changes`, `sample`, `sweep` and `totals` probes covered, by flow and span in which it ended.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn covered(&self, span: Span) -> Result<Vec<Covered>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, probe, toInt64(toUnixTimestamp(min(coverage.from))) AS `from`, \
                    toInt64(toUnixTimestamp(max(coverage.to))) AS `to`, sum(coverage.expected) AS expected, sum(coverage.decided) AS decided, blind \
                    FROM coverage WHERE tenant = ? AND probe IN ('changes', 'sample', 'sweep', 'totals') AND {within} \
                    GROUP BY entity, owner, target, probe, blind, {at})";
        self.of_span("read coverage", text, "coverage.to", span).await
    }

    /// As [`Ledger::decided_changes`], for a promise about some fields: a late change in which only other fields differed when
    /// it was decided is a good one. Where nobody knows what differed (it arrived late, unseen until then, or the check has been
    /// forgotten) it is bad.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn decided_changes_of(&self, span: Span, fields: &[String]) -> Result<Vec<DecidedChanges>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, {at} AS at, \
                    countIf(outcome = 'good' OR (outcome = 'bad' AND other)) AS good, \
                    countIf(outcome = 'bad' AND NOT other) AS bad, countIf(outcome = 'undecided') AS undecided \
                    FROM (SELECT entity, owner, target, run_id, key_hash, decided_at, outcome FROM freshness \
                    WHERE tenant = ? AND {within}) AS events \
                    LEFT ANY JOIN (SELECT entity, owner, target, run_id, key_hash, true AS other FROM checks \
                    WHERE tenant = ? AND {within_of} AND notEmpty(checks.fields) AND NOT hasAny(checks.fields, ?)) AS looks \
                    USING (entity, owner, target, run_id, key_hash) GROUP BY entity, owner, target, at)";
        let tenant = self.tenant.as_str();
        // The check that decided a change was made in the same run.
        let text = spanned(text, "decided_at", span).replace("{within_of}", &within("checks.at", span.with_runs()));
        let query = self.client.query(&text).bind(tenant).bind(tenant).bind(fields);
        timed("read decided changes of fields", LIMIT, query.fetch_all()).await
    }

    /// As [`Ledger::decided_samples`], for a promise about some fields: keys in which only other fields differ agree. A run
    /// that decided sampled keys together with others may count some of those as bad, never a bad one as good. Sweeps do not
    /// say which fields differ, and are left out.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn decided_samples_of(&self, span: Span, fields: &[String]) -> Result<Vec<DecidedSamples>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, frame, {at} AS at, toUInt64(sum(agreed + differed - mine)) AS good, sum(mine) AS bad, \
                    sum(lacked) AS missing, sum(undecided) AS unknown FROM (\
                    SELECT entity, owner, target, frame, s.at AS decided_at, s.good AS agreed, s.bad AS differed, s.missing AS lacked, \
                    s.unknown AS undecided, if(seen = 0, s.bad, least(s.bad, differing)) AS mine \
                    FROM (SELECT * FROM samples WHERE tenant = ? AND frame != 'sweep' AND {within}) AS s \
                    LEFT ANY JOIN (SELECT entity, owner, target, run_id, uniqExact(key_hash) AS seen, \
                    uniqExactIf(key_hash, empty(checks.fields) OR hasAny(checks.fields, ?)) AS differing FROM checks \
                    WHERE tenant = ? AND {within_looks} AND verdict NOT IN ('match', 'unknown', 'in_flight') \
                    GROUP BY entity, owner, target, run_id) AS looks USING (entity, owner, target, run_id)) \
                    GROUP BY entity, owner, target, frame, at)";
        let tenant = self.tenant.as_str();
        let text = spanned(&text.replace("{within}", "{within_of}"), "decided_at", span);
        let text = text.replace("{within_looks}", &within("checks.at", span.with_runs()));
        let query = self.client.query(&text.replace("{within_of}", &within("samples.at", span)));
        let query = query.bind(tenant).bind(fields).bind(tenant);
        timed("read decided samples of fields", LIMIT, query.fetch_all()).await
    }

    /// Lines of totals by flow and span: those that tie out, those that do not, and those that are not complete. Of days that
    /// are over everywhere: what is on its way differs for a moment, and must not be held against anybody.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn decided_totals(&self, span: Span) -> Result<Vec<DecidedChanges>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, {at} AS at, countIf(complete AND NOT differs) AS good, \
                    countIf(complete AND differs) AS bad, countIf(NOT complete) AS undecided FROM totals \
                    WHERE tenant = ? AND {within} AND ifNull(toDate32OrNull(day) + 1 <= toDate32(totals.at - INTERVAL 12 HOUR), true) \
                    GROUP BY entity, owner, target, at)";
        self.of_span("read totals", text, "totals.at", span).await
    }

    /// Flows with differences that are open now in one of these fields, or in the whole record.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn open_in_fields(&self, fields: &[String]) -> Result<Vec<OpenInFields>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, count() AS open, min(since) AS since FROM (\
                    SELECT entity, owner, target, argMax(event, at) AS last, argMax(discrepancy_events.fields, at) AS differing, \
                    toUnixTimestamp64Micro(min(since_high)) AS since FROM discrepancy_events WHERE tenant = ? \
                    GROUP BY entity, owner, target, discrepancy_id) \
                    WHERE last NOT IN ('resolved', 'accepted') AND (empty(differing) OR hasAny(differing, ?)) \
                    GROUP BY entity, owner, target)";
        let query = self.client.query(text).bind(self.tenant.as_str()).bind(fields);
        timed("read open differences of fields", LIMIT, query.fetch_all()).await
    }

    /// Sampled keys by flow, frame and span of decision.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn decided_samples(&self, span: Span) -> Result<Vec<DecidedSamples>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, frame, {at} AS at, sum(samples.good) AS good, sum(samples.bad) AS bad, \
                    sum(samples.missing) AS missing, sum(samples.unknown) AS unknown \
                    FROM samples WHERE tenant = ? AND {within} GROUP BY entity, owner, target, frame, at)";
        self.of_span("read decided samples", text, "samples.at", span).await
    }

    /// Minutes with more overdue keys than `floor`, by flow and span; as one SLO told them, or whichever told most.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn overdue_minutes(
        &self,
        span: Span,
        floor: u64,
        slo: Option<&str>,
    ) -> Result<Vec<OverdueMinutes>, LedgerError> {
        let text = format!(
            "SELECT ?fields FROM (SELECT entity, owner, target, {{of_minute}} AS at, countIf(most > {floor}) AS bad, \
             countIf(most <= {floor}) AS fine FROM (SELECT entity, owner, target, toStartOfMinute(toDateTime(slo_minute.at)) AS minute, \
             max(overdue) AS most FROM slo_minute WHERE tenant = ? AND indicator = 'freshness' AND (slo = ? OR ? = '') \
             AND {{within}} GROUP BY entity, owner, target, minute) GROUP BY entity, owner, target, at)"
        );
        let (tenant, slo) = (self.tenant.as_str(), slo.unwrap_or_default());
        let query = self.client.query(&spanned(&text, "slo_minute.at", span)).bind(tenant).bind(slo).bind(slo);
        timed("read overdue minutes", LIMIT, query.fetch_all()).await
    }

    /// Samples of queues, and how many of them are deeper than `deepest` or older than `oldest`, by queue and span.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn queue_samples(
        &self,
        span: Span,
        deepest: u64,
        oldest: Duration,
    ) -> Result<Vec<QueueSamples>, LedgerError> {
        let oldest = u64::try_from(oldest.as_micros()).unwrap_or(u64::MAX);
        let text = format!(
            "SELECT ?fields FROM (SELECT system, queue, {{at}} AS at, count() AS samples, \
             countIf(depth > {deepest} OR oldest_age_us > {oldest}) AS bad \
             FROM queue_samples WHERE tenant = ? AND {{within}} GROUP BY system, queue, at)"
        );
        self.of_span("read samples of queues", &text, "queue_samples.at", span).await
    }

    /// Runs of probes by entity, owner and span in which they ended.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn ended_runs(&self, span: Span) -> Result<Vec<EndedRuns>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, {at} AS at, countIf(outcome = 'ok') AS good, \
                    countIf(outcome != 'ok') AS bad FROM runs \
                    WHERE tenant = ? AND probe != 'recheck' AND {within} GROUP BY entity, owner, at)";
        self.of_span("read runs", text, "ended_at", span).await
    }

    /// Keys of a flow whose last verdict since then is bad, the latest first.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn wrong_records(
        &self,
        flow: &FlowId,
        since: Moment,
        limit: u64,
    ) -> Result<Vec<WrongRecord>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT key, verdict, fields, owner_values, target_values, at FROM checks WHERE {flow} \
                    AND verdict NOT IN ('unknown', 'in_flight') ORDER BY at DESC LIMIT 1 BY key_hash) \
                    WHERE verdict != 'match' ORDER BY at DESC LIMIT ?";
        let query = self.of_flow_at(text, flow, since).bind(limit);
        timed("read wrong records", LIMIT, query.fetch_all()).await
    }

    /// The keys of each flow that came to differ most often since then, at most `most` a flow.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn worst_keys(&self, since: Moment, most: u64) -> Result<Vec<WorstKey>, LedgerError> {
        let text = "SELECT ?fields FROM (SELECT entity, owner, target, any(discrepancy_events.key) AS key, count() AS times, max(at) AS last \
                    FROM discrepancy_events WHERE tenant = ? AND event = 'opened' AND at >= fromUnixTimestamp64Micro(?, 'UTC') \
                    GROUP BY entity, owner, target, key_hash ORDER BY times DESC, last DESC LIMIT ? BY entity, owner, target)";
        let query = self.client.query(text).bind(self.tenant.as_str()).bind(since.micros().max(0)).bind(most);
        timed("read the keys that differ most often", LIMIT, query.fetch_all()).await
    }

    /// How many keys of a flow were looked at since then, and how many of them were wrong at the last look.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn checked_keys(&self, flow: &FlowId, since: Moment) -> Result<CheckedKeys, LedgerError> {
        let text = "SELECT count() AS checked, countIf(last != 'match') AS wrong FROM (\
                    SELECT argMax(verdict, at) AS last FROM checks WHERE {flow} \
                    AND verdict NOT IN ('unknown', 'in_flight') GROUP BY key_hash)";
        timed("count wrong records", LIMIT, self.of_flow_at(text, flow, since).fetch_one()).await
    }

    fn of_flow_at(&self, text: &str, flow: &FlowId, since: Moment) -> clickhouse::query::Query {
        let condition = "tenant = ? AND entity = ? AND owner = ? AND target = ? \
                         AND checks.at >= fromUnixTimestamp64Micro(?, 'UTC')";
        self.client
            .query(&text.replace("{flow}", condition))
            .bind(self.tenant.as_str())
            .bind(flow.entity.as_str())
            .bind(flow.owner.as_str())
            .bind(flow.target.as_str())
            .bind(since.micros().max(0))
    }

    async fn of_span<R: RowOwned + RowRead>(
        &self,
        task: &'static str,
        text: &str,
        time: &str,
        span: Span,
    ) -> Result<Vec<R>, LedgerError> {
        let query = self.client.query(&spanned(text, time, span)).bind(self.tenant.as_str());
        timed(task, LIMIT, query.fetch_all()).await
    }
}

/// Fills in the span: `{at}` is the begin of the part that holds the column `time`, `{within}` holds it to the span.
fn spanned(text: &str, time: &str, span: Span) -> String {
    let part = |time: &str| {
        format!("toInt64(toUnixTimestamp(toStartOfInterval(toDateTime({time}), INTERVAL {} MINUTE)))", span.minutes)
    };
    let text = text.replace("{at}", &part(time)).replace("{of_minute}", &part("minute"));
    text.replace("{within}", &within(time, span))
}

fn within(time: &str, span: Span) -> String {
    format!(
        "{time} >= fromUnixTimestamp64Micro({}, 'UTC') AND {time} < fromUnixTimestamp64Micro({}, 'UTC')",
        span.since.micros().max(0),
        span.until.micros().max(0)
    )
}
