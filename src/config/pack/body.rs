//! Bodies of read requests: JSON with places for what each request asks for.
//!
//! A place is a whole text such as `"{size}"`, which becomes a value of its own type, or a part of a longer text. A
//! member of the body, or an element of a list that is one, is left out when a value that it needs is not there: the
//! first page has no `{cursor}`.

use serde_json::{Map, Number as JsonNumber, Value as Json};
use toml::de::DeValue;

use super::{Values, fill};
use crate::config::problems::quoted;
use crate::config::section::{Entry, Node};

/// What a request can put into its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// Records in a page.
    Size,
    /// The number of the page.
    Page,
    /// The number of records before it.
    Offset,
    /// The word by which the page before named it.
    Cursor,
    /// The last id of the page before.
    Last,
    /// The lower bound of changes.
    Low,
    /// The upper bound of changes.
    High,
    /// The values that records are asked for by.
    Values,
}

const WORDS: [(&str, Placeholder); 8] = [
    ("size", Placeholder::Size),
    ("page", Placeholder::Page),
    ("offset", Placeholder::Offset),
    ("cursor", Placeholder::Cursor),
    ("last", Placeholder::Last),
    ("low", Placeholder::Low),
    ("high", Placeholder::High),
    ("values", Placeholder::Values),
];

/// Members of a body, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body(Vec<(String, Template)>);

#[derive(Clone, Debug, PartialEq)]
enum Template {
    Fixed(Json),
    Value(Placeholder),
    Text(Vec<Piece>),
    List(Vec<Template>),
    Table(Vec<(String, Template)>),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Value(Placeholder),
}

/// The values of one request.
pub type Filling<'f> = &'f [(Placeholder, Json)];

impl Body {
    /// Whether it has a place for this.
    pub fn mentions(&self, placeholder: Placeholder) -> bool {
        self.0.iter().any(|(_, template)| template.mentions(placeholder))
    }

    /// The names of its members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Adds its members to `body`, the places filled: lists are appended to, tables merged, other values replaced.
    pub fn fill(&self, values: Filling<'_>, body: &mut Map<String, Json>) {
        for (name, template) in &self.0 {
            let value = match template {
                Template::List(items) => Some(Json::Array(items.iter().filter_map(|item| item.fill(values)).collect())),
                other => other.fill(values),
            };
            if let Some(value) = value {
                put(body, name.clone(), value);
            }
        }
    }
}

/// Adds the members of one body to another: lists are appended to, tables merged, other values replaced.
pub fn merge(body: &mut Map<String, Json>, more: Map<String, Json>) {
    more.into_iter().for_each(|(name, value)| put(body, name, value));
}

fn put(body: &mut Map<String, Json>, name: String, value: Json) {
    match (body.get_mut(&name), value) {
        (Some(Json::Array(known)), Json::Array(more)) => known.extend(more),
        (Some(Json::Object(known)), Json::Object(more)) => merge(known, more),
        (_, value) => drop(body.insert(name, value)),
    }
}

impl Template {
    fn mentions(&self, placeholder: Placeholder) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Value(own) => *own == placeholder,
            Self::Text(pieces) => pieces.contains(&Piece::Value(placeholder)),
            Self::List(items) => items.iter().any(|item| item.mentions(placeholder)),
            Self::Table(members) => members.iter().any(|(_, member)| member.mentions(placeholder)),
        }
    }

    /// `None` when a value that it needs is not there.
    fn fill(&self, values: Filling<'_>) -> Option<Json> {
        Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Value(placeholder) => find(values, *placeholder)?.clone(),
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(fixed) => text.push_str(fixed),
                        Piece::Value(placeholder) => match find(values, *placeholder)? {
                            Json::String(value) => text.push_str(value),
                            value => text.push_str(&value.to_string()),
                        },
                    }
                }
                Json::String(text)
            }
            Self::List(items) => Json::Array(items.iter().map(|item| item.fill(values)).collect::<Option<_>>()?),
            Self::Table(members) => {
                let member = |(name, member): &(String, Self)| Some((name.clone(), member.fill(values)?));
                Json::Object(members.iter().map(member).collect::<Option<_>>()?)
            }
        })
    }
}

fn find(values: Filling<'_>, placeholder: Placeholder) -> Option<&Json> {
    values.iter().find(|(known, _)| *known == placeholder).map(|(_, value)| value)
}

/// Reads a body in which these places may stand.
pub(super) fn read(node: Node<'_>, values: &Values, allowed: &[Placeholder]) -> Option<Body> {
    let entries = node.entries()?;
    members(&entries, values, allowed).map(Body)
}

fn members(entries: &[Entry<'_>], values: &Values, allowed: &[Placeholder]) -> Option<Vec<(String, Template)>> {
    let read = |entry: &Entry<'_>| Some((entry.name.to_owned(), template(entry.node, values, allowed)?));
    // All are looked at, so that every problem is told.
    let all: Vec<_> = entries.iter().map(read).collect();
    all.into_iter().collect()
}

fn template(node: Node<'_>, values: &Values, allowed: &[Placeholder]) -> Option<Template> {
    match node.value.get_ref() {
        DeValue::Boolean(value) => Some(Template::Fixed(Json::Bool(*value))),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Some(Template::Fixed(Json::Number(JsonNumber::from(number)))),
            Err(_) => node.refuse("the number is too large"),
        },
        DeValue::String(_) => pieces(node, &fill::text(node, values)?, allowed),
        DeValue::Array(_) => {
            let items: Vec<_> = node.list()?.into_iter().map(|item| template(item, values, allowed)).collect();
            items.into_iter().collect::<Option<_>>().map(Template::List)
        }
        DeValue::Table(_) => members(&node.entries()?, values, allowed).map(Template::Table),
        DeValue::Float(_) | DeValue::Datetime(_) => {
            node.wrong_type("text, a whole number, a boolean, a list or a table")
        }
    }
}

fn pieces(node: Node<'_>, text: &str, allowed: &[Placeholder]) -> Option<Template> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((word, after)) = after.split_once('}') else { return node.refuse("`{` without a `}`") };
        let known = WORDS.iter().find(|(known, placeholder)| *known == word && allowed.contains(placeholder));
        let Some((_, placeholder)) = known else {
            let words = WORDS.iter().filter(|(_, placeholder)| allowed.contains(placeholder));
            let words = quoted(words.map(|(word, _)| *word));
            return node.refuse(format!("there is no `{{{word}}}` here, only {words}"));
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Value(*placeholder));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(match &pieces[..] {
        [] | [Piece::Text(_)] => Template::Fixed(Json::String(text.to_owned())),
        [Piece::Value(placeholder)] => Template::Value(*placeholder),
        _ => Template::Text(pieces),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toml::de::DeTable;

    use super::*;
    use crate::config::Environment;
    use crate::config::section::{Keys, Reading, Section};

    const ALL: [Placeholder; 5] =
        [Placeholder::Size, Placeholder::Last, Placeholder::Low, Placeholder::High, Placeholder::Values];
    const KEYS: Keys = Keys { section: "[test]", names: &["a", "b"], not_yet: &[] };

    fn parse(text: &str) -> Result<[Body; 2], String> {
        let environment = Environment::fixed([]);
        let reading = Reading::new(text, "t.toml".as_ref(), "/".as_ref(), &environment);
        let (root, _) = DeTable::parse_recoverable(text);
        let root = Section::new(&reading, crate::config::problems::At(0), root.get_ref(), &KEYS);
        let body = |key| root.get(key).map_or(Some(Body::default()), |node| read(node, &Values::default(), &ALL));
        let bodies = [body("a"), body("b")];
        match (bodies, reading.problems()) {
            ([Some(a), Some(b)], None) => Ok([a, b]),
            (_, problems) => Err(problems.map(|problems| problems.to_string()).unwrap_or_default()),
        }
    }

    #[track_caller]
    fn check(text: &str, values: Filling<'_>, expect: Json) {
        let mut body = Map::new();
        parse(text).unwrap().iter().for_each(|part| part.fill(values, &mut body));
        assert_eq!(Json::Object(body), expect, "{text}");
    }

    #[test]
    fn places_take_values_of_their_own_type() {
        let values =
            [(Placeholder::Size, json!(2)), (Placeholder::Low, json!("x")), (Placeholder::Values, json!([1, "2"]))];
        check(r#"a = { n = "{size}", t = "at {low}, {size}" }"#, &values, json!({ "n": 2, "t": "at x, 2" }));
        check(
            r#"a = { d = [["id", "in", "{values}"]], no = false }"#,
            &values,
            json!({ "d": [["id", "in", [1, "2"]]], "no": false }),
        );
    }

    #[test]
    fn parts_are_put_together() {
        let text = r#"
            a = { d = [["x", "=", 1]], o = { deep = true, kept = 1 }, same = 1 }
            b = { d = [["y", "=", 2]], o = { deep = false }, same = 2 }
        "#;
        let expect = json!({ "d": [["x", "=", 1], ["y", "=", 2]], "o": { "deep": false, "kept": 1 }, "same": 2 });
        check(text, &[], expect);
    }

    #[test]
    fn what_lacks_its_value_is_left_out() {
        let text = r#"a = { d = [["id", ">", "{last}"], ["at", ">=", "{low}"]], n = "{size}", t = "{low} {high}" }"#;
        check(text, &[(Placeholder::Low, json!("x"))], json!({ "d": [["at", ">=", "x"]] }));
    }

    #[test]
    fn unknown_places_are_refused() {
        for (text, expect) in [
            (
                "a = { n = \"{sise}\" }",
                "t.toml:1:11: `n`: there is no `{sise}` here, only `size`, `last`, `low`, `high`",
            ),
            ("a = { n = \"{cursor}\" }", "there is no `{cursor}` here"),
            ("a = { n = \"{size\" }", "`{` without a `}`"),
            ("a = { n = 1.5 }", "must be text, a whole number"),
            ("a = [1]", "must be a table"),
        ] {
            let problems = parse(text).unwrap_err();
            assert!(problems.contains(expect), "{problems}");
        }
    }
}
