//! A token's header: what little of it is listened to. `alg` chooses among what the issuer's keys allow, `kid` is a name to look
//! up; keys or addresses that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) are not even read.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use patchbay_core::issuer::Algorithm;
use serde_json::{Map, Value};

use super::{Parts, strict};
use crate::{
    Reason,
    explain::{Failed, list, shown},
};

/// The largest header, decoded.
const HEADER_BYTES_MAX: usize = 4 * 1024;
/// The longest name of a key.
const KID_BYTES_MAX: usize = 256;

/// Members that change how the rest must be read. None of them is understood here.
const CHANGING: [&str; 4] = ["crit", "b64", "enc", "zip"];

/// A header that could be read.
pub(crate) struct Header(Map<String, Value>);

impl Header {
    pub(crate) fn read(parts: &Parts<'_>) -> Result<Self, Failed> {
        let broken = |what: String| Failed::new(Reason::Malformed, what);
        let bytes = URL_SAFE_NO_PAD.decode(parts.header);
        let bytes = bytes.map_err(|_| broken("the header is no base64url without padding".to_owned()))?;
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(broken(format!("the header has {} bytes; expected at most {HEADER_BYTES_MAX}", bytes.len())));
        }
        let members = strict::object(&bytes);
        members.map(Self).map_err(|error| broken(format!("the header cannot be read: {error}")))
    }

    /// The algorithm, by its exact name.
    pub(crate) fn algorithm(&self) -> Result<Algorithm, Failed> {
        let found = self.0.get("alg");
        found.and_then(Value::as_str).and_then(Algorithm::parse).ok_or_else(|| {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| shown(&found.to_string()));
            let known = list(Algorithm::USUAL.iter().map(|known| known.as_str()));
            Failed::new(Reason::Algorithm, format!("`alg` is {found}; expected exactly one of {known}"))
        })
    }

    /// Refuses what would have to be understood.
    pub(crate) fn critical(&self) -> Result<(), Failed> {
        match CHANGING.into_iter().find(|name| self.0.contains_key(*name)) {
            None => Ok(()),
            Some(name) => {
                let found = format!("the header has `{name}`; extensions of the token format are not understood here");
                Err(Failed::new(Reason::Critical, found))
            }
        }
    }

    /// The name of the key.
    pub(crate) fn kid(&self) -> Result<Option<&str>, Failed> {
        match self.0.get("kid") {
            None => Ok(None),
            Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Ok(Some(kid)),
            Some(Value::String(kid)) => {
                let found = format!("`kid` has {} bytes; expected at most {KID_BYTES_MAX}", kid.len());
                Err(Failed::new(Reason::UnknownKey, found))
            }
            Some(_) => Err(Failed::new(Reason::Malformed, "`kid` is no text")),
        }
    }

    /// What the token says it is.
    pub(crate) fn typ(&self) -> Result<Option<&str>, Failed> {
        match self.0.get("typ") {
            None => Ok(None),
            Some(Value::String(typ)) => Ok(Some(typ)),
            Some(_) => Err(Failed::new(Reason::Type, "`typ` is no text")),
        }
    }
}
