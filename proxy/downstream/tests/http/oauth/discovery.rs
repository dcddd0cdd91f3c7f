//! Who gives tokens: how it is found, what is not believed, what the operator says, and how the client proves itself.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jsonwebtoken::{DecodingKey, Validation};
use patchbay_core::issuer::{Algorithm, ClientAuth};
use secrecy::SecretString;

use super::world::*;

#[tokio::test]
async fn metadata_is_found_in_each_of_its_places() {
    for (path, place, tried) in [
        ("", "/.well-known/oauth-authorization-server", 1),
        ("", "/.well-known/openid-configuration", 2),
        ("/a/b", "/.well-known/oauth-authorization-server/a/b", 1),
        ("/a/b", "/.well-known/openid-configuration/a/b", 2),
        ("/a/b", "/a/b/.well-known/openid-configuration", 3),
    ] {
        let issuer = Issuer::with(Rules { path, place, ..Rules::default() }).await;
        let server = protected(&issuer, Era::Modern).await;
        signed(&server, oauth(None)).hello(soon()).await.unwrap();
        let paths = issuer.paths();
        assert_eq!((&*paths[tried - 1], &*paths[tried], paths.len()), (place, "/token", tried + 1));
        let form = &issuer.forms()[0];
        assert_eq!(form["resource"], format!("http://{}/mcp", server.address));
        assert_eq!(form["scope"], "tools", "the challenge's scopes go before the metadata's");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_is_refused() {
    let rules = Rules { metadata: json!({"issuer": "https://attacker.example"}), ..Rules::default() };
    let issuer = Issuer::with(rules).await;
    let server = protected(&issuer, Era::Modern).await;
    let error = failed(signed(&server, oauth(None)).call(cx(), echo("x")).await);
    assert_eq!(error.fault, Fault::SignIn);
    assert!(error.detail.contains("attacker.example") && error.detail.contains(&issuer.issuer), "{}", error.detail);
    assert_eq!(issuer.asked(), 0);
}

#[tokio::test]
async fn metadata_of_another_resource_is_refused_unless_the_operator_named_it() {
    let issuer = Issuer::start().await;
    let server = protected_as(&issuer, Era::Modern, json!({"resource": "https://public.example/mcp"})).await;
    let error = failed(signed(&server, oauth(None)).call(cx(), echo("x")).await);
    assert!(error.fault == Fault::SignIn && error.detail.contains("oauth.resource"), "{error}");
    assert_eq!(issuer.asked(), 0);
    let mut named = oauth(None);
    named.spec.resource = Some("https://public.example/mcp".into());
    signed(&server, named).hello(soon()).await.unwrap();
    assert_eq!(issuer.forms()[0]["resource"], "https://public.example/mcp");
}

#[tokio::test]
async fn what_the_operator_says_is_not_looked_for() {
    let issuer = Issuer::start().await;
    let server =
        protected_as(&issuer, Era::Modern, json!({"authorization_servers": ["https://attacker.example"]})).await;
    let mut named = oauth(None);
    named.spec.issuer = Some(issuer.issuer.clone());
    named.spec.resource = Some("urn:mine".into());
    named.spec.scopes = vec!["mine".into()];
    signed(&server, named).hello(soon()).await.unwrap();
    let form = &issuer.forms()[0];
    assert_eq!((&*form["resource"], &*form["scope"]), ("urn:mine", "mine"));
    let unsigned = server.log.all().iter().filter(|seen| seen.header("authorization").is_none()).count();
    assert_eq!(unsigned, 0, "nothing was to be found out");
}

#[tokio::test]
async fn a_client_that_one_issuer_knows_is_not_shown_to_another() {
    let (one, other) = (Issuer::start().await, Issuer::start().await);
    let named = Arc::new(Mutex::new(one.issuer.clone()));
    let (naming, state) = (named.clone(), one.state.clone());
    let server = Server::start(move |seen| {
        let host = seen.header("host").unwrap();
        if seen.path.starts_with("/.well-known/") {
            let found =
                json!({"resource": format!("http://{host}"), "authorization_servers": [*naming.lock().unwrap()]});
            return ready(bytes(200, "application/json", found.to_string()));
        }
        let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        ready(if state.is_good(token) {
            result(&seen, crate::server::discovered())
        } else {
            challenged(401, "Bearer", "no")
        })
    })
    .await;
    let vault = Arc::new(Vault::default());
    let http = signed(&server, oauth(Some(&vault)));
    http.hello(soon()).await.unwrap();
    named.lock().unwrap().clone_from(&other.issuer);
    let before = vault.stored.lock().unwrap().clone();
    one.state.revoke_all();
    let error = failed(http.call(cx(), echo("x")).await);
    assert!(error.fault == Fault::SignIn && error.detail.contains("oauth.issuer"), "{error}");
    // Nor by a replica that only knows it from the vault, where the token has ended.
    *vault.stored.lock().unwrap() = before.map(|mut stored| {
        let text = secrecy::ExposeSecret::expose_secret(&stored.secret).to_owned();
        let expires = format!(r#""expires_ms":{}"#, stored.expires_ms);
        assert!(text.contains(&expires));
        stored.secret = SecretString::from(
            text.replace(&expires, r#""expires_ms":1"#).replace(r#""got_ms":"#, r#""got_ms":0,"was":"#),
        );
        stored
    });
    let error = failed(signed(&server, oauth(Some(&vault))).call(cx(), echo("x")).await);
    assert!(error.fault == Fault::SignIn && error.detail.contains("oauth.issuer"), "{error}");
    assert_eq!(other.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn an_authorization_server_in_a_private_network_is_refused_with_not_a_packet() {
    // 127.0.0.1 may be asked, and nothing else: neither by its address nor by a name or another spelling.
    let canary = TcpListener::bind("[::1]:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let mut faults = Vec::new();
    for host in ["[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:a00:1]"] {
        let issuer = Issuer::start().await;
        let server =
            protected_as(&issuer, Era::Modern, json!({"authorization_servers": [format!("http://{host}:{port}")]}))
                .await;
        let error = failed(signed(&server, oauth(None)).call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::SignIn, Delivery::NotSent), "{error}");
        faults.push(error.detail.rsplit_once("had: ").unwrap().1.to_owned());
    }
    faults.dedup();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(canary.accept().now_or_never().is_none(), "somebody connected");
}

#[tokio::test]
async fn secrets_do_not_go_over_plain_http_where_that_is_not_allowed() {
    let net = NetPolicy { allow_private: loopback().allow_private, allow_plain_http: false };
    let url = "https://127.0.0.1:1/mcp".parse().unwrap();
    let mut named = oauth(None);
    named.spec.issuer = Some("http://127.0.0.1:1".into());
    (named.spec.resource, named.spec.scopes) = (Some("urn:x".into()), vec!["x".into()]);
    let http = HttpDownstream::new(HttpOptions { net, oauth: Some(named), ..HttpOptions::new(url) }).unwrap();
    let error = failed(http.call(cx(), echo("x")).await);
    assert!(error.fault == Fault::SignIn && error.detail.contains("https://"), "{error}");
}

#[tokio::test]
async fn without_metadata_of_the_server_the_operators_issuer_is_enough() {
    let issuer = Issuer::start().await;
    let state = issuer.state.clone();
    let server = Server::start(move |seen| {
        let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        ready(match (&*seen.path, state.is_good(token)) {
            ("/mcp", true) => result(&seen, crate::server::discovered()),
            ("/mcp", false) => empty(401),
            _ => empty(404),
        })
    })
    .await;
    let error = failed(signed(&server, oauth(None)).call(cx(), echo("x")).await);
    assert!(error.fault == Fault::SignIn && error.detail.contains("set oauth.issuer"), "{error}");
    let mut named = oauth(None);
    named.spec.issuer = Some(issuer.issuer.clone());
    signed(&server, named).hello(soon()).await.unwrap();
    let form = &issuer.forms()[0];
    assert_eq!(form["resource"], format!("http://{}/mcp", server.address));
    assert!(!form.contains_key("scope"));
}

#[tokio::test]
async fn a_secret_can_stand_in_the_form() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    *issuer.state.judge.lock().unwrap() =
        Some(Box::new(|form| form["client_id"] == "gate way" && form["client_secret"] == SECRET));
    let mut posted = oauth(None);
    posted.spec.auth = ClientAuth::Post;
    signed(&server, posted).hello(soon()).await.unwrap();
    let request = issuer.server.log.wait_for(|seen| seen.path == "/token").await;
    assert_eq!(request.header("authorization"), None);
}

fn pem(der: &[u8]) -> SecretString {
    SecretString::from(format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der)
    ))
}

/// Keys of each kind, and how their assertions are judged.
fn keys() -> Vec<(SecretString, Option<Algorithm>, jsonwebtoken::Algorithm, DecodingKey)> {
    use jsonwebtoken::Algorithm as Jwt;
    let random = aws_lc_rs::rand::SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec_public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref()).unwrap();
    let ed = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
    let ed_public = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
    let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_der = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
    let rsa_public = DecodingKey::from_rsa_der(rsa.public_key().as_ref());
    let ec_key = DecodingKey::from_ec_der(ec_public.public_key().as_ref());
    vec![
        (pem(ec.as_ref()), None, Jwt::ES256, ec_key),
        (pem(rsa_der.as_ref()), None, Jwt::RS256, rsa_public.clone()),
        (pem(rsa_der.as_ref()), Some(Algorithm::PS256), Jwt::PS256, rsa_public),
        (
            pem(ed.as_ref()),
            Some(Algorithm::EdDSA),
            Jwt::EdDSA,
            DecodingKey::from_ed_der(ed_public.public_key().as_ref()),
        ),
    ]
}

#[tokio::test]
async fn an_assertion_is_signed_for_the_issuer_and_for_the_token_endpoint_of_those_who_want_that() {
    for ((key, algorithm, expected, public), to_endpoint) in keys().into_iter().zip([false, true, false, false]) {
        let issuer = Issuer::start().await;
        let server = protected(&issuer, Era::Modern).await;
        let audience = if to_endpoint { format!("{}/token", issuer.issuer) } else { issuer.issuer.clone() };
        *issuer.state.judge.lock().unwrap() = Some(Box::new(move |form| {
            let mut validation = Validation::new(expected);
            validation.set_audience(&[&audience]);
            validation.set_issuer(&["gate way"]);
            validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
            let judged = jsonwebtoken::decode::<Value>(&form["client_assertion"], &public, &validation);
            form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
                && judged.is_ok_and(|judged| {
                    judged.header.kid.as_deref() == Some("k1")
                        && judged.claims["sub"] == "gate way"
                        && judged.claims["jti"].as_str().is_some_and(|jti| jti.len() >= 16)
                })
        }));
        let mut signing = oauth(None);
        (signing.spec.auth, signing.spec.algorithm) = (ClientAuth::PrivateKeyJwt, algorithm);
        signing.spec.key_id = Some("k1".into());
        (signing.client_secret, signing.private_key) = (None, Some(key));
        signed(&server, signing).hello(soon()).await.unwrap();
        assert_eq!(issuer.asked(), 1 + usize::from(to_endpoint));
    }
}

#[tokio::test]
async fn an_identity_that_cannot_be_is_refused_with_the_reason() {
    let made = |change: &dyn Fn(&mut HttpOptions)| {
        let mut options = HttpOptions { oauth: Some(oauth(None)), ..options("127.0.0.1:1".parse().unwrap()) };
        change(&mut options);
        HttpDownstream::new(options).map(drop)
    };
    let reason = |change: &dyn Fn(&mut patchbay_downstream::http::oauth::OauthOptions)| match made(&|options| {
        change(options.oauth.as_mut().unwrap())
    }) {
        Err(HttpError::Oauth(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(made(&|_| {}), Ok(()));
    assert!(reason(&|oauth| oauth.client_secret = None).contains("oauth:client_secret"));
    assert!(reason(&|oauth| oauth.spec.auth = ClientAuth::PrivateKeyJwt).contains("oauth:private_key"));
    assert!(reason(&|oauth| oauth.spec.client_id = String::new()).contains("client id"));
    assert!(reason(&|oauth| oauth.spec.issuer = Some("x".into())).contains("issuer"));
    let unfit = reason(&|oauth| {
        (oauth.spec.auth, oauth.spec.algorithm) = (ClientAuth::PrivateKeyJwt, Some(Algorithm::ES256));
        oauth.private_key = Some("canary".into());
    });
    assert!(unfit.contains("ES256") && !unfit.contains("canary"), "{unfit}");
    let authorization = HeaderName::from_static("authorization");
    let both = made(&|options| options.headers.push((authorization.clone(), HeaderValue::from_static("x"))));
    assert_eq!(both, Err(HttpError::ReservedHeader(authorization)));
}
