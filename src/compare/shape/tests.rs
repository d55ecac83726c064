use super::*;

fn column(name: &str, type_name: &str) -> Column {
    Column { nullable: Some(true), ..Column::new(name, type_name) }
}

fn shape(columns: Vec<Column>) -> Shape {
    Shape { dataset: "stock".to_owned(), columns, sampled: None, children: Vec::new() }
}

fn shown(changes: &[ShapeChange]) -> Vec<String> {
    let one = |change: &ShapeChange| {
        let (column, kind) = (&change.column, change.kind.as_str());
        format!("{column} {kind}: {} -> {}", change.before, change.after)
    };
    changes.iter().map(one).collect()
}

fn check(before: Vec<Column>, after: Vec<Column>, expect: &[&str]) {
    assert_eq!(shown(&changes(&shape(before), &shape(after))), expect);
}

fn numbered(name: &str, number: u32) -> Column {
    Column { number: Some((7, number)), ..column(name, "integer") }
}

fn listed(name: &str, values: &[&str]) -> Column {
    Column { values: Some(values.iter().map(ToString::to_string).collect()), ..column(name, "enum") }
}

#[test]
fn columns_come_go_and_change() {
    let stock = || vec![column("sku", "varchar(20)"), column("qty", "int(11)")];
    check(stock(), stock(), &[]);
    check(stock(), vec![column("sku", "varchar(20)")], &["qty removed: int(11) -> "]);
    let more = [stock(), vec![column("name", "text")]].concat();
    check(stock(), more, &["name added:  -> text"]);
    check(
        stock(),
        vec![column("sku", "varchar(10)"), column("qty", "bigint(20)")],
        &["sku narrowed: varchar(20) -> varchar(10)", "qty widened: int(11) -> bigint(20)"],
    );
    check(stock(), vec![column("sku", "varchar(20)"), column("qty", "text")], &["qty retyped: int(11) -> text"]);
    // The order of columns means nothing.
    check(stock(), vec![column("qty", "int(11)"), column("sku", "varchar(20)")], &[]);
    let strict = Column { nullable: Some(false), ..column("qty", "int(11)") };
    check(vec![strict.clone()], vec![column("qty", "int(11)")], &["qty nullable: not null -> nullable"]);
    check(vec![column("qty", "int(11)")], vec![strict], &["qty not_null: nullable -> not null"]);
    let german = Column { collation: Some("de_DE".to_owned()), ..column("sku", "text") };
    check(vec![column("sku", "text")], vec![german], &["sku collation: default -> de_DE"]);
}

#[test]
fn a_new_name_is_known_by_number_or_by_type_and_place() {
    check(vec![numbered("qty", 2)], vec![numbered("quantity", 2)], &["qty renamed: qty -> quantity"]);
    check(
        vec![numbered("qty", 2)],
        vec![numbered("quantity", 3)],
        &["qty removed: integer -> ", "quantity added:  -> integer"],
    );
    // Dropped and made again, or renamed away while another took the name.
    check(vec![numbered("qty", 2)], vec![numbered("qty", 5)], &["qty replaced: integer -> integer"]);
    check(
        vec![numbered("qty", 2)],
        vec![numbered("old", 2), numbered("qty", 5)],
        &["qty replaced: integer -> integer", "old added:  -> integer"],
    );
    // A table that was built anew has other numbers and the same columns.
    let anew = |name: &str| Column { number: Some((8, 1)), ..column(name, "integer") };
    check(vec![numbered("qty", 2)], vec![anew("qty")], &[]);
    check(vec![numbered("qty", 2)], vec![anew("quantity")], &["qty renamed: qty -> quantity"]);
    check(
        vec![column("a", "int"), column("b", "text")],
        vec![column("a", "int"), column("c", "text")],
        &["b renamed: b -> c"],
    );
    check(
        vec![column("a", "int"), column("b", "text")],
        vec![column("a", "int"), column("c", "date")],
        &["b removed: text -> ", "c added:  -> date"],
    );
    // Renamed and made smaller at once.
    let wide = Column { number: Some((7, 1)), ..column("name", "varchar(20)") };
    let narrow = Column { number: Some((7, 1)), ..column("title", "varchar(10)") };
    check(vec![wide], vec![narrow], &["name renamed: name -> title", "name narrowed: varchar(20) -> varchar(10)"]);
}

#[test]
fn lists_of_values_grow_and_shrink() {
    check(vec![listed("state", &["a", "b"])], vec![listed("state", &["a", "b", "c"])], &["state value_added:  -> c"]);
    check(vec![listed("state", &["a", "b"])], vec![listed("state", &["b", "a"])], &[]);
    check(
        vec![listed("state", &["a", "b"])],
        vec![listed("state", &["a", "c"])],
        &["state value_removed: b -> ", "state value_added:  -> c"],
    );
    check(vec![column("state", "enum")], vec![listed("state", &["a"])], &["state narrowed: any value -> one of a"]);
    check(vec![listed("state", &["a"])], vec![column("state", "enum")], &["state widened: one of a -> any value"]);
    check(vec![column("state", "text")], vec![listed("state", &["a"])], &["state retyped: text -> enum"]);
}

#[test]
fn a_change_puts_in_doubt_what_it_can_have_done() {
    let check = |change: &ShapeChange, value: &str, expect: bool| {
        assert_eq!(
            change.doubt().concerns(&Value::from(value), |text| Value::from(text)),
            expect,
            "{change:?} {value}"
        );
    };
    let of = |before: Column, after: Column| changes(&shape(vec![before]), &shape(vec![after])).remove(0);
    let narrowed = of(column("sku", "varchar(20)"), column("sku", "varchar(3)"));
    check(&narrowed, "abc", false);
    check(&narrowed, "abcd", true);
    let added = of(listed("state", &["a"]), listed("state", &["a", "b"]));
    check(&added, "a", false);
    check(&added, "b", true);
    let limited = of(column("state", "enum"), listed("state", &["a"]));
    check(&limited, "a", false);
    check(&limited, "b", true);
    let retyped = of(column("qty", "int"), column("qty", "text"));
    check(&retyped, "a", true);
}

fn sampled(records: u64, columns: &[(&str, &str, u64)]) -> Shape {
    let column = |(name, type_name, seen): &(&str, &str, u64)| Column { seen: *seen, ..Column::new(*name, *type_name) };
    let columns = columns.iter().map(column).collect();
    Shape { dataset: "products".to_owned(), columns, sampled: Some(records), children: Vec::new() }
}

#[test]
fn records_show_what_changed_and_chance_does_not() {
    let check = |before: &Shape, after: &Shape, expect: &[&str]| {
        assert_eq!(shown(&changes(before, after)), expect);
    };
    let known = sampled(20, &[("id", "integer", 20), ("price", "text", 20), ("sale", "text", 3)]);
    check(&known, &sampled(5, &[("id", "integer", 5), ("price", "text", 5)]), &[]);
    check(&known, &sampled(0, &[]), &[]);
    check(&known, &sampled(5, &[("id", "integer", 5), ("price", "number", 5)]), &["price retyped: text -> number"]);
    check(
        &known,
        &sampled(5, &[("id", "integer", 5), ("price", "number or text", 5)]),
        &["price retyped: text -> number or text"],
    );
    check(&known, &sampled(5, &[("id", "number", 5), ("price", "text", 5)]), &["id widened: integer -> number"]);
    check(&known, &sampled(5, &[("id", "integer", 5)]), &["price removed: text -> "]);
    check(&known, &sampled(5, &[("id", "integer", 5), ("cost", "text", 5)]), &["price renamed: price -> cost"]);
    check(
        &known,
        &sampled(5, &[("id", "integer", 5), ("cost", "number", 5)]),
        &["price removed: text -> ", "cost added:  -> number"],
    );
    check(
        &known,
        &sampled(1, &[("id", "integer", 1), ("price", "text", 1), ("new", "object", 1), ("new.a", "text", 1)]),
        &["new added:  -> object"],
    );
    // Null says nothing of a type.
    check(&known, &sampled(5, &[("id", "integer", 5), ("price", "null", 0)]), &[]);
    // Lines of orders without lines went nowhere.
    let lines = sampled(2, &[("lines", "list", 2), ("lines[]", "object", 4), ("lines[].sku", "text", 4)]);
    check(&lines, &sampled(3, &[("lines", "list", 3)]), &[]);
    check(&lines, &sampled(3, &[("lines", "list", 3), ("lines[]", "object", 3)]), &["lines[].sku removed: text -> "]);
    check(&lines, &sampled(3, &[]), &["lines removed: list -> "]);
}

#[test]
fn looks_at_records_add_up() {
    let merged = merged(
        &sampled(20, &[("id", "integer", 20), ("sale", "null", 0)]),
        &sampled(5, &[("id", "number", 5), ("sale", "text", 2), ("new", "text", 5)]),
    );
    assert_eq!(merged.sampled, Some(25));
    let columns: Vec<_> =
        merged.columns.iter().map(|column| format!("{} {} {}", column.name, column.type_name, column.seen)).collect();
    assert_eq!(columns, ["id integer or number 25", "new text 5", "sale text 2"]);
}
