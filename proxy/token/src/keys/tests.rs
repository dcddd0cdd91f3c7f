//! What the tests of keys share: keys of every kind made anew, an issuer on loopback, and a hand on the clock.

mod discovery;
mod memory;
pub(crate) mod server;
mod sets;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeySize, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use patchbay_core::issuer::IssuerSpec;
use serde_json::{Value, json};
use tokio::time;

use self::server::{Plain, Reply, Server};
use super::IssuerKeys;

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair as PKCS#8, and its public part as in a key set, without a kid.
struct Pair {
    pkcs8: Vec<u8>,
    jwk: Value,
}

fn ec_of(curve: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm, name: &str) -> Pair {
    let pair = EcdsaKeyPair::generate(curve).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at(point.len() / 2);
    let jwk = json!({"kty": "EC", "crv": name, "x": b64(x), "y": b64(y)});
    Pair { pkcs8: pair.to_pkcs8v1().unwrap().as_ref().to_vec(), jwk }
}

fn p256() -> Pair {
    ec_of(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
}

fn p384() -> Pair {
    ec_of(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
}

fn ed25519() -> Pair {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())});
    Pair { pkcs8: pair.to_pkcs8().unwrap().as_ref().to_vec(), jwk }
}

fn rsa() -> Pair {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let jwk = json!({"kty": "RSA", "n": b64(&public.n), "e": b64(&public.e)});
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    Pair { pkcs8: pkcs8.as_ref().to_vec(), jwk }
}

/// The value with these members besides, or instead.
fn with(value: &Value, members: Value) -> Value {
    let mut value = value.clone();
    let Value::Object(members) = members else { panic!("members are an object") };
    value.as_object_mut().unwrap().extend(members);
    value
}

/// A new key of that name.
pub(crate) fn key(kid: &str) -> Value {
    with(&ed25519().jwk, json!({"kid": kid}))
}

pub(crate) fn set_of(keys: &[Value]) -> Reply {
    Reply::json(&json!({"keys": keys}))
}

pub(crate) fn spec(members: Value) -> IssuerSpec {
    serde_json::from_value(members).unwrap()
}

/// An issuer that says at once where its keys are, with one key `a`.
async fn issuer() -> (Server, Arc<IssuerKeys>) {
    let server = Server::start().await;
    server.set("/jwks", set_of(&[key("a")]));
    let keys = given_jwks(&server);
    (server, keys)
}

fn given_jwks(server: &Server) -> Arc<IssuerKeys> {
    let spec = spec(json!({"issuer": server.url, "jwks_url": format!("{}/jwks", server.url)}));
    IssuerKeys::new(&spec, Arc::new(Plain))
}

/// Puts the clock forward, with nothing under way.
pub(crate) async fn later(by: Duration) {
    time::pause();
    time::advance(by).await;
    time::resume();
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..5000 {
        if holds() {
            return;
        }
        time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never came about: {what}");
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
