//! Whole configs: the example, what follows from ownership, and every kind of problem.

use std::path::Path;

use super::*;

mod alerting;
mod docs;
mod flows;
mod fuzz;
mod problems;
mod values;

const BASE: &str = include_str!("tests/base.toml");

fn parsed(text: &str) -> Result<Config, Problems> {
    let environment = Environment::fixed([
        ("ERP_PASSWORD", "s3cret"),
        ("ERP_URL", "postgres://auditor:s3cret@localhost/erp"),
        ("WAREHOUSE_URL", "mysql://auditor:s3cret@warehouse.example.com/wms"),
        ("PLUMBLINE_TOKEN", "0123456789abcdef"),
        ("TOKEN", "0123456789abcdef"),
        ("EMPTY", " "),
    ]);
    parse_with(text, Path::new("plumbline.toml"), Path::new("/etc/plumbline"), &environment)
}

#[test]
fn the_example_is_accepted() {
    let result = parsed(EXAMPLE);
    assert!(result.is_ok(), "{}", render_check(&result));
}

#[test]
fn the_base_is_accepted() {
    let result = parsed(BASE);
    assert!(result.is_ok(), "{}", render_check(&result));
}
