//! Names and amounts inside stored incidents are kept as the texts that people know, so that the stored form does not
//! depend on how the model holds them.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

fn parsed<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(text: &str) -> Result<T, D::Error> {
    text.parse().map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
}

/// One text.
pub(super) mod one {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        parsed::<T, D>(&String::deserialize(from)?)
    }
}

/// A text that may be absent.
pub(super) mod optional {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&value.to_string()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parsed::<T, D>(&text)).transpose()
    }
}

/// Amounts: `12.34 EUR`.
pub(super) mod list {
    use super::*;
    use crate::model::Money;

    pub fn serialize<S: Serializer>(values: &[Money], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Money>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| money::<D>(text)).collect()
    }

    fn money<'de, D: Deserializer<'de>>(text: &str) -> Result<Money, D::Error> {
        let parts = text.split_once(' ');
        let money = parts.and_then(|(amount, currency)| {
            Some(Money { amount: amount.parse().ok()?, currency: currency.parse().ok()? })
        });
        money.ok_or_else(|| D::Error::custom(format!("`{text}` is not an amount")))
    }
}
