-- Pieces of the sweeps under way. Whoever is free takes one for a while; a piece whose auditor died is free again when its
-- lease has run out. `status`: `open`, `wide` (only for whoever holds the unit), `found` (gone through, its suspects not judged
-- yet), `settled`. `plan` says what is read and how: auditors with another config leave the piece alone. The rows of a
-- unit's last flow stay until it is swept again. The content is encrypted: it holds key values.
CREATE TABLE sweep_chunks (
    id         TEXT   NOT NULL PRIMARY KEY,
    unit       TEXT   NOT NULL,
    sweep      TEXT   NOT NULL,
    flow       TEXT   NOT NULL,
    plan       TEXT   NOT NULL,
    number     BIGINT NOT NULL,
    status     TEXT   NOT NULL,
    auditor    TEXT   NOT NULL,
    token      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    content    BYTEA  NOT NULL
);

-- Serves "which piece is free?".
CREATE INDEX sweep_chunks_by_status ON sweep_chunks (status, unit, number);

-- Serves the removal of a unit's pieces.
CREATE INDEX sweep_chunks_by_unit ON sweep_chunks (unit);
