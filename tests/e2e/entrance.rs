//! Who gets in, with what, and what of their secrets ever comes out again: nothing.

use std::{fs, path::Path};

use patchbay_e2e::{
    Ask, Client, Fixture, TestGateway,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn list() -> Ask {
    Client::modern(([127, 0, 0, 1], 1).into(), "/t/acme/mcp", None).ask("tools/list", json!({}))
}

#[tokio::test]
async fn a_key_comes_in_one_of_two_headers_and_nowhere_else() {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    let key = gateway.key("acme").to_owned();
    assert!(key.starts_with("pb_"));
    let at = gateway.address;
    for (what, ask) in [
        ("Authorization", list().header("Authorization", format!("Bearer {key}"))),
        ("a lower-case scheme", list().header("Authorization", format!("bearer {key}"))),
        ("X-API-Key", list().header("X-API-Key", &key)),
        ("x-api-key", list().header("x-api-key", &key)),
    ] {
        assert_eq!(ask.send(at).await.status, 200, "{what}");
    }
    for (what, ask) in [
        ("two keys", list().bearer(&key).header("X-API-Key", &key)),
        ("two headers", list().bearer(&key).header("Authorization", format!("Bearer {key}"))),
        ("another scheme", list().header("Authorization", "Basic dXNlcjpwYXNz")),
        ("no scheme", list().header("Authorization", &key)),
    ] {
        let reply = ask.send(at).await;
        assert_eq!(reply.status, 400, "{what}");
        assert_eq!(reply.json().await["error"]["code"], -32600, "{what}");
    }
    let mut in_query = list();
    in_query.path = format!("/t/acme/mcp?access_token={key}&key={key}&api_key={key}");
    let long = "pb_".to_owned() + &"x".repeat(5000);
    for (what, ask) in [
        ("nothing", list()),
        ("the query", in_query),
        ("a cookie", list().header("Cookie", format!("key={key}"))),
        ("an empty key", list().header("X-API-Key", "")),
        ("a key that is cut", list().bearer(&key[..key.len() - 1])),
        ("a key and more", list().bearer(&format!("{key}x"))),
        ("a key in capitals", list().bearer(&key.to_uppercase())),
        ("a very long key", list().bearer(&long)),
        ("who they say they are", list().header("X-User-Id", "admin").header("X-Forwarded-User", "admin")),
    ] {
        let reply = ask.send(at).await;
        assert_eq!(reply.status, 401, "{what}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"), "{what}");
        let text = reply.text().await;
        assert!(
            text.contains("sign in: send Authorization") || text.contains("unknown, expired or revoked"),
            "{what}: {text}"
        );
        assert!(!text.contains(&key[3..20]), "{what}: {text}");
    }
    wait_until("the last use of the key is known", || async {
        let keys: Value =
            serde_json::from_str(&gateway.patchbay(&["key", "list", "--tenant", "acme", "--json"]).good()).unwrap();
        keys[0]["used"].is_string() && keys[0]["state"] == "active"
    })
    .await;
}

#[tokio::test]
async fn nobody_is_let_in_without_a_key_but_on_this_machine_where_a_toolset_says_so() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    acme["toolsets"] = json!({ "open": { "access": "anonymous" }, "shut": {} });
    let at = |toolset: &str| Ask { path: format!("/t/acme/{toolset}/mcp"), ..list() };
    let gateway = TestGateway::setup().tenant(acme.clone()).start().await;
    let to = gateway.address;
    assert_eq!(at("open").send(to).await.status, 200);
    assert_eq!(at("open").bearer(gateway.key("acme")).send(to).await.status, 200);
    assert_eq!(at("open").bearer("pb_wrong").send(to).await.status, 401, "who shows a key shows a good one");
    assert_eq!(at("shut").send(to).await.status, 401);
    assert_eq!(at("default").send(to).await.status, 401);
    let session = Client::legacy(to, "/t/acme/open/mcp", None).await;
    assert!(!session.call("one_echo", json!({})).await.is_error());
    let mut elsewhere = session.clone();
    elsewhere.path = "/t/acme/mcp".into();
    assert_eq!(elsewhere.ask("ping", json!({})).send(to).await.status, 401);
    for header in
        [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=203.0.113.7")]
    {
        let forwarded = at("open").header(header.0, header.1);
        assert_eq!(
            forwarded.send(to).await.status,
            401,
            "{header:?}: what a proxy hands on does not come from this machine"
        );
    }
    drop(gateway);

    // The same toolset where others can reach the listener.
    let public = TestGateway::setup().set("listen", json!({ "mcp": "0.0.0.0:0" })).tenant(acme.clone()).start().await;
    let to = ([127, 0, 0, 1], public.address.port()).into();
    assert_eq!(at("open").send(to).await.status, 401);
    assert_eq!(at("open").bearer(public.key("acme")).send(to).await.status, 200);
    let said = public.home().apply(&acme);
    assert!(said.err.contains("open to everybody"), "nobody is told: {}", said.err);
}

#[tokio::test]
async fn where_a_request_comes_from_is_believed_of_listed_proxies_alone() {
    let acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    for (trusted, expected) in [(json!([]), "127.0.0.1"), (json!(["127.0.0.0/8"]), "198.51.100.4")] {
        let gateway = TestGateway::setup().set("trusted_proxies", trusted).tenant(acme.clone()).start().await;
        let call = gateway.modern("acme").ask_tool("one_echo", json!({}));
        let forwarded = call.header("X-Forwarded-For", "203.0.113.7, 198.51.100.4").header("X-User-Id", "admin");
        assert_eq!(forwarded.send(gateway.address).await.status, 200);
        wait_until("the call is on record", || async {
            let audit = gateway.audit().await;
            let call = audit.iter().find(|record| record["native"] == "echo" && record["outcome"] == "answered");
            call.is_some_and(|call| {
                assert_eq!((&call["actor"]["ip"], &call["actor"]["kind"]), (&json!(expected), &json!("key")), "{call}");
                true
            })
        })
        .await;
    }
}

#[tokio::test]
async fn no_secret_of_anybody_comes_out_again() {
    let canaries = ["canary-header-5f1c9b", "canary-env-77e2aa", "canary-arg-0b3d41"];
    let far = Fixture::scripted(&["--no-odd"]);
    let mut server = far.server();
    server["headers"] = json!({ "X-Secret": canaries[0], "Authorization": format!("Bearer {}", canaries[0]) });
    let mut child = scripted(&["--no-odd"]);
    child["env"] = json!({ "SECRET": canaries[1] });
    let acme = tenant("acme", [("far", server), ("near", child)]);
    let mut gateway = TestGateway::setup().set("log", json!({ "filter": "trace" })).tenant(acme).start().await;
    let key = gateway.key("acme").to_owned();

    let mut seen = String::new();
    for client in gateway.both("acme").await {
        // The servers themselves have their secrets, and nothing of the caller's.
        let whoami = client.call("far_whoami", json!({})).await;
        assert!(whoami.text().contains(canaries[0]), "the server did not get its header: {}", whoami.text());
        assert!(!whoami.text().contains(&key[3..]), "the caller's key reached a server: {}", whoami.text());
        assert!(!whoami.text().to_lowercase().contains("x-user"), "{}", whoami.text());
        let env: Value = serde_json::from_str(client.call("near_env", json!({})).await.text()).unwrap();
        assert_eq!(env["SECRET"], canaries[1]);
        assert!(env.as_object().unwrap().keys().all(|name| !name.starts_with("PATCHBAY")), "{env}");
        for tool in ["far_echo", "near_echo", "far_garbage", "near_half", "far_half", "near_die", "no_such"] {
            let reply = client
                .ask_tool(tool, json!({ "password": canaries[2] }))
                .header("X-User", "me")
                .send(gateway.address)
                .await;
            let text =
                reply.bytes().await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            if !tool.ends_with("echo") {
                seen.push_str(&text);
            }
        }
        for method in ["tools/list", "prompts/list", "resources/list"] {
            seen.push_str(&client.request(method, json!({})).await.raw);
        }
    }
    let wrong = list().bearer(&format!("{key}x")).send(gateway.address).await;
    seen.push_str(&wrong.text().await);
    for args in [
        &["export", "--tenant", "acme"][..],
        &["tenant", "show", "acme"],
        &["tenant", "show", "acme", "--json"],
        &["key", "list", "--tenant", "acme"],
        &["key", "list", "--tenant", "acme", "--json"],
        &["connect", "--tenant", "acme"],
        &["check"],
    ] {
        let outcome = gateway.patchbay(args);
        assert_eq!(outcome.code, 0, "{args:?}: {outcome:?}");
        seen.push_str(&outcome.out);
        seen.push_str(&outcome.err);
    }
    seen.push_str(&gateway.metrics().await);
    let audit = gateway.audit().await;
    assert!(audit.len() > 10, "{audit:?}");
    seen.push_str(&Value::from(audit).to_string());
    gateway.terminate();
    gateway.ended();
    let log = gateway.written();
    assert!(log.contains("\"DEBUG\""), "the log is not as talkative as it can be");
    for canary in canaries.into_iter().chain([&key[3..]]) {
        assert!(!seen.contains(canary), "{canary} is in what people see");
        let line = log.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary} is in the log: {line:?}");
    }
    // At rest they are sealed, and the key is a digest.
    let mut files = Vec::new();
    collect(&gateway.home().path("data"), &mut files);
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for canary in canaries.into_iter().chain([&key[3..]]) {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{canary} is in {}", file.display());
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[tokio::test]
async fn a_server_cannot_be_pointed_at_what_only_the_gateway_can_reach() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    // One that is allowed, and sends whoever asks to one that is not.
    let other = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let detour = other.local_addr().unwrap();
    let redirects = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = other.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{port}/mcp\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let hosts =
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "0x7f.1", "2130706433", "0.0.0.0", "[::]", "127.1"];
    let servers = hosts
        .iter()
        .enumerate()
        .map(|(number, host)| (format!("s{number}"), json!({ "url": format!("http://{host}:{port}/mcp") })));
    let more = [
        ("metadata".to_owned(), json!({ "url": "http://169.254.169.254/mcp" })),
        ("nat".to_owned(), json!({ "url": "http://[64:ff9b::a9fe:a9fe]/mcp" })),
        ("tls".to_owned(), json!({ "url": format!("https://127.0.0.1:{port}/mcp") })),
        ("detour".to_owned(), json!({ "url": format!("http://{detour}/mcp") })),
        ("good".to_owned(), scripted(&["--no-odd"])),
    ];
    let gateway = TestGateway::setup()
        .set("http", json!({ "allow_private": ["127.0.0.3/32"], "allow_http": true }))
        .tenant(tenant("acme", servers.chain(more)))
        .start()
        .await;
    let client = gateway.modern("acme");
    assert_eq!(client.tools().await.len(), 16, "only the good one has tools");
    wait_until("all of them were tried", || async {
        let log = gateway.log();
        (0..hosts.len()).all(|number| log.contains(&format!("\"server\":\"s{number}\"")))
            && log.contains("\"server\":\"detour\"")
    })
    .await;
    let knocked = tokio::time::timeout(std::time::Duration::from_millis(500), canary.accept()).await;
    assert!(knocked.is_err(), "somebody came to the canary: {knocked:?}");
    redirects.abort();
}
