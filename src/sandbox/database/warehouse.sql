CREATE TABLE bin (
    id         {{id}},
    item_no    VARCHAR(40) NOT NULL,
    pieces     BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
) {{options}};
CREATE INDEX bin_item_no ON bin (item_no);
CREATE INDEX bin_updated_ms ON bin (updated_ms, item_no);

CREATE TABLE shipment (
    id         {{id}},
    number     VARCHAR(40) NOT NULL,
    order_ref  VARCHAR(40) NOT NULL,
    item_no    VARCHAR(40) NOT NULL,
    pieces     BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
) {{options}};
CREATE INDEX shipment_number ON shipment (number);
CREATE INDEX shipment_updated_ms ON shipment (updated_ms, number);

-- The tables below are filled by the sync job. No unique keys: an interrupted job may write a record twice.
CREATE TABLE item (
    id         {{id}},
    item_no    VARCHAR(40) NOT NULL,
    title      VARCHAR(24) NOT NULL,
    unit_price {{decimal}} NOT NULL,
    updated_ms BIGINT NOT NULL
) {{options}};
CREATE INDEX item_item_no ON item (item_no);
CREATE INDEX item_updated_ms ON item (updated_ms, item_no);

CREATE TABLE pick_order (
    id         {{id}},
    ref        VARCHAR(40) NOT NULL,
    status     VARCHAR(20) NOT NULL,
    updated_ms BIGINT NOT NULL
) {{options}};
CREATE INDEX pick_order_ref ON pick_order (ref);
CREATE INDEX pick_order_updated_ms ON pick_order (updated_ms, ref);

CREATE TABLE pick_line (
    id            {{id}},
    pick_order_id BIGINT NOT NULL,
    item_no       VARCHAR(40) NOT NULL,
    pieces        BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL
) {{options}};
CREATE INDEX pick_line_pick_order_id ON pick_line (pick_order_id);
CREATE INDEX pick_line_updated_ms ON pick_line (updated_ms, pick_order_id)
