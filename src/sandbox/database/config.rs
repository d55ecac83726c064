//! What plumbline.toml says of the two databases.

use std::time::Duration;

use super::super::record::System;
use super::dialect::Dialect;

/// The system and its mappings for plumbline.toml. `url` is what stands there: `sqlite:FILE`, or `env:NAME` for one
/// with a password. `commit_delay` is the longest time between a stamp and its commit.
pub fn plumbline_toml(system: System, dialect: Dialect, url: &str, commit_delay: Duration) -> String {
    let text = match system {
        System::Erp => include_str!("../config/erp.toml"),
        System::Warehouse => include_str!("../config/warehouse.toml"),
        System::Store | System::Crm => return String::new(),
    };
    text.replace("{{kind}}", dialect.kind())
        .replace("{{url}}", url)
        .replace("{{commit_delay}}", &format!("{}ms", commit_delay.as_millis()))
}
