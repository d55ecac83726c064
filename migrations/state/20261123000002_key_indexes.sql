-- Indexes of keys that lead back to no row: which addresses had a key. Hashes are keyed, addresses and cursors encrypted.

CREATE TABLE key_indexes (
    id               BIGINT NOT NULL PRIMARY KEY,
    name             TEXT   NOT NULL,
    -- Grows when an address is dropped.
    version          BIGINT NOT NULL,
    position         BYTEA  NOT NULL,
    entries          BIGINT NOT NULL,
    -- 0: never complete yet.
    complete_through BIGINT NOT NULL,
    touched_at       BIGINT NOT NULL
);

-- The primary key serves "which addresses had these keys?".
CREATE TABLE key_index_entries (
    index_id    BIGINT NOT NULL,
    key_hash    BYTEA  NOT NULL,
    native_hash BYTEA  NOT NULL,
    native      BYTEA  NOT NULL,
    PRIMARY KEY (index_id, key_hash, native_hash)
);
