//! Signed tokens: taken apart by an own strict reading before anything else happens with them, and their signatures. What
//! their claims must say is `issuers`'.

pub(crate) mod header;
pub(crate) mod kind;
pub(crate) mod signature;
pub(crate) mod strict;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{Reason, explain::Failed};

/// The largest token that is looked at.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A token by its form.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    /// Three parts with dots between them.
    Signed(Parts<'a>),
    /// Anything else: only who issued it can say what it is.
    Opaque,
}

/// The parts of a token that looks signed.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Header and payload with the dot between them.
    signed: &'a str,
}

/// A token's parts are the token: they are never printed.
impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts(..)")
    }
}

/// Looks at length, characters (RFC 6750 section 2.1) and dots.
pub(crate) fn form(token: &str) -> Result<Form<'_>, Failed> {
    if token.len() > TOKEN_BYTES_MAX {
        let found = format!("{} bytes; a token has at most {TOKEN_BYTES_MAX}", token.len());
        return Err(Failed::new(Reason::TooLong, found));
    }
    let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if token.is_empty() || !token.as_bytes().iter().all(may_stand) {
        let found =
            "it has characters that no token has: expected letters, digits and -._~+/= only, without spaces or quotes";
        return Err(Failed::new(Reason::Malformed, found));
    }
    let mut parts = token.split('.');
    let form = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => {
            let signed = &token[..header.len() + 1 + payload.len()];
            Form::Signed(Parts { header, payload, signature, signed })
        }
        _ => Form::Opaque,
    };
    Ok(form)
}

impl Parts<'_> {
    /// The claims, read strictly, and the signature's spelling looked at; nothing is proved by that yet.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Failed> {
        let broken = |what: &str| Failed::new(Reason::Malformed, what);
        match URL_SAFE_NO_PAD.decode(self.signature) {
            Ok(bytes) if !bytes.is_empty() => {}
            _ => return Err(broken("the signature is missing, or is no base64url without padding")),
        }
        let payload = URL_SAFE_NO_PAD.decode(self.payload);
        let payload = payload.map_err(|_| broken("the payload is no base64url without padding"))?;
        let claims = strict::object(&payload);
        claims.map_err(|error| Failed::new(Reason::Malformed, format!("the payload cannot be read: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenError;

    fn refused(token: &str) -> Option<TokenError> {
        form(token).err().map(|failed| failed.error().clone())
    }

    #[test]
    fn three_parts_may_be_signed_and_all_else_is_opaque() {
        assert!(matches!(form("a.b.c"), Ok(Form::Signed(_))));
        for opaque in ["abc", "a.b", "a.b.c.d", "a.b.c.d.e", "gho_12~+/="] {
            assert!(matches!(form(opaque), Ok(Form::Opaque)), "{opaque}");
        }
    }

    #[test]
    fn what_can_be_no_token_is_refused_unread() {
        for odd in ["", "a b", "a,b", "\"a\"", "a\n", "ä", "a\0"] {
            assert_eq!(refused(odd), Some(TokenError::Refused(Reason::Malformed)), "{odd:?}");
        }
        assert_eq!(refused(&"a".repeat(TOKEN_BYTES_MAX)), None);
        assert_eq!(refused(&"a".repeat(TOKEN_BYTES_MAX + 1)), Some(TokenError::Refused(Reason::TooLong)));
    }

    #[test]
    fn the_parts_are_never_printed() {
        assert_eq!(format!("{:?}", form("se.cr.et").unwrap()), "Signed(Parts(..))");
    }
}
