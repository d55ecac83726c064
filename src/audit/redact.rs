//! How keys and values may leave the process: by their field's store rule.

use crate::model::digest::DigestKey;
use crate::model::{Field, Key, StoreRule, Value};

/// Longest text that the ledger keeps of one value, in characters; the rest is cut and marked.
const LONGEST: usize = 200;

/// A value as its store rule allows it to be kept.
pub fn value(value: &Value, rule: StoreRule, secret: &DigestKey) -> String {
    match rule {
        _ if value.is_null() || value.is_invalid() => value.to_string(),
        StoreRule::Clear => shortened(&value.to_string()),
        StoreRule::Masked => masked(&value.to_string()),
        StoreRule::Hash => format!("#{:032x}", secret.keyed([value]).0),
        StoreRule::None => String::new(),
    }
}

/// A key as the rules of its fields allow it to be kept; parts joined by ` / `.
pub fn key(key: &Key, fields: &[&Field], secret: &DigestKey) -> String {
    let parts = key.parts().iter().zip(fields).map(|(part, field)| value(part, field.store, secret));
    parts.collect::<Vec<_>>().join(" / ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

fn masked(text: &str) -> String {
    let count = text.chars().count();
    let mask = |(position, character)| if position == 0 || position + 1 == count { character } else { '*' };
    if count < 4 { "*".repeat(count) } else { shortened(&text.chars().enumerate().map(mask).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_kept() {
        let secret = DigestKey::new([7; 32]);
        let mail = Value::from("bob@example.org");
        assert_eq!(value(&mail, StoreRule::Clear, &secret), "bob@example.org");
        assert_eq!(value(&mail, StoreRule::Masked, &secret), "b*************g");
        assert_eq!(value(&Value::from("bob"), StoreRule::Masked, &secret), "***");
        assert_eq!(value(&mail, StoreRule::None, &secret), "");
        let hashed = value(&mail, StoreRule::Hash, &secret);
        assert!(hashed.starts_with('#') && hashed.len() == 33 && !hashed.contains("bob"));
        assert_eq!(value(&Value::Null, StoreRule::Hash, &secret), "null");
        assert_eq!(value(&Value::from("x".repeat(300).as_str()), StoreRule::Clear, &secret).chars().count(), 201);
    }
}
