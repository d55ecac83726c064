-- What samples, sweeps, totals, queue and schema probes measure.

-- Estimates from uniform samples with their intervals. Read by flow and time.
CREATE TABLE IF NOT EXISTS ${database}.estimates${local}${on_cluster} (
    tenant        LowCardinality(String),
    entity        LowCardinality(String),
    owner         LowCardinality(String),
    target        LowCardinality(String),
    at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id        UUID,
    measure       LowCardinality(String),
    frame         LowCardinality(String),
    sampled       UInt64,
    bad           UInt64,
    population    UInt64,
    design_effect Float64,
    low           Float64,
    estimate      Float64,
    high          Float64
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, entity, owner, target, measure, at)
TTL toDateTime(at) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: estimates by sipHash64(tenant, entity, owner, target)

-- One row for each sweep and checkpoint. Read by flow: "verified through when?"
CREATE TABLE IF NOT EXISTS ${database}.sweeps${local}${on_cluster} (
    tenant           LowCardinality(String),
    entity           LowCardinality(String),
    owner            LowCardinality(String),
    target           LowCardinality(String),
    at               DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id           UUID,
    sweep_id         UUID,
    event            LowCardinality(String),
    verified_through DateTime64(6, 'UTC'),
    owner_records    UInt64,
    target_records   UInt64,
    differences      UInt64
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, entity, owner, target, at)
TTL toDateTime(at) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: sweeps by sipHash64(tenant, entity, owner, target)

-- Count and sum by day and currency, asked from each system by itself. Read by entity, system and business day.
CREATE TABLE IF NOT EXISTS ${database}.totals${local}${on_cluster} (
    tenant   LowCardinality(String),
    entity   LowCardinality(String),
    system   LowCardinality(String),
    day      Date,
    currency LowCardinality(String),
    at       DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id   UUID,
    measure  LowCardinality(String),
    records  UInt64,
    debit    Decimal(38, 8),
    credit   Decimal(38, 8),
    net      Decimal(38, 8)
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, entity, system, measure, currency, day, at)
TTL toDateTime(at) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: totals by sipHash64(tenant, entity, system)

-- Depth and age of queues. Read by system, queue and time.
CREATE TABLE IF NOT EXISTS ${database}.queue_samples${local}${on_cluster} (
    tenant        LowCardinality(String),
    system        LowCardinality(String),
    queue         LowCardinality(String),
    at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id        UUID,
    depth         UInt64,
    oldest_age_us UInt64,
    consumer_lag  UInt64,
    dead_letters  UInt64,
    retries       UInt64
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, system, queue, at)
TTL toDateTime(at) + INTERVAL ${checks_days} DAY
SETTINGS ${durable};

-- distributed: queue_samples by sipHash64(tenant, system, queue)

-- One row for each column or JSON shape that came, went or changed. Read by system and time.
CREATE TABLE IF NOT EXISTS ${database}.schema_changes${local}${on_cluster} (
    tenant  LowCardinality(String),
    system  LowCardinality(String),
    dataset LowCardinality(String),
    at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id  UUID,
    path    String,
    event   LowCardinality(String),
    before  String,
    after   String
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, system, dataset, at)
TTL toDateTime(at) + INTERVAL ${events_days} DAY
SETTINGS ${durable};

-- distributed: schema_changes by sipHash64(tenant, system)
