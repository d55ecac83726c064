//! `[auth]` of a pack.

use super::{Auth, Values, fill};
use crate::config::section::{Keys, Node, Section};

pub(super) const KEYS: Keys = Keys {
    section: "[auth]",
    names: &["kind", "user", "password", "token", "name", "value", "database"],
    not_yet: &[],
};

#[derive(Clone, Copy)]
enum Kind {
    None,
    Basic,
    Bearer,
    Header,
    Odoo,
}

const KINDS: [(&str, Kind); 5] = [
    ("none", Kind::None),
    ("basic", Kind::Basic),
    ("bearer", Kind::Bearer),
    ("header", Kind::Header),
    ("odoo", Kind::Odoo),
];

pub(super) fn read(section: &Section<'_>, values: &Values) -> Option<Auth> {
    let kind = section.need("kind").and_then(|node| fill::choice(node, values, &KINDS))?;
    let secret = |key| section.need(key).and_then(|node| fill::secret(node, values));
    Some(match kind {
        Kind::None => Auth::None,
        Kind::Basic => Auth::Basic { user: secret("user")?, password: secret("password")? },
        Kind::Bearer => Auth::Bearer(secret("token")?),
        Kind::Header => {
            let name = section.need("name").and_then(|node| header_name(node, values));
            Auth::Header { name: name?, value: secret("value")? }
        }
        Kind::Odoo => {
            let text = |key| section.need(key).and_then(|node| fill::text(node, values));
            let (database, user, key) = (text("database"), text("user"), secret("token"));
            Auth::Odoo { database: database?, user: user?, key: key? }
        }
    })
}

fn header_name(node: Node<'_>, values: &Values) -> Option<String> {
    let name = fill::text(node, values)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_token) {
        return Some(name);
    }
    node.refuse(format!("`{name}` is not the name of a header"))
}
