//! SQL expressions in mappings: checked against an allow-list before any system sees them.
//!
//! What is allowed: columns, literals, arithmetic, comparison, `and or not`, `||`, `case`, `cast`, `is null`, `in`,
//! `between`, `like`, and the functions of [`FUNCTIONS`]. Everything else is refused, above all what could end the
//! expression, hide text from this check or run another query: semicolons, comments, placeholders, backslashes
//! and dollar quotes (read differently by different databases), sub-queries and other functions.

use tokens::{Kind, Token};

mod tokens;

/// Functions that read nothing but their arguments, change nothing and cost little.
pub(super) const FUNCTIONS: [&str; 40] = [
    "abs",
    "ceil",
    "ceiling",
    "char_length",
    "coalesce",
    "concat",
    "concat_ws",
    "date",
    "date_format",
    "date_trunc",
    "datetime",
    "extract",
    "floor",
    "from_unixtime",
    "greatest",
    "hex",
    "if",
    "ifnull",
    "iif",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "mod",
    "nullif",
    "replace",
    "right",
    "round",
    "rtrim",
    "split_part",
    "strftime",
    "substr",
    "substring",
    "to_char",
    "to_timestamp",
    "trim",
    "trunc",
    "unix_timestamp",
    "upper",
];

/// Types that a cast may name.
pub(super) const CAST_TYPES: [&str; 20] = [
    "bigint",
    "bool",
    "boolean",
    "char",
    "date",
    "datetime",
    "decimal",
    "double",
    "int",
    "integer",
    "numeric",
    "real",
    "signed",
    "smallint",
    "text",
    "timestamp",
    "timestamptz",
    "unsigned",
    "uuid",
    "varchar",
];

/// Words that begin or belong to something that is not allowed, so that they are no column names either.
const REFUSED_WORDS: [&str; 33] = [
    "all", "alter", "any", "call", "copy", "create", "delete", "do", "drop", "exec", "execute", "exists", "from",
    "grant", "group", "having", "insert", "into", "join", "limit", "lock", "merge", "order", "outfile", "over",
    "revoke", "select", "set", "truncate", "union", "update", "where", "with",
];

/// Words of the grammar.
const GRAMMAR_WORDS: [&str; 21] = [
    "and", "as", "between", "both", "case", "cast", "else", "end", "false", "in", "is", "leading", "like", "not",
    "null", "or", "then", "trailing", "true", "unknown", "when",
];

/// Deeper nesting is refused: no mapping needs it and the check must not exhaust the stack.
const DEEPEST: usize = 64;
/// Longer expressions are refused.
const LONGEST: usize = 4_000;

/// Why an expression is refused, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In bytes from the beginning of the expression.
    pub offset: usize,
    /// What was found and what is allowed.
    pub message: String,
}

impl Refusal {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

/// Refuses every expression that is not made of the allowed parts alone.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    if text.len() > LONGEST {
        return Err(Refusal::new(
            0,
            format!("a SQL expression must have at most {LONGEST} bytes, found {}", text.len()),
        ));
    }
    let tokens = tokens::split(text)?;
    let mut check = Check { tokens: &tokens, next: 0, depth: 0, end: text.len() };
    check.expression()?;
    match check.peek() {
        None => Ok(()),
        Some(token) => Err(unexpected(token, "the end of the expression")),
    }
}

fn unexpected(token: &Token<'_>, wanted: &str) -> Refusal {
    let word = token.text.to_ascii_lowercase();
    if token.kind == Kind::Word && REFUSED_WORDS.contains(&word.as_str()) {
        return Refusal::new(token.offset, format!("`{}` is not allowed in a SQL expression", token.text));
    }
    Refusal::new(token.offset, format!("found `{}` where {wanted} is expected", token.text))
}

struct Check<'t> {
    tokens: &'t [Token<'t>],
    next: usize,
    depth: usize,
    end: usize,
}

type Checked = Result<(), Refusal>;

impl<'t> Check<'t> {
    fn peek(&self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, wanted: &str) -> Result<&'t Token<'t>, Refusal> {
        let token = self
            .peek()
            .ok_or_else(|| Refusal::new(self.end, format!("the expression ends where {wanted} is expected")))?;
        self.next += 1;
        Ok(token)
    }

    /// Steps over a symbol or word of the grammar, if it comes next.
    fn accept(&mut self, text: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(text));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, text: &str) -> Checked {
        let wanted = format!("`{text}`");
        let token = self.take(&wanted)?;
        if token.is(text) { Ok(()) } else { Err(unexpected(token, &wanted)) }
    }

    /// Operands joined by operators. Which binds tighter does not matter here.
    fn expression(&mut self) -> Checked {
        self.depth += 1;
        if self.depth > DEEPEST {
            let offset = self.peek().map_or(self.end, |token| token.offset);
            return Err(Refusal::new(offset, format!("nested deeper than {DEEPEST}")));
        }
        self.operand()?;
        while self.operator()? {
            self.operand()?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Steps over an operator; `true` when another operand must follow.
    fn operator(&mut self) -> Result<bool, Refusal> {
        const BETWEEN_OPERANDS: [&str; 14] =
            ["+", "-", "*", "/", "%", "||", "=", "<>", "!=", "<", "<=", ">", ">=", "and"];
        loop {
            if self.accept("is") {
                self.is_test()?;
                continue;
            }
            if self.accept("not") {
                match self.peek() {
                    Some(token) if token.is("in") || token.is("like") || token.is("between") => continue,
                    Some(token) => return Err(unexpected(token, "`in`, `like` or `between`")),
                    None => return Err(Refusal::new(self.end, "the expression ends after `not`")),
                }
            }
            if self.accept("in") {
                self.expect("(")?;
                self.arguments()?;
                continue;
            }
            return Ok(BETWEEN_OPERANDS.iter().any(|operator| self.accept(operator))
                || ["or", "like", "between"].iter().any(|word| self.accept(word)));
        }
    }

    fn is_test(&mut self) -> Checked {
        self.accept("not");
        let token = self.take("`null`, `true` or `false`")?;
        let allowed = ["null", "true", "false", "unknown"].iter().any(|word| token.is(word));
        if allowed { Ok(()) } else { Err(unexpected(token, "`null`, `true` or `false`")) }
    }

    fn operand(&mut self) -> Checked {
        while self.accept("-") || self.accept("+") || self.accept("not") {}
        const WANTED: &str = "a column, a value or a function";
        let token = self.take(WANTED)?;
        match token.kind {
            Kind::Number | Kind::Text => Ok(()),
            Kind::Quoted => self.column_rest(),
            Kind::Word => self.word(token),
            Kind::Symbol if token.text == "(" => {
                self.expression()?;
                self.expect(")")
            }
            Kind::Symbol => Err(unexpected(token, WANTED)),
        }
    }

    fn word(&mut self, token: &'t Token<'t>) -> Checked {
        let word = token.text.to_ascii_lowercase();
        let is_call = self.peek().is_some_and(|next| next.is("("));
        match word.as_str() {
            "null" | "true" | "false" => Ok(()),
            "case" => self.case(),
            "cast" if is_call => self.cast(),
            "extract" if is_call => self.extract(),
            "trim" if is_call => self.trim(),
            _ if is_call => self.call(token, &word),
            _ if REFUSED_WORDS.contains(&word.as_str()) || GRAMMAR_WORDS.contains(&word.as_str()) => {
                Err(unexpected(token, "a column, a value or a function"))
            }
            _ => self.column_rest(),
        }
    }

    /// `.column` after `table`.
    fn column_rest(&mut self) -> Checked {
        while self.accept(".") {
            let token = self.take("a column")?;
            if !matches!(token.kind, Kind::Word | Kind::Quoted) {
                return Err(unexpected(token, "a column"));
            }
        }
        match self.peek() {
            Some(token) if token.is("(") => {
                Err(Refusal::new(token.offset, "a quoted or qualified name cannot be called"))
            }
            _ => Ok(()),
        }
    }

    fn call(&mut self, token: &Token<'_>, word: &str) -> Checked {
        if REFUSED_WORDS.contains(&word) {
            return Err(unexpected(token, "a function"));
        }
        if !FUNCTIONS.contains(&word) {
            let hint = super::problems::suggestion(word, FUNCTIONS);
            return Err(Refusal::new(token.offset, format!("function `{}` is not allowed; {hint}", token.text)));
        }
        self.expect("(")?;
        self.arguments()
    }

    /// Expressions separated by commas up to the closing parenthesis.
    fn arguments(&mut self) -> Checked {
        if self.accept(")") {
            return Ok(());
        }
        loop {
            self.expression()?;
            if self.accept(")") {
                return Ok(());
            }
            self.expect(",")?;
        }
    }

    fn case(&mut self) -> Checked {
        if !self.peek().is_some_and(|token| token.is("when")) {
            self.expression()?;
        }
        self.expect("when")?;
        loop {
            self.expression()?;
            self.expect("then")?;
            self.expression()?;
            if self.accept("else") {
                self.expression()?;
                return self.expect("end");
            }
            if self.accept("end") {
                return Ok(());
            }
            self.expect("when")?;
        }
    }

    /// `cast(expression as type)`, the type with up to two numbers: `decimal(10, 2)`.
    fn cast(&mut self) -> Checked {
        self.expect("(")?;
        self.expression()?;
        self.expect("as")?;
        let token = self.take("a type")?;
        let word = token.text.to_ascii_lowercase();
        if token.kind != Kind::Word || !CAST_TYPES.contains(&word.as_str()) {
            let hint = super::problems::suggestion(&word, CAST_TYPES);
            return Err(Refusal::new(token.offset, format!("`{}` is not a type to cast to; {hint}", token.text)));
        }
        if self.accept("(") {
            self.number()?;
            if self.accept(",") {
                self.number()?;
            }
            self.expect(")")?;
        }
        self.expect(")")
    }

    fn number(&mut self) -> Checked {
        let token = self.take("a number")?;
        if token.kind == Kind::Number { Ok(()) } else { Err(unexpected(token, "a number")) }
    }

    /// `extract(unit from expression)`.
    fn extract(&mut self) -> Checked {
        self.expect("(")?;
        let token = self.take("a unit such as `epoch`")?;
        if token.kind != Kind::Word {
            return Err(unexpected(token, "a unit such as `epoch`"));
        }
        self.expect("from")?;
        self.expression()?;
        self.expect(")")
    }

    /// `trim(x)`, `trim(x, y)`, `trim(both 'x' from y)`.
    fn trim(&mut self) -> Checked {
        self.expect("(")?;
        let side = ["both", "leading", "trailing"].iter().any(|word| self.accept(word));
        if side && self.accept("from") {
            self.expression()?;
            return self.expect(")");
        }
        self.expression()?;
        if self.accept("from") {
            self.expression()?;
            return self.expect(")");
        }
        if self.accept(")") {
            return Ok(());
        }
        self.expect(",")?;
        self.arguments()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_allowed() {
        for text in [
            "a",
            "t.a",
            "\"Weird name\".`b`",
            "-1.5e-3 + a * (b - 2) / 4 % 3",
            "coalesce(nullif(trim(a), ''), b, 'it''s')",
            "case when a = 1 and not b <> 2 then 'x' when c is not null then d else null end",
            "case a when 1 then true else false end",
            "cast(a as decimal(10, 2)) || '-' || CAST(b AS TEXT)",
            "a in (1, 2, 3) or b not in ('x') or c between 1 and 2 or d not like 'x%'",
            "extract(epoch from a)",
            "trim(both 'x' from a)",
            "trim(leading from a)",
            "trim(a, 'x')",
            "substr(a, 1, 2)",
            "concat('--', ';', '/* */', a)",
            "date_trunc('day', a)",
            "größe",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_refused_and_where() {
        let found = |text: &str| match check(text) {
            Ok(()) => "allowed".to_owned(),
            Err(refusal) => format!("{}: {}", refusal.offset, refusal.message),
        };
        for (text, expect) in [
            ("", "0: the expression ends where a column, a value or a function is expected"),
            ("a; drop table x", "1: `;` is not allowed: a SQL expression is one value"),
            ("a -- b", "2: comments are not allowed in a SQL expression"),
            ("a /* b */", "2: comments are not allowed in a SQL expression"),
            ("a # b", "2: comments are not allowed in a SQL expression"),
            ("$1", "0: placeholders and dollar quotes are not allowed in a SQL expression"),
            ("$$a$$", "0: placeholders and dollar quotes are not allowed in a SQL expression"),
            ("?", "0: placeholders are not allowed in a SQL expression"),
            ("a::text", "1: placeholders and `::` are not allowed in a SQL expression; write `cast(x as type)`"),
            ("@@version", "0: variables are not allowed in a SQL expression"),
            ("(select a from b)", "1: `select` is not allowed in a SQL expression"),
            ("a from b", "2: `from` is not allowed in a SQL expression"),
            ("a union all", "2: `union` is not allowed in a SQL expression"),
            ("exists (select 1)", "0: `exists` is not allowed in a SQL expression"),
            ("a b", "2: found `b` where the end of the expression is expected"),
            ("a, b", "1: found `,` where the end of the expression is expected"),
            ("a)", "1: found `)` where the end of the expression is expected"),
            ("(a", "2: the expression ends where `)` is expected"),
            ("uper(a)", "0: function `uper` is not allowed; did you mean `upper`?"),
            ("public.lower(a)", "12: a quoted or qualified name cannot be called"),
            ("\"lower\"(a)", "7: a quoted or qualified name cannot be called"),
            ("cast(a as xml)", "10: `xml` is not a type to cast to; known: "),
            ("cast(a)", "6: found `)` where `as` is expected"),
            ("case a end", "7: found `end` where `when` is expected"),
            ("'a\\'b'", "0: backslashes are not allowed in a SQL expression"),
            ("'a", "0: ' is not closed"),
            ("E'a'", "0: the literal `E'…'` is not allowed; write a plain '…'"),
            ("1a", "0: `1a` is not a number"),
            ("a not b", "6: found `b` where `in`, `like` or `between` is expected"),
            ("a is 1", "5: found `1` where `null`, `true` or `false` is expected"),
            ("lower(a over (order by b))", "8: `over` is not allowed in a SQL expression"),
            ("a + ", "4: the expression ends where a column, a value or a function is expected"),
            ("a\u{a0}+ b", "1: `\\u{a0}` is not allowed in a SQL expression"),
        ] {
            let found = found(text);
            assert!(found.starts_with(expect), "{text}: {found}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(check(&nested(60)), Ok(()));
        assert!(check(&nested(70)).unwrap_err().message.contains("deeper"));
        assert!(check(&"-".repeat(1_000).replace("--", "- -")).is_err());
        assert!(check(&"a".repeat(5_000)).unwrap_err().message.contains("4000"));
        let many = vec!["case when a then"; 200].join(" ");
        assert!(check(&many).unwrap_err().message.contains("deeper"));
    }

    /// Pieces of SQL, good and bad.
    fn piece() -> impl Strategy<Value = String> {
        let words = prop::sample::select(vec![
            "a", "1", "1.5e3", "'x'", "\"q\"", "(", ")", ",", ".", "+", "-", "||", "=", "<>", "case", "when", "then",
            "else", "end", "cast", "as", "text", "lower", "coalesce", "trim", "extract", "from", "in", "not", "is",
            "null", "between", "and", "select", ";", "--", "/*", "'", "\\", "$", "?", ":", "ü", "\0",
        ]);
        prop_oneof![4 => words.prop_map(|word| format!("{word} ")), 1 => "\\PC{0,4}"]
    }

    proptest! {
        #[test]
        fn any_text_is_answered(pieces in prop::collection::vec(piece(), 0..30)) {
            let text = pieces.concat();
            match check(&text) {
                Ok(()) => {
                    // Outside of literals and quoted names, nothing that ends or hides anything is left.
                    let bare = outside_quotes(&text);
                    for never in [";", "--", "/*", "#", "?", "$", ":", "@", "\\"] {
                        prop_assert!(!bare.contains(never), "{never} in {text}");
                    }
                    prop_assert!(!bare.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("select")), "{text}");
                }
                Err(refusal) => {
                    prop_assert!(refusal.offset <= text.len() && text.is_char_boundary(refusal.offset), "{refusal:?}");
                }
            }
        }
    }

    fn outside_quotes(text: &str) -> String {
        let mut bare = String::new();
        let mut open = None;
        for character in text.chars() {
            match open {
                Some(quote) if quote == character => open = None,
                Some(_) => {}
                None if matches!(character, '\'' | '"' | '`') => open = Some(character),
                None => bare.push(character),
            }
        }
        bare
    }
}
