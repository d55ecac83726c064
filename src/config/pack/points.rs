//! The points that a request costs at most, where a product counts in points. Pure.
//!
//! GraphQL products price a document before they run it, by what it could return: an object so much, a list so much beside
//! the objects that it may hold. Shopify takes 1 and 2 and asks nothing for scalars (shopify.dev, "API limits", the part on
//! how the cost of a query is calculated). Of a document that does not fit into this, and of other products, only the
//! most that any request may cost is known.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::graphql::{self, Token};
use super::{Ask, Cost, Lookup, Pack, PackEntity, Placeholder, Question};

/// What a GraphQL product asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// For each object.
    pub object: f64,
    /// For each list that is asked for by its length, beside its objects.
    pub list: f64,
}

/// Fragments and fields stand in each other at most so deep: a fragment that holds itself has no price.
const DEEPEST: usize = 32;

impl Pack {
    /// The points of one full page of a dataset; `None` where the product does not count in points.
    pub fn points_of_page(&self, entity: &PackEntity) -> Option<f64> {
        let cost = self.limit.cost.as_ref()?;
        let Question::Document { text, .. } = &entity.question else { return Some(cost.most) };
        let size = [(Placeholder::Size, json!(entity.page.size))];
        let mut variables = Map::new();
        entity.body.fill(&[], &mut variables);
        entity.page.body.fill(&size, &mut variables);
        Some(cost.of(text, &variables))
    }

    /// The points of one question for so many keys; `None` where the product does not count in points.
    pub fn points_of_keys(&self, entity: &PackEntity, lookup: &Lookup, keys: usize) -> Option<f64> {
        let cost = self.limit.cost.as_ref()?;
        let Ask::Body { body, document: Some(document), .. } = &lookup.ask else { return self.points_of_page(entity) };
        let values = [(Placeholder::Values, json!(vec![Json::Null; keys]))];
        let mut variables = Map::new();
        body.fill(&values, &mut variables);
        Some(cost.of(&document.text, &variables))
    }
}

impl Cost {
    fn of(&self, document: &str, variables: &Map<String, Json>) -> f64 {
        self.prices.and_then(|prices| price(document, variables, prices)).unwrap_or(self.most)
    }
}

/// What a document with these variables costs at most; `None` when a list does not say how long it may be.
fn price(document: &str, variables: &Map<String, Json>, prices: Prices) -> Option<f64> {
    let tokens = graphql::tokens(document).ok()?;
    let mut parser = Parser { tokens: &tokens, variables };
    let (mut query, mut fragments) = (None, BTreeMap::new());
    while let Some(token) = parser.tokens.first() {
        let fragment = match (token, parser.tokens.get(1)) {
            (Token::Name("fragment"), Some(Token::Name(name))) => Some(*name),
            _ => None,
        };
        let selections = parser.definition(0)?;
        match fragment {
            Some(name) => drop(fragments.insert(name, selections)),
            None => query = Some(selections),
        }
    }
    Priced { prices, fragments }.of(&query?, 0)
}

/// What is asked for at one place.
enum Selection<'t> {
    Field {
        name: &'t str,
        count: Option<Count>,
        below: Vec<Selection<'t>>,
    },
    Fragment(&'t str),
    /// `... on Type { … }`
    Inline(Vec<Selection<'t>>),
}

/// How many objects a field gives.
#[derive(Clone, Copy)]
enum Count {
    /// The first or last of a list.
    Of(f64),
    /// One for each id.
    Ids(f64),
    /// A variable without a value.
    Unknown,
}

struct Parser<'p, 't> {
    tokens: &'p [Token<'t>],
    variables: &'p Map<String, Json>,
}

impl<'p, 't> Parser<'p, 't> {
    fn next(&mut self) -> Option<&'p Token<'t>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Goes past whatever stands before the selections.
    fn definition(&mut self, depth: usize) -> Option<Vec<Selection<'t>>> {
        loop {
            match self.next()? {
                Token::Open(true) => return self.selections(depth),
                Token::Open(false) => drop(self.arguments()?),
                _ => {}
            }
        }
    }

    fn selections(&mut self, depth: usize) -> Option<Vec<Selection<'t>>> {
        if depth > DEEPEST {
            return None;
        }
        let mut selections = Vec::new();
        loop {
            match self.next()? {
                Token::Close(_) => return Some(selections),
                Token::Spread => selections.push(self.spread(depth)?),
                Token::Name(name) => selections.push(self.field(name, depth)?),
                _ => {}
            }
        }
    }

    fn spread(&mut self, depth: usize) -> Option<Selection<'t>> {
        match self.tokens.first()? {
            Token::Name(name) if *name != "on" => {
                self.next();
                self.directives()?;
                Some(Selection::Fragment(name))
            }
            _ => self.definition(depth + 1).map(Selection::Inline),
        }
    }

    fn field(&mut self, name: &'t str, depth: usize) -> Option<Selection<'t>> {
        let mut name = name;
        if let [Token::Colon, Token::Name(own), ..] = self.tokens {
            // What stands before the colon is how the answer calls it.
            (name, self.tokens) = (own, self.tokens.get(2..)?);
        }
        let mut count = None;
        if let Some(Token::Open(false)) = self.tokens.first() {
            self.next();
            count = self.arguments()?;
        }
        self.directives()?;
        let below = match self.tokens.first() {
            Some(Token::Open(true)) => {
                self.next();
                self.selections(depth + 1)?
            }
            _ => Vec::new(),
        };
        Some(Selection::Field { name, count, below })
    }

    /// Goes past words such as `@include(if: $it)`: what they leave out would cost no more.
    fn directives(&mut self) -> Option<()> {
        while let [Token::At, Token::Name(_), rest @ ..] = self.tokens {
            self.tokens = rest;
            if let [Token::Open(false), rest @ ..] = self.tokens {
                self.tokens = rest;
                self.arguments()?;
            }
        }
        Some(())
    }

    /// Goes past arguments whose bracket is open; gives the one that says how many are asked for.
    fn arguments(&mut self) -> Option<Option<Count>> {
        let (mut depth, mut count) = (1, None);
        while depth > 0 {
            match self.next()? {
                Token::Open(_) => depth += 1,
                Token::Close(_) => depth -= 1,
                Token::Name(name) if depth == 1 && self.tokens.first() == Some(&Token::Colon) => match *name {
                    "first" | "last" => count = Some(self.value(|value| value.as_f64().map(Count::Of))),
                    "ids" => count = Some(self.value(|value| value.as_array().map(|ids| Count::Ids(ids.len() as f64)))),
                    _ => {}
                },
                _ => {}
            }
        }
        Some(count)
    }

    /// The value behind the colon.
    fn value(&self, read: impl Fn(&Json) -> Option<Count>) -> Count {
        let known = match self.tokens {
            [_, Token::Number(number), ..] => read(&json!(number)),
            [_, Token::Dollar, Token::Name(name), ..] => self.variables.get(*name).and_then(read),
            _ => None,
        };
        known.unwrap_or(Count::Unknown)
    }
}

struct Priced<'t> {
    prices: Prices,
    fragments: BTreeMap<&'t str, Vec<Selection<'t>>>,
}

impl<'t> Priced<'t> {
    fn of(&self, selections: &[Selection<'t>], depth: usize) -> Option<f64> {
        if depth > DEEPEST {
            return None;
        }
        selections.iter().map(|selection| self.one(selection, depth + 1)).sum()
    }

    fn one(&self, selection: &Selection<'t>, depth: usize) -> Option<f64> {
        match selection {
            Selection::Fragment(name) => self.of(self.fragments.get(name)?, depth),
            Selection::Inline(below) => self.of(below, depth),
            Selection::Field { below, .. } if below.is_empty() => Some(0.0),
            Selection::Field { name: "pageInfo", .. } => Some(0.0),
            // What holds the objects of a list, which are paid for with the list.
            Selection::Field { name: "nodes" | "edges", count: None, below } => self.of(below, depth),
            Selection::Field { count, below, .. } => {
                let one = self.prices.object + self.of(below, depth)?;
                match count {
                    None => Some(one),
                    Some(Count::Of(count)) => Some(self.prices.list + count * one),
                    Some(Count::Ids(count)) => Some(count * one),
                    Some(Count::Unknown) => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(document: &str, expect: Option<f64>) {
        let Json::Object(variables) = json!({ "first": 10, "ids": [null, null, null] }) else { unreachable!() };
        assert_eq!(price(document, &variables, Prices { object: 1.0, list: 2.0 }), expect, "{document}");
    }

    #[test]
    fn documents_cost_what_they_may_return() {
        check("{ shop { name } }", Some(1.0));
        check("query { a { b { c } d } }", Some(2.0));
        check("query ($first: Int!) { a(first: $first) { nodes { b } pageInfo { c } } }", Some(12.0));
        check("{ list: a(first: 3, query: \"first: 9\") { nodes { b { c } } } }", Some(8.0));
        check("{ a(last: 3) { edges { node { b } } } }", Some(8.0));
        check(
            "{ nodes(ids: $ids) { ... on T { b(first: 2) { nodes { ...F } } } } } fragment F on U { c { d } }",
            Some(21.0),
        );
        check("fragment F on U { c { d } } query { ...F }", Some(1.0));
        check("{ a(names: [\"x\", \"y\"], first: 2) @include(if: $first) { b } }", Some(4.0));
    }

    #[test]
    fn what_does_not_say_its_length_has_no_price() {
        check("{ a(first: $size) { nodes { b } } }", None);
        check("{ ...F }", None);
        check("{ ...F } fragment F on T { a { ...F } }", None);
        check(&format!("{} b {}", "{ a ".repeat(40), "}".repeat(40)), None);
        check("{ a", None);
    }

    #[test]
    fn shopifys_pages_stay_below_what_one_request_may_cost() {
        let pack = Pack::alone("shopify", Path::new("/")).expect("the pack is right");
        let page = |name: &str| pack.points_of_page(&pack.entities[name]).expect("it counts in points");
        let pages = ["variants", "inventory_levels", "location_levels", "orders", "customers"].map(page);
        assert_eq!(pages, [302.0, 462.0, 403.0, 452.0, 402.0]);
        let by_id = |name: &str, keys: usize| {
            let entity = &pack.entities[name];
            let lookup = entity.lookups.iter().find(|lookup| lookup.path == "id").expect("there is one");
            pack.points_of_keys(entity, lookup, keys).expect("it counts in points")
        };
        assert_eq!([by_id("variants", 50), by_id("variants", 1), by_id("orders", 5)], [150.0, 3.0, 450.0]);
    }
}
