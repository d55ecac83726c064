//! Time zones by their IANA names.

use chrono_tz::Tz;

use super::problems::nearest;
use super::section::Node;

/// A zone such as `Europe/Berlin`.
pub(super) fn read(node: Node<'_>) -> Option<Tz> {
    let text = node.text()?;
    if let Ok(zone) = text.parse() {
        return Some(zone);
    }
    let hint = match nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "write an IANA name such as `UTC` or `Europe/Berlin`".to_owned(),
    };
    node.refuse_with_hint(format!("`{text}` is not a time zone"), hint)
}
