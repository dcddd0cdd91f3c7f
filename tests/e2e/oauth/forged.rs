//! Forged tokens, one by one: each is refused in the same words, byte for byte, and nothing is fetched that a token names. Their
//! counterparts, which differ in that one thing alone, are let in.

use std::collections::BTreeSet;

use patchbay_e2e::{Ask, Client, idp::claims, wait_until};
use serde_json::{Value, json};

use super::{Said, World, challenge, now_s, param, path};
use crate::isolation::seen;

/// A part of a token: an object, or text where an object could not say it.
fn with(object: &Value, changes: &Value) -> Value {
    let mut object = object.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}

/// What a good token is made of.
struct Mould<'a> {
    world: &'a World,
    header: Value,
    payload: Value,
}

impl<'a> Mould<'a> {
    fn of(world: &'a World) -> Self {
        let payload = Value::Object(claims(&world.token("alice", "mcp:read")));
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": world.idp.kid("ES256") });
        Self { world, header, payload }
    }

    /// A token with another header.
    fn header(&self, changes: &Value) -> String {
        self.cast(&with(&self.header, changes), &self.payload, "ES256")
    }

    /// A token with other claims.
    fn claims(&self, changes: &Value) -> String {
        self.cast(&self.header, &with(&self.payload, changes), "ES256")
    }

    /// A token with another header that somebody else signed.
    fn signed(&self, changes: &Value, by: &str) -> String {
        self.cast(&with(&self.header, changes), &self.payload, by)
    }

    fn cast(&self, header: &Value, payload: &Value, by: &str) -> String {
        self.world.idp.forge(header, payload, by)
    }
}

#[tokio::test]
async fn what_is_right_is_let_in_however_it_is_written() {
    let Some(world) = World::start().await else { return };
    let resource = world.resource("default");
    let now = now_s();
    for (what, wanted) in [
        ("ES256", json!({ "alg": "ES256" })),
        ("RS256", json!({ "alg": "RS256" })),
        ("EdDSA", json!({ "alg": "EdDSA" })),
        ("several audiences", json!({ "claims": { "aud": ["https://other.example", resource] } })),
        ("expired within the leeway", json!({ "claims": { "exp": now - 10 } })),
        ("not valid before in a moment", json!({ "claims": { "nbf": now + 10 } })),
        ("made in a moment", json!({ "claims": { "iat": now + 10 } })),
        ("a type in full and in capitals", json!({ "header": { "typ": "application/AT+JWT" } })),
        ("a life of a day", json!({ "claims": { "iat": now, "exp": now + 24 * 3600 } })),
        ("scopes as a list", json!({ "claims": { "scope": null, "scp": ["mcp:read"] } })),
        (
            "a key's address that nobody asks",
            json!({ "header": { "jku": format!("{}/elsewhere/jwks", world.idp.issuer) } }),
        ),
    ] {
        let mut wanted = wanted;
        wanted["sub"] = json!("alice");
        wanted["scope"] = json!("mcp:read");
        wanted["resource"] = json!(resource);
        let said = world.told(Some(&world.idp.mint(&wanted))).await;
        assert_eq!(said.0, 200, "{what}: {said:?}");
    }
    let mould = Mould::of(&world);
    assert_eq!(
        world.status(&mould.claims(&json!({}))).await,
        200,
        "what the test makes is good but for what it spoils"
    );
    assert_eq!(world.idp.asked("/elsewhere/jwks"), 0);
}

/// Tokens that are spoilt in their header or signature.
fn by_header(mould: &Mould<'_>) -> Vec<(String, String)> {
    let idp = &mould.world.idp;
    let elsewhere = format!("{}/elsewhere/jwks", idp.issuer);
    let rsa = idp.kid("RS256");
    let mut forged: Vec<(String, String)> = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        forged.push((format!("alg {alg:?} and no signature"), mould.signed(&json!({ "alg": alg }), "none")));
    }
    for (what, changes) in [
        ("no alg", json!({ "alg": null })),
        ("alg in small letters", json!({ "alg": "es256" })),
        ("alg with a space", json!({ "alg": "ES256 " })),
        ("alg that is no text", json!({ "alg": ["ES256"] })),
        ("another curve's alg", json!({ "alg": "ES384" })),
        ("another key's alg", json!({ "alg": "RS256" })),
        ("another key's kid", json!({ "kid": rsa })),
        ("both of another key", json!({ "alg": "RS256", "kid": rsa })),
        ("kid as a path", json!({ "kid": "../../../../etc/passwd" })),
        ("kid as SQL", json!({ "kid": "x' UNION SELECT 'key' --" })),
        ("kid as a URL", json!({ "kid": elsewhere })),
        ("kid of 4 KiB", json!({ "kid": "k".repeat(4096) })),
        ("kid that is a number", json!({ "kid": 1 })),
        ("kid that nobody has", json!({ "kid": "nobody-has-this" })),
        ("crit", json!({ "crit": ["exp"] })),
        ("crit of nothing", json!({ "crit": [] })),
        ("crit of b64", json!({ "crit": ["b64"], "b64": false })),
        ("the type of an ID token", json!({ "typ": "JWT" })),
        ("the type of a logout token", json!({ "typ": "logout+jwt" })),
        ("no type", json!({ "typ": null })),
    ] {
        forged.push((what.to_owned(), mould.header(&changes)));
    }
    let hmac = json!({ "alg": "HS256", "kid": rsa });
    forged.push(("the public key as a secret".into(), mould.signed(&hmac, "public key as secret")));
    let stranger = "ES256:stranger";
    for (what, changes) in [
        ("a stranger's signature", json!({})),
        ("a stranger's signature and kid", json!({ "kid": "ES256:stranger" })),
        ("a stranger's signature and no kid", json!({ "kid": null })),
        ("a stranger's key by jku", json!({ "jku": elsewhere, "kid": "s" })),
        ("a stranger's key by x5u", json!({ "x5u": elsewhere, "kid": "s" })),
        ("a stranger's key by x5c", json!({ "x5c": ["MIIB"], "kid": "s" })),
        (
            "a stranger's key as it is",
            json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }, "kid": "s" }),
        ),
    ] {
        forged.push((what.to_owned(), mould.signed(&changes, stranger)));
    }
    let twice = format!(r#"{{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, idp.kid("ES256"));
    forged.push(("two algs".into(), mould.cast(&json!(twice), &mould.payload, "ES256")));
    forged.push(("a header that is no object".into(), mould.cast(&json!("[]"), &mould.payload, "ES256")));
    forged
}

/// Tokens that are spoilt in their claims.
fn by_claims(mould: &Mould<'_>) -> Vec<(String, String)> {
    let resource = mould.world.resource("default");
    let issuer = &mould.world.idp.issuer;
    let now = now_s();
    let rows = [
        ("no audience", json!({ "aud": null })),
        ("an audience that is a number", json!({ "aud": 1 })),
        ("an audience of nobody", json!({ "aud": [] })),
        ("another audience", json!({ "aud": "https://other.example/t/acme/mcp" })),
        ("other audiences", json!({ "aud": ["https://other.example", "patchbay"] })),
        ("an audience that is not text alone", json!({ "aud": [resource, 1] })),
        ("the audience with a slash", json!({ "aud": format!("{resource}/") })),
        ("the beginning of the audience", json!({ "aud": resource.trim_end_matches("/mcp") })),
        ("the audience in capitals", json!({ "aud": resource.to_uppercase() })),
        ("another toolset's audience", json!({ "aud": mould.world.resource("staff") })),
        ("the client as audience", json!({ "aud": "ide" })),
        ("no issuer", json!({ "iss": null })),
        ("another issuer", json!({ "iss": "https://login.example.org" })),
        ("the issuer with a slash", json!({ "iss": format!("{issuer}/") })),
        ("the issuer in a list", json!({ "iss": [issuer] })),
        ("no end", json!({ "exp": null })),
        ("an end in text", json!({ "exp": (now + 600).to_string() })),
        ("an end long ago", json!({ "exp": now - 3600 })),
        ("an end just over the leeway", json!({ "exp": now - 31 })),
        ("an end in two days", json!({ "exp": now + 48 * 3600 })),
        ("a life of more than a day", json!({ "iat": now - 20 * 3600, "exp": now + 20 * 3600 })),
        ("an end beyond all numbers", json!({ "exp": 1e300 })),
        ("a beginning in text", json!({ "nbf": "9" })),
        ("a beginning in an hour", json!({ "nbf": now + 3600 })),
        ("made in an hour", json!({ "iat": now + 3600 })),
        ("made at a text", json!({ "iat": "now" })),
        ("no subject", json!({ "sub": null })),
        ("an empty subject", json!({ "sub": "" })),
        ("a subject that is a number", json!({ "sub": 7 })),
        ("a subject over two lines", json!({ "sub": "alice\nadmin" })),
        ("a subject of 1 KiB", json!({ "sub": "s".repeat(1024) })),
    ];
    let mut forged: Vec<_> =
        rows.into_iter().map(|(what, changes)| (what.to_owned(), mould.claims(&changes))).collect();
    let text = mould.payload.to_string();
    let twice = text.replacen('{', r#"{"sub":"bob","#, 1);
    forged.push(("two subjects".into(), mould.cast(&mould.header, &json!(twice), "ES256")));
    forged.push(("a payload that is no object".into(), mould.cast(&mould.header, &json!("7"), "ES256")));
    // What a client gets for itself beside the access token.
    let id_token = with(&mould.payload, &json!({ "aud": "ide", "nonce": "n", "at_hash": "h", "scope": null }));
    let header = with(&mould.header, &json!({ "typ": null }));
    forged.push(("an ID token".into(), mould.cast(&header, &id_token, "ES256")));
    forged
}

/// Tokens whose bytes are no longer those that were signed.
fn by_bytes(mould: &Mould<'_>) -> Vec<(String, String)> {
    let good = mould.claims(&json!({}));
    let other = mould.claims(&json!({ "sub": "bob" }));
    let parts: Vec<_> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let other: Vec<_> = other.split('.').collect();
    let flipped = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let joined = |header: &str, payload: &str, signature: &str| format!("{header}.{payload}.{signature}");
    [
        ("another's claims", joined(header, other[1], signature)),
        ("another's signature", joined(header, payload, other[2])),
        ("a changed claim", joined(header, &flipped(payload, 30), signature)),
        ("a changed signature", joined(header, payload, &flipped(signature, 10))),
        ("a signature cut short", joined(header, payload, &signature[..signature.len() - 4])),
        ("a signature of zeros", joined(header, payload, &"A".repeat(86))),
        ("no signature", joined(header, payload, "")),
        ("no third part", format!("{header}.{payload}")),
        ("a fourth part", format!("{good}.{signature}")),
        ("five parts", format!("{header}.a.b.{payload}.{signature}")),
        ("padding", joined(header, payload, &format!("{signature}=="))),
        ("dots alone", "..".to_owned()),
        ("one word", "garbage".to_owned()),
        ("a key of nobody", "pb_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()),
    ]
    .into_iter()
    .map(|(what, token)| (what.to_owned(), token))
    .collect()
}

#[tokio::test]
async fn every_forgery_is_refused_in_the_same_words_and_nothing_is_fetched_for_it() {
    let Some(world) = World::start().await else { return };
    let mould = Mould::of(&world);
    assert_eq!(world.status(&mould.claims(&json!({}))).await, 200, "the keys are known");
    world.idp.forget();

    let forged = [by_header(&mould), by_claims(&mould), by_bytes(&mould)].concat();
    assert!(forged.len() > 75, "{}", forged.len());
    let mut words: Option<Said> = None;
    for (what, token) in &forged {
        let said = world.told(Some(token)).await;
        assert_eq!(said.0, 401, "{what}: {said:?}");
        if what == "a key of nobody" {
            // A key is no token: it is as if nothing had been shown.
            assert_eq!(said, world.told(None).await, "{what}");
            continue;
        }
        let words = words.get_or_insert_with(|| said.clone());
        assert_eq!(&said, words, "{what}");
    }
    let words = words.unwrap();
    let challenge = challenge(&words);
    assert_eq!(param(challenge, "error"), Some("invalid_token"));
    assert_eq!(param(challenge, "scope"), Some("mcp:read"));
    let metadata = format!("http://{}/.well-known/oauth-protected-resource/t/acme/mcp", world.gateway.address);
    assert_eq!(param(challenge, "resource_metadata"), Some(&*metadata));

    // A `kid` that is not known may have the keys fetched once more, and nothing else.
    let asked: BTreeSet<_> = world.idp.seen().iter().map(|asked| asked["path"].as_str().unwrap().to_owned()).collect();
    assert!(asked.iter().all(|path| path == "/jwks"), "{asked:?}");
    assert!(world.idp.asked("/jwks") <= 1, "{}", world.idp.asked("/jwks"));

    // Operators are told what callers are not.
    let wanted =
        ["token_algorithm", "token_signature", "token_audience", "token_expired", "token_critical", "token_type"];
    wait_until("the audit says why", || async {
        let audit = world.gateway.audit().await;
        let text: String = audit.iter().map(Value::to_string).collect();
        wanted.iter().all(|reason| text.contains(reason))
    })
    .await;
    assert_eq!(world.status(&mould.claims(&json!({}))).await, 200, "and who is genuine comes in as before");
}

#[tokio::test]
async fn a_token_counts_in_its_one_header_alone_and_only_once() {
    let Some(world) = World::start().await else { return };
    let token = world.token("alice", "mcp:read");
    let bare = Client::modern(world.gateway.address, &path("default"), None);
    let list = bare.ask("tools/list", json!({}));

    let nobody = world.told(None).await;
    assert_eq!(nobody.0, 401);
    assert_eq!(param(challenge(&nobody), "error"), None, "nothing was shown, so nothing is wrong with it: {nobody:?}");
    let query = Ask { path: format!("{}?access_token={token}", path("default")), ..list.clone() };
    assert_eq!(seen(&query, &world.gateway).await, nobody, "in the query it is not seen");
    let cookie = list.clone().header("Cookie", format!("access_token={token}"));
    assert_eq!(seen(&cookie, &world.gateway).await, nobody);

    let twice = list.clone().bearer(&token).header("Authorization", format!("Bearer {token}"));
    assert_eq!(twice.send(world.gateway.address).await.status, 400);
    let both = list.clone().bearer(&token).header("Authorization", "Basic YTpi");
    assert_eq!(both.send(world.gateway.address).await.status, 400);
    let long = list.clone().bearer(&"a".repeat(17 * 1024));
    assert_eq!(long.send(world.gateway.address).await.status, 431);
    let longest = list.clone().bearer(&"a".repeat(15 * 1024));
    assert_eq!(longest.send(world.gateway.address).await.status, 401);
    for scheme in ["bearer", "BEARER"] {
        let ask = list.clone().with("Authorization", format!("{scheme} {token}"));
        assert_eq!(ask.send(world.gateway.address).await.status, 200, "{scheme}: schemes have no case");
    }
    assert_eq!(list.clone().bearer(&token).send(world.gateway.address).await.status, 200);
}
