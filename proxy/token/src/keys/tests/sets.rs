//! Which keys of a set may be used, and for what.

use std::slice;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{EncodingKey, crypto};
use patchbay_core::issuer::Algorithm::{self, ES256, ES384, EdDSA, PS256, PS512, RS256};
use serde_json::{Value, json};
use url::Url;

use super::{b64, ed25519, key, p256, p384, rsa, with};
use crate::keys::KeySet;

fn read_with(keys: &[Value], allowed: &[Algorithm]) -> KeySet {
    let body = json!({"keys": keys}).to_string();
    KeySet::read(source(), body.as_bytes(), allowed).unwrap()
}

fn read(keys: &[Value]) -> KeySet {
    read_with(keys, &Algorithm::USUAL)
}

fn source() -> Url {
    Url::parse("https://issuer.test/jwks").unwrap()
}

/// The reason why the only key is ignored.
fn ignored(jwk: Value) -> String {
    let set = read(&[jwk]);
    assert!(set.keys.is_empty(), "it was taken: {:?}", set.keys);
    set.ignored[0].clone()
}

fn algorithms(jwk: Value) -> Vec<Algorithm> {
    let set = read(&[jwk]);
    assert_eq!(set.ignored, [""; 0]);
    set.keys[0].algorithms.clone()
}

/// The library takes private RSA keys in this wrapping only in PEM.
fn rsa_owner(pkcs8: &[u8]) -> EncodingKey {
    let text = STANDARD.encode(pkcs8);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

fn library(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.as_str().parse().unwrap()
}

#[test]
fn a_key_of_every_kind_checks_what_its_owner_signed_and_nothing_else() {
    let pairs = [
        (p256(), EncodingKey::from_ec_der as fn(&[u8]) -> EncodingKey),
        (p384(), EncodingKey::from_ec_der),
        (ed25519(), EncodingKey::from_ed_der),
        (rsa(), rsa_owner),
    ];
    for (pair, owner) in &pairs {
        let set = read(slice::from_ref(&pair.jwk));
        for algorithm in set.keys[0].algorithms.iter().copied() {
            let signature = crypto::sign(b"words", &owner(&pair.pkcs8), library(algorithm)).unwrap();
            let holds =
                |words: &[u8]| crypto::verify(&signature, words, &set.keys[0].decoding, library(algorithm)).unwrap();
            assert!(holds(b"words") && !holds(b"other words"), "{algorithm:?}");
        }
    }
    let counts: Vec<_> = pairs.iter().map(|(pair, _)| algorithms(pair.jwk.clone()).len()).collect();
    assert_eq!(counts, [1, 1, 1, 6]);
}

#[test]
fn a_weak_or_broken_key_is_ignored_with_its_reason() {
    let (rsa, p256, p384, ed) = (rsa().jwk, p256().jwk, p384().jwk, ed25519().jwk);
    let modulus = |bytes: usize| {
        let mut n = vec![0xC5; bytes];
        n[0] = 0xFF;
        b64(&n)
    };
    let table = [
        (with(&rsa, json!({"n": modulus(128)})), "1024 bits"),
        (with(&rsa, json!({"n": modulus(255)})), "2040 bits"),
        (with(&rsa, json!({"n": modulus(1025)})), "8200 bits"),
        (with(&rsa, json!({"n": ""})), "0 bits"),
        (with(&rsa, json!({"n": 7})), "no text `n`"),
        (with(&rsa, json!({"n": "+/=="})), "base64url"),
        (with(&rsa, json!({"e": b64(&[1])})), "exponent"),
        (with(&rsa, json!({"e": b64(&[2])})), "exponent"),
        (with(&rsa, json!({"e": b64(&[1, 0, 0])})), "exponent"),
        (with(&rsa, json!({"e": b64(&[0])})), "exponent"),
        (with(&rsa, json!({"e": b64(&[2, 0, 0, 0, 1])})), "exponent"),
        (json!({"kty": "RSA", "e": "AQAB"}), "no text `n`"),
        (with(&p256, json!({"y": p256["x"]})), "not on its curve"),
        (with(&p256, json!({"x": b64(&[0; 32]), "y": b64(&[0; 32])})), "not on its curve"),
        (with(&p256, json!({"x": b64(&[1; 31])})), "32 bytes each"),
        (with(&p384, json!({"crv": "P-256"})), "32 bytes each"),
        (with(&p384, json!({"crv": "P-521"})), "curve is not supported"),
        (with(&p256, json!({"crv": "secp256k1"})), "curve is not supported"),
        (with(&ed, json!({"x": b64(&[1; 31])})), "Ed25519 key"),
        (with(&ed, json!({"crv": "Ed448"})), "curve is not supported"),
        (with(&ed, json!({"crv": "X25519"})), "curve is not supported"),
        (with(&ed, json!({"kty": "AKP"})), "type is not supported"),
        (with(&ed, json!({"kty": "okp"})), "type is not supported"),
        (with(&ed, json!({"kty": null})), "no type"),
        (json!("text"), "no object"),
    ];
    for (jwk, reason) in table {
        let said = ignored(jwk.clone());
        assert!(said.contains(reason), "{said:?} does not say {reason:?}");
    }
}

#[test]
fn symmetric_and_private_keys_are_ignored_and_never_shown() {
    let secret = b64(b"a secret that is on no line");
    assert!(ignored(json!({"kty": "oct", "kid": "s", "k": secret})).contains("symmetric"));
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let said = ignored(with(&key("leaked"), json!({member: secret})));
        assert!(said.contains("private parts") && said.contains("leaked") && !said.contains(&secret), "{said}");
    }
}

#[test]
fn a_key_for_something_else_is_ignored() {
    let ed = ed25519().jwk;
    assert!(ignored(with(&ed, json!({"use": "enc"}))).contains("`use`"));
    assert!(ignored(with(&ed, json!({"use": ["sig"]}))).contains("`use`"));
    for operations in [json!([]), json!(["sign", "encrypt"]), json!("verify"), json!(null)] {
        assert!(ignored(with(&ed, json!({"key_ops": operations}))).contains("`key_ops`"));
    }
    assert_eq!(algorithms(with(&ed, json!({"use": "sig", "key_ops": ["sign", "verify"]}))), [EdDSA]);
}

#[test]
fn its_own_algorithm_counts_alone_and_must_fit() {
    let (rsa, p256, p384) = (rsa().jwk, p256().jwk, p384().jwk);
    assert_eq!(algorithms(with(&rsa, json!({"alg": "PS256"}))), [PS256]);
    assert_eq!(algorithms(with(&p384, json!({"alg": "ES384"}))), [ES384]);
    for (jwk, alg) in [(&rsa, "ES256"), (&p384, "ES256"), (&p256, "EdDSA"), (&p256, "RS256")] {
        assert!(ignored(with(jwk, json!({"alg": alg}))).contains("does not fit"), "{alg}");
    }
    for alg in ["HS256", "none", "None", "rs256", "RSA-OAEP", "", "x\ny"] {
        let said = ignored(with(&rsa, json!({"alg": alg})));
        assert!(said.contains("not supported") && !said.contains('\n'), "{said}");
    }
    assert!(ignored(with(&rsa, json!({"alg": 5}))).contains("no text"));
}

#[test]
fn the_operator_decides_which_algorithms_count() {
    let keys = [rsa().jwk, p256().jwk, ed25519().jwk];
    let set = read_with(&keys, &[ES256, RS256]);
    assert_eq!(set.keys.iter().map(|key| &*key.algorithms).collect::<Vec<_>>(), [&[RS256][..], &[ES256]]);
    assert!(set.ignored[0].contains("configuration"), "{:?}", set.ignored);
    assert!(read_with(&[with(&keys[0], json!({"alg": "PS512"}))], &[RS256]).keys.is_empty());
    assert_eq!(read_with(&[with(&keys[0], json!({"alg": "PS512"}))], &[PS512]).keys.len(), 1);
}

#[test]
fn names_of_keys_have_a_bound_and_must_be_texts() {
    assert!(ignored(key(&"k".repeat(257))).contains("256 bytes"));
    assert!(ignored(with(&key("a"), json!({"kid": 5}))).contains("no text"));
    let longest = "k".repeat(256);
    let set = read(&[key(&longest), key("../x"), key("' OR 1=1")]);
    assert!(set.has(&longest) && set.has("../x") && set.has("' OR 1=1") && !set.has("k"));
}

#[test]
fn equal_names_are_kept_and_at_most_four_keys_are_tried() {
    let mut keys: Vec<_> = (0..6).map(|_| key("same")).collect();
    keys.push(with(&p256().jwk, json!({"kid": "same"})));
    keys.push(key("other"));
    let set = read(&keys);
    assert_eq!(set.keys.len(), 8);
    assert_eq!(set.candidates(Some("same"), EdDSA).count(), 4);
    assert_eq!(set.candidates(Some("same"), ES256).count(), 1, "those of other algorithms do not take its place");
    assert_eq!(set.candidates(None, EdDSA).count(), 4);
    assert_eq!(set.candidates(None, ES256).count(), 1);
    assert_eq!(set.candidates(Some("unknown"), EdDSA).count(), 0);
    assert_eq!(set.candidates(Some("same"), RS256).count(), 0);
}

#[test]
fn a_set_of_51_keys_is_refused_and_one_of_50_is_not() {
    let keys: Vec<_> = (0..51).map(|at| key(&at.to_string())).collect();
    let body = json!({"keys": keys}).to_string();
    let said = KeySet::read(source(), body.as_bytes(), &Algorithm::USUAL).unwrap_err();
    assert!(said.contains("51 keys"), "{said}");
    assert_eq!(read(&keys[..50]).keys.len(), 50);
}

#[test]
fn what_is_no_key_set_is_refused() {
    for body in ["", "<html>", "[]", "{}", r#"{"keys": {}}"#, "null", r#"{"keys": ["#, &"[".repeat(60_000)] {
        assert!(KeySet::read(source(), body.as_bytes(), &Algorithm::USUAL).is_err(), "{body:.20}");
    }
}

#[test]
fn a_bad_key_takes_nothing_from_its_neighbours() {
    let set = read(&[json!(5), key("good"), with(&key("bad"), json!({"use": "enc"})), key("fine")]);
    assert!(set.has("good") && set.has("fine") && set.keys.len() == 2);
    assert_eq!(set.ignored, ["key 1 (without a kid): it is no object", "key \"bad\": its `use` is not `sig`"]);
}

#[test]
fn leading_zeros_of_an_rsa_key_are_forgiven() {
    let plain = rsa().jwk;
    let modulus = URL_SAFE_NO_PAD.decode(plain["n"].as_str().unwrap()).unwrap();
    let padded = with(&plain, json!({"n": b64(&[&[0], &*modulus].concat())}));
    let (plain, padded) = (read(&[plain]), read(&[padded]));
    assert!(!plain.lacks_any_of(&padded) && !padded.lacks_any_of(&plain));
}

#[test]
fn a_key_is_withdrawn_when_its_material_or_one_of_its_algorithms_is_gone() {
    let (rsa, ed) = (rsa().jwk, ed25519().jwk);
    let before = read(&[rsa.clone(), ed.clone()]);
    assert!(!read(&[ed.clone(), with(&rsa, json!({"kid": "new"})), key("more")]).lacks_any_of(&before));
    assert!(read(slice::from_ref(&rsa)).lacks_any_of(&before));
    assert!(read(&[ed.clone(), key("b")]).lacks_any_of(&before));
    assert!(read(&[with(&rsa, json!({"alg": "PS256"})), ed]).lacks_any_of(&before));
}
