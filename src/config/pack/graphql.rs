//! GraphQL documents in packs: only reads are accepted.
//!
//! A document is looked at token by token (GraphQL specification, October 2021, 2.1), so that a `mutation` cannot hide
//! in a text or a comment, nor a text or comment be taken for one.

/// Why a document is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotARead {
    /// It would change something, or is no operation that is answered once.
    #[error("it holds a `{0}`; a pack only reads: one `query`, and `fragment`s")]
    Operation(String),
    /// None, or several.
    #[error("it must hold exactly one `query`, found {0}")]
    Queries(usize),
    /// Brackets that do not close, a text without an end.
    #[error("it is not closed: {0}")]
    Open(&'static str),
}

/// The variables of a document that only reads.
pub(super) fn variables(document: &str) -> Result<Vec<String>, NotARead> {
    let tokens = tokens(document)?;
    let (mut depth, mut queries) = (0_usize, 0_usize);
    // At the beginning of a definition, outside of all brackets.
    let mut begins = true;
    let mut variables = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Open(_) if depth == 0 && begins => (queries, depth, begins) = (queries + 1, 1, false),
            Token::Open(_) => depth += 1,
            Token::Close(is_selection) => {
                depth = depth.checked_sub(1).ok_or(NotARead::Open("a bracket closes that was never opened"))?;
                begins |= depth == 0 && *is_selection;
            }
            Token::Name(word) if depth == 0 && begins => {
                match *word {
                    "query" => queries += 1,
                    "fragment" => {}
                    other => return Err(NotARead::Operation(other.to_owned())),
                }
                begins = false;
            }
            Token::Dollar => {
                if let Some(Token::Name(name)) = tokens.get(index + 1) {
                    variables.push((*name).to_owned());
                }
            }
            Token::Name(_) | Token::Number(_) | Token::Colon | Token::At | Token::Spread | Token::Other => {}
        }
    }
    match (depth, queries) {
        (0, 1) => Ok(variables),
        (0, other) => Err(NotARead::Queries(other)),
        _ => Err(NotARead::Open("a bracket")),
    }
}

/// What a document is made of; texts and comments are left out.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'t> {
    Name(&'t str),
    /// The digits of a number; a sign or a point is another token.
    Number(u64),
    Dollar,
    Colon,
    /// `@`, before a directive.
    At,
    /// `...`
    Spread,
    /// A bracket; whether it is `{`.
    Open(bool),
    /// A bracket; whether it is `}`.
    Close(bool),
    Other,
}

/// The tokens of a document.
pub(super) fn tokens(document: &str) -> Result<Vec<Token<'_>>, NotARead> {
    let mut tokens = Vec::new();
    let mut rest = document;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            // Commas mean as much as blanks.
            ',' => 1,
            _ if first.is_whitespace() => first.len_utf8(),
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '"' => text_length(rest)?,
            _ if first == '_' || first.is_ascii_alphabetic() => {
                let is_name = |character: char| character == '_' || character.is_ascii_alphanumeric();
                let length = rest.find(|character| !is_name(character)).unwrap_or(rest.len());
                tokens.push(Token::Name(&rest[..length]));
                length
            }
            _ if first.is_ascii_digit() => {
                let length = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
                tokens.push(rest[..length].parse().map_or(Token::Other, Token::Number));
                length
            }
            _ if rest.starts_with("...") => {
                tokens.push(Token::Spread);
                3
            }
            _ => {
                tokens.push(match first {
                    '$' => Token::Dollar,
                    ':' => Token::Colon,
                    '@' => Token::At,
                    '{' => Token::Open(true),
                    '(' | '[' => Token::Open(false),
                    '}' => Token::Close(true),
                    ')' | ']' => Token::Close(false),
                    _ => Token::Other,
                });
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// Bytes of the text that begins here, with its quotes.
fn text_length(rest: &str) -> Result<usize, NotARead> {
    const OPEN: NotARead = NotARead::Open("a text");
    let block = "\"\"\"";
    let (mut at, end) = if rest.starts_with(block) { (3, block) } else { (1, "\"") };
    loop {
        let tail = rest.get(at..).ok_or(OPEN)?;
        if let Some(after) = tail.strip_prefix('\\') {
            // In a block only `\"""` is an escape.
            let escaped = if end == block { if after.starts_with(block) { 3 } else { 0 } } else { 1 };
            at += 1 + after.chars().take(escaped).map(char::len_utf8).sum::<usize>();
        } else if tail.starts_with(end) {
            return Ok(at + end.len());
        } else {
            let next = tail.chars().next().filter(|next| end == block || !matches!(next, '\n' | '\r')).ok_or(OPEN)?;
            at += next.len_utf8();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expect: Result<&[&str], NotARead>) {
        let expect = expect.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(variables(document), expect, "{document}");
    }

    #[test]
    fn queries_are_reads() {
        check("{ shop { name } }", Ok(&[]));
        check("query { a }", Ok(&[]));
        check("query Q($n: Int!, $c: String = \"}\") { a(first: $n, after: $c) { b } }", Ok(&["n", "c", "n", "c"]));
        check("query { ...F } fragment F on T { mutation }", Ok(&[]));
        check("# mutation { x }\nquery { a(t: \"mutation {\", u: \"\"\" } mutation \\\"\"\" { \"\"\") }", Ok(&[]));
    }

    #[test]
    fn everything_else_is_refused() {
        let operation = |word: &str| Err(NotARead::Operation(word.to_owned()));
        check("mutation { productDelete }", operation("mutation"));
        check("query { a } mutation M { b }", operation("mutation"));
        check("{ a } mutation { b }", operation("mutation"));
        check("fragment F on T { a } subscription { b }", operation("subscription"));
        check("query { a(t: \"\\\"\") } mutation { b(t: \"\") }", operation("mutation"));
        check("query { a } # \n mutation { b }", operation("mutation"));
        check("query @d(x: 1) { a } mutation { b }", operation("mutation"));
        check("type T { a: Int }", operation("type"));
        check("query A { a } query B { b }", Err(NotARead::Queries(2)));
        check("fragment F on T { a }", Err(NotARead::Queries(0)));
        check("", Err(NotARead::Queries(0)));
        check("query { a", Err(NotARead::Open("a bracket")));
        check("query { a } }", Err(NotARead::Open("a bracket closes that was never opened")));
        check("query { a(t: \"x) }", Err(NotARead::Open("a text")));
        check("query { a(t: \"x\n\") }", Err(NotARead::Open("a text")));
    }
}
