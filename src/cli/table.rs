//! Plain tables for people: columns two spaces apart, no borders, easy to `grep` and `awk`; and how times and counts stand in
//! what commands print.

use crate::model::Moment;

/// Lays out `rows` under `head`; numbers (columns in `right`) stand to the right.
pub fn table(head: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .into_iter()
            .enumerate()
            .map(|(column, cell)| match right.contains(&column) {
                true => format!("{cell:>0$}", widths[column]),
                false => format!("{cell:<0$}", widths[column]),
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let mut text = line(head.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// A time to the second, in a form that options take as well.
pub fn instant(moment: Moment) -> String {
    moment.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `1 ticket`, `2 tickets`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["stale".to_owned(), "7".to_owned()], vec!["in_flight".to_owned(), "1234".to_owned()]];
        assert_eq!(table(&["verdict", "keys"], &rows, &[1]), "verdict    keys\nstale         7\nin_flight  1234\n");
    }
}
