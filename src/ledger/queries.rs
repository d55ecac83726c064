//! Questions to the ledger, answered from the minute rollups.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::LedgerError;
use super::migrate::timed;
use crate::model::{FlowId, Moment, TenantId};

const LIMIT: Duration = Duration::from_secs(30);

/// Asks the ledger. The client's database is the ledger's.
#[derive(Clone)]
pub struct Ledger {
    pub(super) client: Client,
    pub(super) tenant: TenantId,
}

/// How many checks had which verdict: by the verdict's word.
pub type VerdictCounts = BTreeMap<String, u64>;

/// Quantiles of the lag's upper bound over decided freshness events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagQuantiles {
    /// Decided events.
    pub events: u64,
    /// Half of them took at most this.
    pub p50: Duration,
    /// 99 in 100 of them took at most this.
    pub p99: Duration,
}

#[derive(Row, Deserialize)]
struct VerdictCount {
    verdict: String,
    count: u64,
}

#[derive(Row, Deserialize)]
struct Quantiles {
    events: u64,
    lag_us: Vec<f32>,
}

impl Ledger {
    /// A ledger of one tenant.
    pub fn new(client: Client, tenant: TenantId) -> Self {
        Self { client, tenant }
    }

    /// Checks of `flow` by verdict, from the minute of `since` on.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn verdict_counts(&self, flow: &FlowId, since: Moment) -> Result<VerdictCounts, LedgerError> {
        let query = self.of_flow(
            "SELECT verdict, sum(checks) AS count FROM checks_minute WHERE {flow} GROUP BY verdict",
            flow,
            since,
        );
        let rows = timed("count verdicts", LIMIT, query.fetch_all::<VerdictCount>()).await?;
        Ok(rows.into_iter().map(|row| (row.verdict, row.count)).collect())
    }

    /// Lag of the decided changes of `flow`, from the minute of `since` on; `None` when there were none.
    ///
    /// # Errors
    /// When ClickHouse refuses or does not answer.
    pub async fn lag_quantiles(&self, flow: &FlowId, since: Moment) -> Result<Option<LagQuantiles>, LedgerError> {
        let query = self.of_flow(
            "SELECT sum(events) AS events, quantilesTDigestMerge(0.5, 0.9, 0.99)(lag_us) AS lag_us \
             FROM freshness_minute WHERE {flow} AND outcome IN ('good', 'bad')",
            flow,
            since,
        );
        let row = timed("read lags", LIMIT, query.fetch_one::<Quantiles>()).await?;
        let [p50, _, p99] = row.lag_us[..] else { return Ok(None) };
        let micros = |quantile: f32| Duration::from_secs_f64((f64::from(quantile) / 1e6).max(0.0));
        let found = (row.events > 0).then(|| LagQuantiles { events: row.events, p50: micros(p50), p99: micros(p99) });
        Ok(found)
    }

    fn of_flow(&self, text: &str, flow: &FlowId, since: Moment) -> clickhouse::query::Query {
        let condition = "tenant = ? AND entity = ? AND owner = ? AND target = ? \
                         AND minute >= toStartOfMinute(fromUnixTimestamp64Micro(?, 'UTC'))";
        self.client
            .query(&text.replace("{flow}", condition))
            .bind(self.tenant.as_str())
            .bind(flow.entity.as_str())
            .bind(flow.owner.as_str())
            .bind(flow.target.as_str())
            .bind(since.micros().max(0))
    }
}
