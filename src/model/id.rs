//! Names that people give to things in the config. Each is checked once, where it enters.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than [`MAX_NAME`].
    #[error("must have 1 to {MAX_NAME} characters, got {0}")]
    Length(usize),
    /// A character outside the allowed set.
    #[error("may hold lower-case letters, digits, `-` and `_`, and starts with a letter; found `{0}`")]
    Character(char),
}

/// Longest allowed name, in characters. Names become metric labels and table columns.
pub const MAX_NAME: usize = 64;

fn check(name: &str) -> Result<(), NameError> {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME {
        return Err(NameError::Length(length));
    }
    for (position, character) in name.chars().enumerate() {
        let letter = character.is_ascii_lowercase();
        let rest = character.is_ascii_digit() || character == '-' || character == '_';
        if !(letter || (position > 0 && rest)) {
            return Err(NameError::Character(character));
        }
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as written in the config.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                check(name)?;
                Ok(Self(Arc::from(name)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name_type!(
    /// Name of an external system: `store`, `erp`, `warehouse`.
    SystemId
);
name_type!(
    /// Name of a business thing that lives in several systems: `order`, `stock`.
    EntityId
);
name_type!(
    /// Name of an entity's field.
    FieldName
);
name_type!(
    /// Name of a tenant; `default` when the config names none.
    TenantId
);

impl Default for TenantId {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(SystemId::from_str("erp-2").map(|id| id.to_string()), Ok("erp-2".to_owned()));
        assert_eq!(SystemId::from_str(""), Err(NameError::Length(0)));
        assert_eq!(SystemId::from_str("Erp"), Err(NameError::Character('E')));
        assert_eq!(SystemId::from_str("2erp"), Err(NameError::Character('2')));
        assert_eq!(SystemId::from_str(&"a".repeat(65)), Err(NameError::Length(65)));
    }
}
