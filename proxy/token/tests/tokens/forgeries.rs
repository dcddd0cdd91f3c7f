//! Every row of the threat table that a token can show: what is wrong is refused for its own reason, and asks nobody unless
//! only the issuer's keys can tell.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use patchbay_token::Reason::{self, *};
use serde_json::{Value, json};

use crate::{
    mint::{Pair, Signer, base64},
    world::{ISS, JWKS, NOW, RESOURCE, World, claims, corp, row, with},
};

/// A forgery: what it is, the token, why it is refused, and how often the issuer may be asked because of it.
struct Forgery {
    what: String,
    token: String,
    reason: Reason,
    fetches: usize,
}

/// Holds each against a tenant that knows no keys yet; nothing of a token may be in what anybody is told of it.
async fn are_refused(world: &World, forgeries: Vec<Forgery>) {
    for Forgery { what, token, reason, fetches } in forgeries {
        let cold = patchbay_token::Issuers::new(&[corp(json!({}))], &[], None, world.provider.clone());
        let before = world.provider.asked().len();
        let refused = cold.verify(&token, crate::world::wanted(), NOW * 1000).await.unwrap_err();
        assert_eq!(refused, patchbay_token::TokenError::Refused(reason), "{what}");
        let asked = world.provider.asked().split_off(before);
        assert!(asked.len() == fetches && asked.iter().all(|url| url == JWKS), "{what}: {asked:?}");
        let explanation = cold.explain(&token, crate::world::wanted(), NOW * 1000).await;
        assert!(!explanation.is_good(), "{what}");
        let told = format!("{explanation:?} {refused:?} {refused}");
        let leaked = token.split('.').find(|part| part.len() > 12 && told.contains(part));
        assert_eq!(leaked, None, "{what}");
    }
}

fn forged(what: &str, token: String, reason: Reason, fetches: usize) -> Forgery {
    Forgery { what: what.to_owned(), token, reason, fetches }
}

/// A truly signed token whose header has these members.
fn header(world: &World, members: Value, reason: Reason, fetches: usize) -> Forgery {
    let what: String = format!("header {members}").chars().take(200).collect();
    let header = with(world.p256.header(), members);
    let token = world.p256.token_of(&header.to_string(), &claims().to_string());
    forged(&what, token, reason, fetches)
}

/// A truly signed token whose claims have these members.
fn claim(world: &World, members: Value, reason: Reason) -> Forgery {
    let what: String = format!("claims {members}").chars().take(200).collect();
    forged(&what, world.p256.token(&with(claims(), members)), reason, 0)
}

#[tokio::test]
async fn the_algorithm_is_the_keys_and_not_the_tokens() {
    let world = World::new();
    let mut forgeries: Vec<_> = [
        "none", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "rs256", "Rs256", "es256", "ES256 ", "ES256K", "ES512",
        "dir",
    ]
    .into_iter()
    .map(|name| header(&world, json!({ "alg": name }), Algorithm, 0))
    .collect();
    for odd in [json!(null), json!(1), json!(["ES256"]), json!({ "alg": "ES256" }), json!("(absent)")] {
        forgeries.push(header(&world, json!({ "alg": odd }), Algorithm, 0));
    }
    // Without a signature, as the attack on `none` sends it.
    let unsigned = |alg: &str| {
        format!("{}.{}.", base64(json!({ "alg": alg, "typ": "at+jwt" }).to_string()), base64(claims().to_string()))
    };
    forgeries.push(forged("none and no signature", unsigned("none"), Algorithm, 0));
    forgeries.push(forged("ES256 and no signature", unsigned("ES256"), Malformed, 0));
    // The algorithm of another key of the issuer; keys that allow it are not looked for under other names.
    forgeries.push(header(&world, json!({ "alg": "RS256" }), Algorithm, 1));
    forgeries.push(header(&world, json!({ "alg": "ES384" }), Algorithm, 1));
    forgeries.push(header(&world, json!({ "alg": "EdDSA" }), Algorithm, 1));
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let world = World::new();
    let Pair::Rsa(pair) = &world.rsa.pair else { unreachable!("an RSA key") };
    let der = aws_lc_rs::signature::KeyPair::public_key(pair).as_ref().to_vec();
    let n = URL_SAFE_NO_PAD.decode(world.rsa.jwk()["n"].as_str().unwrap()).unwrap();
    let jwk = world.rsa.jwk().to_string().into_bytes();
    let mut forgeries = Vec::new();
    for secret in [der, n, jwk] {
        for alg in ["HS256", "RS256"] {
            let header = json!({ "alg": alg, "typ": "at+jwt", "kid": "rsa-1" }).to_string();
            let signed = format!("{}.{}", base64(header), base64(claims().to_string()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
            let (reason, fetches) = if alg == "HS256" { (Algorithm, 0) } else { (Signature, 1) };
            forgeries.push(forged("MAC with the public key", format!("{signed}.{}", base64(tag)), reason, fetches));
        }
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn a_key_name_is_looked_up_and_nothing_else() {
    let world = World::new();
    let mut forgeries = Vec::new();
    for kid in [
        "",
        "../p256-1",
        "p256-1\0",
        "P256-1",
        "' OR '1'='1",
        "/dev/null",
        "https://canary.example/k",
        &"k".repeat(256),
    ] {
        forgeries.push(header(&world, json!({ "kid": kid }), UnknownKey, 1));
    }
    forgeries.push(header(&world, json!({ "kid": "k".repeat(257) }), UnknownKey, 0));
    forgeries.push(header(&world, json!({ "kid": "k".repeat(4096) }), Malformed, 0));
    for odd in [json!(null), json!(1), json!(["p256-1"]), json!({ "kid": "p256-1" })] {
        forgeries.push(header(&world, json!({ "kid": odd }), Malformed, 0));
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_even_looked_at() {
    let world = World::new();
    let attacker = Signer::p256("p256-1");
    let canary = "https://canary.example/keys.json";
    world.provider.put(canary, &json!({ "keys": [attacker.jwk()] }));
    let mut forgeries = Vec::new();
    for brought in [
        json!({ "jku": canary }),
        json!({ "x5u": canary }),
        json!({ "jwk": attacker.jwk() }),
        json!({ "x5c": [base64("certificate")] }),
        json!({ "jku": canary, "jwk": attacker.jwk(), "x5u": canary }),
    ] {
        let named = with(attacker.header(), brought.clone());
        forgeries.push(forged(
            &format!("{brought}"),
            attacker.token_of(&named.to_string(), &claims().to_string()),
            Signature,
            1,
        ));
        let nameless = with(named, json!({ "kid": "(absent)" }));
        forgeries.push(forged(
            "no name",
            attacker.token_of(&nameless.to_string(), &claims().to_string()),
            Signature,
            1,
        ));
        let other = with(nameless, json!({ "kid": "attackers" }));
        forgeries.push(forged("own name", attacker.token_of(&other.to_string(), &claims().to_string()), UnknownKey, 1));
    }
    are_refused(&world, forgeries).await;
    assert!(!world.provider.asked().iter().any(|url| url == canary));
    // A good token that brings such things along is as good as without them: they are ignored.
    let header = with(world.p256.header(), json!({ "jku": canary, "jwk": attacker.jwk() }));
    world.verify(&world.p256.token_of(&header.to_string(), &claims().to_string())).await.unwrap();
}

#[tokio::test]
async fn extensions_that_would_have_to_be_understood_are_refused() {
    let world = World::new();
    let mut forgeries = Vec::new();
    for extension in [
        json!({ "crit": ["exp"], "exp": NOW }),
        json!({ "crit": [] }),
        json!({ "crit": null }),
        json!({ "b64": false, "crit": ["b64"] }),
        json!({ "b64": true }),
        json!({ "zip": "DEF" }),
        json!({ "enc": "A256GCM" }),
    ] {
        forgeries.push(header(&world, extension, Critical, 0));
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn only_access_tokens_open_anything() {
    let world = World::new();
    let mut forgeries = Vec::new();
    for typ in
        [json!("JWT"), json!("id+jwt"), json!(""), json!("at"), json!(null), json!(["at+jwt"]), json!("(absent)")]
    {
        forgeries.push(header(&world, json!({ "typ": typ }), Type, 0));
    }
    are_refused(&world, forgeries).await;
    // An ID token of an issuer whose access tokens say no more than that they are JWTs.
    let lax = World::with(json!({ "token_types": ["JWT"] }));
    let header = with(lax.p256.header(), json!({ "typ": "JWT" })).to_string();
    lax.verify(&lax.p256.token_of(&header, &claims().to_string())).await.unwrap();
    let asked = lax.provider.asked().len();
    for mark in
        [json!({ "nonce": "n-0S6" }), json!({ "at_hash": "x" }), json!({ "c_hash": "x" }), json!({ "token_use": "id" })]
    {
        let id_token = lax.p256.token_of(&header, &with(claims(), mark.clone()).to_string());
        assert_eq!(lax.refusal(&id_token).await, Some(Type), "{mark}");
    }
    assert_eq!(
        lax.refusal(&lax.p256.token(&claims())).await,
        Some(Type),
        "the operator's list replaces the usual type"
    );
    assert_eq!(lax.provider.asked().len(), asked);
}

#[tokio::test]
async fn the_issuer_is_one_of_the_tenants_to_the_letter() {
    let world = World::new();
    let mut forgeries = Vec::new();
    for iss in [
        json!(format!("{ISS}/")),
        json!(ISS.to_uppercase()),
        json!(ISS.replace("https", "http")),
        json!(ISS.replace("login.example", "login.example:443")),
        json!(format!("{ISS}#x")),
        json!(format!(" {ISS}")),
        json!(&ISS[..ISS.len() - 1]),
        json!("https://canary.example"),
        json!(""),
        json!([ISS]),
        json!(null),
        json!(1),
        json!("(absent)"),
    ] {
        forgeries.push(claim(&world, json!({ "iss": iss }), UnknownIssuer));
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn the_audience_must_be_there_and_be_ours() {
    let world = World::new();
    let mut forgeries = Vec::new();
    for aud in [
        json!("https://other.example/mcp"),
        json!(["https://other.example/mcp", "https://third.example"]),
        json!(format!("{RESOURCE}/")),
        json!(RESOURCE.to_uppercase()),
        json!("https://gw.example/t/acme"),
        json!("https://gw.example/t/other/mcp"),
        json!("*"),
        json!(""),
        json!([]),
        json!(null),
        json!([RESOURCE, 1]),
        json!([[RESOURCE]]),
        json!({ "aud": RESOURCE }),
        json!("(absent)"),
    ] {
        forgeries.push(claim(&world, json!({ "aud": aud }), Audience));
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn times_are_held_to_and_must_be_numbers() {
    let world = World::new();
    let mut forgeries = Vec::new();
    for (members, reason) in [
        (json!({ "exp": NOW - 31 }), Expired),
        (json!({ "exp": NOW - 3600 }), Expired),
        (json!({ "exp": 0 }), Expired),
        (json!({ "exp": -1 }), Expired),
        (json!({ "exp": NOW + 24 * 3600 + 60, "iat": NOW }), TooLongLived),
        (json!({ "exp": 1e300 }), TooLongLived),
        (json!({ "iat": NOW - 24 * 3600 }), TooLongLived),
        (json!({ "nbf": NOW + 31 }), NotYetValid),
        (json!({ "nbf": NOW + 3600 }), NotYetValid),
        (json!({ "iat": NOW + 31 }), NotYetValid),
        (json!({ "exp": "(absent)" }), Claims),
        (json!({ "exp": "9999999999" }), Claims),
        (json!({ "exp": null }), Claims),
        (json!({ "nbf": "9" }), Claims),
        (json!({ "nbf": [9] }), Claims),
        (json!({ "nbf": null }), Claims),
        (json!({ "iat": true }), Claims),
    ] {
        forgeries.push(claim(&world, members, reason));
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn who_it_is_must_be_said_in_a_plain_text() {
    let world = World::new();
    let mut forgeries = Vec::new();
    for sub in [
        json!(""),
        json!(7),
        json!(null),
        json!(["alice"]),
        json!("a\nb"),
        json!("a\u{7f}"),
        json!("x".repeat(257)),
        json!("(absent)"),
    ] {
        forgeries.push(claim(&world, json!({ "sub": sub }), Subject));
    }
    for odd in [json!(7), json!(""), json!(null), json!("x".repeat(257))] {
        forgeries.push(claim(&world, json!({ "jti": odd }), Claims));
    }
    for odd in [json!(7), json!({}), json!(["a", 7])] {
        forgeries.push(claim(&world, json!({ "scope": odd }), Claims));
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn what_two_readers_could_read_differently_is_refused() {
    let world = World::new();
    let (header, claims) = (world.p256.header().to_string(), claims().to_string());
    let twice = |text: &str, member: &str| format!("{},{member}}}", text.strip_suffix('}').unwrap());
    let token = |header: &str, claims: &str| world.p256.token_of(header, claims);
    let good = token(&header, &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let (h, p, s) = (parts[0], parts[1], parts[2]);
    let mut forgeries = Vec::new();
    for (what, token) in [
        ("alg twice", token(&twice(&header, r#""alg":"ES256""#), &claims)),
        ("escaped alg twice", token(&twice(&header, r#""\u0061lg":"none""#), &claims)),
        ("sub twice", token(&header, &twice(&claims, r#""sub":"mallory""#))),
        ("aud twice", token(&header, &twice(&claims, r#""aud":"x""#))),
        ("a name twice deeper", token(&header, &twice(&claims, r#""x":{"a":1,"a":2}"#))),
        ("a payload that is a list", token(&header, "[]")),
        ("a payload that is a text", token(&header, "\"x\"")),
        ("an empty payload", token(&header, "")),
        ("something after the payload", token(&header, &format!("{claims}x"))),
        ("a header that is a list", token("[]", &claims)),
        ("an empty header", token("", &claims)),
        ("padding", format!("{h}.{p}.{s}==")),
        ("padding in the header", format!("{h}=.{p}.{s}")),
        ("the other alphabet", format!("{h}.{p}+/.{s}")),
        ("one part", h.to_owned()),
        ("two parts", format!("{h}.{p}")),
        ("four parts", format!("{h}.{p}.{s}.{s}")),
        ("five parts", format!("{h}.{p}.{s}.{s}.{s}")),
        ("no parts", "..".to_owned()),
        ("no header", format!(".{p}.{s}")),
        ("no payload", format!("{h}..{s}")),
        ("no signature", format!("{h}.{p}.")),
        ("a space before it", format!(" {good}")),
        ("a line feed after it", format!("{good}\n")),
        ("a zero byte", format!("{good}\0")),
        ("quotes", format!("\"{good}\"")),
        ("nothing", String::new()),
    ] {
        forgeries.push(forged(what, token, Malformed, 0));
    }
    let long =
        token(&header, &with(serde_json::from_str(&claims).unwrap(), json!({ "x": "x".repeat(13_000) })).to_string());
    assert!(long.len() > 16 * 1024);
    forgeries.push(forged("too long", long, TooLong, 0));
    forgeries.push(forged("much too long", "a".repeat(1 << 20), TooLong, 0));
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn a_signature_counts_for_its_own_text_and_key_alone() {
    let world = World::new();
    let good = world.p256.token(&claims());
    let other = world.p256.token(&with(claims(), json!({ "sub": "mallory" })));
    let cut = |token: &str| {
        token.rsplit_once('.').map(|(signed, signature)| (signed.to_owned(), signature.to_owned())).unwrap()
    };
    let ((signed, signature), (other_signed, _)) = (cut(&good), cut(&other));
    let fixed = URL_SAFE_NO_PAD.decode(&signature).unwrap();
    let stranger = Signer::p256("p256-1");
    let mut forgeries = Vec::new();
    for (what, token) in [
        ("the signature of another token", format!("{other_signed}.{signature}")),
        ("a key of the same name", stranger.token(&claims())),
        ("all zeros", format!("{signed}.{}", base64([0; 64]))),
        ("r is zero", format!("{signed}.{}", base64([&[0; 32][..], &fixed[32..]].concat()))),
        ("s is zero", format!("{signed}.{}", base64([&fixed[..32], &[0; 32][..]].concat()))),
        ("cut short", format!("{signed}.{}", base64(&fixed[..63]))),
        ("too long", format!("{signed}.{}", base64([&fixed[..], &[0]].concat()))),
        (
            "in DER",
            format!("{signed}.{}", base64([&[0x30, 0x44, 2, 32], &fixed[..32], &[2, 32], &fixed[32..]].concat())),
        ),
        ("one byte", format!("{signed}.{}", base64([7]))),
        ("signed over the payload alone", {
            let payload = signed.split('.').nth(1).unwrap();
            format!("{signed}.{}", base64(world.p256.sign(world.p256.usual(), payload.as_bytes())))
        }),
    ] {
        forgeries.push(forged(what, token, Signature, 1));
    }
    are_refused(&world, forgeries).await;
}

#[tokio::test]
async fn a_key_of_one_issuer_signs_nothing_for_another() {
    let mut world = World::new();
    let (theirs, their_keys) = ("https://theirs.example", "https://theirs.example/keys");
    // Both issuers have a key of this name.
    let stranger = Signer::p256("p256-1");
    world.provider.put(their_keys, &json!({ "keys": [stranger.jwk()] }));
    let base = json!({ "issuer": theirs, "jwks_url": their_keys });
    world.reload(&[corp(json!({})), row("theirs", base, json!({}))], &[]);
    let (ours, of_theirs) = (claims(), with(claims(), json!({ "iss": theirs })));
    let alice = world.verify(&world.p256.token(&ours)).await.unwrap();
    let namesake = world.verify(&stranger.token(&of_theirs)).await.unwrap();
    assert_eq!((alice.who.issuer.as_str(), namesake.who.issuer.as_str()), ("corp", "theirs"));
    assert!(alice.who.subject == namesake.who.subject && alice.digest != namesake.digest);
    assert_eq!(world.refusal(&stranger.token(&ours)).await, Some(Signature));
    assert_eq!(world.refusal(&world.p256.token(&of_theirs)).await, Some(Signature));
}

#[tokio::test]
async fn a_thousand_names_of_keys_cause_one_more_fetch() {
    let world = World::new();
    world.verify(&world.p256.token(&claims())).await.unwrap();
    assert_eq!(world.provider.asked(), [JWKS]);
    for n in 0..1000 {
        let header = with(world.p256.header(), json!({ "kid": format!("random-{n}") }));
        let token = world.p256.token_of(&header.to_string(), &claims().to_string());
        assert_eq!(world.refusal(&token).await, Some(UnknownKey));
    }
    assert!(world.provider.asked().len() <= 2, "{}", world.provider.asked().len());
    world.verify(&world.p256.token(&claims())).await.unwrap();
}
