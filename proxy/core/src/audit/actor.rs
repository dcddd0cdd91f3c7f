//! Who did something, as a record says it. Of a token there are the words that its issuer vouches for and never a byte of the
//! token itself.

use std::sync::Arc;

use super::line;
use crate::{KeyId, Slug};

/// The longest name of a person or a client in a record, in bytes before escaping.
const NAME_BYTES_MAX: usize = 64;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Actor {
    /// Nobody knows (yet).
    #[default]
    Unknown,
    /// Somebody without a credential, where none is needed.
    Anonymous,
    /// Somebody with an API key.
    Key(KeyId),
    /// Somebody with a token.
    Token(Arc<TokenActor>),
    /// Somebody with an admin key.
    AdminKey(KeyId),
    /// The operator, at the command line.
    Operator,
    /// The gateway itself.
    Gateway,
}

/// Somebody with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenActor {
    /// The issuer's name in the tenant.
    pub issuer: Slug,
    /// The issuer, as in `iss`.
    pub iss: Arc<str>,
    /// Who, as the issuer knows them.
    pub subject: Arc<str>,
    /// A name for people.
    pub name: Option<Box<str>>,
    /// The client that got the token.
    pub client: Option<Box<str>>,
}

impl Actor {
    /// Writes the first members of the object.
    pub(super) fn write(&self, line: &mut Vec<u8>) {
        let kind = match self {
            Self::Unknown => "unknown",
            Self::Anonymous => "anonymous",
            Self::Key(_) => "key",
            Self::Token(_) => "token",
            Self::AdminKey(_) => "admin_key",
            Self::Operator => "operator",
            Self::Gateway => "gateway",
        };
        line::plain(line, br#""kind":"#, kind);
        match self {
            Self::Key(key) | Self::AdminKey(key) => line::id(line, br#","key":"#, key.bits()),
            Self::Token(token) => token.write(line),
            Self::Unknown | Self::Anonymous | Self::Operator | Self::Gateway => {}
        }
    }
}

impl TokenActor {
    fn write(&self, line: &mut Vec<u8>) {
        line::plain(line, br#","issuer":"#, self.issuer.as_str());
        line::text(line, br#","iss":"#, &self.iss);
        line::text(line, br#","subject":"#, &self.subject);
        if let Some(name) = &self.name {
            line::short(line, br#","name":"#, name, NAME_BYTES_MAX);
        }
        if let Some(client) = &self.client {
            line::short(line, br#","client":"#, client, NAME_BYTES_MAX);
        }
    }
}
