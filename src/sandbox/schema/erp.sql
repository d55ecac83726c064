CREATE TABLE product (
    id          INTEGER PRIMARY KEY,
    sku         TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    write_date  TEXT NOT NULL
);
CREATE INDEX product_write_date ON product (write_date, id);

CREATE TABLE sale_order (
    id          INTEGER PRIMARY KEY,
    number      TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL,
    total_cents INTEGER NOT NULL,
    write_date  TEXT NOT NULL
);
CREATE INDEX sale_order_write_date ON sale_order (write_date, id);

-- Filled by the sync job. No unique key: an interrupted job may write a record twice.
CREATE TABLE stock_level (
    id         INTEGER PRIMARY KEY,
    sku        TEXT NOT NULL,
    on_hand    INTEGER NOT NULL,
    write_date TEXT NOT NULL
);
CREATE INDEX stock_level_sku ON stock_level (sku);
CREATE INDEX stock_level_write_date ON stock_level (write_date, id);
