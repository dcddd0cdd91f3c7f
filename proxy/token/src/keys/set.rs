//! Key sets (RFC 7517): which of their keys may judge tokens, and with which algorithms. Whether the material of a key is any
//! good is [`material`](super::material)'s. `keys` reads what it fetched here.

use std::collections::BTreeSet;

use patchbay_core::issuer::Algorithm;
use serde_json::{Map, Value};
use url::Url;

use super::material::Material;

/// The most keys of a set; with more it is refused whole, since nobody could say which of them count.
const KEYS_MAX: usize = 50;
/// The most bytes of a key's name.
const KID_BYTES_MAX: usize = 256;
/// The most keys that one token is tried against.
const CANDIDATES_MAX: usize = 4;
/// The most characters that are shown of a name or an algorithm that an issuer wrote.
const SHOWN_CHARS_MAX: usize = 64;
/// Members that only private and symmetric keys have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// One key that signatures may be checked with.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name in tokens.
    pub(crate) kid: Option<Box<str>>,
    /// The algorithms that a token may name with it: what its type, its curve, its own `alg` and the operator allow.
    pub(crate) algorithms: Vec<Algorithm>,
    /// The key.
    pub(crate) decoding: jsonwebtoken::DecodingKey,
    /// A digest of its material: the same under every name.
    digest: [u8; 32],
}

/// The usable keys of an issuer at one time.
#[derive(Debug)]
pub(crate) struct KeySet {
    pub(crate) keys: Vec<Key>,
    /// The keys that may not be used, each with the reason. No material.
    pub(super) ignored: Vec<String>,
    /// Where it came from.
    pub(super) source: Url,
}

impl KeySet {
    /// The keys of a set that may be used with these algorithms, each judged for itself.
    ///
    /// # Errors
    /// What is wrong with the set as a whole.
    pub(super) fn read(source: Url, body: &[u8], allowed: &[Algorithm]) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(body).map_err(|_| "it is no JSON".to_owned())?;
        let listed = document.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or("it is no key set: an object with a list `keys` is expected")?;
        if listed.len() > KEYS_MAX {
            return Err(format!("it has {} keys, and at most {KEYS_MAX} are taken", listed.len()));
        }
        let mut set = Self { keys: Vec::new(), ignored: Vec::new(), source };
        for (at, jwk) in listed.iter().enumerate() {
            match read_key(jwk, allowed) {
                Ok(key) => set.keys.push(key),
                Err(why) => set.ignored.push(format!("{}: {why}", name(at, jwk))),
            }
        }
        Ok(set)
    }

    /// Whether a usable key has this name.
    pub(crate) fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys to try a token against that names this key, or none, and this algorithm.
    pub(crate) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let is_named = move |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
        let fits = move |key: &&Key| key.algorithms.contains(&algorithm);
        self.keys.iter().filter(is_named).filter(fits).take(CANDIDATES_MAX)
    }

    /// Whether a key of the older set is not here any more, or not for all that it was good for.
    pub(super) fn lacks_any_of(&self, older: &Self) -> bool {
        !older.abilities().is_subset(&self.abilities())
    }

    fn abilities(&self) -> BTreeSet<([u8; 32], Algorithm)> {
        self.keys.iter().flat_map(|key| key.algorithms.iter().map(|algorithm| (key.digest, *algorithm))).collect()
    }
}

/// One key, or why it is ignored.
fn read_key(jwk: &Value, allowed: &[Algorithm]) -> Result<Key, String> {
    let jwk = jwk.as_object().ok_or("it is no object")?;
    if jwk.get("kty").and_then(Value::as_str) == Some("oct") {
        return Err("it is symmetric, and only public keys count".to_owned());
    }
    if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
        return Err("it has private parts; whoever signs with it must replace it".to_owned());
    }
    check_use(jwk)?;
    let kid = kid(jwk)?;
    let own = own_algorithm(jwk)?;
    let material = Material::read(jwk)?;
    let fitting = material.algorithms();
    if let Some(own) = own.filter(|own| !fitting.contains(own)) {
        return Err(format!("its `alg` {} does not fit its type or curve", own.as_str()));
    }
    let is_usable = |algorithm: &Algorithm| own.is_none_or(|own| own == *algorithm) && allowed.contains(algorithm);
    let algorithms: Vec<_> = fitting.iter().copied().filter(is_usable).collect();
    if algorithms.is_empty() {
        return Err("none of its algorithms is among the `algorithms` of the issuer's configuration".to_owned());
    }
    Ok(Key { kid, algorithms, decoding: material.decoding(), digest: material.digest() })
}

fn check_use(jwk: &Map<String, Value>) -> Result<(), String> {
    if jwk.get("use").is_some_and(|purpose| purpose.as_str() != Some("sig")) {
        return Err("its `use` is not `sig`".to_owned());
    }
    let is_verify = |operation: &Value| operation.as_str() == Some("verify");
    let may_verify = |operations: &Value| operations.as_array().is_some_and(|all| all.iter().any(is_verify));
    match jwk.get("key_ops") {
        Some(operations) if !may_verify(operations) => Err("its `key_ops` lack `verify`".to_owned()),
        _ => Ok(()),
    }
}

fn kid(jwk: &Map<String, Value>) -> Result<Option<Box<str>>, String> {
    match jwk.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Ok(Some(kid.as_str().into())),
        Some(Value::String(_)) => Err(format!("its `kid` is longer than {KID_BYTES_MAX} bytes")),
        Some(_) => Err("its `kid` is no text".to_owned()),
    }
}

fn own_algorithm(jwk: &Map<String, Value>) -> Result<Option<Algorithm>, String> {
    match jwk.get("alg") {
        None => Ok(None),
        Some(Value::String(name)) => {
            let known = Algorithm::parse(name).map(Some);
            known.ok_or_else(|| format!("its `alg` {} is not supported", shown(name)))
        }
        Some(_) => Err("its `alg` is no text".to_owned()),
    }
}

/// What a key is called in reasons.
fn name(at: usize, jwk: &Value) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(kid) => format!("key {}", shown(kid)),
        None => format!("key {} (without a kid)", at + 1),
    }
}

/// What an issuer wrote, as it may stand in a log: short, on one line.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
