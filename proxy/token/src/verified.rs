//! What is known of somebody after a token was found good.

use std::sync::Arc;

use patchbay_core::{access::Scopes, audit::TokenActor};
use sha2::{Digest, Sha256};

/// A token that was found good, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who, and from which issuer; made once for all records of what they do.
    pub who: Arc<TokenActor>,
    /// The token's own id.
    pub jti: Option<Box<str>>,
    /// The groups.
    pub groups: Box<[Box<str>]>,
    /// The scopes, with what they imply.
    pub scopes: Scopes,
    /// For whom it was made.
    pub audiences: Box<[Box<str>]>,
    /// When it was made, in milliseconds since 1970.
    pub issued_ms: Option<i64>,
    /// From when on it is refused (its `exp` and the leeway; for an opaque token at the latest when the issuer must be asked
    /// again), in milliseconds since 1970.
    pub until_ms: i64,
    /// A digest of issuer and subject: the same for all tokens of a person, and for nobody else.
    pub digest: [u8; 16],
}

/// What a text in a list takes besides its bytes, about.
const BESIDES_BYTES: usize = 48;

impl Verified {
    /// About how many bytes all of it takes.
    pub(crate) fn bytes(&self) -> usize {
        let labels = [&self.who.name, &self.who.client, &self.jti].into_iter().flatten().map(|label| &**label);
        let lists = self.groups.iter().chain(&self.audiences).map(|text| &**text).chain(self.scopes.iter());
        let texts = labels.chain(lists).chain([&*self.who.subject]);
        size_of::<Self>() + size_of::<TokenActor>() + texts.map(|text| text.len() + BESIDES_BYTES).sum::<usize>()
    }
}

/// The digest of a person. The issuer's length goes before it, so that no two pairs of texts run together into one.
pub(crate) fn digest_of(iss: &str, subject: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"patchbay subject\n");
    hash.update((iss.len() as u64).to_be_bytes());
    hash.update(iss.as_bytes());
    hash.update(subject.as_bytes());
    let whole: [u8; 32] = hash.finalize().into();
    let (half, _) = whole.split_at(16);
    half.try_into().expect("the half of 32 bytes is 16 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_the_same_in_all_tokens_and_nobody_else_is() {
        let alice = digest_of("https://a.example", "alice");
        assert_eq!(alice, digest_of("https://a.example", "alice"));
        for (iss, subject) in [
            ("https://b.example", "alice"),
            ("https://a.example", "bob"),
            ("https://a.examplea", "lice"),
            ("https://a.exampl", "ealice"),
        ] {
            assert_ne!(alice, digest_of(iss, subject), "{iss} {subject}");
        }
    }
}
