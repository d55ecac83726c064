-- One row for each run of a probe. Read by probe and time: "did it run, how long, what did it read?"
CREATE TABLE IF NOT EXISTS ${database}.runs${local}${on_cluster} (
    tenant         LowCardinality(String),
    entity         LowCardinality(String),
    owner          LowCardinality(String),
    probe          LowCardinality(String),
    run_id         UUID,
    token          UInt64,
    auditor        LowCardinality(String),
    started_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    ended_at       DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    outcome        LowCardinality(String),
    reason         LowCardinality(String),
    owner_records  UInt64,
    target_records UInt64,
    checks         UInt64,
    in_flight      UInt64,
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(ended_at)
ORDER BY (tenant, entity, owner, probe, ended_at)
TTL toDateTime(ended_at) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: runs by sipHash64(tenant, entity, owner)

-- What a run covered of a flow. Read by flow and covered time: coverage is decided ÷ expected.
CREATE TABLE IF NOT EXISTS ${database}.coverage${local}${on_cluster} (
    tenant   LowCardinality(String),
    entity   LowCardinality(String),
    owner    LowCardinality(String),
    target   LowCardinality(String),
    probe    LowCardinality(String),
    run_id   UUID,
    `from`   DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    `to`     DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    expected UInt64,
    decided  UInt64,
    blind    LowCardinality(String),
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(`to`)
ORDER BY (tenant, entity, owner, target, probe, `to`)
TTL toDateTime(`to`) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: coverage by sipHash64(tenant, entity, owner, target)
