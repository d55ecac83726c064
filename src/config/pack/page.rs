//! `[page.NAME]` of a pack: how pages follow each other.

use super::read::place;
use super::{PageKind, Paging, Values, fill};
use crate::config::section::{Keys, Node, Section};

pub(super) const KEYS: Keys = Keys {
    section: "[page.NAME]",
    names: &["kind", "param", "first", "from", "size_param", "size", "total", "cap"],
    not_yet: &[],
};

#[derive(Clone, Copy)]
enum Kind {
    Page,
    Offset,
    Cursor,
    Link,
}

const KINDS: [(&str, Kind); 4] =
    [("page", Kind::Page), ("offset", Kind::Offset), ("cursor", Kind::Cursor), ("link", Kind::Link)];

/// Larger pages serve nobody: an answer is held in memory.
const LARGEST_PAGE: u64 = 10_000;

pub(super) fn read(section: &Section<'_>, values: &Values) -> Option<Paging> {
    let kind = section.need("kind").and_then(|node| node.choice(&KINDS))?;
    let param = || section.need("param").and_then(|node| fill::some_text(node, values));
    let from = || section.need("from").and_then(|node| place(node, values));
    let kind = match kind {
        Kind::Page => {
            let first = section.get("first").and_then(|node| fill::number(node, values)).unwrap_or(1);
            PageKind::Page { param: param()?, first }
        }
        Kind::Offset => PageKind::Offset { param: param()? },
        Kind::Cursor => PageKind::Cursor { param: param()?, from: from()? },
        Kind::Link => PageKind::Link { from: from()? },
    };
    Some(Paging {
        kind,
        size_param: section.get("size_param").and_then(|node| fill::some_text(node, values)),
        size: section.need("size").and_then(|node| size(node, values))?,
        total: section.get("total").and_then(|node| place(node, values)),
        cap: section.get("cap").and_then(|node| fill::number(node, values)).filter(|cap| *cap > 0),
    })
}

fn size(node: Node<'_>, values: &Values) -> Option<usize> {
    let size = fill::number(node, values)?;
    if (1..=LARGEST_PAGE).contains(&size) {
        return usize::try_from(size).ok();
    }
    node.refuse(format!("must be from 1 to {LARGEST_PAGE}, found {size}"))
}
