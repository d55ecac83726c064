//! What kind of statement a text is, where its data begins, and in which format it answers.

use super::error::{Code, Failure};
use super::lexer::{Kind, Lexer, Token};

/// A statement, parted from the data that follows an INSERT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The SQL text; of an INSERT with data, only up to its `FORMAT` or `VALUES`.
    pub text: String,
    /// What it does.
    pub verb: Verb,
    /// The `FORMAT` that it names itself.
    pub format: Option<String>,
}

/// What a statement does, as far as this layer treats it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// SELECT and its forms: can be streamed.
    Select,
    /// INSERT whose data comes with the request, in this many bytes after the beginning of the text.
    InsertData {
        /// Where the data begins in the text given.
        data: usize,
        /// Where `FROM INFILE` belongs: after table and columns.
        source: usize,
    },
    /// Anything else: runs to its end at once.
    Other,
}

impl Statement {
    /// Reads the beginning of `text`: all of it, or up to where an INSERT's data begins.
    ///
    /// # Errors
    /// When it is empty, holds more than one statement or a quote without end.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let Some(first) = Lexer::new(text).find(|token| !token.is_symbol('(')) else {
            return Err(Failure::new(Code::SyntaxError, "empty query"));
        };
        let insert = if first.is_word("insert") { parse_insert(text)? } else { None };
        insert.map_or_else(|| parse_whole(text), Ok)
    }

    /// The INSERT with its data read from `path`, so that no byte of the data is ever taken for SQL.
    ///
    /// libchdb reads data that stands in the text only up to the first empty line, and the rest as further statements.
    pub fn reading_from(&self, source: usize, path: &str) -> String {
        let format = self.format.as_deref().unwrap_or("Values");
        let (target, settings) = self.text.split_at(source);
        format!("{target} FROM INFILE '{path}' COMPRESSION 'none' {settings} FORMAT {format}")
    }
}

/// Where an INSERT's data, source and end are found, token by token.
fn parse_insert(text: &str) -> Result<Option<Statement>, Failure> {
    let mut depth = 0_i32;
    let mut settings = None;
    let mut tokens = Lexer::new(text);
    let (mut named_target, mut after_dot) = (false, false);
    while let Some(token) = tokens.next() {
        match &token.kind {
            Kind::Unclosed => return Err(unclosed(&token)),
            Kind::Symbol('(') => depth += 1,
            Kind::Symbol(')') => depth -= 1,
            Kind::Symbol(';') => return Ok(None),
            Kind::Word(word) if depth == 0 && named_target && !after_dot => match word.to_ascii_lowercase().as_str() {
                "values" => return Ok(Some(with_data(text, &token, settings, "Values", token.end))),
                "format" => {
                    let Some(name) = tokens.next() else { return Ok(None) };
                    let data = data_start(text, name.end);
                    return Ok(name.name().map(|format| with_data(text, &token, settings, format, data)));
                }
                "select" | "with" | "from" => return Ok(None),
                "settings" => settings = settings.or(Some(token.start)),
                _ => {}
            },
            _ => {}
        }
        named_target |= !["insert", "into", "table"].iter().any(|word| token.is_word(word));
        after_dot = token.is_symbol('.');
    }
    Ok(None)
}

fn with_data(text: &str, keyword: &Token<'_>, settings: Option<usize>, format: &str, data: usize) -> Statement {
    Statement {
        text: text[..keyword.start].to_owned(),
        verb: Verb::InsertData { data, source: settings.unwrap_or(keyword.start) },
        format: Some(format.to_owned()),
    }
}

/// Data begins after blanks and one line end, as in ClickHouse's `ParserInsertQuery`.
fn data_start(text: &str, after_format: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = after_format;
    while at < bytes.len() && matches!(bytes[at], b' ' | b'\t' | 0x0c) {
        at += 1;
    }
    for line_end in [b'\r', b'\n'] {
        if at < bytes.len() && bytes[at] == line_end {
            at += 1;
        }
    }
    at
}

fn parse_whole(text: &str) -> Result<Statement, Failure> {
    let tokens: Vec<_> = Lexer::new(text).collect();
    if let Some(token) = tokens.iter().find(|token| token.kind == Kind::Unclosed) {
        return Err(unclosed(token));
    }
    let end = tokens.iter().position(|token| token.is_symbol(';')).unwrap_or(tokens.len());
    if tokens[end..].iter().any(|token| !token.is_symbol(';')) {
        return Err(Failure::new(Code::SyntaxError, "Syntax error (Multi-statements are not allowed)"));
    }
    let text = tokens.get(end).map_or(text, |semicolon| &text[..semicolon.start]);
    let tokens = &tokens[..end];
    let first = tokens.iter().find(|token| !token.is_symbol('('));
    let is_select = ["select", "with", "from"].iter().any(|word| first.is_some_and(|token| token.is_word(word)));
    // Totals come as a chunk of their own, which formats with a header would show as another document.
    let has_totals = tokens.windows(2).any(|pair| pair[0].is_word("with") && pair[1].is_word("totals"));
    let verb = if is_select && !has_totals { Verb::Select } else { Verb::Other };
    Ok(Statement { text: text.to_owned(), verb, format: format_of(tokens) })
}

fn unclosed(token: &Token<'_>) -> Failure {
    Failure::new(
        Code::SyntaxError,
        format!("Syntax error: failed at position {} (no end of quote or comment)", token.start + 1),
    )
}

/// The last `FORMAT name` outside of brackets.
fn format_of(tokens: &[Token<'_>]) -> Option<String> {
    let mut depth = 0_i32;
    let mut format = None;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Symbol('(') => depth += 1,
            Kind::Symbol(')') => depth -= 1,
            Kind::Word(word) if depth == 0 && word.eq_ignore_ascii_case("format") => {
                let is_clause = tokens.get(at + 2).is_none_or(|next| next.is_word("settings"));
                format = tokens.get(at + 1).and_then(Token::name).filter(|_| is_clause).map(str::to_owned).or(format);
            }
            _ => {}
        }
    }
    format
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, verb: Verb, format: Option<&str>) {
        let statement = Statement::parse(text).unwrap_or_else(|failure| panic!("{text}: {failure}"));
        assert_eq!((statement.verb, statement.format.as_deref()), (verb, format), "{text}");
    }

    #[test]
    fn verbs_and_formats() {
        check("select 1", Verb::Select, None);
        check(" /* x */ (SELECT 1) format JSON;", Verb::Select, Some("JSON"));
        check("select format('{}', 1) as format", Verb::Select, None);
        check("select 1 FORMAT TSV SETTINGS max_threads = 1", Verb::Select, Some("TSV"));
        check("with 1 as x select x", Verb::Select, None);
        check("select a, count() from t group by a with totals", Verb::Other, None);
        check("create table t (format String) engine = Memory", Verb::Other, None);
        check("insert into t select 1", Verb::Other, None);
        check("insert into t (a) format TSV\n1\n", Verb::InsertData { data: 29, source: 18 }, Some("TSV"));
        check("insert into values values (1)", Verb::InsertData { data: 25, source: 19 }, Some("Values"));
        check("insert into d.format settings a=1 format CSV", Verb::InsertData { data: 44, source: 21 }, Some("CSV"));
    }

    #[test]
    fn data_is_never_read_as_sql() {
        let text = "insert into t settings a = 1 format RowBinary\n'; drop table t";
        let statement = Statement::parse(text).unwrap();
        let Verb::InsertData { data, source } = statement.verb else { panic!("{statement:?}") };
        assert_eq!(&text[data..], "'; drop table t");
        assert_eq!(
            statement.reading_from(source, "/f"),
            "insert into t  FROM INFILE '/f' COMPRESSION 'none' settings a = 1  FORMAT RowBinary"
        );
    }

    #[test]
    fn refused_texts() {
        for (text, expect) in [
            (" -- nothing", "empty query"),
            ("select 1; select 2", "Multi-statements"),
            ("select 'a", "no end of quote"),
        ] {
            assert!(Statement::parse(text).unwrap_err().text.contains(expect), "{text}");
        }
    }
}
