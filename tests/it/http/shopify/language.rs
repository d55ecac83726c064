//! As much of GraphQL's language as the store needs: one query, fragments, aliases, arguments, variables.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// A parsed document.
#[derive(Debug, Default)]
pub struct Document {
    pub selections: Vec<Selection>,
    pub fragments: BTreeMap<String, Vec<Selection>>,
}

/// What is asked for at one place.
#[derive(Clone, Debug)]
pub enum Selection {
    Field {
        alias: String,
        name: String,
        arguments: BTreeMap<String, Value>,
        below: Vec<Selection>,
    },
    Spread(String),
    /// `... on Type { … }`
    On(String, Vec<Selection>),
}

/// An argument.
#[derive(Clone, Debug)]
pub enum Value {
    Variable(String),
    Fixed(Json),
}

impl Value {
    pub fn of(&self, variables: &Json) -> Json {
        match self {
            Self::Variable(name) => variables[name].clone(),
            Self::Fixed(value) => value.clone(),
        }
    }
}

impl Document {
    pub fn parse(text: &str) -> Self {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut document = Self::default();
        while parser.at < parser.tokens.len() {
            match parser.next().as_str() {
                "query" => {
                    if parser.peek() == "(" {
                        parser.skip_to_close();
                    }
                    document.selections = parser.selections();
                }
                "fragment" => {
                    let name = parser.next();
                    assert_eq!(parser.next(), "on");
                    parser.next();
                    let selections = parser.selections();
                    document.fragments.insert(name, selections);
                }
                other => panic!("`{other}` is not a read"),
            }
        }
        document
    }

    /// What the query costs at most: one for each object, two more for a connection.
    pub fn cost(&self, variables: &Json) -> f64 {
        self.cost_of(&self.selections, variables)
    }

    fn cost_of(&self, selections: &[Selection], variables: &Json) -> f64 {
        let one = |selection: &Selection| match selection {
            Selection::Field { below, .. } if below.is_empty() => 0.0,
            Selection::Field { name, .. } if name == "pageInfo" => 0.0,
            Selection::Field { name, below, .. } if name == "nodes" && !is_root_nodes(selection) => {
                self.cost_of(below, variables)
            }
            Selection::Field { arguments, below, .. } => {
                let one = 1.0 + self.cost_of(below, variables);
                match (arguments.get("first"), arguments.get("ids")) {
                    (Some(first), _) => 2.0 + first.of(variables).as_f64().unwrap() * one,
                    (None, Some(ids)) => ids.of(variables).as_array().unwrap().len() as f64 * one,
                    (None, None) => one,
                }
            }
            Selection::Spread(name) => self.cost_of(&self.fragments[name], variables),
            Selection::On(_, below) => self.cost_of(below, variables),
        };
        selections.iter().map(one).sum()
    }
}

fn is_root_nodes(selection: &Selection) -> bool {
    matches!(selection, Selection::Field { arguments, .. } if arguments.contains_key("ids"))
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &str {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }

    /// The declarations of variables are not looked at.
    fn skip_to_close(&mut self) {
        while self.next() != ")" {}
    }

    fn selections(&mut self) -> Vec<Selection> {
        assert_eq!(self.next(), "{");
        let mut selections = Vec::new();
        while self.peek() != "}" {
            selections.push(self.selection());
        }
        self.next();
        selections
    }

    fn selection(&mut self) -> Selection {
        let mut name = self.next();
        if name == "..." {
            let name = self.next();
            return if name == "on" { Selection::On(self.next(), self.selections()) } else { Selection::Spread(name) };
        }
        let alias = name.clone();
        if self.peek() == ":" {
            self.next();
            name = self.next();
        }
        let mut arguments = BTreeMap::new();
        if self.peek() == "(" {
            self.next();
            while self.peek() != ")" {
                let name = self.next();
                assert_eq!(self.next(), ":");
                let value = self.value();
                arguments.insert(name, value);
            }
            self.next();
        }
        let below = if self.peek() == "{" { self.selections() } else { Vec::new() };
        Selection::Field { alias, name, arguments, below }
    }

    fn value(&mut self) -> Value {
        let token = self.next();
        if token == "$" {
            return Value::Variable(self.next());
        }
        if token == "[" {
            let mut items = Vec::new();
            while self.peek() != "]" {
                items.push(self.value().of(&Json::Null));
            }
            self.next();
            return Value::Fixed(Json::Array(items));
        }
        // A number, a text, or a word of an enum.
        Value::Fixed(serde_json::from_str(&token).unwrap_or(Json::String(token)))
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |character: char| character == '_' || character.is_ascii_alphanumeric();
        let length = match first {
            _ if first.is_whitespace() || first == ',' => {
                rest = &rest[first.len_utf8()..];
                continue;
            }
            '"' => rest[1..].find('"').unwrap() + 2,
            '.' => 3,
            _ if is_word(first) => rest.find(|character| !is_word(character)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        tokens.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    tokens
}
