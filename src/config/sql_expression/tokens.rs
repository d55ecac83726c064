//! Splitting an expression into tokens, refusing what databases read in different ways.

use super::Refusal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    /// An identifier or word of the grammar.
    Word,
    /// A quoted identifier.
    Quoted,
    /// A number.
    Number,
    /// A text literal.
    Text,
    /// An operator or bracket.
    Symbol,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Token<'t> {
    pub kind: Kind,
    pub text: &'t str,
    pub offset: usize,
}

impl Token<'_> {
    /// Whether this is the given symbol or word of the grammar, in any case.
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Symbol) && self.text.eq_ignore_ascii_case(text)
    }
}

/// Longest first.
const SYMBOLS: [&str; 18] =
    ["||", "<>", "!=", "<=", ">=", "(", ")", ",", ".", "+", "-", "*", "/", "%", "=", "<", ">", "!"];
const REFUSED: [(&str, &str); 8] = [
    ("--", "comments are not allowed in a SQL expression"),
    ("/*", "comments are not allowed in a SQL expression"),
    ("#", "comments are not allowed in a SQL expression"),
    (";", "`;` is not allowed: a SQL expression is one value"),
    ("?", "placeholders are not allowed in a SQL expression"),
    ("$", "placeholders and dollar quotes are not allowed in a SQL expression"),
    (":", "placeholders and `::` are not allowed in a SQL expression; write `cast(x as type)`"),
    ("@", "variables are not allowed in a SQL expression"),
];

pub(super) fn split(text: &str) -> Result<Vec<Token<'_>>, Refusal> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(first) = text[offset..].chars().next() {
        if first.is_ascii_whitespace() {
            offset += 1;
            continue;
        }
        let (kind, length) = one(&text[offset..], first).map_err(|message| Refusal::new(offset, message))?;
        tokens.push(Token { kind, text: &text[offset..offset + length], offset });
        offset += length;
    }
    Ok(tokens)
}

/// The kind and length in bytes of the token at the beginning of `rest`.
fn one(rest: &str, first: char) -> Result<(Kind, usize), String> {
    if let Some((_, message)) = REFUSED.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
        return Err((*message).to_owned());
    }
    match first {
        '\'' => Ok((Kind::Text, quoted(rest, '\'')?)),
        '"' => Ok((Kind::Quoted, quoted(rest, '"')?)),
        '`' => Ok((Kind::Quoted, quoted(rest, '`')?)),
        '0'..='9' => Ok((Kind::Number, number(rest)?)),
        first if is_word(first) => {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            // E'…', N'…', x'…': literals with rules of their own.
            if rest[end..].starts_with('\'') && end <= 2 {
                return Err(format!("the literal `{}'…'` is not allowed; write a plain '…'", &rest[..end]));
            }
            Ok((Kind::Word, end))
        }
        _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => Ok((Kind::Symbol, symbol.len())),
            None => Err(format!("`{}` is not allowed in a SQL expression", first.escape_debug())),
        },
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Length of a literal or quoted identifier; the quote is doubled inside. A backslash means something in MySQL and
/// nothing elsewhere, so it is refused.
fn quoted(rest: &str, quote: char) -> Result<usize, String> {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((position, character)) = characters.next() {
        match character {
            '\\' => return Err("backslashes are not allowed in a SQL expression".to_owned()),
            '\0' => return Err("NUL is not allowed in a SQL expression".to_owned()),
            _ if character != quote => {}
            _ if characters.peek().is_some_and(|(_, next)| *next == quote) => drop(characters.next()),
            _ => return Ok(position + quote.len_utf8()),
        }
    }
    Err(format!("{quote} is not closed"))
}

/// Length of `12`, `1.5`, `1e3`, `1.5e-3`.
fn number(rest: &str) -> Result<usize, String> {
    let digits = |from: usize| rest[from..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| from + end);
    let mut end = digits(0);
    if rest[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        end = digits(end + 1 + sign);
    }
    match rest[end..].chars().next() {
        Some(next) if is_word(next) => Err(format!("`{}{next}` is not a number", &rest[..end])),
        _ => Ok(end),
    }
}
