-- The lives of discrepancies, incidents and resyncs, step by step, and of the messages about them.

-- Read by flow and time, and by discrepancy (`by_discrepancy`).
CREATE TABLE IF NOT EXISTS ${database}.discrepancy_events${local}${on_cluster} (
    tenant         LowCardinality(String),
    entity         LowCardinality(String),
    owner          LowCardinality(String),
    target         LowCardinality(String),
    at             DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    discrepancy_id UUID,
    run_id         UUID,
    event          LowCardinality(String),
    key_hash       String,
    key            String CODEC(ZSTD),
    verdict        LowCardinality(String),
    likely         Bool,
    since_low      DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    since_high     DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    fields         Array(LowCardinality(String)),
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_discrepancy discrepancy_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, entity, owner, target, at)
TTL toDateTime(at) + INTERVAL ${events_days} DAY
SETTINGS ${durable};

-- distributed: discrepancy_events by sipHash64(tenant, entity, key_hash)

-- One row for each step of an incident. Read by SLO and time.
CREATE TABLE IF NOT EXISTS ${database}.incident_events${local}${on_cluster} (
    tenant      LowCardinality(String),
    slo         LowCardinality(String),
    entity      LowCardinality(String),
    owner       LowCardinality(String),
    target      LowCardinality(String),
    at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    incident_id UUID,
    event       LowCardinality(String),
    severity    LowCardinality(String),
    cause       LowCardinality(String),
    actor       LowCardinality(String),
    burn_rate   Float64,
    records     UInt64,
    detail      String CODEC(ZSTD)
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, slo, at)
TTL toDateTime(at) + INTERVAL ${events_days} DAY
SETTINGS ${durable};

-- distributed: incident_events by sipHash64(tenant, slo)

-- One row for each step of a resync and of each of its records. Read by flow and time.
CREATE TABLE IF NOT EXISTS ${database}.resync_events${local}${on_cluster} (
    tenant          LowCardinality(String),
    entity          LowCardinality(String),
    owner           LowCardinality(String),
    target          LowCardinality(String),
    at              DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    resync_id       UUID,
    discrepancy_id  UUID,
    event           LowCardinality(String),
    action          LowCardinality(String),
    idempotency_key String,
    key_hash        String,
    actor           LowCardinality(String),
    attempt         UInt32,
    reason          LowCardinality(String),
    window_us       UInt64
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, entity, owner, target, at)
TTL toDateTime(at) + INTERVAL ${events_days} DAY
SETTINGS ${durable};

-- distributed: resync_events by sipHash64(tenant, entity, key_hash)

-- One row for each attempt to deliver a message. Read by channel and time.
CREATE TABLE IF NOT EXISTS ${database}.alert_deliveries${local}${on_cluster} (
    tenant      LowCardinality(String),
    channel     LowCardinality(String),
    at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    incident_id UUID,
    message_id  UUID,
    event       LowCardinality(String),
    outcome     LowCardinality(String),
    attempt     UInt32,
    reason      LowCardinality(String),
    duration_us UInt64
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, channel, at)
TTL toDateTime(at) + INTERVAL ${events_days} DAY
SETTINGS ${durable};

-- distributed: alert_deliveries by sipHash64(tenant, channel)
