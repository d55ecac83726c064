-- Whose probe saw a change of a column or JSON shape, and what of the entity is made of it. Looked for by run (`by_run`)
-- before a block is sent again.
ALTER TABLE ${database}.schema_changes${local}${on_cluster}
    ADD COLUMN IF NOT EXISTS entity LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fields Array(LowCardinality(String)),
    ADD INDEX IF NOT EXISTS by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4;

-- On a cluster the same for the table over all shards; on one server it is the same table, and there is nothing to do.
ALTER TABLE ${database}.schema_changes${on_cluster}
    ADD COLUMN IF NOT EXISTS entity LowCardinality(String),
    ADD COLUMN IF NOT EXISTS fields Array(LowCardinality(String));
