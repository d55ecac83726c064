//! How each of the two systems writes each entity: tables, columns, codings.

use super::super::record::{Content, Entity, Field, System, cut, status};
use super::dialect::Type;
use crate::model::Moment;

/// Where a system holds an entity.
#[derive(Debug)]
pub(super) struct Table {
    pub name: &'static str,
    /// The column of the key.
    pub key: &'static str,
    /// What stands before the key there.
    pub prefix: &'static str,
    pub columns: &'static [Column],
    pub stamp: StampColumn,
    /// How a record is marked as deleted, if the system can.
    pub retired: Option<Retired>,
    /// The lines of an order.
    pub lines: Option<Lines>,
    /// The refunds of an order.
    pub refunds: Option<Refunds>,
    /// Orders that are not to be shipped are unknown here.
    pub only_concerning: bool,
}

/// A field in a column of its own.
#[derive(Debug)]
pub(super) struct Column {
    pub field: Field,
    pub name: &'static str,
    pub coding: Coding,
}

/// How a value is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coding {
    Text,
    /// As much of a text as fits.
    Cut,
    Integer,
    /// Cents as `12.99`.
    Decimal,
    /// Behind a prefix.
    Behind(&'static str),
    /// An order's state in the ERP's words.
    State,
}

/// The stamp of the last change.
#[derive(Clone, Copy, Debug)]
pub(super) enum StampColumn {
    /// `write_date`: text or a timestamp, UTC, microseconds.
    WriteDate,
    /// `updated_ms`: milliseconds since 1970.
    UpdatedMs,
}

/// How a record is marked as deleted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Retired {
    /// `active` is 0.
    Inactive,
    /// `state` is neither `sale` nor `done`.
    Cancelled,
}

/// The table of an order's lines.
#[derive(Debug)]
pub(super) struct Lines {
    pub table: &'static str,
    pub parent: &'static str,
    pub sku: &'static str,
    pub prefix: &'static str,
    pub pieces: &'static str,
}

/// The table of an order's refunds.
#[derive(Debug)]
pub(super) struct Refunds {
    pub table: &'static str,
    pub parent: &'static str,
    pub amount: &'static str,
}

/// What is bound to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
}

const fn column(field: Field, name: &'static str, coding: Coding) -> Column {
    Column { field, name, coding }
}

const fn erp(name: &'static str, key: &'static str, prefix: &'static str, columns: &'static [Column]) -> Table {
    let stamp = StampColumn::WriteDate;
    Table { name, key, prefix, columns, stamp, retired: None, lines: None, refunds: None, only_concerning: false }
}

const fn warehouse(name: &'static str, key: &'static str, prefix: &'static str, columns: &'static [Column]) -> Table {
    Table { stamp: StampColumn::UpdatedMs, ..erp(name, key, prefix, columns) }
}

const ITEM: &str = "WH-";
const ORDER: &str = "SO-";

static PRODUCT: Table = Table {
    retired: Some(Retired::Inactive),
    ..erp(
        "product",
        "sku",
        "",
        &[column(Field::Title, "name", Coding::Text), column(Field::Price, "price_cents", Coding::Integer)],
    )
};
static STOCK_LEVEL: Table = erp("stock_level", "sku", "", &[column(Field::Pieces, "on_hand", Coding::Integer)]);
static SALE_ORDER: Table = Table {
    retired: Some(Retired::Cancelled),
    lines: Some(Lines { table: "sale_order_line", parent: "order_id", sku: "sku", prefix: "", pieces: "quantity" }),
    refunds: Some(Refunds { table: "credit_note", parent: "order_id", amount: "amount_minor" }),
    ..erp(
        "sale_order",
        "number",
        ORDER,
        &[
            column(Field::Status, "state", Coding::State),
            column(Field::Currency, "currency", Coding::Text),
            column(Field::Total, "total_minor", Coding::Integer),
        ],
    )
};
static DELIVERY: Table = erp(
    "delivery",
    "name",
    "OUT/",
    &[
        column(Field::Order, "origin", Coding::Behind(ORDER)),
        column(Field::Sku, "sku", Coding::Text),
        column(Field::Pieces, "quantity", Coding::Integer),
    ],
);
static PARTNER: Table = Table {
    retired: Some(Retired::Inactive),
    ..erp(
        "partner",
        "ref",
        "CUST-",
        &[column(Field::Name, "name", Coding::Text), column(Field::Email, "email", Coding::Text)],
    )
};

static ITEM_TABLE: Table = warehouse(
    "item",
    "item_no",
    ITEM,
    &[column(Field::Title, "title", Coding::Cut), column(Field::Price, "unit_price", Coding::Decimal)],
);
static BIN: Table = warehouse("bin", "item_no", ITEM, &[column(Field::Pieces, "pieces", Coding::Integer)]);
static PICK_ORDER: Table = Table {
    lines: Some(Lines { table: "pick_line", parent: "pick_order_id", sku: "item_no", prefix: ITEM, pieces: "pieces" }),
    only_concerning: true,
    ..warehouse("pick_order", "ref", "", &[column(Field::Status, "status", Coding::Text)])
};
static SHIPMENT: Table = warehouse(
    "shipment",
    "number",
    "",
    &[
        column(Field::Order, "order_ref", Coding::Text),
        column(Field::Sku, "item_no", Coding::Behind(ITEM)),
        column(Field::Pieces, "pieces", Coding::Integer),
    ],
);

impl Table {
    /// Where `system` holds `entity`, if it is one of the two databases and does.
    pub fn of(system: System, entity: Entity) -> Option<&'static Self> {
        match (system, entity) {
            (System::Erp, Entity::Product) => Some(&PRODUCT),
            (System::Erp, Entity::Stock) => Some(&STOCK_LEVEL),
            (System::Erp, Entity::Order) => Some(&SALE_ORDER),
            (System::Erp, Entity::Shipment) => Some(&DELIVERY),
            (System::Erp, Entity::Customer) => Some(&PARTNER),
            (System::Warehouse, Entity::Product) => Some(&ITEM_TABLE),
            (System::Warehouse, Entity::Stock) => Some(&BIN),
            (System::Warehouse, Entity::Order) => Some(&PICK_ORDER),
            (System::Warehouse, Entity::Shipment) => Some(&SHIPMENT),
            (System::Warehouse, Entity::Customer) | (System::Store | System::Crm, _) => None,
        }
    }

    /// The key as it stands in the key column.
    pub fn written_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Whether the system can hold such a record at all.
    pub fn can_hold(&self, content: &Content) -> bool {
        !self.only_concerning || [status::OPEN, status::SHIPPED].contains(&content.text(Field::Status))
    }

    /// A condition that holds for records that are not marked as deleted.
    pub fn live(&self) -> &'static str {
        match self.retired {
            None => "1 = 1",
            Some(Retired::Inactive) => "active = 1",
            Some(Retired::Cancelled) => "state IN ('sale', 'done')",
        }
    }
}

impl Column {
    /// A record's value for this column.
    pub fn written(&self, content: &Content) -> Value {
        match self.coding {
            Coding::Text => Value::Text(content.text(self.field).to_owned()),
            Coding::Cut => Value::Text(cut(content.text(self.field))),
            Coding::Integer => Value::Integer(content.number(self.field)),
            Coding::Decimal => Value::Text(decimal(content.number(self.field))),
            Coding::Behind(prefix) => Value::Text(format!("{prefix}{}", content.text(self.field))),
            Coding::State => Value::Text(state(content.text(self.field)).to_owned()),
        }
    }

    /// What a value of this column says in the common language.
    pub fn read(&self, value: Value) -> String {
        match (self.coding, value) {
            (_, Value::Integer(number)) => number.to_string(),
            (Coding::Decimal, Value::Text(text)) => {
                text.replace('.', "").parse().map_or(text, |cents: i64| cents.to_string())
            }
            (Coding::Behind(prefix), Value::Text(text)) => text.strip_prefix(prefix).unwrap_or(&text).to_owned(),
            (Coding::State, Value::Text(text)) => common_status(&text).to_owned(),
            (Coding::Text | Coding::Cut | Coding::Integer, Value::Text(text)) => text,
        }
    }

    /// How it is bound and read.
    pub const fn kind(&self) -> Type {
        match self.coding {
            Coding::Integer => Type::Integer,
            Coding::Decimal => Type::Decimal,
            Coding::Text | Coding::Cut | Coding::Behind(_) | Coding::State => Type::Text,
        }
    }
}

impl StampColumn {
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteDate => "write_date",
            Self::UpdatedMs => "updated_ms",
        }
    }

    pub const fn kind(self) -> Type {
        match self {
            Self::WriteDate => Type::Stamp,
            Self::UpdatedMs => Type::Integer,
        }
    }

    pub fn written(self, moment: Moment) -> Value {
        match self {
            Self::WriteDate => Value::Text(moment.to_utc().format("%Y-%m-%d %H:%M:%S%.6f").to_string()),
            Self::UpdatedMs => Value::Integer(moment.micros().div_euclid(1000)),
        }
    }
}

impl Retired {
    /// What an update sets to mark a record as deleted.
    pub const fn assignment(self) -> &'static str {
        match self {
            Self::Inactive => "active = 0",
            Self::Cancelled => "state = 'cancel'",
        }
    }

    /// What an update of a record sets besides its columns, so that it is not deleted any more.
    pub const fn revival(self) -> &'static str {
        match self {
            Self::Inactive => ", active = 1",
            // The state is one of its columns.
            Self::Cancelled => "",
        }
    }
}

/// The ERP's word for an order's status.
fn state(status: &str) -> &str {
    match status {
        status::PENDING => "draft",
        status::OPEN => "sale",
        status::SHIPPED => "done",
        status::CANCELLED => "cancel",
        other => other,
    }
}

fn common_status(state: &str) -> &str {
    match state {
        "draft" => status::PENDING,
        "sale" => status::OPEN,
        "done" => status::SHIPPED,
        "cancel" => status::CANCELLED,
        other => other,
    }
}

fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_and_target_among_the_two_has_a_table() {
        for entity in Entity::ALL {
            for system in [System::Erp, System::Warehouse] {
                let holds = entity.owner() == system || entity.targets().contains(&system);
                assert_eq!(Table::of(system, entity).is_some(), holds, "{entity} in {system}");
            }
        }
    }

    #[test]
    fn values_survive_their_column() {
        let check = |coding: Coding, said: &str, written: Value| {
            let column = column(Field::Sku, "column", coding);
            assert_eq!(column.written(&Content::of([(Field::Sku, said.to_owned())])), written);
            assert_eq!(column.read(written), said);
        };
        let text = |text: &str| Value::Text(text.to_owned());
        check(Coding::Text, "Lot à plomb", text("Lot à plomb"));
        check(Coding::Integer, "-3", Value::Integer(-3));
        for (cents, decimal) in [("0", "0.00"), ("5", "0.05"), ("1299", "12.99"), ("-1205", "-12.05")] {
            check(Coding::Decimal, cents, text(decimal));
        }
        check(Coding::Behind("WH-"), "SKU-0001", text("WH-SKU-0001"));
        for (status, state) in [("pending", "draft"), ("open", "sale"), ("shipped", "done"), ("cancelled", "cancel")] {
            check(Coding::State, status, text(state));
        }
    }

    #[test]
    fn each_system_writes_time_in_its_own_way() {
        let moment = Moment::from_micros(1_769_860_800_123_456);
        let written = Value::Text("2026-01-31 12:00:00.123456".to_owned());
        assert_eq!(StampColumn::WriteDate.written(moment), written);
        assert_eq!(StampColumn::UpdatedMs.written(moment), Value::Integer(1_769_860_800_123));
    }
}
