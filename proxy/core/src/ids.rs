//! The names by which things are known: opaque ids for rows, slugs for what people type into URLs and files.
//!
//! A value of these types is well formed; parsing happens once, at the edge or in the configuration.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest slug, in bytes; it keeps URLs, metric labels and file names short.
pub const SLUG_BYTES_MAX: usize = 40;

/// A name that people choose and type: `[a-z0-9]` first, then `[a-z0-9-]`, at most [`SLUG_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(Arc<str>);

/// Why a text is no [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a valid name: expected 1 to {SLUG_BYTES_MAX} characters of a-z, 0-9 and '-', starting with a letter or digit"
)]
pub struct SlugError(String);

impl Slug {
    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = SlugError;

    fn from_str(text: &str) -> Result<Self, SlugError> {
        let bytes = text.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let well_formed = bytes.len() <= SLUG_BYTES_MAX
            && bytes.first().is_some_and(plain)
            && bytes.iter().all(|b| plain(b) || *b == b'-');
        if well_formed { Ok(Self(text.into())) } else { Err(SlugError(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Declares an opaque 128-bit row id: random, unique over all tenants, printed as 32 hexadecimal digits.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// An id of these bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The bits of the id.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// A fresh random id.
            pub fn random() -> Self {
                Self(u128::from_ne_bytes(crate::random_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:032x})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let well_formed = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                let bits = if well_formed { u128::from_str_radix(text, 16).ok() } else { None };
                bits.map(Self).ok_or(IdError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hexadecimal digits")]
pub struct IdError;

row_id! {
    /// A revocation of tokens.
    RevocationId
}

row_id! {
    /// A tenant: the border that nothing crosses.
    TenantId
}
row_id! {
    /// One configured server of one tenant.
    ServerId
}
row_id! {
    /// One API key of one tenant.
    KeyId
}

/// The number of a tenant's configuration; each change adds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_lower_case_words() {
        for good in ["a", "acme", "team-7", "0x", &"a".repeat(SLUG_BYTES_MAX)] {
            assert_eq!(good.parse::<Slug>().map(|s| s.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "-a", "A", "a_b", "a/b", "а", "a b", &"a".repeat(SLUG_BYTES_MAX + 1)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn ids_survive_their_printed_form() {
        let id = TenantId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, TenantId::random());
        assert!("+0000000000000000000000000000000f".parse::<TenantId>().is_err());
    }
}
