//! A piece of a sweep that auditors share, in the form in which state keeps it.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::finder::{Name, Piece};
use crate::audit::unit::UnitFlow;
use crate::model::Mapping;
use crate::sweep::Span;

/// The stored form. A format of its own: changing it means raising [`FORMAT`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    after: Option<i64>,
    until: Option<i64>,
    /// What has been gone through of it.
    pub piece: Piece,
    /// What of that the sweep has counted.
    pub counted: Piece,
    /// Suspects in it that nobody has judged yet.
    pub found: Vec<Name>,
}

const FORMAT: u8 = 1;

impl Content {
    /// A span of which this has been gone through and counted.
    pub const fn of(span: Span, counted: Piece) -> Self {
        Self { after: span.after, until: span.until, piece: counted, counted, found: Vec::new() }
    }

    /// What is left to go through.
    pub const fn span(&self) -> Span {
        Span { after: self.after, until: self.until }
    }

    /// From state; `None` when it is of another format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&format, body) = bytes.split_first()?;
        postcard::from_bytes(body).ok().filter(|_| format == FORMAT)
    }

    /// For state.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising into a growing vector fails only for types that postcard cannot express; these it can.
        postcard::to_extend(self, vec![FORMAT]).unwrap_or_default()
    }
}

/// Says what a flow's sweep reads and how. Pieces are shared only by auditors that would find the same in them.
pub fn plan(owner: &Mapping, flow: &UnitFlow) -> String {
    let text = format!("{} {owner:?} {:?} {:?}", env!("CARGO_PKG_VERSION"), flow.target.mapping, flow.flow);
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// Works while `renew` is called, so often that a lease of `ttl` does not run out.
pub async fn renewing<T, R: Future<Output = ()>>(
    ttl: Duration,
    work: impl Future<Output = T>,
    renew: impl Fn() -> R,
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(ttl / 3) => renew().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_stored_with_its_format() {
        let piece = Piece { owner_rows: 5, target_rows: 6, done: 7 };
        let mut content = Content::of(Span { after: Some(-3), until: None }, piece);
        content.found.push(Box::new([1, 2]));
        let bytes = content.to_bytes();
        assert_eq!(Content::from_bytes(&bytes), Some(content));
        assert_eq!(Content::from_bytes(&[&[FORMAT + 1], &bytes[1..]].concat()), None);
        assert_eq!(Content::from_bytes(&[]), None);
    }
}
