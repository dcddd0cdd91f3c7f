//! The nouns of the running gateway as admins of every sort are answered. What servers do is told in the stories from outside.

use patchbay_core::{Generation, Slug, era::Version, model::TenantRow};
use serde_json::{Value as Json, json};

use crate::{
    audit::now_ms,
    auth::tests::house::House,
    caller::Capabilities,
    edge::admin::{
        tests::{Answer, Kit, admin_of, viewer_of},
        who::Admin,
    },
    error::GatewayError,
    tenancy::{Source, Trouble},
};

/// What of a tenant can be looked at.
const LOOKS: [&str; 6] = ["health", "servers/shop/health", "servers/shop/catalog", "snapshot", "sessions", "streams"];

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

/// A gateway with the tenant `acme`, in the store and in force.
async fn kit() -> (Kit, TenantRow) {
    let kit = Kit::live(|_| ()).await;
    let text = "
tenant: acme
servers:
  shop: { url: 'https://shop.example/mcp', headers: { Authorization: 'Bearer s3cr3t-token' } }
  spare: { url: 'https://spare.example/mcp', enabled: false }
toolsets:
  default: { tools: { deny: ['shop/put'] } }
  other: {}
";
    kit.apply(text).await;
    let row = kit.store().tenant_load(&slug("acme")).await.unwrap().unwrap();
    house(&kit).publish(&row, &[]);
    (kit, row)
}

fn house(kit: &Kit) -> &House {
    kit.house.as_ref().unwrap()
}

async fn look(kit: &Kit, admin: &Admin, path: &str) -> Answer {
    kit.ask(admin, "GET", path, &[], Json::Null).await
}

#[tokio::test]
async fn what_one_may_not_see_is_not_there_in_the_same_bytes() {
    let (kit, _) = kit().await;
    let stranger = admin_of("other");
    for path in LOOKS {
        let [foreign, unknown] = ["acme", "nobody"].map(|tenant| format!("/tenants/{tenant}/{path}"));
        let (foreign, unknown) = (look(&kit, &stranger, &foreign).await, look(&kit, &stranger, &unknown).await);
        assert_eq!((foreign.status, &foreign.text), (404, &unknown.text), "{path}");
        let all = look(&kit, &Admin::operator(), &format!("/tenants/nobody/{path}")).await;
        assert_eq!(all.status, 404, "{path}");
    }
    for (method, path) in
        [("POST", "servers/shop/catalog/refresh"), ("DELETE", "sessions/00000000000000000000000000000001")]
    {
        let foreign = kit.ask(&stranger, method, &format!("/tenants/acme/{path}"), &[], Json::Null).await;
        let unknown = kit.ask(&stranger, method, &format!("/tenants/nobody/{path}"), &[], Json::Null).await;
        assert_eq!((foreign.status, foreign.text), (404, unknown.text), "{path}");
        let viewed = kit.ask(&viewer_of("acme"), method, &format!("/tenants/acme/{path}"), &[], Json::Null).await;
        assert_eq!(viewed.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_viewer_sees_all_of_their_tenant_and_the_replica_says_which_it_is() {
    let (kit, _) = kit().await;
    let replica = house(&kit).app.replica.id.clone();
    for path in LOOKS {
        let seen = kit.get(&viewer_of("acme"), &format!("/tenants/acme/{path}")).await;
        assert_eq!(seen.json["replica"], replica.as_str(), "{path}: {}", seen.text);
        assert!(!seen.text.contains("s3cr3t"), "{path}");
    }
}

#[tokio::test]
async fn without_a_gateway_what_only_one_knows_is_said_to_be_away_and_the_rest_is_done() {
    let kit = Kit::with(|config| config.data_dir = tempfile::tempdir().unwrap().keep()).await;
    kit.apply("tenant: acme\n").await;
    let operator = Admin::operator();
    for path in LOOKS {
        assert_eq!(look(&kit, &operator, &format!("/tenants/acme/{path}")).await.status, 503, "{path}");
    }
    assert_eq!(look(&kit, &operator, "/gateway").await.status, 503);
    let keys = kit.get(&operator, "/sealing-key").await;
    assert!(keys.json["current"]["id"].is_u64() && keys.json["old"] == json!([]), "{}", keys.text);
    let id = "000000000000000000000000000000ab";
    let ended = kit.ask(&operator, "DELETE", &format!("/tenants/acme/sessions/{id}"), &[], Json::Null).await;
    assert_eq!(ended.status, 204);
    let buried = kit.store().tombstone_list(0).await.unwrap();
    assert_eq!((buried.len(), buried[0].digest[15]), (1, 0xab));
    assert!(buried[0].expires_ms > now_ms(), "it is kept for as long as the session could live");
}

#[tokio::test]
async fn a_server_that_is_away_says_so_and_one_that_is_off_too() {
    let (kit, _) = kit().await;
    let list = kit.get(&viewer_of("acme"), "/tenants/acme/health").await;
    let names: Vec<_> = list.json["items"].as_array().unwrap().iter().map(|item| &item["server"]).collect();
    assert_eq!(names, ["shop", "spare"]);
    assert_eq!((&list.json["items"][0]["state"], &list.json["items"][1]["state"]), (&json!("down"), &json!("off")));
    let off = kit.get(&viewer_of("acme"), "/tenants/acme/health?state=off").await;
    assert_eq!(off.json["items"].as_array().unwrap().len(), 1);
    let one = kit.get(&viewer_of("acme"), "/tenants/acme/servers/shop/health").await;
    assert_eq!(one.json["last_error"], "nobody is there");
    assert_eq!((&one.json["kind"], &one.json["speaks"]["name"]), (&json!("http"), &json!("shop")));
    assert_eq!((&one.json["catalog"]["tools"], &one.json["catalog"]["stale"]), (&json!(2), &json!(false)));
    assert_eq!(look(&kit, &viewer_of("acme"), "/tenants/acme/servers/none/health").await.status, 404);
    assert_eq!(look(&kit, &viewer_of("acme"), "/tenants/acme/health?sate=off").await.status, 400);
}

#[tokio::test]
async fn the_catalog_says_where_each_tool_is_shown_and_why_not() {
    let (kit, _) = kit().await;
    let viewer = viewer_of("acme");
    let all = kit.get(&viewer, "/tenants/acme/servers/shop/catalog").await;
    let items = all.json["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| &item["native"]).collect::<Vec<_>>(), ["get", "put"]);
    assert_eq!(
        items[0]["toolsets"][0],
        json!({
            "toolset": "default", "shown": true, "name": "shop_get", "write_groups_only": false
        })
    );
    let dropped = kit.get(&viewer, "/tenants/acme/servers/shop/catalog?dropped=true&toolset=default").await;
    assert_eq!(dropped.json["items"].as_array().unwrap().len(), 1);
    let why = &dropped.json["items"][0]["toolsets"][0]["left_out"];
    assert_eq!(why["reason"], "toolset_rules");
    assert!(why["detail"].as_str().unwrap().contains("`shop/put`"), "{why}");
    let other = kit.get(&viewer, "/tenants/acme/servers/shop/catalog?dropped=true&toolset=other").await;
    assert_eq!(other.json["items"], json!([]));
    let first = kit.get(&viewer, "/tenants/acme/servers/shop/catalog?limit=1").await;
    let next = first.json["next"].as_str().unwrap();
    let second = kit.get(&viewer, &format!("/tenants/acme/servers/shop/catalog?limit=1&cursor={next}")).await;
    assert_eq!((&second.json["items"][0]["native"], &second.json["next"]), (&json!("put"), &Json::Null));
    assert_eq!(kit.get(&viewer, "/tenants/acme/servers/spare/catalog").await.json["items"], json!([]));
    for (path, status) in [
        ("servers/none/catalog", 404),
        ("servers/shop/catalog?toolset=none", 400),
        ("servers/shop/catalog?kind=cheese", 400),
    ] {
        assert_eq!(look(&kit, &viewer, &format!("/tenants/acme/{path}")).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_refresh_of_a_server_that_is_off_or_let_go_says_so() {
    let (kit, _) = kit().await;
    for (server, status) in [("spare", 409), ("none", 404), ("shop", 503)] {
        let path = format!("/tenants/acme/servers/{server}/catalog/refresh");
        assert_eq!(kit.ask(&admin_of("acme"), "POST", &path, &[], Json::Null).await.status, status, "{server}");
    }
}

#[tokio::test]
async fn the_snapshot_says_what_is_in_force_and_why_it_is_not_the_newest() {
    let (kit, row) = kit().await;
    let viewer = viewer_of("acme");
    let path = "/tenants/acme/snapshot";
    let seen = kit.get(&viewer, path).await.json;
    assert_eq!((&seen["current"], &seen["in_force"]["source"]), (&json!(true), &json!("store")));
    assert_eq!(
        seen["in_force"]["toolsets"][0],
        json!({
            "name": "default", "tools": 1, "tools_dropped": 0, "prompts": 0, "resources": 0, "templates": 0, "stale": false
        })
    );
    assert!(seen["in_force"]["list_bytes"].as_u64().unwrap() > 50, "{seen}");
    let app = &house(&kit).app;
    let trouble = Trouble { generation: Some(Generation(7)), error: "no way".to_owned(), at_ms: 1_800_000_000_000 };
    app.tenants.trouble(&row.slug, Some(trouble));
    kit.apply("tenant: acme\ntitle: Newer\n").await;
    let seen = kit.get(&viewer, path).await.json;
    assert_eq!(seen["current"], false);
    assert_eq!(seen["build_error"], json!({ "at": "2027-01-15T08:00:00.000Z", "generation": 7, "detail": "no way" }));
    assert_eq!(Source::Copy { as_of_ms: 1 }.as_str(), "copy");
}

#[tokio::test]
async fn a_tenant_that_was_never_in_force_says_why() {
    let kit = Kit::live(|_| ()).await;
    kit.apply("tenant: acme\n").await;
    let app = &house(&kit).app;
    let trouble = Trouble { generation: Some(Generation(1)), error: "no way".to_owned(), at_ms: 0 };
    app.tenants.trouble(&slug("acme"), Some(trouble));
    let seen = kit.get(&viewer_of("acme"), "/tenants/acme/snapshot").await.json;
    assert_eq!((&seen["in_force"], &seen["build_error"]["detail"]), (&Json::Null, &json!("no way")));
    let health = look(&kit, &viewer_of("acme"), "/tenants/acme/health").await;
    assert!(health.status == 503 && health.text.contains("no way"), "{}", health.text);
}

#[tokio::test]
async fn a_session_is_seen_and_its_end_is_for_its_client_and_for_nobody_else() {
    let (kit, row) = kit().await;
    let house = house(&kit);
    let (key, key_row) = house.key(row.id);
    let (principal, tenant) = house.enter("acme", &key).await.unwrap();
    let begin = || {
        let sessions = &house.app.sessions;
        sessions.begin(&tenant, &principal, Version::NEWEST_LEGACY, Capabilities::default(), now_ms())
    };
    let (mine, kept) = (begin(), begin());
    let find = |token: &str| house.app.sessions.find(token, &tenant, &principal, now_ms());
    let id = format!("{:032x}", u128::from_be_bytes(find(&mine).unwrap().id));
    let list = kit.get(&viewer_of("acme"), "/tenants/acme/sessions").await;
    assert_eq!((&list.json["count"], list.json["items"].as_array().unwrap().len()), (&json!(2), 2));
    let session = list.json["items"].as_array().unwrap().iter().find(|item| item["id"] == id.as_str()).unwrap();
    assert_eq!(session["principal"], json!({ "kind": "key", "key": key_row.id.to_string() }));
    assert!(!list.text.contains(&mine) && !list.text.contains(&kept), "an id opens nothing");
    let filtered = kit.get(&viewer_of("acme"), "/tenants/acme/sessions?principal=corp:ann").await;
    assert_eq!((&filtered.json["count"], &filtered.json["items"]), (&json!(2), &json!([])));
    // Another tenant's admin who has come by the id ends nothing with it.
    kit.apply("tenant: other\n").await;
    let path = |tenant: &str| format!("/tenants/{tenant}/sessions/{id}");
    assert_eq!(kit.ask(&admin_of("other"), "DELETE", &path("other"), &[], Json::Null).await.status, 204);
    assert!(find(&mine).is_ok());
    assert_eq!(kit.ask(&admin_of("acme"), "DELETE", &path("acme"), &[], Json::Null).await.status, 204);
    assert!(matches!(find(&mine), Err(GatewayError::SessionGone)) && find(&kept).is_ok());
    assert_eq!(kit.get(&viewer_of("acme"), "/tenants/acme/sessions").await.json["count"], 1);
    let buried = kit.store().tombstone_list(0).await.unwrap();
    assert!(buried.iter().any(|ended| ended.tenant == row.id), "the other replicas are told");
    for odd in ["1", "0000000000000000000000000000000G", "+0000000000000000000000000000000"] {
        let path = format!("/tenants/acme/sessions/{odd}");
        assert_eq!(kit.ask(&admin_of("acme"), "DELETE", &path, &[], Json::Null).await.status, 404, "{odd}");
    }
}

#[tokio::test]
async fn the_gateway_shows_everybody_their_tenants_and_its_load_to_platform_admins() {
    let (kit, _) = kit().await;
    let (own, foreign) =
        (kit.get(&viewer_of("acme"), "/gateway").await.json, kit.get(&viewer_of("other"), "/gateway").await.json);
    assert_eq!(
        (&own["tenants"][0]["name"], &own["store"], &own["state"]),
        (&json!("acme"), &json!("sqlite"), &json!("starting"))
    );
    assert_eq!((&foreign["tenants"], &foreign["tenant_count"], &foreign["load"]), (&json!([]), &json!(0), &Json::Null));
    let all = kit.get(&Admin::operator(), "/gateway").await;
    assert!(all.json["load"]["audit"]["spool"].is_number(), "{}", all.text);
    assert!(!all.text.contains("patchbay.db"), "where the store is is nobody's business");
}

#[tokio::test]
async fn only_platform_admins_seal_anew() {
    let (kit, _) = kit().await;
    for (method, path) in [("GET", "/sealing-key"), ("POST", "/sealing-key/reseal")] {
        assert_eq!(kit.ask(&admin_of("acme"), method, path, &[], Json::Null).await.status, 403, "{path}");
    }
    let done = kit.ask(&Admin::operator(), "POST", "/sealing-key/reseal", &[], Json::Null).await;
    assert_eq!((done.status, &done.json["resealed"], &done.json["closed"]), (200, &json!(0), &json!(0)));
    let key = kit.get(&Admin::operator(), "/sealing-key").await;
    assert_eq!(key.json["current"]["id"], done.json["key"]);
    assert_eq!(done.json["current"], 1, "the header of the server");
}
