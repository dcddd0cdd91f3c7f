//! Access tokens for the measurements: a fresh key, its key set for Patchbay to fetch, and files of tokens, all different and
//! all good for an hour. A warm measurement shows one of them again and again, a cold one each token of a file once.

use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const LIFETIME_S: u64 = 3600;

/// Writes `jwks.json` into the folder, and the files `tokens-0.txt` and so on with `count` tokens each, one in each line.
pub(crate) fn mint(folder: &Path, issuer: &str, audience: &str, files: usize, count: usize) -> Result<()> {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| anyhow!("no key could be made"))?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
        .map_err(|error| anyhow!("the key that was made cannot be used: {error}"))?;
    // An uncompressed point: 4, then x, then y.
    let point = key.public_key().as_ref();
    let (x, y) = (encoded(&point[1..33]), encoded(&point[33..65]));
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench", "x": x, "y": y }] });
    fs::write(folder.join("jwks.json"), keys.to_string())?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let header = encoded(json!({ "alg": "ES256", "typ": "at+jwt", "kid": "bench" }).to_string().as_bytes());
    for part in 0..files {
        let file = folder.join(format!("tokens-{part}.txt"));
        let file = fs::File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
        let mut out = BufWriter::new(file);
        for number in part * count..(part + 1) * count {
            let payload = claims(issuer, audience, number, now_s).to_string();
            let signed = format!("{header}.{}", encoded(payload.as_bytes()));
            let signature = key.sign(&random, signed.as_bytes()).map_err(|_| anyhow!("a token could not be signed"))?;
            writeln!(out, "{signed}.{}", encoded(signature.as_ref()))?;
        }
        out.flush()?;
    }
    Ok(())
}

/// As many claims as a provider's tokens usually have.
fn claims(issuer: &str, audience: &str, number: usize, now_s: u64) -> Value {
    json!({
        "iss": issuer, "aud": [audience], "sub": "5f0c2b8e-3a3d-4e0c-9f1e-6a7c5d1b2e3f", "iat": now_s, "nbf": now_s,
        "exp": now_s + LIFETIME_S, "jti": format!("bench-{number:08}"), "client_id": "bench-load", "name": "Bench Load",
        "scope": "openid mcp:read mcp:write", "groups": ["engineering", "platform", "everybody"],
    })
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
