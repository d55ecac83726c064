//! How keys and values may leave the process: by their field's store rule.

use std::fmt::{self, Write as _};

use crate::model::digest::DigestKey;
use crate::model::{Field, Key, StoreRule, Value};

/// Longest text that the ledger keeps of one value, in characters; the rest is cut and marked.
const LONGEST: usize = 200;

/// A value as its store rule allows it to be kept.
pub fn value(value: &Value, rule: StoreRule, secret: &DigestKey) -> String {
    let mut text = String::new();
    put(value, rule, secret, &mut text);
    text
}

/// Appends what [`value`] gives.
pub fn put(value: &Value, rule: StoreRule, secret: &DigestKey, text: &mut String) {
    match rule {
        _ if value.is_null() || value.is_invalid() => put_whole(value, text),
        StoreRule::Clear => {
            let begin = text.len();
            put_whole(value, text);
            shorten(text, begin);
        }
        StoreRule::Masked => text.push_str(&masked(&value.to_string())),
        StoreRule::Hash => put_formatted(format_args!("#{:032x}", secret.keyed([value]).0), text),
        StoreRule::None => {}
    }
}

/// A key as the rules of its fields allow it to be kept; parts joined by ` / `.
pub fn key(key: &Key, fields: &[&Field], secret: &DigestKey) -> String {
    let mut text = String::new();
    put_key(key, fields, secret, &mut text);
    text
}

/// Appends what [`key`] gives.
pub fn put_key(key: &Key, fields: &[&Field], secret: &DigestKey, text: &mut String) {
    for (number, (part, field)) in key.parts().iter().zip(fields).enumerate() {
        if number > 0 {
            text.push_str(" / ");
        }
        put(part, field.store, secret, text);
    }
}

/// The keyed hash of a key, in hexadecimal digits.
pub fn key_hash(key: &Key, secret: &DigestKey) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |byte: u8| char::from(DIGITS[usize::from(byte & 15)]);
    secret.keyed(key.parts()).0.to_be_bytes().into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte)]).collect()
}

fn put_whole(value: &Value, text: &mut String) {
    match value {
        Value::Text(value) => text.push_str(value),
        value => put_formatted(format_args!("{value}"), text),
    }
}

fn put_formatted(what: fmt::Arguments<'_>, text: &mut String) {
    // Writing into a text cannot fail.
    text.write_fmt(what).unwrap_or_default();
}

/// Cuts what stands behind `begin` if it is too long.
fn shorten(text: &mut String, begin: usize) {
    if text.len() - begin <= LONGEST {
        return;
    }
    if let Some((cut, _)) = text[begin..].char_indices().nth(LONGEST) {
        text.truncate(begin + cut);
        text.push('…');
    }
}

fn masked(text: &str) -> String {
    let count = text.chars().count();
    let mask = |(position, character)| if position == 0 || position + 1 == count { character } else { '*' };
    if count < 4 {
        return "*".repeat(count);
    }
    let mut masked = text.chars().enumerate().map(mask).collect();
    shorten(&mut masked, 0);
    masked
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
        assert_eq!(key_hash(&Key::from(7), &secret), format!("{:032x}", secret.keyed([&Value::from(7)]).0));
        assert_eq!(value(&Value::Null, StoreRule::Hash, &secret), "null");
        assert_eq!(value(&Value::from("x".repeat(300).as_str()), StoreRule::Clear, &secret).chars().count(), 201);
    }
}
