-- One row for each divergence of a key, when its outcome is decided.
-- Read by flow and time of decision (burn rates) or of change (reports).
CREATE TABLE IF NOT EXISTS ${database}.freshness${local}${on_cluster} (
    tenant       LowCardinality(String),
    entity       LowCardinality(String),
    owner        LowCardinality(String),
    target       LowCardinality(String),
    decided_at   DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    changed_low  DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    changed_high DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id       UUID,
    key_hash     String,
    outcome      LowCardinality(String),
    lag_low_us   UInt64 CODEC(T64, ZSTD),
    lag_high_us  UInt64 CODEC(T64, ZSTD),
    deadline_us  UInt64 CODEC(T64, ZSTD),
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_change changed_high TYPE minmax GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMMDD(decided_at)
ORDER BY (tenant, entity, owner, target, decided_at)
TTL toDateTime(decided_at) + INTERVAL ${checks_days} DAY
SETTINGS ${durable};

-- distributed: freshness by sipHash64(tenant, entity, key_hash)

-- Events and lag by minute of decision. Quantiles are merged from t-digests of the upper bounds.
CREATE TABLE IF NOT EXISTS ${database}.freshness_minute${local}${on_cluster} (
    tenant   LowCardinality(String),
    entity   LowCardinality(String),
    owner    LowCardinality(String),
    target   LowCardinality(String),
    minute   DateTime('UTC'),
    outcome  LowCardinality(String),
    events   SimpleAggregateFunction(sum, UInt64),
    lag_us   AggregateFunction(quantilesTDigest(0.5, 0.9, 0.99), UInt64)
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, entity, owner, target, minute, outcome)
TTL minute + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: freshness_minute by sipHash64(tenant, entity, owner, target)

CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.freshness_to_minute${on_cluster}
TO ${database}.freshness_minute${local} AS
SELECT
    tenant, entity, owner, target,
    toStartOfMinute(toDateTime(decided_at, 'UTC')) AS minute,
    outcome,
    count() AS events,
    quantilesTDigestState(0.5, 0.9, 0.99)(lag_high_us) AS lag_us
FROM ${database}.freshness${local}
GROUP BY tenant, entity, owner, target, minute, outcome;
