-- What SLOs are evaluated from beside the rollups of checks and freshness, and what came of it.

-- Keys of uniform samples, once each, when their outcome is decided: never re-reads, and without those that were on their
-- way. Read by flow and time.
CREATE TABLE IF NOT EXISTS ${database}.samples${local}${on_cluster} (
    tenant  LowCardinality(String),
    entity  LowCardinality(String),
    owner   LowCardinality(String),
    target  LowCardinality(String),
    at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id  UUID,
    frame   LowCardinality(String),
    good    UInt64,
    bad     UInt64,
    missing UInt64,
    unknown UInt64,
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, entity, owner, target, at)
TTL toDateTime(at) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: samples by sipHash64(tenant, entity, owner, target)

-- One row for each promise about each flow (or queue) and minute: the overdue gauge, and what evaluation came to.
-- Read by flow and time (the gauge, whatever the promise), and by SLO for charts. Of a promise about a queue, `owner` is
-- its system, and `target` its name.
CREATE TABLE IF NOT EXISTS ${database}.slo_minute${local}${on_cluster} (
    tenant            LowCardinality(String),
    slo               LowCardinality(String),
    entity            LowCardinality(String),
    owner             LowCardinality(String),
    target            LowCardinality(String),
    at                DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id            UUID,
    indicator         LowCardinality(String),
    state             LowCardinality(String),
    sli_best          Float64,
    sli_worst         Float64,
    raw_best          Float64,
    raw_worst         Float64,
    burn_best         Float64,
    burn_worst        Float64,
    budget_left       Float64,
    budget_left_worst Float64,
    coverage          Float64,
    good              UInt64,
    bad               UInt64,
    unknown           UInt64,
    overdue           UInt64,
    oldest_us         UInt64,
    in_maintenance    Bool,
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, entity, owner, target, slo, at)
TTL toDateTime(at) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: slo_minute by sipHash64(tenant, entity, owner, target)

-- Steps of incidents come through the spool like everything else, which looks for them by run.
ALTER TABLE ${database}.incident_events${local}${on_cluster}
    ADD COLUMN IF NOT EXISTS run_id UUID,
    ADD INDEX IF NOT EXISTS by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4;

-- On a cluster the same for the table over all shards; on one server it is the same table, and there is nothing to do.
ALTER TABLE ${database}.incident_events${on_cluster}
    ADD COLUMN IF NOT EXISTS run_id UUID;
