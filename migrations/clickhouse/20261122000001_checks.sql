-- One row for each comparison of one key in one flow.
-- Read by flow and time (dashboards, reports), and by key (`by_key`: "what happened to this record?").
-- `by_run` serves the shipper's look-up of an old deduplication token.
CREATE TABLE IF NOT EXISTS ${database}.checks${local}${on_cluster} (
    tenant        LowCardinality(String),
    entity        LowCardinality(String),
    owner         LowCardinality(String),
    target        LowCardinality(String),
    at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id        UUID,
    token         UInt64,
    probe         LowCardinality(String),
    key_hash      String,
    key           String CODEC(ZSTD),
    verdict       LowCardinality(String),
    likely        Bool,
    lag_low_us    UInt64 CODEC(T64, ZSTD),
    lag_high_us   UInt64 CODEC(T64, ZSTD),
    deadline_us   UInt64 CODEC(T64, ZSTD),
    reason        LowCardinality(String),
    fields        Array(LowCardinality(String)),
    owner_values  Array(String) CODEC(ZSTD),
    target_values Array(String) CODEC(ZSTD),
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_key key_hash TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMMDD(at)
ORDER BY (tenant, entity, owner, target, at)
TTL toDateTime(at) + INTERVAL ${checks_days} DAY
SETTINGS ${durable};

-- distributed: checks by sipHash64(tenant, entity, key_hash)

-- Checks by minute: what SLOs and dashboards read. Ordered for "this flow since then".
CREATE TABLE IF NOT EXISTS ${database}.checks_minute${local}${on_cluster} (
    tenant      LowCardinality(String),
    entity      LowCardinality(String),
    owner       LowCardinality(String),
    target      LowCardinality(String),
    minute      DateTime('UTC'),
    probe       LowCardinality(String),
    verdict     LowCardinality(String),
    likely      Bool,
    checks      SimpleAggregateFunction(sum, UInt64),
    longest_us  SimpleAggregateFunction(max, UInt64)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, entity, owner, target, minute, probe, verdict, likely)
TTL minute + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: checks_minute by sipHash64(tenant, entity, owner, target)

CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.checks_to_minute${on_cluster}
TO ${database}.checks_minute${local} AS
SELECT
    tenant, entity, owner, target,
    toStartOfMinute(toDateTime(at, 'UTC')) AS minute,
    probe, verdict, likely,
    count() AS checks,
    max(lag_low_us) AS longest_us
FROM ${database}.checks${local}
GROUP BY tenant, entity, owner, target, minute, probe, verdict, likely;
