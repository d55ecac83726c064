-- Filled by the sync job. No unique keys: an interrupted job may write a record twice.
CREATE TABLE item (
    id         INTEGER PRIMARY KEY,
    item_no    TEXT NOT NULL,
    title      TEXT NOT NULL,
    unit_price TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
);
CREATE INDEX item_item_no ON item (item_no);
CREATE INDEX item_updated_ms ON item (updated_ms, id);

CREATE TABLE pick_order (
    id         INTEGER PRIMARY KEY,
    ref        TEXT NOT NULL,
    status     TEXT NOT NULL,
    amount     TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
);
CREATE INDEX pick_order_ref ON pick_order (ref);
CREATE INDEX pick_order_updated_ms ON pick_order (updated_ms, id);

CREATE TABLE bin (
    id         INTEGER PRIMARY KEY,
    item_no    TEXT NOT NULL UNIQUE,
    pieces     INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);
CREATE INDEX bin_updated_ms ON bin (updated_ms, id);
