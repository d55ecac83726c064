//! Tokens of ClickHouse SQL, by the rules of `src/Parsers/Lexer.cpp`.
//!
//! The guard decides by tokens, so a string or a comment must never be taken for code, nor code for a string. Where
//! the two lexers could differ (an unclosed quote), the token says so and the guard refuses the statement.

/// One token with its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    /// What it is.
    pub kind: Kind<'t>,
    /// Where it begins, bytes.
    pub start: usize,
    /// Where it ends, bytes.
    pub end: usize,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'t> {
    /// An unquoted word: keyword or identifier.
    Word(&'t str),
    /// A quoted identifier, its quotes and escapes resolved.
    Quoted(String),
    /// A string literal, here documents included.
    Text,
    /// A number.
    Number,
    /// Any other character.
    Symbol(char),
    /// A quote or comment without an end.
    Unclosed,
}

impl Token<'_> {
    /// Whether it is this unquoted word, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self.kind, Kind::Word(text) if text.eq_ignore_ascii_case(word))
    }

    /// Whether it is this character.
    pub fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// The name it could stand for: a word, or what quotes contain.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(text) => Some(text),
            Kind::Quoted(text) => Some(text),
            _ => None,
        }
    }
}

/// The tokens of `text`, without white space and comments.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    Lexer { text, at: 0 }.collect()
}

/// Reads tokens one after another; the caller may stop where data follows.
pub struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    /// At the beginning of `text`.
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Skips white space and comments. `false` when a comment has no end.
    fn skip_blanks(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(is_blank);
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("/*") {
                let Some(length) = comment_length(trimmed) else { return false };
                self.at += length;
            } else if ["--", "//", "# ", "#!"].iter().any(|opening| trimmed.starts_with(opening)) {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else {
                return true;
            }
        }
    }

    fn token(&mut self) -> (Kind<'t>, usize) {
        let rest = self.rest();
        let mut chars = rest.chars();
        let Some(first) = chars.next() else { return (Kind::Unclosed, 0) };
        match first {
            '\'' => quoted(rest, '\'').map_or((Kind::Unclosed, rest.len()), |(_, length)| (Kind::Text, length)),
            '"' | '`' => {
                quoted(rest, first).map_or((Kind::Unclosed, rest.len()), |(name, length)| (Kind::Quoted(name), length))
            }
            '\u{2018}' => until(rest, '\u{2019}').map_or((Kind::Unclosed, rest.len()), |end| (Kind::Text, end)),
            '\u{201c}' => until(rest, '\u{201d}').map_or((Kind::Unclosed, rest.len()), |end| {
                (Kind::Quoted(rest[first.len_utf8()..end - '\u{201d}'.len_utf8()].to_owned()), end)
            }),
            '$' => here_document(rest).map_or_else(|| word_or_symbol(rest, first), |length| (Kind::Text, length)),
            'x' | 'X' | 'b' | 'B' if chars.next() == Some('\'') => {
                rest[2..].find('\'').map_or((Kind::Unclosed, rest.len()), |end| (Kind::Text, end + 3))
            }
            '0'..='9' => number_or_word(rest),
            _ => word_or_symbol(rest, first),
        }
    }
}

impl<'t> Iterator for Lexer<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        if !self.skip_blanks() {
            let start = std::mem::replace(&mut self.at, self.text.len());
            return Some(Token { kind: Kind::Unclosed, start, end: self.at });
        }
        if self.rest().is_empty() {
            return None;
        }
        let start = self.at;
        let (kind, length) = self.token();
        self.at += length;
        Some(Token { kind, start, end: self.at })
    }
}

/// White space of the engine: ASCII, and the Unicode blanks that come with copied text.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// Length of the comment that `text` begins with. Comments nest.
fn comment_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at + 2 <= bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// What the quotes at the beginning of `text` contain, and the length with quotes. A quote is escaped by doubling it
/// or with a backslash.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = chars.next() {
        if character == '\\' {
            content.push(chars.next()?.1);
        } else if character != quote {
            content.push(character);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            content.push(quote);
        } else {
            return Some((content, at + quote.len_utf8()));
        }
    }
    None
}

fn until(text: &str, end: char) -> Option<usize> {
    text.find(end).map(|at| at + end.len_utf8())
}

/// Length of a here document, `$tag$…$tag$`.
fn here_document(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    Some(tag_end + text[tag_end..].find(tag)? + tag.len())
}

/// A number, or a word that begins with a digit. Signs of exponents stay symbols: only the guard reads these tokens.
fn number_or_word(text: &str) -> (Kind<'_>, usize) {
    let length = text.bytes().take_while(|byte| is_word_byte(*byte)).count();
    let is_word = text[..length].bytes().any(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    (if is_word { Kind::Word(&text[..length]) } else { Kind::Number }, length)
}

fn word_or_symbol(text: &str, first: char) -> (Kind<'_>, usize) {
    let length = text.bytes().take_while(|byte| is_word_byte(*byte)).count();
    if length == 0 { (Kind::Symbol(first), first.len_utf8()) } else { (Kind::Word(&text[..length]), length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown: Vec<String> = tokens(text)
            .into_iter()
            .map(|token| match token.kind {
                Kind::Word(word) => word.to_owned(),
                Kind::Quoted(name) => format!("<{name}>"),
                Kind::Text => "'..'".to_owned(),
                Kind::Number => "0".to_owned(),
                Kind::Symbol(symbol) => symbol.to_string(),
                Kind::Unclosed => "UNCLOSED".to_owned(),
            })
            .collect();
        assert_eq!(shown.join(" "), expect, "{text}");
    }

    #[test]
    fn words_strings_and_comments_are_told_apart() {
        check("select a, 'it''s; file(' from t", "select a , '..' from t");
        check(r"select 'a\'b' -- file(", "select '..'");
        check("select /* a /* nested */ still */ 1", "select 0");
        check("select 1 // url('x')\n+ 2", "select 0 + 0");
        check("select 1 # file(\n, 2 #! x", "select 0 , 0");
        check("select 7#file(1)", "select 0 # file ( 0 )");
        check("select x'41', b'01', xx'a'", "select '..' , '..' , xx '..'");
    }

    #[test]
    fn quoted_names_are_resolved() {
        check("select `fi``le`(1), \"u\\\"rl\"(2)", "select <fi`le> ( 0 ) , <u\"rl> ( 0 )");
        check("select “file”(1), ‘text’", "select <file> ( 0 ) , '..'");
    }

    #[test]
    fn here_documents_are_text() {
        check("select $x$ file( $y$ $x$, 1", "select '..' , 0");
        check("select $$ ; $$", "select '..'");
        check("select a$b, $c", "select a$b , $c");
    }

    #[test]
    fn what_has_no_end_is_marked() {
        check("select 'abc", "select UNCLOSED");
        check("select /* abc", "select UNCLOSED");
        check("select `abc", "select UNCLOSED");
    }

    #[test]
    fn unicode_blanks_part_words() {
        check("select\u{a0}file\u{3000}(1)", "select file ( 0 )");
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_read_without_gaps_backwards(text in "\\PC{0,60}") {
            let mut at = 0;
            for token in tokens(&text) {
                assert!(token.start >= at && token.end > token.start && token.end <= text.len());
                at = token.end;
            }
        }
    }
}
