//! The edge as strangers see it, over real connections to a whole gateway: what is told of signing in, where, and what of it can
//! be moved by those who ask. Nobody is signed in here; that is for the tests with a real provider.

use std::{fmt::Write, net::SocketAddr};

use patchbay_config::Environment;
use patchbay_store::Note;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{auth::NewKey, run::Gateway};

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
    key: String,
    /// Ends the gateway.
    _stop: DropGuard,
    _serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// A gateway with these settings and the tenants from above.
async fn gateway(settings: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("patchbay.yaml");
    let text = format!(
        "listen: {{ mcp: '127.0.0.1:0', operations: '127.0.0.1:0' }}\ndata_dir: '{}'\nlimits: {{ workers: 1 }}\n{settings}\n",
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
        key.get_or_insert_with(|| secret.expose_secret().to_owned());
    }
    let at = gateway.addresses().unwrap().public;
    let (stop, (up, is_up)) = (CancellationToken::new(), oneshot::channel());
    let token = stop.clone();
    let serving = tokio::spawn(async move { gateway.serve(token, up).await.unwrap() });
    is_up.await.unwrap();
    Running { at, key: key.unwrap(), _stop: stop.drop_guard(), _serving: serving, _folder: folder }
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
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(self.at).await.unwrap();
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

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[]).await
    }
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
