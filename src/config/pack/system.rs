//! `pack` and `settings` of a system of kind `http`.

use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;

use super::{Pack, Values, read, settings, text_of};
use crate::config::address::Address;
use crate::config::section::{Read, Section};

/// The pack of a system with its settings. Problems inside a pack are reported at the system's `pack`, each with
/// its own place.
pub(in crate::config) fn read_use(section: &Section<'_>, address: &Address) -> Option<Arc<Pack>> {
    let node = section.need("pack")?;
    let name = String::read(node)?;
    let (text, file) = match text_of(&name, section.reading.base_dir) {
        Ok(found) => found,
        Err(message) => return node.refuse(message),
    };
    let mut values = Values::default();
    values.set("url", address.url.expose_secret());
    let before = section.reading.count();
    settings::take(&read::declared(&text, &file), section.get("settings"), section, &mut values);
    if section.reading.count() > before {
        return None;
    }
    let shown = if name.ends_with(".toml") { Path::new(&name) } else { &file };
    match Pack::parse(&text, shown, &values) {
        Ok(pack) => Some(Arc::new(pack)),
        Err(problems) => {
            for problem in problems.iter() {
                let place = format!("{}:{}:{}", shown.display(), problem.line, problem.column);
                section.reading.problem(node.at(), format!("`pack`: {place}: {problem}"));
            }
            None
        }
    }
}
