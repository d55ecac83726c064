-- Messages to people and to their tools. A row is written in the transaction that changes its incident, and lives until
-- it was delivered, refused for good or dropped. `status`: waiting, repeating (delivered, and sent again while its alert
-- fires), delivered, dead, folded (told as part of another message), cancelled.
CREATE TABLE outbox (
    id           TEXT   NOT NULL PRIMARY KEY,
    incident     TEXT   NOT NULL,
    channel      TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    severity     TEXT   NOT NULL,
    status       TEXT   NOT NULL,
    -- Messages of one incident go to a channel in this order.
    happened_at  BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    -- When it is to be tried next.
    next_at      BIGINT NOT NULL,
    -- 1: waits to be told together with others.
    bundled      BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    leased_by    TEXT   NOT NULL,
    leased_until BIGINT NOT NULL,
    settled_at   BIGINT NOT NULL,
    error        TEXT   NOT NULL,
    payload      BYTEA  NOT NULL
);

-- Serves "what is due on this channel?".
CREATE INDEX outbox_by_due ON outbox (channel, next_at) WHERE status IN ('waiting', 'repeating');

-- Serves "who has been told of this incident?" and the order of its messages.
CREATE INDEX outbox_by_incident ON outbox (incident, channel, happened_at);

-- Serves the rate of a channel and the removal of what is old.
CREATE INDEX outbox_by_settled ON outbox (channel, settled_at) WHERE status NOT IN ('waiting', 'repeating');
