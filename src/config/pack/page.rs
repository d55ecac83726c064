//! `[page.NAME]` of a pack: how pages follow each other.

use super::read::place;
use super::{Body, Dialect, PageKind, Paging, Placeholder, Values, body, fill};
use crate::config::section::{Keys, Node, Section};

pub(super) const KEYS: Keys = Keys {
    section: "[page.NAME]",
    names: &["kind", "param", "first", "from", "more", "body", "size_param", "size", "total", "cap"],
    not_yet: &[],
};

#[derive(Clone, Copy)]
enum Kind {
    Page,
    Offset,
    Cursor,
    Link,
    Keyset,
}

const KINDS: [(&str, Kind); 5] = [
    ("page", Kind::Page),
    ("offset", Kind::Offset),
    ("cursor", Kind::Cursor),
    ("link", Kind::Link),
    ("keyset", Kind::Keyset),
];

/// Larger pages serve nobody: an answer is held in memory.
const LARGEST_PAGE: u64 = 10_000;

pub(super) fn read(section: &Section<'_>, dialect: Dialect, values: &Values) -> Option<Paging> {
    let kind = section.need("kind").and_then(|node| node.choice(&KINDS))?;
    let body = match dialect {
        Dialect::Rest => {
            section.refuse(&["body", "more"], "belongs to packs that send bodies: `[http] dialect`");
            Some(Body::default())
        }
        _ => in_body(section, kind, values),
    };
    let param = || match dialect {
        Dialect::Rest => section.need("param").and_then(|node| fill::some_text(node, values)),
        _ => Some(String::new()),
    };
    let at = |key| section.get(key).and_then(|node| place(node, values));
    let from = || section.need("from").and_then(|node| place(node, values));
    let kind = match kind {
        Kind::Page => {
            let first = section.get("first").and_then(|node| fill::number(node, values)).unwrap_or(1);
            PageKind::Page { param: param()?, first }
        }
        Kind::Offset => PageKind::Offset { param: param()? },
        Kind::Cursor => PageKind::Cursor { param: param()?, from: from()?, more: at("more") },
        Kind::Link | Kind::Keyset if (dialect == Dialect::Rest) == matches!(kind, Kind::Keyset) => {
            let message = "`link` is for addresses and `keyset` for bodies: `[http] dialect`";
            return section.need("kind").and_then(|node| node.refuse(message));
        }
        Kind::Link => PageKind::Link { from: from()? },
        Kind::Keyset => PageKind::Keyset,
    };
    Some(Paging {
        kind,
        size_param: section.get("size_param").and_then(|node| fill::some_text(node, values)),
        body: body?,
        size: section.need("size").and_then(|node| size(node, values))?,
        total: at("total"),
        cap: section.get("cap").and_then(|node| fill::number(node, values)).filter(|cap| *cap > 0),
    })
}

/// Where the page and its size stand in a body.
fn in_body(section: &Section<'_>, kind: Kind, values: &Values) -> Option<Body> {
    section.refuse(&["param", "size_param"], "is for addresses; in a `body` the values have places");
    let place = match kind {
        Kind::Page => Placeholder::Page,
        Kind::Offset => Placeholder::Offset,
        Kind::Cursor | Kind::Link => Placeholder::Cursor,
        Kind::Keyset => Placeholder::Last,
    };
    let node = section.need("body")?;
    let body = body::read(node, values, &[Placeholder::Size, place])?;
    if body.mentions(place) && body.mentions(Placeholder::Size) {
        return Some(body);
    }
    node.refuse("it must have places for the page and its size")
}

fn size(node: Node<'_>, values: &Values) -> Option<usize> {
    let size = fill::number(node, values)?;
    if (1..=LARGEST_PAGE).contains(&size) {
        return usize::try_from(size).ok();
    }
    node.refuse(format!("must be from 1 to {LARGEST_PAGE}, found {size}"))
}
