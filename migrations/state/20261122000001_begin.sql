-- Runs on SQLite and PostgreSQL as it is. Moments are microseconds since the epoch, UTC. `BYTEA` means nothing to
-- SQLite, which then stores what it is given: bytes.

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Processes that take work; one that does not say that it lives loses its share.
CREATE TABLE auditors (
    auditor    TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- A row is never deleted: the token must only grow.
CREATE TABLE leases (
    unit       TEXT   NOT NULL PRIMARY KEY,
    auditor    TEXT   NOT NULL,
    token      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Where each unit goes on. Encrypted: a position can hold key values.
CREATE TABLE positions (
    unit     TEXT  NOT NULL PRIMARY KEY,
    position BYTEA NOT NULL
);

-- Runs whose change is in this database. A run's row stays until its spool segment is gone, so that a replay is
-- recognised.
CREATE TABLE applied_runs (
    run_id     TEXT   NOT NULL PRIMARY KEY,
    spool      TEXT   NOT NULL,
    applied_at BIGINT NOT NULL
);

CREATE INDEX applied_runs_by_spool ON applied_runs (spool);

-- Keys that differ and whose deadline has not decided yet, or that are overdue.
CREATE TABLE in_flight (
    flow       TEXT   NOT NULL,
    key_hash   TEXT   NOT NULL,
    due_at     BIGINT NOT NULL,
    overdue_at BIGINT NOT NULL,
    payload    BYTEA  NOT NULL,
    PRIMARY KEY (flow, key_hash)
);

-- Serves "which keys are due?".
CREATE INDEX in_flight_by_due ON in_flight (flow, due_at);

-- Serves the counts by flow, and the oldest overdue, from the index alone.
CREATE INDEX in_flight_by_overdue ON in_flight (flow, overdue_at);

-- What both sides of a two-way flow last agreed on.
CREATE TABLE baselines (
    pair      TEXT   NOT NULL,
    key_hash  TEXT   NOT NULL,
    digest    TEXT   NOT NULL,
    agreed_at BIGINT NOT NULL,
    PRIMARY KEY (pair, key_hash)
);

CREATE TABLE discrepancies (
    id         TEXT   NOT NULL PRIMARY KEY,
    flow       TEXT   NOT NULL,
    key_hash   TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    verdict    TEXT   NOT NULL,
    opened_at  BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    since      BIGINT NOT NULL,
    payload    BYTEA  NOT NULL
);

-- Serves "is there an open discrepancy for these keys?" and the counts by flow and verdict.
CREATE INDEX discrepancies_open ON discrepancies (flow, key_hash, verdict) WHERE status IN ('open', 'resolving');

-- Serves the removal of settled discrepancies; their history is in the ledger.
CREATE INDEX discrepancies_settled ON discrepancies (changed_at) WHERE status IN ('resolved', 'accepted');
