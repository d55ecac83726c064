CREATE TABLE product (
    id          {{id}},
    sku         VARCHAR(40) NOT NULL,
    name        VARCHAR(200) NOT NULL,
    price_cents BIGINT NOT NULL,
    active      SMALLINT NOT NULL DEFAULT 1,
    write_date  {{stamp}} NOT NULL
) {{options}};
CREATE INDEX product_sku ON product (sku);
CREATE INDEX product_write_date ON product (write_date, sku);

-- What happened to products, written with them and taken by the sync job.
CREATE TABLE outbox (
    id         {{id}},
    entity     VARCHAR(20) NOT NULL,
    record_key VARCHAR(40) NOT NULL
) {{options}};

-- The tables below are filled by the sync job. No unique keys: an interrupted job may write a record twice.
CREATE TABLE stock_level (
    id         {{id}},
    sku        VARCHAR(40) NOT NULL,
    on_hand    BIGINT NOT NULL,
    write_date {{stamp}} NOT NULL
) {{options}};
CREATE INDEX stock_level_sku ON stock_level (sku);
CREATE INDEX stock_level_write_date ON stock_level (write_date, sku);

CREATE TABLE sale_order (
    id          {{id}},
    number      VARCHAR(40) NOT NULL,
    state       VARCHAR(20) NOT NULL,
    currency    VARCHAR(3) NOT NULL,
    total_minor BIGINT NOT NULL,
    write_date  {{stamp}} NOT NULL
) {{options}};
CREATE INDEX sale_order_number ON sale_order (number);
CREATE INDEX sale_order_write_date ON sale_order (write_date, number);

CREATE TABLE sale_order_line (
    id         {{id}},
    order_id   BIGINT NOT NULL,
    sku        VARCHAR(40) NOT NULL,
    quantity   BIGINT NOT NULL,
    write_date {{stamp}} NOT NULL
) {{options}};
CREATE INDEX sale_order_line_order_id ON sale_order_line (order_id);
CREATE INDEX sale_order_line_write_date ON sale_order_line (write_date, order_id);

CREATE TABLE credit_note (
    id           {{id}},
    order_id     BIGINT NOT NULL,
    amount_minor BIGINT NOT NULL,
    write_date   {{stamp}} NOT NULL
) {{options}};
CREATE INDEX credit_note_order_id ON credit_note (order_id);
CREATE INDEX credit_note_write_date ON credit_note (write_date, order_id);

CREATE TABLE delivery (
    id         {{id}},
    name       VARCHAR(40) NOT NULL,
    origin     VARCHAR(40) NOT NULL,
    sku        VARCHAR(40) NOT NULL,
    quantity   BIGINT NOT NULL,
    write_date {{stamp}} NOT NULL
) {{options}};
CREATE INDEX delivery_name ON delivery (name);
CREATE INDEX delivery_write_date ON delivery (write_date, name);

CREATE TABLE partner (
    id         {{id}},
    ref        VARCHAR(40) NOT NULL,
    name       VARCHAR(200) NOT NULL,
    email      VARCHAR(200) NOT NULL,
    active     SMALLINT NOT NULL DEFAULT 1,
    write_date {{stamp}} NOT NULL
) {{options}};
CREATE INDEX partner_ref ON partner (ref);
CREATE INDEX partner_write_date ON partner (write_date, ref)
