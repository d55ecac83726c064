-- Totals as the probe writes them: one row for each line of a flow (business day, currency, status) with both sides in it.
-- The table of the first schema had one row a side and was never written; its partitions by business day do not go together
-- with how rows are looked up after a crash. On one server only an empty table is dropped: where another process has come
-- further and written, this fails and the next start finds the migration done. A cluster cannot make it depend on that.
DROP TABLE IF EXISTS${if_empty} ${database}.totals${local}${on_cluster};

-- On a cluster the table over all shards; on one server it is gone already.
DROP TABLE IF EXISTS${if_empty} ${database}.totals${on_cluster};

-- Decimals of 38 digits before and 38 after the point. `day` is text, so that records without a day, and days in any year, have
-- their place: `toDate32OrNull(day)` where a date is wanted. Read by flow and time.
CREATE TABLE IF NOT EXISTS ${database}.totals${local}${on_cluster} (
    tenant         LowCardinality(String),
    entity         LowCardinality(String),
    owner          LowCardinality(String),
    target         LowCardinality(String),
    at             DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    run_id         UUID,
    amount         LowCardinality(String),
    day            LowCardinality(String),
    currency       LowCardinality(String),
    status         LowCardinality(String),
    owner_records  UInt64,
    target_records UInt64,
    owner_debit    Decimal(76, 38),
    owner_credit   Decimal(76, 38),
    owner_net      Decimal(76, 38),
    target_debit   Decimal(76, 38),
    target_credit  Decimal(76, 38),
    target_net     Decimal(76, 38),
    variance       Decimal(76, 38),
    allowed        Decimal(76, 38),
    differs        Bool,
    complete       Bool,
    reason         LowCardinality(String),
    owner_way      LowCardinality(String),
    target_way     LowCardinality(String),
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, entity, owner, target, at)
TTL toDateTime(at) + INTERVAL ${rollup_days} DAY
SETTINGS ${durable};

-- distributed: totals by sipHash64(tenant, entity, owner, target)
