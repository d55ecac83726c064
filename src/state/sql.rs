//! Text of statements over many rows. Values are always bound; only placeholders are written here.

/// Rows a statement takes at most: with six columns well under SQLite's limit of 32,766 parameters.
pub(super) const ROWS: usize = 1000;

/// `$3, $4, $5` for `count` values beginning with parameter `first`.
pub(super) fn list(first: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 6);
    for number in first..first + count {
        let comma = if number == first { "" } else { ", " };
        // Writing to a `String` cannot fail.
        text.push_str(&format!("{comma}${number}"));
    }
    text
}

/// `($1, $2), ($3, $4)` for `rows` rows of `columns` values.
pub(super) fn rows(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 7);
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        // Writing to a `String` cannot fail.
        text.push_str(&format!("{comma}({})", list(row * columns + 1, columns)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(list(3, 3), "$3, $4, $5");
        assert_eq!(rows(2, 2), "($1, $2), ($3, $4)");
    }
}
