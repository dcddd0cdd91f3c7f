//! What a token may call: tools whose scopes it lacks are listed and say what they need; tools that its groups hide are not there.

mod kept;
pub(super) mod scripted;
mod within;

use std::sync::Arc;

use bytes::Bytes;
use patchbay_core::{
    envelope::{Incoming, Request},
    era::Version,
    limits::{Amount, LimitRule, Rate},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::tests::house::{House, site, strings},
    caller::Capabilities,
};

pub(super) fn asked(method: &str, params: &Value) -> Request {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    match Incoming::parse(&Bytes::from(body), 64).unwrap() {
        Incoming::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

/// A house with the tools `shop_get` and `shop_put`, of which writing needs the group `ops` and a scope.
async fn guarded() -> House {
    let house = House::new().await;
    house.open("acme", |row, toolset| {
        toolset.rules.write_groups = strings(&["ops"]);
        toolset.rules.scopes.enter = strings(&["mcp"]);
        toolset.rules.scopes.write = strings(&["mcp:write"]);
        toolset.rules.scopes.tools.insert("shop/put".to_owned(), strings(&["shop:put"]));
        row.issuers[0].spec.scope_implies.insert("admin".to_owned(), strings(&["mcp:write", "shop:put"]));
        row.issuers[0].spec.scopes_required = strings(&["base"]);
    });
    house
}

async fn cx(house: &House, groups: &[&str], scope: &str) -> Cx {
    let token = house.issuer.token(&json!({ "groups": groups, "scope": scope }));
    let (principal, tenant) = house.enter("acme", &token).await.unwrap();
    house.app.tenants.settle(&tenant.snapshot().slug);
    let caller = Caller {
        version: Version::NEWEST_LEGACY,
        can: Capabilities::default(),
        share: principal.digest(),
        log_level: None,
        params_sent: Vec::new(),
    };
    Cx { app: house.app.clone(), tenant, principal, caller, site: Some(Arc::new(site())), telling: Telling::default() }
}

async fn call(cx: Cx, tool: &str, trail: &mut Trail) -> Result<Answer, GatewayError> {
    run(cx, asked("tools/call", &json!({ "name": tool })), trail).await
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::Whole(body) | Answer::Lacking(body) => String::from_utf8(body.to_vec()).unwrap(),
        Answer::Pieces(pieces) => String::from_utf8(pieces.concat()).unwrap(),
        _ => panic!("an answer in one piece was expected"),
    }
}

#[tokio::test]
async fn a_tool_that_a_scope_is_missing_for_is_listed_and_says_all_that_it_needs() {
    let house = guarded().await;
    let list = run(cx(&house, &["ops"], "mcp base").await, asked("tools/list", &json!({})), &mut house.trail()).await;
    assert!(text(list.ok().unwrap()).contains("shop_put"));
    for scope in ["mcp base", "mcp base mcp:write", "mcp base shop:put"] {
        let mut trail = house.trail();
        let refused = call(cx(&house, &["ops"], scope).await, "shop_put", &mut trail).await.err().unwrap();
        let GatewayError::InsufficientScope(challenge) = &refused else { panic!("{refused:?}") };
        assert_eq!(challenge.scopes, ["base", "mcp", "mcp:write", "shop:put"]);
        assert!(challenge.metadata_url.ends_with("/t/acme/mcp"));
        assert!(trail.request_id().is_some(), "the edge closes the trail with the refusal");
    }
}

#[tokio::test]
async fn a_scope_that_implies_those_that_are_needed_will_do() {
    let house = guarded().await;
    for scope in ["mcp base mcp:write shop:put", "mcp base admin"] {
        // The server cannot be reached, which is found out after the token.
        let answer = call(cx(&house, &["ops"], scope).await, "shop_put", &mut house.trail()).await;
        assert!(text(answer.ok().unwrap()).contains("is not reachable right now"));
    }
    let answer = call(cx(&house, &[], "mcp base").await, "shop_get", &mut house.trail()).await;
    assert!(text(answer.ok().unwrap()).contains("is not reachable right now"));
}

#[tokio::test]
async fn a_tool_that_groups_hide_is_as_unknown_as_one_that_never_was() {
    let house = guarded().await;
    let list = run(cx(&house, &[], "mcp base").await, asked("tools/list", &json!({})), &mut house.trail()).await;
    let list = text(list.ok().unwrap());
    assert!(list.contains("shop_get") && !list.contains("shop_put"), "{list}");
    let mut told = Vec::new();
    for tool in ["shop_put", "shop_not"] {
        let refused = call(cx(&house, &[], "mcp base admin").await, tool, &mut house.trail()).await.err().unwrap();
        told.push(refused.to_string().replace(tool, "…"));
    }
    assert_eq!(told, ["unknown tool: …", "unknown tool: …"]);
}

#[tokio::test]
async fn what_is_refused_for_what_it_says_counts_like_any_request_and_once() {
    let house = House::new().await;
    house.open("acme", |row, _| {
        row.limits.rules = vec![LimitRule {
            name: "all".into(),
            by: Vec::new(),
            amount: Amount::Rate(Rate { count: 1, period: Duration::from_secs(3600), burst: 6 }),
            applies: Default::default(),
            away: Default::default(),
            dry_run: false,
        }];
    });
    let mut told = Vec::new();
    for (method, params) in [
        ("tools/call", json!({ "name": "shop_not" })),
        ("tools/call", json!({})),
        ("prompts/get", json!({ "name": "not" })),
        ("resources/read", json!({ "uri": "file:///not" })),
        ("tools/list", json!({ "cursor": "not" })),
        ("no/such", json!({})),
        ("tools/call", json!({ "name": "shop_not" })),
        ("ping", json!({})),
    ] {
        let answer = run(cx(&house, &[], "").await, asked(method, &params), &mut house.trail()).await;
        told.push(answer.err().map(|error| matches!(error, GatewayError::Limited { .. })));
    }
    let (itself, limited) = (Some(false), Some(true));
    assert_eq!(told, [itself, itself, itself, itself, itself, itself, limited, None]);
}

#[tokio::test]
async fn a_cursor_of_one_view_is_none_of_the_other() {
    let house = guarded().await;
    let (reading, whole) = (cx(&house, &[], "mcp base").await, cx(&house, &["ops"], "mcp base").await);
    assert_eq!(reading.principal.digest(), whole.principal.digest());
    assert_ne!(reading.tenant.view().lists.tools.digest, whole.tenant.view().lists.tools.digest);
}
