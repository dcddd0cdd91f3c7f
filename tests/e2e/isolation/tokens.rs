//! The same matrix for who comes with a token: to a toolset that takes nothing else, and to one that takes keys too. Who has no
//! good credential is told where to sign in, so that such a toolset may be seen to be there; of all others nothing is seen.

use std::collections::BTreeSet;

use patchbay::edge::routes::TABLE;
use patchbay_e2e::{
    Ask, Idp, Installed, TestGateway,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

use super::{good_request, paths, seen};

/// The toolsets of `acme`: `default` and `signed` take tokens, `both` keys as well, `keys` nothing else.
const TOOLSETS: [&str; 4] = ["default", "signed", "both", "keys"];

/// What somebody is told at a route of `acme`, and at the same route of a tenant that never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// 401 and where to sign in; 401 and nothing else.
    SignIn,
    /// 401, where to sign in, and that the token is not good; 401 and that it is not good.
    SignInAnew,
    /// The same as [`Self::SignInAnew`], but 404 where nothing is: it is good for something.
    SignInForThis,
    /// The same as [`Self::SignIn`], but 404 where nothing is.
    NotACredential,
    /// 401 and nothing else, in both places.
    Bare,
    /// 403 and which scopes are needed; 404.
    AskForMore,
    /// 404 in both places, in the same words.
    NotThere,
    /// Whatever the route does; 404.
    Welcome,
}

fn told(who: &str, toolset: &str) -> Told {
    match (who, toolset) {
        ("nobody", "keys") | ("expired" | "wrong audience", "keys") => Told::Bare,
        ("nobody", _) => Told::SignIn,
        ("expired" | "wrong audience", _) => Told::SignInAnew,
        ("wrong tenant" | "too little scope" | "right", "keys") => Told::NotThere,
        ("wrong tenant", _) => Told::SignInForThis,
        ("too little scope", _) => Told::AskForMore,
        ("right", _) => Told::Welcome,
        ("key", "both" | "keys") => Told::Welcome,
        ("foreign key", "both" | "keys") => Told::NotThere,
        ("key" | "foreign key", _) => Told::NotACredential,
        other => panic!("what is {other:?} to be told?"),
    }
}

fn two_tenants(idp: &Idp) -> [Value; 2] {
    ["acme", "globex"].map(|name| {
        let mut tenant = tenant(name, [("one", scripted(&["--no-odd"]))]);
        tenant["issuers"] = json!({ "corp": idp.issuer() });
        let toolset = |access: &str| json!({ "access": access, "scopes": { "enter": ["mcp:read"] } });
        tenant["toolsets"] = json!({
            "default": toolset("oauth"), "signed": toolset("oauth"), "both": toolset("both"), "keys": { "access": "key" },
        });
        tenant
    })
}

/// What somebody shows at a toolset's door.
fn credential(who: &str, gateway: &TestGateway, idp: &Idp, path: &str) -> Option<String> {
    let here = format!("http://{}{path}", gateway.address);
    let there = format!("http://{}/t/globex/mcp", gateway.address);
    match who {
        "nobody" => None,
        "key" => Some(gateway.key("acme").to_owned()),
        "foreign key" => Some(gateway.key("globex").to_owned()),
        "expired" => {
            let wanted =
                json!({ "sub": "alice", "scope": "mcp:read", "resource": here, "claims": { "exp": 1_700_000_000 } });
            Some(idp.mint(&wanted))
        }
        "wrong audience" => Some(idp.token("alice", "mcp:read", "https://elsewhere.example/mcp")),
        "wrong tenant" => Some(idp.token("alice", "mcp:read", &there)),
        "too little scope" => Some(idp.token("alice", "mcp:deploy", &here)),
        "right" => Some(idp.token("alice", "mcp:read", &here)),
        other => panic!("what does {other} show?"),
    }
}

const CALLERS: [&str; 8] =
    ["nobody", "expired", "wrong audience", "wrong tenant", "too little scope", "right", "key", "foreign key"];

type Seen = (u16, Vec<(String, String)>, String);

fn challenge(seen: &Seen) -> &str {
    seen.1.iter().find(|(name, _)| name == "www-authenticate").map_or("", |(_, challenge)| challenge)
}

#[tokio::test]
async fn every_route_tells_everybody_with_a_token_what_it_must_and_nothing_more() {
    let Some(installed) = Installed::find() else { return };
    let idp = Idp::start(&installed);
    let [acme, globex] = two_tenants(&idp);
    let gateway = TestGateway::setup().idp(&idp).tenant(acme).tenant(globex).start().await;
    let mut rows = BTreeSet::new();
    for route in TABLE.iter().filter(|route| route.tenant) {
        let places = paths(route, "acme", &TOOLSETS).into_iter().zip(paths(route, "nobody-lives-here", &TOOLSETS));
        for ((path, toolset), (nowhere, _)) in places {
            for who in CALLERS {
                let row = format!("{} {path} as {who}", route.method);
                // Tokens are for the toolset's own URL, of which the default one has two and the shorter counts; at one that takes
                // no tokens, people turn up with those for another.
                let own = if matches!(toolset, "default" | "keys") { "/t/acme/mcp" } else { &path };
                let credential = credential(who, &gateway, &idp, own);
                let told = told(who, toolset);
                let opener = match &credential {
                    Some(credential) if told == Told::Welcome => credential.clone(),
                    _ if toolset == "keys" => gateway.key("acme").to_owned(),
                    _ => idp.token("alice", "mcp:read", &format!("http://{}{own}", gateway.address)),
                };
                let (good, success) = good_request(route, &gateway, &path, &opener).await;
                let knock = |ask: Ask| credential.as_ref().map_or(ask.clone(), |credential| ask.bearer(credential));
                let here = seen(&knock(good.clone()), &gateway).await;
                let elsewhere = seen(&knock(Ask { path: nowhere.clone(), ..good }), &gateway).await;
                expect(&row, told, success, &here, &elsewhere);
                rows.insert(row);
            }
        }
    }
    assert_eq!(rows.len(), 15 * CALLERS.len(), "{rows:#?}");
}

/// Holds what was seen at a route, and at the same one of a tenant that never was, against what is to be told.
fn expect(row: &str, told: Told, success: u16, here: &Seen, elsewhere: &Seen) {
    let (leads, fails) =
        (challenge(here).contains("resource_metadata=\"http"), challenge(here).contains("error=\"invalid_token\""));
    assert!(!challenge(elsewhere).contains("resource_metadata"), "{row}: {elsewhere:?}");
    match told {
        Told::SignIn | Told::NotACredential => {
            assert_eq!((here.0, leads, fails), (401, true, false), "{row}: {here:?}")
        }
        Told::SignInAnew | Told::SignInForThis => {
            assert_eq!((here.0, leads, fails), (401, true, true), "{row}: {here:?}")
        }
        Told::Bare => assert_eq!((here.0, leads), (401, false), "{row}: {here:?}"),
        Told::AskForMore => {
            assert_eq!((here.0, leads), (403, true), "{row}: {here:?}");
            assert!(challenge(here).contains("scope=\"mcp:read\""), "{row}: {here:?}");
        }
        Told::NotThere => assert_eq!(here.0, 404, "{row}: {here:?}"),
        Told::Welcome => assert_eq!(here.0, success, "{row}: {here:?}"),
    }
    match told {
        Told::SignIn | Told::SignInAnew => assert_eq!(elsewhere.0, 401, "{row}: {elsewhere:?}"),
        Told::Bare | Told::NotThere => assert_eq!(here, elsewhere, "{row}"),
        Told::SignInForThis | Told::NotACredential | Told::AskForMore | Told::Welcome => {
            assert_eq!(elsewhere.0, 404, "{row}: {elsewhere:?}");
        }
    }
}

#[tokio::test]
async fn routes_of_the_sign_in_are_there_for_toolsets_that_take_tokens_and_for_nothing_else() {
    let Some(installed) = Installed::find() else { return };
    let idp = Idp::start(&installed);
    let [acme, _] = two_tenants(&idp);
    let mut off = acme.clone();
    (off["tenant"], off["enabled"]) = (json!("shut"), json!(false));
    let gateway = TestGateway::setup().idp(&idp).tenant(acme).tenant(off).start().await;
    wait_until("the sign-in is offered", || async {
        let ask = Ask::get("/.well-known/oauth-protected-resource/t/acme/mcp");
        ask.send(gateway.address).await.status == 200
    })
    .await;
    let nothing = seen(&Ask::get("/there/is/nothing"), &gateway).await;
    assert_eq!(nothing.0, 404);
    let mut found = BTreeSet::new();
    for route in TABLE.iter().filter(|route| route.sign_in) {
        for who in ["acme", "shut", "nobody-lives-here"] {
            for (path, toolset) in paths(route, who, &TOOLSETS) {
                let answers = [None, Some(gateway.key("acme"))].map(|key| {
                    let ask = Ask::new(route.method, path.clone());
                    key.map_or(ask.clone(), |key| ask.bearer(key))
                });
                for ask in answers {
                    let told = seen(&ask, &gateway).await;
                    let is_of_tenant = route.path.contains("{tenant}");
                    let is_metadata = route.path.starts_with("/.well-known/oauth-protected-resource/");
                    if is_of_tenant && is_metadata && who == "acme" && toolset != "keys" {
                        assert_eq!(told.0, 200, "{path}: {told:?}");
                        found.insert(path.clone());
                    } else {
                        assert_eq!(told, nothing, "{path}");
                    }
                }
            }
        }
    }
    assert_eq!(found.len(), 4, "{found:?}");
}
