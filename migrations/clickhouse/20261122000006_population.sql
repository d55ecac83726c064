-- What a report stands on: one row for each key and side, frozen for the report. No TTL: a report must be provable for
-- as long as it exists. Read by report, entity and side; partitioned by the month of the snapshot.
CREATE TABLE IF NOT EXISTS ${database}.population${local}${on_cluster} (
    tenant        LowCardinality(String),
    report_id     UUID,
    entity        LowCardinality(String),
    system        LowCardinality(String),
    side          LowCardinality(String),
    key_hash      String,
    key           String CODEC(ZSTD),
    business_date Date,
    status        LowCardinality(String),
    currency      LowCardinality(String),
    amount        Decimal(38, 8),
    digest        String,
    taken_at      DateTime64(6, 'UTC'),
    run_id        UUID
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(taken_at)
ORDER BY (tenant, report_id, entity, side, key_hash)
SETTINGS ${durable};

-- distributed: population by sipHash64(tenant, report_id, key_hash)
