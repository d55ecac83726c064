-- How a sweep looks for differences, and what its first look at some rows said.
ALTER TABLE ${database}.sweeps${local}${on_cluster}
    ADD COLUMN IF NOT EXISTS strategy LowCardinality(String),
    ADD COLUMN IF NOT EXISTS strategy_reason String,
    ADD COLUMN IF NOT EXISTS first_looked_at UInt64,
    ADD COLUMN IF NOT EXISTS first_differing UInt64;

-- On a cluster the same for the table over all shards; on one server it is the same table, and there is nothing to do.
ALTER TABLE ${database}.sweeps${on_cluster}
    ADD COLUMN IF NOT EXISTS strategy LowCardinality(String),
    ADD COLUMN IF NOT EXISTS strategy_reason String,
    ADD COLUMN IF NOT EXISTS first_looked_at UInt64,
    ADD COLUMN IF NOT EXISTS first_differing UInt64;
