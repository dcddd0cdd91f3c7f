//! The edge as strangers see it, over real connections to a whole gateway: what is told of signing in, where, and what of it can
//! be moved by those who ask. Nobody is signed in here; that is for the tests with a real provider.

use std::{fmt::Write, net::SocketAddr};

use patchbay_config::Environment;
use patchbay_core::KeyId;
use patchbay_store::Note;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    auth::NewKey,
    run::{Gateway, Stop},
};

/// Takes keys, tokens, or both; and one that is switched off.
const TENANTS: [&str; 3] = [
    "
tenant: acme
issuers:
  corp:
    issuer: https://login.example/realms/acme
    scopes_required: [corp]
    registration: { client_id: ide }
  lab: { issuer: 'https://lab.example', metadata_url: 'https://lab.example/meta' }
toolsets:
  default: {}
  open:
    access: oauth
    scopes: { enter: [mcp], read: [read], write: [write], tools: { 'x/rm_*': [danger, write] } }
  either: { access: both }
",
    "
tenant: off
enabled: false
issuers: { corp: { issuer: 'https://login.example' } }
toolsets: { default: { access: oauth } }
",
    "
tenant: lab
issuers: { lab: { issuer: 'https://lab.example', metadata_url: 'https://lab.example/meta' } }
toolsets: { default: { access: oauth } }
",
];

const RESOURCE: &str = "/.well-known/oauth-protected-resource";

struct Running {
    at: SocketAddr,
    operations: SocketAddr,
    key: String,
    key_id: KeyId,
    /// Ends the gateway.
    _stop: DropGuard,
    _serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// A gateway with these settings and the tenants from above.
async fn gateway(settings: &str) -> Running {
    limited("", settings).await
}

/// The same with further bounds.
async fn limited(limits: &str, settings: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("patchbay.yaml");
    let text = format!(
        "listen: {{ mcp: '127.0.0.1:0', operations: '127.0.0.1:0', admin: 'off' }}\ndata_dir: '{}'\nlimits: {{ workers: 1, {limits} }}\n{settings}\n",
        folder.path().display()
    );
    std::fs::write(&file, text).unwrap();
    let config = patchbay_config::load(Some(&file), &Environment::default()).unwrap();
    let gateway = Gateway::open(config).await.unwrap();
    let store = gateway.app().store.clone();
    let note = Note::by_operator("a test", 0);
    let mut key = None;
    for text in TENANTS {
        let doc = patchbay_config::tenant_from_yaml(text, "tenant", &|_| Err(String::new())).unwrap();
        let tenant = store.tenant_apply(&doc, None, &note).await.unwrap().id;
        let NewKey { secret, row } = NewKey::generate(tenant, "test".into(), None, 0, None);
        store.key_create(&row, &note).await.unwrap();
        key.get_or_insert_with(|| (secret.expose_secret().to_owned(), row.id));
    }
    let at = gateway.addresses().unwrap();
    let (stop, (up, is_up)) = (CancellationToken::new(), oneshot::channel());
    let (asked, told) = (stop.clone(), Stop::default());
    let serving = tokio::spawn(async move {
        let stopping = async {
            asked.cancelled().await;
            told.hurry();
        };
        let (served, ()) = tokio::join!(gateway.serve(told.clone(), up), stopping);
        served.unwrap();
    });
    is_up.await.unwrap();
    let (key, key_id) = key.unwrap();
    Running {
        at: at.public,
        operations: at.operations,
        key,
        key_id,
        _stop: stop.drop_guard(),
        _serving: serving,
        _folder: folder,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reply {
    status: u16,
    /// In lower case, without the date.
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Running {
    /// Sends a request with these headers; `Host` is localhost unless they say otherwise.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let body = if method == "POST" { r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"# } else { "" };
        say(self.at, method, path, headers, body).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[]).await
    }

    /// Says something with the key, and perhaps in a session.
    async fn say(&self, method: &str, session: Option<&str>, body: &str) -> Reply {
        let bearer = format!("Bearer {}", self.key);
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(session.map(|id| ("Mcp-Session-Id", id)));
        say(self.at, method, "/t/acme/mcp", &headers, body).await
    }
}

/// Sends a request to this address.
async fn say(at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Reply { status, headers: headers.filter(|(name, _)| name != "date").collect(), body: body.to_owned() }
}

#[tokio::test]
async fn a_toolset_of_keys_shows_nothing_of_signing_in() {
    let gateway = gateway("oauth: { authorization_server_redirect: true }").await;
    let unknown = gateway.get("/nothing/here").await;
    assert_eq!(unknown.status, 404);
    for document in ["oauth-protected-resource", "oauth-authorization-server", "openid-configuration"] {
        for about in [
            "",
            "/",
            "/t/acme/mcp",
            "/t/acme/default/mcp",
            "/t/acme/nothing/mcp",
            "/t/nobody/mcp",
            "/t/off/mcp",
            "/t/acme",
            "/t/acme/open/mcp/",
            "/gw/t/acme/open/mcp",
        ] {
            let path = format!("/.well-known/{document}{about}");
            for method in ["GET", "OPTIONS", "POST"] {
                let reply = gateway.ask(method, &path, &[]).await;
                assert_eq!(reply, gateway.ask(method, "/nothing/here", &[]).await, "{method} {path}");
            }
        }
    }
    assert_eq!(gateway.get("/t/acme/mcp/.well-known/openid-configuration").await, unknown);
    let here = gateway.ask("POST", "/t/acme/mcp", &[]).await;
    assert_eq!((here.status, here.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(here, gateway.ask("POST", "/t/nobody/mcp", &[]).await);
    let wrong = [("Authorization", "Bearer pb_wrong")];
    let here = gateway.ask("POST", "/t/acme/mcp", &wrong).await;
    assert_eq!(here.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    assert_eq!(here, gateway.ask("POST", "/t/nobody/mcp", &wrong).await);
}

#[tokio::test]
async fn the_challenge_leads_to_the_document_and_the_document_back_to_the_url() {
    let gateway = gateway("public_url: https://Tools.example/gw/").await;
    let at = format!("https://tools.example{RESOURCE}/gw/t/acme/open/mcp");
    for (headers, error) in [(vec![], ""), (vec![("Authorization", "Bearer a.b.c")], "error=\"invalid_token\", ")] {
        for path in ["/t/acme/open/mcp", "/gw/t/acme/open/mcp"] {
            let refused = gateway.ask("POST", path, &headers).await;
            assert_eq!(refused.status, 401, "{refused:?}");
            let challenge = refused.header("www-authenticate").unwrap();
            assert!(challenge.starts_with(&format!("Bearer {error}")), "{challenge}");
            assert!(challenge.ends_with(&format!("resource_metadata=\"{at}\", scope=\"mcp\"")), "{challenge}");
            let said = refused.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(said.contains("client id `ide`") && said.contains("https://lab.example"), "{said}");
        }
    }
    let path = at.strip_prefix("https://tools.example").unwrap();
    let without = format!("{RESOURCE}/t/acme/open/mcp");
    let inside = format!("/gw{without}");
    let document = gateway.get(path).await;
    assert_eq!(document.status, 200);
    assert_eq!(
        document.body,
        r#"{"resource":"https://tools.example/gw/t/acme/open/mcp","authorization_servers":["https://login.example/realms/acme","https://lab.example"],"scopes_supported":["corp","danger","mcp","read","write"],"bearer_methods_supported":["header"],"resource_name":"acme / open"}"#
    );
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "public, max-age=60"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(document.header(name), Some(value), "{name}");
    }
    assert!(document.header("access-control-allow-credentials").is_none());
    for same in [without.as_str(), inside.as_str()] {
        assert_eq!(gateway.get(same).await, document, "{same}");
    }
    let forged = [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("Origin", "https://anywhere.example"),
    ];
    assert_eq!(gateway.ask("GET", path, &forged).await, document);

    let either = gateway.get(&format!("{RESOURCE}/gw/t/acme/either/mcp")).await.json();
    assert_eq!(either["resource"], "https://tools.example/gw/t/acme/either/mcp");
    let lab = gateway.get(&format!("{RESOURCE}/gw/t/lab/default/mcp")).await;
    assert_eq!(lab, gateway.get(&format!("{RESOURCE}/gw/t/lab/mcp")).await);
    assert_eq!(lab.json()["resource"], "https://tools.example/gw/t/lab/mcp");
    assert_eq!(lab.json()["resource_name"], "lab");
    assert!(lab.json().get("scopes_supported").is_none());
    for no in [RESOURCE.to_owned(), format!("{RESOURCE}/gw"), format!("{RESOURCE}/gw/t/off/mcp")] {
        assert_eq!(gateway.get(&no).await.status, 404, "{no}");
    }
}

#[tokio::test]
async fn documents_take_the_methods_of_documents_and_listed_hosts() {
    let gateway = gateway("public_url: https://tools.example").await;
    let path = format!("{RESOURCE}/t/acme/open/mcp");
    let document = gateway.get(&path).await;
    let head = gateway.ask("HEAD", &path, &[]).await;
    assert_eq!((head.status, head.body.as_str(), &head.headers), (200, "", &document.headers));
    let preflight = gateway.ask("OPTIONS", &path, &[("Origin", "https://anywhere.example")]).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("*"));
    for method in ["POST", "DELETE", "PUT"] {
        let reply = gateway.ask(method, &path, &[]).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
    for host in ["evil.example", ""] {
        assert_eq!(gateway.ask("GET", &path, &[("Host", host)]).await.status, 403, "{host}");
    }
}

#[tokio::test]
async fn the_root_and_the_old_places_speak_only_when_the_operator_says_so() {
    const SERVER: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let gateway = gateway(
        "public_url: https://tools.example/gw\noauth: { root_resource: acme/open, authorization_server_redirect: true }",
    )
    .await;
    for root in [RESOURCE.to_owned(), format!("{RESOURCE}/gw")] {
        let document = gateway.get(&root).await;
        assert_eq!(document.json()["resource"], "https://tools.example/gw/t/acme/open/mcp", "{root}");
    }
    let (server, openid) = (
        "https://login.example/.well-known/oauth-authorization-server/realms/acme",
        "https://login.example/realms/acme/.well-known/openid-configuration",
    );
    for (path, location) in [
        (SERVER.to_owned(), server),
        (format!("{SERVER}/gw"), server),
        (format!("{SERVER}/t/acme/open/mcp"), server),
        (format!("{SERVER}/gw/t/acme/either/mcp"), server),
        (OPENID.to_owned(), openid),
        (format!("{OPENID}/gw/t/acme/open/mcp"), openid),
        (format!("{SERVER}/gw/t/lab/mcp"), "https://lab.example/meta"),
        (format!("{OPENID}/gw/t/lab/mcp"), "https://lab.example/meta"),
    ] {
        let reply = gateway.get(&path).await;
        assert_eq!((reply.status, reply.header("location")), (307, Some(location)), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{path}");
    }
    for no in [format!("{SERVER}/gw/t/acme/mcp"), format!("{SERVER}/gw/t/nobody/mcp"), format!("{OPENID}/t/off/mcp")] {
        assert_eq!(gateway.get(&no).await.status, 404, "{no}");
    }
    drop(gateway);
    let silent = self::gateway("public_url: https://tools.example\noauth: { root_resource: acme }").await;
    assert_eq!(silent.get(RESOURCE).await.status, 404, "the toolset takes keys alone");
    assert_eq!(silent.get(&format!("{SERVER}/t/acme/open/mcp")).await.status, 404);
}

#[tokio::test]
async fn without_a_public_url_listed_names_and_listed_proxies_count() {
    let path = format!("{RESOURCE}/t/acme/open/mcp");
    let proxied =
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "tools.example"), ("X-Forwarded-Prefix", "/gw")];
    for (settings, expected) in [
        ("allowed_hosts: [localhost, tools.example]", "http://localhost/t/acme/open/mcp"),
        (
            "allowed_hosts: [localhost, tools.example]\ntrusted_proxies: [127.0.0.0/8]",
            "https://tools.example/gw/t/acme/open/mcp",
        ),
    ] {
        let gateway = gateway(settings).await;
        let document = gateway.ask("GET", &path, &proxied).await;
        assert_eq!(document.json()["resource"], expected, "{settings}");
        assert_eq!(document.header("cache-control"), Some("private, max-age=60"));
        let refused = gateway.ask("POST", "/t/acme/open/mcp", &proxied).await;
        let origin = expected.split("/t/").next().unwrap().trim_end_matches("/gw");
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.contains(&format!("resource_metadata=\"{origin}{RESOURCE}/")), "{challenge}");
    }
}

#[tokio::test]
async fn a_credential_that_is_too_long_stands_twice_or_in_the_query_opens_nothing() {
    let gateway = gateway("").await;
    let key = format!("Bearer {}", gateway.key);
    assert_eq!(
        gateway.ask("DELETE", "/t/acme/mcp", &[("Authorization", &key)]).await.status,
        400,
        "let in, no session"
    );
    for path in ["/t/acme/mcp", "/t/nobody/mcp", "/t/acme/open/mcp"] {
        let long = gateway.ask("POST", path, &[("Authorization", &format!("Bearer {}", "x".repeat(16 * 1024)))]).await;
        assert_eq!((long.status, &long.json()["error"]["code"]), (431, &43101.into()), "{path}");
        let twice = gateway.ask("POST", path, &[("Authorization", &key), ("Authorization", &key)]).await;
        assert_eq!(twice.status, 400, "{path}");
        let in_query = format!("{path}?access_token={}", gateway.key);
        let ignored = gateway.ask("POST", &in_query, &[]).await;
        assert_eq!(ignored, gateway.ask("POST", path, &[]).await, "{path}");
        assert_eq!(ignored.status, 401, "{path}");
        assert!(!ignored.header("www-authenticate").unwrap().contains("error="), "{path}");
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_again_whatever_it_asks_for() {
    let gateway =
        limited("address_per_second: 1, address_burst: 3, headers: true", "public_url: https://tools.example").await;
    let document = format!("{RESOURCE}/t/acme/open/mcp");
    let mut turned_away = Vec::new();
    for (method, path) in [("POST", "/t/acme/mcp"), ("POST", "/t/nobody/mcp"), ("GET", &*document), ("GET", "/nothing")]
    {
        let mut reply = gateway.ask(method, path, &[]).await;
        for _ in 0..50 {
            if reply.status == 429 {
                break;
            }
            reply = gateway.ask(method, path, &[]).await;
        }
        assert_eq!(reply.status, 429, "{path}");
        assert_eq!(reply.header("retry-after"), Some("1"), "{path}");
        assert_eq!(reply.header("ratelimit-policy"), Some(r#""address";q=1;w=1"#), "{path}");
        assert_eq!(reply.header("ratelimit"), Some(r#""address";r=0;t=1"#), "{path}");
        let mut body = reply.json();
        assert!((1..=1000).contains(&body["error"]["data"]["retryAfterMs"].take().as_u64().unwrap()), "{path}");
        turned_away.push(body);
        assert_eq!(gateway.get("/health").await.status, 200, "health is not counted");
    }
    let data = serde_json::json!({ "limit": "address", "retryAfterMs": null });
    let error = serde_json::json!({ "code": 42901, "message": "over the limit address", "data": data });
    for body in turned_away {
        assert_eq!(body, serde_json::json!({ "jsonrpc": "2.0", "error": error }));
    }
}

#[tokio::test]
async fn the_address_behind_a_trusted_proxy_is_the_one_that_counts() {
    let gateway = limited("address_per_second: 1, address_burst: 1", "trusted_proxies: [127.0.0.0/8]").await;
    let from = async |address: &str| gateway.ask("POST", "/t/acme/mcp", &[("X-Forwarded-For", address)]).await.status;
    for number in 0..20 {
        assert_eq!(from(&format!("192.0.2.{number}")).await, 401);
    }
    let mut statuses = Vec::new();
    while statuses.len() < 50 && !statuses.contains(&429) {
        statuses.push(from("198.51.100.1").await);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_flood_of_wrong_keys_is_refused_alike_at_each_door_and_the_good_key_comes_in() {
    let gateway = limited("failed_sign_ins_per_minute: 1, failed_sign_ins_burst: 2", "").await;
    let wrong = [("Authorization", "Bearer pb_wrong")];
    for _ in 0..2 {
        assert_eq!(gateway.ask("POST", "/t/acme/mcp", &wrong).await.status, 401);
    }
    for path in ["/t/acme/mcp", "/t/nobody/mcp", "/t/acme/either/mcp", "/t/off/mcp"] {
        let refused = gateway.ask("POST", path, &wrong).await;
        assert_eq!((refused.status, &refused.json()["error"]["data"]["limit"]), (429, &"sign_in".into()), "{path}");
        let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after), "{path}: {after}");
        assert!(refused.header("www-authenticate").is_none() && refused.header("ratelimit").is_none(), "{path}");
    }
    assert_eq!(gateway.say("POST", None, INITIALIZE).await.status, 200);
    assert_eq!(gateway.ask("POST", "/t/acme/mcp", &[]).await.status, 401, "no credential is none that failed");
    let metrics = say(gateway.operations, "GET", "/metrics", &[], "").await.body;
    assert!(metrics.contains(r#"patchbay_limit_denied_total{limit="sign_in",tenant=""} 4"#), "{metrics}");
}

#[tokio::test]
async fn answers_tell_how_the_tightest_limit_stands_when_they_are_told_to() {
    let gateway = limited("headers: true, principal_per_second: 1, principal_burst: 5", "").await;
    let told = |reply: &Reply| {
        assert_eq!(reply.header("ratelimit-policy"), Some(r#""principal";q=1;w=1"#), "{reply:?}");
        reply.header("ratelimit").unwrap().to_owned()
    };
    let opened = gateway.say("POST", None, INITIALIZE).await;
    assert_eq!(told(&opened), r#""principal";r=4;t=1"#);
    let session = opened.header("mcp-session-id");
    let listed = gateway.say("POST", session, LIST).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let left = told(&listed);
    assert!(left.starts_with(r#""principal";r=3;t="#) || left.starts_with(r#""principal";r=4;t="#), "{left}");
    assert!(
        gateway.say("POST", session, r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#).await.header("ratelimit").is_none()
    );
    let mut reply = listed;
    for _ in 0..50 {
        if reply.status == 429 {
            break;
        }
        reply = gateway.say("POST", session, LIST).await;
    }
    assert_eq!(reply.status, 429);
    assert_eq!(told(&reply), r#""principal";r=0;t=1"#);
    assert_eq!(reply.header("retry-after"), Some("1"));
    let ended = gateway.say("DELETE", session, "").await;
    assert!(ended.header("ratelimit").is_some(), "{ended:?}");
    drop(gateway);
    let silent = self::gateway("").await;
    assert!(silent.say("POST", None, INITIALIZE).await.header("ratelimit").is_none());
}

#[tokio::test]
async fn operators_are_told_how_limits_stand_and_clients_are_not() {
    let gateway = gateway("").await;
    let ask = async |query: &str| say(gateway.operations, "GET", &format!("/limits{query}"), &[], "").await;
    assert_eq!(ask("").await.body, "{\"mode\":\"memory\"}\n");
    gateway.say("POST", None, INITIALIZE).await;
    let report = ask(&format!("?tenant=acme&principal={}", gateway.key_id)).await;
    assert_eq!((report.status, report.header("content-type")), (200, Some("application/json")));
    let report = report.json();
    assert_eq!((&report["mode"], &report["toolset"]), (&"memory".into(), &"default".into()));
    let principal = &report["limits"][0];
    assert_eq!(
        (&principal["name"], &principal["count"], &principal["burst"]),
        (&"principal".into(), &200.into(), &400.into())
    );
    assert!(principal["left"].as_u64().unwrap() >= 399 && principal["full_in_ms"].as_u64().unwrap() <= 5, "{report}");
    for (query, status, says) in [
        ("?tenant=nobody", 404, "there is no tenant `nobody`"),
        ("?tenant=acme&principal=somebody", 400, "`somebody` is no principal"),
        ("?tenant=acme&principal=00000000000000000000000000000000", 404, "the tenant has no key"),
        ("?toolset=default", 400, "expected tenant=NAME"),
        ("?tenant=acme&limit=principal", 400, "`limit` is not asked here"),
    ] {
        let refused = ask(query).await;
        assert_eq!(refused.status, status, "{query}");
        assert!(refused.json()["error"].as_str().unwrap().contains(says), "{query}: {refused:?}");
    }
    assert_eq!(gateway.get("/limits?tenant=acme").await.status, 404);
}
