//! Who comes in by which credential at which door, and what the others are told.

pub(crate) mod house;

use std::sync::{Arc, atomic::Ordering};

use futures_util::FutureExt;
use patchbay_core::{
    RevocationId,
    audit::Actor,
    era::Version,
    issuer::{RevocationRow, Revoked},
    model::Access,
};
use serde_json::json;

use self::house::{House, ISS, PEER, bearer, issuer, site, strings, with};
use super::*;
use crate::{audit::now_ms, caller::Capabilities};

/// What a caller is told, as far as it is said here.
fn told(error: &GatewayError) -> String {
    format!("{error:?}")
}

fn both(_: &mut patchbay_core::model::TenantRow, toolset: &mut patchbay_core::model::ToolsetSpec) {
    toolset.access = Access::Both;
}

#[tokio::test]
async fn a_stranger_learns_how_to_sign_in_only_where_somebody_can() {
    let house = House::new().await;
    house.open("acme", |_, toolset| toolset.rules.scopes.enter = strings(&["mcp"]));
    house.open("off", |row, _| row.enabled = false);
    house.open("nobody", |row, _| row.issuers.clear());
    let nothing = HeaderMap::new();
    let refused = house.identify(&house.door("acme", None), &nothing).await.unwrap_err();
    let GatewayError::Unauthenticated(Some(challenge)) = refused else { panic!("{refused:?}") };
    assert_eq!(challenge.metadata_url, "https://tools.example/.well-known/oauth-protected-resource/t/acme/mcp");
    assert_eq!(challenge.scopes, ["mcp"]);
    assert!(challenge.hint.starts_with("Sign in at https://login.example"), "{}", challenge.hint);
    for (tenant, toolset) in
        [("acme", Some("keys")), ("acme", Some("none")), ("none", None), ("off", None), ("nobody", None)]
    {
        let refused = house.identify(&house.door(tenant, toolset), &nothing).await.unwrap_err();
        assert!(matches!(refused, GatewayError::Unauthenticated(None)), "{tenant} {toolset:?}: {refused:?}");
    }
    let door = house.door("acme", None);
    let nowhere = identify(&house.app, &door, &nothing, PEER, None, now_ms(), &mut house.trail()).await;
    assert!(matches!(nowhere, Err(GatewayError::Unauthenticated(None))));
}

#[tokio::test]
async fn a_key_opens_doors_for_keys_and_is_no_credential_where_only_tokens_are() {
    let house = House::new().await;
    let acme = house.open("acme", |_, _| ());
    house.open("umbrella", both);
    let (key, _) = house.key(acme.id);
    let challenged = |error: GatewayError| matches!(error, GatewayError::Unauthenticated(Some(_)));
    for headers in [bearer(&key), with(&api_key::HEADER, &key), with(&api_key::HEADER, "garbage"), bearer("pb_x")] {
        assert!(challenged(house.identify(&house.door("acme", None), &headers).await.unwrap_err()));
    }
    let door = house.door("acme", Some("keys"));
    let principal = house.identify(&door, &bearer(&key)).await.unwrap();
    assert!(door.enter(&principal, None).is_ok() && matches!(principal.actor(), Actor::Key(_)));
    // A key of another tenant, and one that nobody knows, where both are taken.
    let door = house.door("umbrella", None);
    let principal = house.identify(&door, &bearer(&key)).await.unwrap();
    assert!(matches!(door.enter(&principal, Some(&site())), Err(GatewayError::NotFound)));
    let door = house.door("umbrella", None);
    let refused = house.identify(&door, &bearer("pb_unknown")).await.unwrap_err();
    assert!(matches!(refused, GatewayError::BadCredential(Some(_))), "{refused:?}");
    // What stands in the header of keys is never taken for a token.
    let token = house.issuer.token(&json!({ "aud": "https://tools.example/t/umbrella/mcp" }));
    let refused = house.identify(&door, &with(&api_key::HEADER, &token)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::BadCredential(Some(_))), "{refused:?}");
    assert_eq!(house.issuer.asked(), 0);
}

#[tokio::test]
async fn a_known_token_comes_in_at_once_and_without_its_issuer() {
    let house = House::new().await;
    house.open("acme", |_, _| ());
    let token = house.issuer.token(&json!({ "name": "Ann", "client_id": "ide" }));
    let (principal, tenant) = house.enter("acme", &token).await.unwrap();
    assert_eq!(tenant.snapshot().slug.as_str(), "acme");
    let Actor::Token(actor) = principal.actor() else { panic!("{:?}", principal.actor()) };
    assert_eq!((actor.issuer.as_str(), &*actor.iss, &*actor.subject), ("corp", ISS, "ann"));
    assert_eq!((actor.name.as_deref(), actor.client.as_deref()), (Some("Ann"), Some("ide")));
    let asked = house.issuer.asked();
    house.issuer.is_down.store(true, Ordering::SeqCst);
    let (door, headers) = (house.door("acme", None), bearer(&token));
    let warm = house.identify(&door, &headers).now_or_never().expect("nothing to wait for").unwrap();
    assert_eq!((warm.digest(), house.issuer.asked()), (principal.digest(), asked));
    assert!(house.app.render_metrics().contains(r#"patchbay_sign_ins_total{credential="token",outcome="ok"} 1"#));
    assert!(house.app.render_metrics().contains("patchbay_tokens_remembered 1"));
}

#[tokio::test]
async fn all_bad_tokens_are_told_the_same_and_only_the_trail_knows_why() {
    let house = House::new().await;
    house.open("acme", |_, _| ());
    let other = House::new().await;
    let past = now_ms() / 1000 - 600;
    let cases = [
        ("garbage".to_owned(), "token_malformed"),
        (String::new(), "token_malformed"),
        ("x".repeat(20_000), "token_too_long"),
        (house.issuer.token(&json!({ "iss": "https://evil.example" })), "token_issuer"),
        (house.issuer.token(&json!({ "aud": "https://tools.example/t/umbrella/mcp" })), "token_audience"),
        (house.issuer.token(&json!({ "exp": past, "iat": past })), "token_expired"),
        (other.issuer.token(&json!({})), "token_signature"),
    ];
    let door = house.door("acme", None);
    let mut words = std::collections::BTreeSet::new();
    for (token, reason) in &cases {
        words.insert(told(&house.identify(&door, &bearer(token)).await.unwrap_err()));
        let metrics = house.app.render_metrics();
        assert!(metrics.contains(&format!("patchbay_sign_in_refusals_total{{reason=\"{reason}\"}}")), "{metrics}");
    }
    assert_eq!(words.len(), 1, "{words:#?}");
    let words = words.pop_first().unwrap();
    assert!(words.starts_with("BadCredential(Some(Challenge") && !words.contains("token_"), "{words}");
}

#[tokio::test]
async fn a_token_is_not_judged_where_nobody_knows_which_address_it_would_be_for() {
    let house = House::new().await;
    house.open("acme", |_, _| ());
    let (door, headers) = (house.door("acme", None), bearer(&house.issuer.token(&json!({ "aud": "" }))));
    let refused = identify(&house.app, &door, &headers, PEER, None, now_ms(), &mut house.trail()).await;
    assert!(matches!(refused, Err(GatewayError::BadCredential(None))));
    assert_eq!(house.issuer.asked(), 0);
}

#[tokio::test]
async fn an_issuer_that_is_out_of_reach_is_no_refusal() {
    let house = House::new().await;
    house.open("acme", |_, _| ());
    house.issuer.is_down.store(true, Ordering::SeqCst);
    let refused = house.enter("acme", &house.issuer.token(&json!({}))).await.err().unwrap();
    assert!(matches!(refused, GatewayError::SignInUnavailable), "{refused:?}");
    assert!(house.app.render_metrics().contains(r#"{credential="token",outcome="unavailable"} 1"#));
}

#[tokio::test]
async fn more_than_one_credential_and_other_schemes_are_malformed() {
    let house = House::new().await;
    let acme = house.open("acme", both);
    let (key, token) = (house.key(acme.id).0, house.issuer.token(&json!({})));
    let mut two_headers = bearer(&token);
    two_headers.extend(with(&api_key::HEADER, &key));
    let mut two_tokens = bearer(&token);
    two_tokens.append(header::AUTHORIZATION, bearer(&key)[header::AUTHORIZATION].clone());
    for headers in
        [two_headers, two_tokens, with(&header::AUTHORIZATION, "Basic eDp5"), with(&header::AUTHORIZATION, &token)]
    {
        let refused = house.identify(&house.door("acme", None), &headers).await.unwrap_err();
        assert!(matches!(refused, GatewayError::MalformedCredential), "{refused:?}");
    }
}

#[tokio::test]
async fn where_no_token_is_taken_one_that_is_good_elsewhere_is_told_that_nothing_is_here() {
    let house = House::new().await;
    house.open("acme", |_, _| ());
    house.open("umbrella", |row, _| {
        row.issuers = vec![issuer("lab", "https://lab.example")];
        row.issuers[0].spec.audiences = strings(&["api://tools"]);
    });
    let places = [("umbrella", Some("keys")), ("acme", Some("keys")), ("acme", Some("none")), ("none", None)];
    let told_at = async |token: &str| {
        let mut all = Vec::new();
        for (tenant, toolset) in places {
            let refused = house.identify(&house.door(tenant, toolset), &bearer(token)).await.unwrap_err();
            all.push(told(&refused));
            // At doors for keys the address may not be known.
            let door = house.door(tenant, toolset);
            let headers = bearer(token);
            let refused = identify(&house.app, &door, &headers, PEER, None, now_ms(), &mut house.trail()).await;
            all.push(told(&refused.unwrap_err()));
        }
        all
    };
    for good in [
        house.issuer.token(&json!({})),
        house.issuer.token(&json!({ "aud": ["x", "https://tools.example/t/acme/mcp"] })),
        house.issuer.token(&json!({ "iss": "https://lab.example", "aud": "api://tools" })),
    ] {
        let all = told_at(&good).await;
        assert!(all.iter().all(|told| told == "NotFound"), "{all:?}");
    }
    let asked = house.issuer.asked();
    let past = now_ms() / 1000 - 600;
    for bad in [
        "garbage".to_owned(),
        house.issuer.token(&json!({ "iss": "https://evil.example" })),
        house.issuer.token(&json!({ "aud": "https://tools.example/t/acme/keys/mcp" })),
        house.issuer.token(&json!({ "aud": "api://tools" })),
        house.issuer.token(&json!({ "exp": past, "iat": past })),
    ] {
        let all = told_at(&bad).await;
        assert!(all.iter().all(|told| told == "BadCredential(None)"), "{bad}: {all:?}");
    }
    assert_eq!(house.issuer.asked(), asked);
    // An issuer that a tenant has no more is asked about nothing.
    house.app.tenants.remove(&"umbrella".parse().unwrap());
    let all = told_at(&house.issuer.token(&json!({ "iss": "https://lab.example", "aud": "api://tools" }))).await;
    assert!(all.iter().all(|told| told == "BadCredential(None)"), "{all:?}");
    assert!(house.app.tenants.of_issuer("https://lab.example", 4).is_empty());
    assert_eq!(house.app.tenants.of_issuer(ISS, 4).len(), 1);
}

#[tokio::test]
async fn groups_hide_the_toolset_and_the_tools_that_write_and_scopes_are_asked_for_by_name() {
    let house = House::new().await;
    let row = house.open("acme", |row, toolset| {
        toolset.rules.groups = strings(&["staff", "ops"]);
        toolset.rules.write_groups = strings(&["ops"]);
        toolset.rules.scopes.enter = strings(&["mcp"]);
        row.issuers[0].spec.scopes_required = strings(&["base"]);
    });
    let token = |groups: &[&str], scope: &str| house.issuer.token(&json!({ "groups": groups, "scope": scope }));
    // Scopes are not spoken of to somebody who may not know of the toolset.
    for groups in [&["STAFF", "sta"][..], &[]] {
        let refused = house.enter("acme", &token(groups, "")).await.err().unwrap();
        assert!(matches!(refused, GatewayError::NotFound), "{refused:?}");
    }
    for scope in ["", "mcp", "base", "mcp2 base"] {
        let refused = house.enter("acme", &token(&["staff"], scope)).await.err().unwrap();
        let GatewayError::InsufficientScope(challenge) = refused else { panic!("{refused:?}") };
        assert_eq!(challenge.scopes, ["base", "mcp"]);
        assert!(challenge.metadata_url.ends_with("/t/acme/mcp"));
    }
    let tools = |tenant: &crate::tenancy::Tenant| tenant.view().tools.len();
    let (ann, reading) = house.enter("acme", &token(&["staff"], "mcp base")).await.unwrap();
    let (ops, whole) = house.enter("acme", &token(&["ops"], "mcp base more")).await.unwrap();
    assert_eq!((tools(&reading), tools(&whole)), (1, 2));
    // The same as before after the tenant came anew.
    house.publish(&row, &[]);
    let again = |tenant: &crate::tenancy::Tenant, of: &Principal| tools(&tenant.again(&house.app.tenants, of));
    assert_eq!((again(&reading, &ann), again(&whole, &ops)), (1, 2));
}

#[tokio::test]
async fn an_issuer_of_two_tenants_makes_two_principals() {
    let house = House::new().await;
    let shared = |row: &mut patchbay_core::model::TenantRow, _: &mut _| {
        row.issuers[0].spec.audiences = strings(&["api://tools"]);
    };
    house.open("acme", shared);
    house.open("umbrella", shared);
    let token = house.issuer.token(&json!({ "aud": "api://tools" }));
    let (at_acme, acme) = house.enter("acme", &token).await.unwrap();
    let (at_umbrella, umbrella) = house.enter("umbrella", &token).await.unwrap();
    // A principal of one tenant does not pass the door of the other.
    assert!(matches!(house.door("umbrella", None).enter(&at_acme, Some(&site())), Err(GatewayError::NotFound)));
    let sessions = &house.app.sessions;
    let id = sessions.begin(&acme, &at_acme, Version::NEWEST_LEGACY, Capabilities::default(), now_ms());
    assert!(sessions.find(&id, &umbrella, &at_umbrella, now_ms()).is_err());
}

#[tokio::test]
async fn a_session_survives_a_new_token_and_is_nobody_elses() {
    let house = House::new().await;
    house.open("acme", |_, _| ());
    let (ann, tenant) = house.enter("acme", &house.issuer.token(&json!({}))).await.unwrap();
    let sessions = &house.app.sessions;
    let id = sessions.begin(&tenant, &ann, Version::NEWEST_LEGACY, Capabilities::default(), now_ms());
    let (refreshed, _) = house.enter("acme", &house.issuer.token(&json!({ "scope": "more" }))).await.unwrap();
    assert!(sessions.find(&id, &tenant, &refreshed, now_ms()).is_ok());
    assert_eq!(ann.digest(), refreshed.digest());
    let (bob, _) = house.enter("acme", &house.issuer.token(&json!({ "sub": "bob" }))).await.unwrap();
    assert!(matches!(sessions.find(&id, &tenant, &bob, now_ms()), Err(GatewayError::SessionGone)));
    assert_ne!(ann.digest(), bob.digest());
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_although_it_is_known() {
    let house = House::new().await;
    let row = house.open("acme", |_, _| ());
    let token = house.issuer.token(&json!({ "jti": "t1" }));
    house.enter("acme", &token).await.unwrap();
    let revoked = RevocationRow {
        id: RevocationId::random(),
        tenant: row.id,
        what: Revoked::Token { issuer: ISS.to_owned(), jti: "t1".to_owned() },
        reason: None,
        created_ms: now_ms(),
        expires_ms: None,
    };
    house.publish(&row, &[revoked]);
    let refused = house.enter("acme", &token).await.err().unwrap();
    assert!(matches!(refused, GatewayError::BadCredential(Some(_))), "{refused:?}");
    assert!(house.enter("acme", &house.issuer.token(&json!({ "jti": "t2" }))).await.is_ok());
}

#[tokio::test]
async fn a_tenant_that_is_switched_off_says_so_to_its_own_people_alone() {
    let house = House::new().await;
    house.open("acme", |row, _| row.enabled = false);
    let refused = house.enter("acme", &house.issuer.token(&json!({}))).await.err().unwrap();
    assert!(matches!(refused, GatewayError::SwitchedOff), "{refused:?}");
    let refused = house.enter("acme", "garbage").await.err().unwrap();
    assert!(matches!(refused, GatewayError::BadCredential(None)), "{refused:?}");
}

#[tokio::test]
async fn nothing_of_a_token_is_in_what_is_printed_of_a_principal() {
    let house = House::new().await;
    house.open("acme", |_, _| ());
    let token = house.issuer.token(&json!({}));
    let (principal, _) = house.enter("acme", &token).await.unwrap();
    let printed = format!("{principal:?} {:?}", Arc::new(principal.actor()));
    for part in token.split('.') {
        assert!(!printed.contains(part));
    }
}

#[tokio::test]
async fn a_door_that_nobody_can_sign_in_at_answers_every_credential_as_if_nothing_were_there() {
    let house = House::new().await;
    let acme = house.open("acme", |_, _| ());
    house.open("off", |row, _| row.enabled = false);
    house.open("nobody", |row, _| row.issuers.clear());
    let past = now_ms() / 1000 - 600;
    let shown = [
        bearer(&house.key(acme.id).0),
        bearer("pb_unknown"),
        with(&api_key::HEADER, "garbage"),
        bearer(&house.issuer.token(&json!({}))),
        bearer(&house.issuer.token(&json!({ "exp": past, "iat": past }))),
        bearer(&house.issuer.token(&json!({ "iss": "https://evil.example" }))),
        bearer("garbage"),
        HeaderMap::new(),
    ];
    let site = site();
    let told_at = async |tenant: &str, site: Option<&Site>, headers: &HeaderMap| {
        let door = house.door(tenant, None);
        match identify(&house.app, &door, headers, PEER, site, now_ms(), &mut house.trail()).await {
            Ok(principal) => told(&door.enter(&principal, site).err().unwrap()),
            Err(error) => told(&error),
        }
    };
    for headers in &shown {
        let nothing_there = told_at("none", None, headers).await;
        for tenant in ["off", "nobody"] {
            assert_eq!(told_at(tenant, Some(&site), headers).await, nothing_there, "{tenant}: {headers:?}");
        }
        // Where the address is not known, nobody can sign in either.
        assert_eq!(told_at("acme", None, headers).await, nothing_there, "{headers:?}");
    }
    // Its own people are told, also by the key of a tenant that is off.
    let refused = house.enter("off", &house.issuer.token(&json!({ "aud": "https://tools.example/t/off/mcp" }))).await;
    assert!(matches!(refused.err().unwrap(), GatewayError::SwitchedOff));
}

#[tokio::test]
async fn what_only_looks_like_a_token_causes_no_question_where_none_are_taken() {
    let house = House::new().await;
    house.open("acme", |row, _| {
        let introspection = json!({ "url": "https://login.example/introspect", "client_id": "patchbay" });
        row.issuers[0].spec.introspection = Some(serde_json::from_value(introspection).unwrap());
        let secret = (patchbay_core::issuer::INTROSPECTION_SECRET.to_owned(), "s".to_owned().into());
        row.issuers[0].secrets = patchbay_core::model::Secrets([secret].into());
    });
    let token = house.issuer.token(&json!({}));
    let opaque = format!("x{}", &token[1..]);
    for (tenant, toolset) in [("acme", Some("keys")), ("none", None)] {
        let refused = house.identify(&house.door(tenant, toolset), &bearer(&opaque)).await.unwrap_err();
        assert!(matches!(refused, GatewayError::BadCredential(None)), "{refused:?}");
    }
    assert_eq!(house.issuer.asked(), 0);
    let refused = house.identify(&house.door("acme", None), &bearer(&opaque)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::SignInUnavailable) && house.issuer.asked() == 1, "{refused:?}");
}
