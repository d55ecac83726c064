-- One row for each episode of a broken promise or of blindness. Encrypted: it holds keys and values as people see them.
CREATE TABLE incidents (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant      TEXT   NOT NULL,
    cause       TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    severity    TEXT   NOT NULL,
    opened_at   BIGINT NOT NULL,
    -- 0: it is not.
    resolved_at BIGINT NOT NULL,
    -- Grows with each change: who changes what somebody else has changed meanwhile must look again.
    version     BIGINT NOT NULL,
    payload     BYTEA  NOT NULL
);

-- One open incident a cause.
CREATE UNIQUE INDEX incidents_open ON incidents (tenant, cause) WHERE state <> 'resolved';

-- Serves "what was there lately?" and the removal of what is long over.
CREATE INDEX incidents_by_end ON incidents (tenant, resolved_at);

-- The timeline, in its order.
CREATE TABLE incident_steps (
    incident TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    -- 1: the ledger has it.
    told     BIGINT NOT NULL,
    payload  BYTEA  NOT NULL,
    PRIMARY KEY (incident, number)
);

-- Serves "what does the ledger not have yet?".
CREATE INDEX incident_steps_untold ON incident_steps (incident, number) WHERE told = 0;

-- Times in which something is worked on, beside those of the config. Recorded, never erased.
CREATE TABLE maintenance (
    id      TEXT   NOT NULL PRIMARY KEY,
    from_at BIGINT NOT NULL,
    to_at   BIGINT NOT NULL,
    -- Names of systems, separated by blanks; empty for everything.
    systems TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    made_by TEXT   NOT NULL,
    made_at BIGINT NOT NULL
);
