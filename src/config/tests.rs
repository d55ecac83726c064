//! Whole configs: the example, what follows from ownership, and every kind of problem.

use std::path::Path;

use super::*;

fn parsed(text: &str) -> Result<Config, Problems> {
    let environment = Environment::fixed([("ERP_PASSWORD", "s3cret"), ("TOKEN", "0123456789abcdef")]);
    parse_with(text, Path::new("plumbline.toml"), Path::new("/etc/plumbline"), &environment)
}

#[test]
fn the_example_is_accepted() {
    let result = parsed(EXAMPLE);
    assert!(result.is_ok(), "{}", render_check(&result));
}
