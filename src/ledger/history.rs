//! Questions about single records: what was reported, when, and how it stands now.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::LedgerError;
use super::migrate::timed;
use super::queries::Ledger;
use super::rows::{DiscrepancyRow, FreshnessRow};
use crate::model::Moment;

const LIMIT: Duration = Duration::from_secs(30);

/// An open discrepancy with what differed at the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenDiscrepancy {
    /// The last step of its life.
    pub last: DiscrepancyRow,
    /// Field, owner's value, target's value, as their store rules allow.
    pub values: Vec<(String, String, String)>,
}

#[derive(Row, Deserialize)]
struct LastCheck {
    entity: String,
    owner: String,
    target: String,
    key_hash: String,
    fields: Vec<String>,
    owner_values: Vec<String>,
    target_values: Vec<String>,
}

/// A key that was looked at, and when it agreed.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Looks {
    /// The entity.
    pub entity: String,
    /// The target system.
    pub target: String,
    /// The key's keyed hash.
    pub key_hash: String,
    /// The key as its store rule allows.
    pub key: String,
    /// When a look found agreement: microseconds since 1970, in any order.
    pub agreed: Vec<i64>,
}

/// A share that samples estimated.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct SampledShare {
    /// The entity.
    pub entity: String,
    /// The target system.
    pub target: String,
    /// `agreement`, `completeness` or `extra`.
    pub measure: String,
    /// When it was computed: microseconds since 1970.
    pub at: i64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The checks of one flow in one second.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Second {
    /// The owner system.
    pub owner: String,
    /// The target system.
    pub target: String,
    /// Its beginning, in seconds since 1970.
    pub second: i64,
    /// All checks.
    pub checks: u64,
    /// Those that could not tell.
    pub unknown: u64,
}

/// Something that was said about a whole system.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Notice {
    /// The system.
    pub system: String,
    /// When, microseconds since 1970.
    pub at: i64,
}

#[derive(Row, Deserialize)]
struct Until {
    probes: u64,
    until: i64,
}

impl Ledger {
    /// Every step in the life of discrepancies since then, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn discrepancy_events(&self, since: Moment, limit: u64) -> Result<Vec<DiscrepancyRow>, LedgerError> {
        let question = "SELECT ?fields FROM discrepancy_events \
                        WHERE tenant = ? AND at >= fromUnixTimestamp64Micro(?, 'UTC') ORDER BY at LIMIT ?";
        self.rows_since("read discrepancies", question, since, limit).await
    }

    /// Every freshness event decided since then, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn freshness_events(&self, since: Moment, limit: u64) -> Result<Vec<FreshnessRow>, LedgerError> {
        let question = "SELECT ?fields FROM freshness \
                        WHERE tenant = ? AND decided_at >= fromUnixTimestamp64Micro(?, 'UTC') \
                        ORDER BY decided_at LIMIT ?";
        self.rows_since("read freshness", question, since, limit).await
    }

    /// What a question finds that asks for the tenant, a time and a limit, in this order.
    async fn rows_since<R>(
        &self,
        task: &'static str,
        question: &str,
        since: Moment,
        limit: u64,
    ) -> Result<Vec<R>, LedgerError>
    where
        R: RowOwned + RowRead,
    {
        let tenant = self.tenant.as_str();
        let query = self.client.query(question).bind(tenant).bind(since.micros().max(0)).bind(limit);
        timed(task, LIMIT, query.fetch_all()).await
    }

    /// Discrepancies that have moved since then and are open now, those that moved last first, at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn open_discrepancies(&self, since: Moment, limit: u64) -> Result<Vec<OpenDiscrepancy>, LedgerError> {
        let query = self
            .client
            .query(
                "SELECT ?fields FROM (SELECT * FROM discrepancy_events \
                 WHERE tenant = ? AND at >= fromUnixTimestamp64Micro(?, 'UTC') \
                 ORDER BY at DESC LIMIT 1 BY discrepancy_id) \
                 WHERE event NOT IN ('resolved', 'accepted') ORDER BY at DESC LIMIT ?",
            )
            .bind(self.tenant.as_str())
            .bind(since.micros().max(0))
            .bind(limit);
        let events: Vec<DiscrepancyRow> = timed("read open discrepancies", LIMIT, query.fetch_all()).await?;
        let mut values = self.last_values(since, &events).await?;
        Ok(events
            .into_iter()
            .map(|last| {
                let address = (last.entity.clone(), last.owner.clone(), last.target.clone(), last.key_hash.clone());
                OpenDiscrepancy { values: values.remove(&address).unwrap_or_default(), last }
            })
            .collect())
    }

    /// What differed when the keys of `events` were last looked at.
    async fn last_values(&self, since: Moment, events: &[DiscrepancyRow]) -> Result<ValuesByKey, LedgerError> {
        let hashes: Vec<&str> = events.iter().map(|event| event.key_hash.as_str()).collect();
        if hashes.is_empty() {
            return Ok(ValuesByKey::new());
        }
        let query = self
            .client
            .query(
                "SELECT ?fields FROM checks \
                 WHERE tenant = ? AND at >= fromUnixTimestamp64Micro(?, 'UTC') AND key_hash IN ? \
                 ORDER BY at DESC LIMIT 1 BY entity, owner, target, key_hash",
            )
            .bind(self.tenant.as_str())
            .bind(since.micros().max(0))
            .bind(hashes);
        let checks: Vec<LastCheck> = timed("read differing values", LIMIT, query.fetch_all()).await?;
        let values = |check: &LastCheck| {
            let pairs = check.owner_values.iter().zip(&check.target_values);
            let fields = check.fields.iter().zip(pairs);
            fields.map(|(field, (owner, target))| (field.clone(), owner.clone(), target.clone())).collect()
        };
        Ok(checks
            .into_iter()
            .map(|check| {
                let values = values(&check);
                ((check.entity, check.owner, check.target, check.key_hash), values)
            })
            .collect())
    }

    /// Which keys were checked since then, and when they agreed; at most `limit` keys.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn looks(&self, since: Moment, limit: u64) -> Result<Vec<Looks>, LedgerError> {
        let question = "SELECT ?fields FROM (SELECT entity, target, key_hash, any(key) AS key, \
                        groupArrayIf(toUnixTimestamp64Micro(at), verdict = 'match') AS agreed FROM checks \
                        WHERE tenant = ? AND at >= fromUnixTimestamp64Micro(?, 'UTC') \
                        GROUP BY entity, target, key_hash) LIMIT ?";
        self.rows_since("read keys", question, since, limit).await
    }

    /// How many checks each flow had in each second since then, and how many of them could not tell; at most `limit`
    /// rows.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn seconds(&self, since: Moment, limit: u64) -> Result<Vec<Second>, LedgerError> {
        let question = "SELECT ?fields FROM (SELECT owner, target, toInt64(toUnixTimestamp(at)) AS second, \
                        count() AS checks, countIf(verdict = 'unknown') AS unknown FROM checks \
                        WHERE tenant = ? AND at >= fromUnixTimestamp64Micro(?, 'UTC') \
                        GROUP BY owner, target, second) LIMIT ?";
        self.rows_since("count checks by second", question, since, limit).await
    }

    /// When a run failed or saw only a part because of a system, since then; at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn blindness(&self, since: Moment, limit: u64) -> Result<Vec<Notice>, LedgerError> {
        let question = "SELECT ?fields FROM (SELECT if(blind = 'owner', owner, target) AS system, \
                        toUnixTimestamp64Micro(to) AS at FROM coverage \
                        WHERE blind IN ('owner', 'target') AND tenant = ? \
                        AND to >= fromUnixTimestamp64Micro(?, 'UTC')) LIMIT ?";
        self.rows_since("read blindness", question, since, limit).await
    }

    /// When the shape of a system's data was seen to have changed, since then; at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn reshaped(&self, since: Moment, limit: u64) -> Result<Vec<Notice>, LedgerError> {
        let question = "SELECT ?fields FROM (SELECT system, toUnixTimestamp64Micro(at) AS at FROM schema_changes \
                        WHERE tenant = ? AND schema_changes.at >= fromUnixTimestamp64Micro(?, 'UTC')) LIMIT ?";
        self.rows_since("read changes of schemas", question, since, limit).await
    }

    /// What samples said of each flow since then, at most one word of each kind in a second; at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn sampled_shares(&self, since: Moment, limit: u64) -> Result<Vec<SampledShare>, LedgerError> {
        let question = "SELECT ?fields FROM (SELECT entity, target, measure, \
                        toUnixTimestamp64Micro(max(estimates.at)) AS at, argMax(estimates.low, estimates.at) AS low, \
                        argMax(estimates.high, estimates.at) AS high FROM estimates \
                        WHERE tenant = ? AND estimates.at >= fromUnixTimestamp64Micro(?, 'UTC') \
                        GROUP BY entity, target, measure, toStartOfSecond(estimates.at)) LIMIT ?";
        self.rows_since("read estimates", question, since, limit).await
    }

    /// The moment up to which `probes` probes have told what they saw: the oldest start among their last
    /// runs; `None` while fewer have run.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn told_until(&self, since: Moment, probes: u64) -> Result<Option<Moment>, LedgerError> {
        let query = self
            .client
            .query(
                "SELECT count() AS probes, toInt64(min(last)) AS until FROM (\
                 SELECT toUnixTimestamp64Micro(max(started_at)) AS last FROM runs WHERE tenant = ? \
                 AND probe IN ('changes', 'sample') AND started_at >= fromUnixTimestamp64Micro(?, 'UTC') \
                 GROUP BY entity, owner, probe)",
            )
            .bind(self.tenant.as_str())
            .bind(since.micros().max(0));
        let row: Until = timed("read the last runs", LIMIT, query.fetch_one()).await?;
        Ok((row.probes >= probes).then(|| Moment::from_micros(row.until)))
    }
}

/// Differing values by entity, owner, target and key hash.
type ValuesByKey = HashMap<(String, String, String, String), Vec<(String, String, String)>>;
