-- Changes of columns and JSON shapes that somebody accepted. What is open is part of the units' positions; an acceptance
-- counts for a change that was seen before it.
CREATE TABLE accepted_changes (
    entity      TEXT   NOT NULL,
    system      TEXT   NOT NULL,
    dataset     TEXT   NOT NULL,
    change      TEXT   NOT NULL,
    accepted_at BIGINT NOT NULL,
    accepted_by TEXT   NOT NULL,
    PRIMARY KEY (entity, system, dataset, change)
);
