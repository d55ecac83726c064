//! Conditions: tests on raw values, by meaning.

use super::{Condition, Literal, Test, parse, stamp};
use crate::model::{Number, Raw};

impl Condition {
    /// Whether the row fulfils the condition. A value that the driver could not express equals nothing.
    pub fn holds(&self, row: &[Raw]) -> bool {
        let raw = row.get(self.source).unwrap_or(&Raw::Null);
        match &self.test {
            Test::Equal(literal) => equals(raw, literal),
            Test::NotEqual(literal) => !equals(raw, literal),
            Test::In(literals) => literals.iter().any(|literal| equals(raw, literal)),
            Test::NotIn(literals) => !literals.iter().any(|literal| equals(raw, literal)),
            Test::IsNull(wanted) => matches!(raw, Raw::Null) == *wanted,
        }
    }
}

fn equals(raw: &Raw, literal: &Literal) -> bool {
    match literal {
        Literal::Bool(wanted) => parse::boolean(raw) == Some(*wanted),
        Literal::Number(wanted) => number_equals(raw, wanted),
        Literal::Text(wanted) => text_equals(raw, wanted),
    }
}

fn number_equals(raw: &Raw, wanted: &Number) -> bool {
    match raw {
        Raw::Int(value) => wanted.as_i64() == Some(*value),
        Raw::Bool(value) => wanted.as_i64() == Some(i64::from(*value)),
        _ => parse::decimal(raw).is_some_and(|value| value == *wanted),
    }
}

fn text_equals(raw: &Raw, wanted: &str) -> bool {
    match raw {
        Raw::Text(text) => **text == *wanted,
        Raw::Bytes(bytes) => **bytes == *wanted.as_bytes(),
        Raw::Bool(value) => parse::boolean_word(wanted) == Some(*value),
        Raw::Int(_) | Raw::Number(_) | Raw::Float(_) => wanted.parse().is_ok_and(|wanted| number_equals(raw, &wanted)),
        Raw::Uuid(value) => parse::uuid(&Raw::Text(wanted.into())) == Some(*value),
        Raw::Date(value) => value.to_string() == wanted,
        Raw::Instant(value) => stamp::literal_moment(wanted) == Some(*value),
        Raw::Naive(value) => stamp::literal_moment(wanted) == Some(value.and_utc().into()),
        Raw::TimeOfDay(value) => value.to_string() == wanted,
        Raw::Null | Raw::Undecodable(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: Raw, test: Test, expect: bool) {
        let condition = Condition { source: 0, test: test.clone() };
        assert_eq!(condition.holds(std::slice::from_ref(&raw)), expect, "{raw:?} {test:?}");
    }

    fn text(text: &str) -> Literal {
        Literal::Text(text.to_owned())
    }

    #[test]
    fn literals_match_by_meaning() {
        let three = || Literal::Number(Number::from(3_i64));
        check(Raw::Int(1), Test::Equal(Literal::Bool(true)), true);
        check(Raw::Text("t".into()), Test::Equal(Literal::Bool(true)), true);
        check(Raw::Bool(true), Test::Equal(Literal::Number(Number::from(1_i64))), true);
        check(Raw::Text("3".into()), Test::Equal(three()), true);
        check(Raw::Int(3), Test::Equal(text("3")), true);
        check(Raw::Text("3.0".into()), Test::Equal(three()), true);
        check(Raw::Text("3.0".into()), Test::Equal(text("3")), false);
        check(Raw::Bytes((*b"sale").into()), Test::In(vec![text("done"), text("sale")]), true);
        check(Raw::Text("Sale".into()), Test::Equal(text("sale")), false);
    }

    #[test]
    fn null_and_undecodable_equal_nothing() {
        for raw in [Raw::Null, Raw::Undecodable("infinity".into())] {
            check(raw.clone(), Test::Equal(text("a")), false);
            check(raw.clone(), Test::NotEqual(text("a")), true);
            check(raw.clone(), Test::NotIn(vec![text("a")]), true);
            check(raw.clone(), Test::In(vec![Literal::Bool(false)]), false);
        }
        check(Raw::Null, Test::IsNull(true), true);
        check(Raw::Undecodable("infinity".into()), Test::IsNull(true), false);
        check(Raw::Int(0), Test::IsNull(false), true);
    }
}
