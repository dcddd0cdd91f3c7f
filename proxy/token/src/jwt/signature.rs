//! Signatures: which of an issuer's keys a token may be held against, and whether one of them made it.

use jsonwebtoken::{DecodingKey, crypto};
use patchbay_core::issuer::Algorithm;

use super::Parts;
use crate::{
    Reason,
    explain::{Failed, list, shown},
    keys::{Key, KeySet, KeysStatus},
};

/// The keys that a token may have been signed with. The algorithm is the keys' to allow, not the token's to choose.
pub(crate) fn candidates<'a>(
    set: &'a KeySet,
    kid: Option<&'a str>,
    algorithm: Algorithm,
) -> Result<Vec<&'a Key>, Failed> {
    let fitting: Vec<_> = set.candidates(kid, algorithm).collect();
    if !fitting.is_empty() {
        return Ok(fitting);
    }
    match kid {
        Some(kid) if !set.has(kid) => {
            let found = format!(
                "the token names {}, which the issuer does not have: it is forged, or the key was withdrawn",
                shown(kid)
            );
            Err(Failed::new(Reason::UnknownKey, found))
        }
        _ => {
            let named = set.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
            let allowed = list(named.flat_map(|key| &key.algorithms).map(|allowed| allowed.as_str()));
            let found = format!("`alg` is {}; the issuer's keys allow {allowed}", shown(algorithm.as_str()));
            Err(Failed::new(Reason::Algorithm, found))
        }
    }
}

/// Whether one of the keys made the signature.
pub(crate) fn check(parts: &Parts<'_>, keys: &[&Key], algorithm: Algorithm) -> Result<(), Failed> {
    let made_it = |key: &&Key| {
        let outcome = crypto::verify(parts.signature, parts.signed.as_bytes(), &key.decoding, named(algorithm));
        matches!(outcome, Ok(true))
    };
    if keys.iter().any(made_it) {
        return Ok(());
    }
    let found =
        "no key of the issuer made it: the token was changed on its way, is forged, or the issuer uses one `kid` twice";
    Err(Failed::new(Reason::Signature, found))
}

/// What is known of an issuer's keys, for operators.
pub(crate) fn known(status: &KeysStatus) -> String {
    let texts = |texts: &[String]| list(texts.iter().map(String::as_str));
    let source = status.source_url.as_deref().map_or_else(|| "nowhere yet".to_owned(), shown);
    let age = status.fetched.map(|age| format!(", {} s ago", age.as_secs())).unwrap_or_default();
    let mut found = format!("from {source}{age}: {}", texts(&status.kids));
    if !status.ignored.is_empty() {
        found.push_str(&format!("; not usable: {}", texts(&status.ignored)));
    }
    if let Some(error) = &status.last_error {
        found.push_str(&format!("; they could not be fetched anew: {error}"));
    }
    found
}

const fn named(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

/// This build cannot check signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signatures cannot be checked: {0}. Expected a build with a working cryptographic library")]
pub struct NoCrypto(&'static str);

/// A public key on P-256, by its coordinates; its private half was thrown away when it had signed [`SIGNED`] once.
const KNOWN_KEY: [&str; 2] =
    ["8LbGf-uSVTbifCFRvSe8w8w7VBGdLYfcsfCtpMiCRKE", "2uk_caj9SkoUBIvFZNfKdNeXwonpOfIR65BOHQBIFgM"];
/// What it signed.
const SIGNED: &[u8] = b"patchbay";
/// The signature, ES256.
const KNOWN_SIGNATURE: &str = "qBRYgYrPmqqvlZcp-m1y_XYyI8VAhl2V0JSxFODGpfng1BAu09v9cutgRxmTiURuj5Z0imtPpBqGlvGhuJWhCQ";

/// Verifies a signature that is known to be good, and sees that it is refused for anything else. For the start of the program: a
/// build whose cryptography does not work shall not live until its first user. Nothing is signed here, since gathering
/// randomness for that takes the library longer than all the rest of a start.
///
/// # Errors
/// [`NoCrypto`].
pub fn self_check() -> Result<(), NoCrypto> {
    let [x, y] = KNOWN_KEY;
    let public = DecodingKey::from_ec_components(x, y).map_err(|_| NoCrypto("no public key could be read"))?;
    let is_good = |message| crypto::verify(KNOWN_SIGNATURE, message, &public, jsonwebtoken::Algorithm::ES256);
    match (is_good(SIGNED), is_good(b"Patchbay")) {
        (Ok(true), Ok(false)) => Ok(()),
        _ => Err(NoCrypto("a good signature and a bad one could not be told apart")),
    }
}
