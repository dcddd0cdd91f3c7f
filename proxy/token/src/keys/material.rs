//! The material of one public key: its type, its strength, and whether the crypto library takes it. What a key is for, and
//! whether it may be used, is [`set`](super::set)'s.

use aws_lc_rs::{
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        VerificationAlgorithm,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use patchbay_core::issuer::Algorithm;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The fewest bits of an RSA modulus.
const RSA_BITS_MIN: usize = 2048;
/// The most bits of an RSA modulus.
const RSA_BITS_MAX: usize = 8192;
/// The most bits of an RSA exponent: the library refuses to verify with more.
const RSA_EXPONENT_BITS_MAX: usize = 33;
/// The bytes of an Ed25519 public key.
const ED25519_BYTES: usize = 32;

/// The material of a public key that the library takes.
pub(super) enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Material {
    /// # Errors
    /// Why this is no key that signatures may be checked with.
    pub(super) fn read(jwk: &Map<String, Value>) -> Result<Self, String> {
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        match (text("kty"), text("crv")) {
            (Some("RSA"), _) => rsa(jwk),
            (Some("EC"), Some("P-256")) => Ok(Self::P256(point(jwk, 32, &ECDSA_P256_SHA256_FIXED)?)),
            (Some("EC"), Some("P-384")) => Ok(Self::P384(point(jwk, 48, &ECDSA_P384_SHA384_FIXED)?)),
            (Some("OKP"), Some("Ed25519")) => ed25519(jwk),
            (Some("EC" | "OKP"), _) => Err("its curve is not supported: P-256, P-384 and Ed25519 are".to_owned()),
            (Some(_), _) => Err("its type is not supported: RSA, EC and OKP are".to_owned()),
            (None, _) => Err("it has no type `kty`".to_owned()),
        }
    }

    /// The algorithms that can be used with it at all.
    pub(super) const fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => &[RS256, RS384, RS512, PS256, PS384, PS512],
            Self::P256(_) => &[ES256],
            Self::P384(_) => &[ES384],
            Self::Ed25519(_) => &[EdDSA],
        }
    }

    pub(super) fn decoding(&self) -> DecodingKey {
        match self {
            Self::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Self::P256(point) | Self::P384(point) => DecodingKey::from_ec_der(point),
            Self::Ed25519(x) => DecodingKey::from_ed_der(x),
        }
    }

    /// A digest that no other material has.
    pub(super) fn digest(&self) -> [u8; 32] {
        let (kind, parts): (u8, [&[u8]; 2]) = match self {
            Self::Rsa { n, e } => (1, [n, e]),
            Self::P256(point) => (2, [point, &[]]),
            Self::P384(point) => (3, [point, &[]]),
            Self::Ed25519(x) => (4, [x, &[]]),
        };
        let mut hash = Sha256::new();
        hash.update([kind]);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<Material, String> {
    let (n, e) = (number(jwk, "n")?, number(jwk, "e")?);
    let size = bits(&n);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&size) {
        return Err(format!("its RSA modulus has {size} bits, and {RSA_BITS_MIN} to {RSA_BITS_MAX} are taken"));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !is_odd(&e) || !(2..=RSA_EXPONENT_BITS_MAX).contains(&bits(&e)) {
        return Err(format!("its RSA exponent is not an odd number from 3 to {RSA_EXPONENT_BITS_MAX} bits"));
    }
    let components = rsa::PublicKeyComponents { n: &n, e: &e };
    let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    if !is_odd(&n) || parsed.is_err() {
        return Err("its RSA modulus is none".to_owned());
    }
    Ok(Material::Rsa { n, e })
}

/// An uncompressed point (SEC 1). The library looks whether it is on the curve.
fn point(jwk: &Map<String, Value>, bytes: usize, curve: &'static dyn VerificationAlgorithm) -> Result<Vec<u8>, String> {
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    if x.len() != bytes || y.len() != bytes {
        return Err(format!("its coordinates do not have {bytes} bytes each"));
    }
    let point = [&[4], &*x, &*y].concat();
    match ParsedPublicKey::new(curve, &point) {
        Ok(_) => Ok(point),
        Err(_) => Err("its point is not on its curve".to_owned()),
    }
}

fn ed25519(jwk: &Map<String, Value>) -> Result<Material, String> {
    let x = octets(jwk, "x")?;
    if x.len() != ED25519_BYTES || ParsedPublicKey::new(&ED25519, &x).is_err() {
        return Err(format!("its `x` is no Ed25519 key of {ED25519_BYTES} bytes"));
    }
    Ok(Material::Ed25519(x))
}

/// A positive number, without the leading zeros that some issuers write.
fn number(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, String> {
    let octets = octets(jwk, member)?;
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    Ok(octets[zeros..].to_vec())
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn octets(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, String> {
    let text = jwk.get(member).and_then(Value::as_str).ok_or_else(|| format!("it has no text `{member}`"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("its `{member}` is no base64url without padding"))
}
