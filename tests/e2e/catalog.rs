//! What is listed, under which names, in which order, and what the servers cannot do to it: odd tools, endless pages, names
//! that do not fit, URIs that two servers have.

use std::collections::{BTreeMap, BTreeSet};

use patchbay_e2e::{
    Client, Fixture, TestGateway,
    setup::{conformance, scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

#[tokio::test]
async fn an_odd_tool_is_left_out_alone_and_the_log_says_which() {
    let far = Fixture::scripted(&["--era", "modern"]);
    let mut gateway =
        TestGateway::setup().tenant(tenant("acme", [("near", scripted(&[])), ("far", far.server())])).start().await;
    for client in gateway.both("acme").await {
        let names = client.tools().await;
        assert_eq!(names.len(), 2 * 20, "{names:?}");
        assert!(!names.iter().any(|name| name.contains("schema")), "{names:?}");
        for server in ["near", "far"] {
            assert!(names.contains(&format!("{server}_odd_members")), "{names:?}");
        }
        let raw = client.request("tools/list", json!({})).await.raw;
        // As the server wrote it, the name apart.
        for part in [
            r#"{"x-first":[1.50,1e3,12345678901234567890123],"name":"near_odd_members","description":"Has unknown members \u0041t every level","#,
            r#""inputSchema":{"x-schema":{"b":1,"a":2},"type":"object","properties":{"text":{"type":"string","x-property":-0.0,"default":"\/"}},"x-last":null}"#,
            r#""annotations":{"readOnlyHint":true,"x-hint":"kept"}"#,
            r#""_meta":{"example.org/x":{"deep":[{"deeper":1.0}]}},"x-tool":{"kept":true}}"#,
        ] {
            assert!(raw.contains(part), "{part} is not in the list of {}: {raw}", client.version);
        }
    }
    let log = gateway.log();
    for odd in ["odd_no_schema", "odd_text_schema", "odd_string_schema"] {
        assert!(log.lines().any(|line| line.contains(odd) && line.contains("near")), "the log does not name {odd}");
    }

    // Names that clients and models cannot take are made to fit, and stay what they are.
    let before = gateway.modern("acme").list("tools/list").await;
    let names: Vec<String> = before.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    for name in &names {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        assert!(plain && name.len() <= 40, "{name}");
    }
    for (tool, name) in before.iter().zip(&names) {
        if tool["description"].as_str().unwrap().starts_with("Has a name") {
            let answer = gateway.modern("acme").call(name, json!({ "who": name })).await;
            assert_eq!(answer.result()["structuredContent"]["who"], *name, "{}", answer.raw);
        }
    }
    gateway.terminate();
    gateway.ended();
    let gateway = gateway.again().await;
    assert_eq!(gateway.modern("acme").list("tools/list").await, before, "the names are others after a restart");
}

#[tokio::test]
async fn pages_of_servers_are_read_to_their_end_and_ours_are_sealed() {
    let far = Fixture::scripted(&["--no-odd", "--tools", "150", "--pages", "7"]);
    let servers =
        [("far", far.server()), ("near", scripted(&["--no-odd", "--tools", "40", "--pages", "3", "--era", "modern"]))];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).limit("page_size", 25).start().await;
    for client in gateway.both("acme").await {
        let names = client.tools().await;
        assert_eq!(names.len(), 150 + 40 + 2 * 16);
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(names, sorted);
        let first = client.request("tools/list", json!({})).await;
        let cursor = first.result()["nextCursor"].as_str().unwrap();
        assert!(cursor.len() > 30 && !cursor.contains("page"), "a server's cursor is shown to a client: {cursor}");
        assert!(!client.call("far_tool_0150", json!({})).await.is_error());
    }
    // A cursor of a list that has changed since is one no more.
    let client = gateway.modern("acme");
    let first = client.request("tools/list", json!({})).await;
    let cursor = first.result()["nextCursor"].clone();
    client.call("near_grow", json!({})).await;
    wait_until("the list is another", || async {
        client.call("near_grown_1", json!({})).await.response.get("error").is_none()
    })
    .await;
    assert_eq!(client.request("tools/list", json!({ "cursor": cursor })).await.code(), -32602);
}

#[tokio::test]
async fn a_list_without_end_or_without_sense_harms_no_other() {
    let servers = [
        ("endless", scripted(&["--no-odd", "--cursor-loop"])),
        ("broken", scripted(&["--no-odd", "--fail-list"])),
        ("huge", scripted(&["--no-odd", "--tools", "400"])),
        ("good", scripted(&["--no-odd"])),
    ];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).limit("catalog_items_max", 100).start().await;
    for client in gateway.both("acme").await {
        let names = client.tools().await;
        let of = |server: &str| names.iter().filter(|name| name.starts_with(&format!("{server}_"))).count();
        assert_eq!((of("broken"), of("good")), (0, 16));
        assert!(of("endless") <= 16, "the loop was followed: {}", of("endless"));
        assert!(of("huge") <= 100, "{}", of("huge"));
        assert!(!client.call("good_echo", json!({})).await.is_error());
    }
    let log = gateway.log();
    for server in ["endless", "broken", "huge"] {
        let said =
            log.lines().any(|line| line.contains(server) && (line.contains("WARN") || line.contains("cannot be read")));
        assert!(said, "the log says nothing of {server}");
    }
}

#[tokio::test]
async fn a_server_that_grows_a_tool_is_listed_with_it() {
    let far = [Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--era", "modern"])];
    let servers = [
        ("old", far[0].server()),
        ("new", far[1].server()),
        ("child", scripted(&["--no-odd"])),
        ("kid", scripted(&["--no-odd", "--era", "modern"])),
    ];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).limit("catalog_refresh_s", 86_400).start().await;
    let client = gateway.modern("acme");
    for server in ["old", "new", "child", "kid"] {
        let grown = client.call(&format!("{server}_grow"), json!({})).await;
        assert_eq!(grown.text(), "grown_1", "{}", grown.raw);
        let name = format!("{server}_grown_1");
        wait_until(format!("{name} is listed"), || async { client.tools().await.contains(&name) }).await;
        assert!(!client.call(&name, json!({})).await.is_error());
    }
}

#[tokio::test]
async fn operators_choose_what_is_shown_and_how_it_is_called() {
    let mut acme =
        tenant("acme", [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd", "--tools", "30"]))]);
    acme["servers"]["one"]["prefix"] = json!("uno");
    acme["servers"]["one"]["tools"] = json!({
        "deny": ["die", "h*"],
        "rename": { "echo": "say_it_again" },
        "describe": { "echo": "Says what it hears." },
    });
    acme["servers"]["two"]["tools"] = json!({ "allow": ["tool_*", "echo"] });
    acme["toolsets"] = json!({
        "narrow": { "servers": ["two"], "prefix": "never", "tools": { "deny": ["two/tool_*"] } },
        "capped": { "tools_max": 5, "overflow": "drop", "keep_first": ["two/echo", "one/slow"] },
    });
    let gateway = TestGateway::setup().tenant(acme).start().await;
    for client in gateway.both("acme").await {
        let tools: BTreeMap<String, Value> = client
            .list("tools/list")
            .await
            .into_iter()
            .map(|tool| (tool["name"].as_str().unwrap().to_owned(), tool))
            .collect();
        assert!(
            tools.keys().all(|name| name.starts_with("uno_") || name.starts_with("two_") || name == "say_it_again")
        );
        assert_eq!(tools["say_it_again"]["description"], "Says what it hears.");
        for hidden in ["uno_die", "uno_hang", "uno_half", "uno_echo", "two_die", "two_slow", "one_echo"] {
            assert!(!tools.contains_key(hidden), "{hidden} is listed");
            assert_eq!(client.call(hidden, json!({})).await.code(), -32602, "{hidden} can be called");
        }
        for shown in ["say_it_again", "two_echo", "two_tool_0007", "uno_slow"] {
            assert!(tools.contains_key(shown) && !client.call(shown, json!({})).await.is_error(), "{shown}");
        }
    }
    let at =
        |toolset: &str| Client::modern(gateway.address, &format!("/t/acme/{toolset}/mcp"), Some(gateway.key("acme")));
    assert_eq!(at("narrow").tools().await, ["echo"]);
    assert_eq!(at("narrow").call("tool_0001", json!({})).await.code(), -32602);
    let capped = at("capped").tools().await;
    assert_eq!(capped.len(), 5);
    assert!(capped.contains(&"two_echo".to_owned()) && capped.contains(&"uno_slow".to_owned()), "{capped:?}");
    let discovered = at("capped").request("server/discover", json!({})).await;
    let instructions = discovered.result()["instructions"].as_str().unwrap();
    assert!(instructions.contains("Only 5 of"), "nobody is told what is left out: {instructions}");
}

#[tokio::test]
async fn a_resource_that_two_servers_have_can_be_read_from_each() {
    let mut acme = tenant(
        "acme",
        [
            ("a", conformance(&["--era", "legacy"])),
            ("b", conformance(&["--era", "modern"])),
            ("c", scripted(&["--no-odd"])),
        ],
    );
    acme["toolsets"] = json!({ "alone": { "servers": ["a"] } });
    let gateway = TestGateway::setup().tenant(acme).start().await;
    let clients = gateway.both("acme").await;
    for client in &clients {
        let resources = client.list("resources/list").await;
        let uris: Vec<_> = resources.iter().filter_map(|resource| resource["uri"].as_str()).collect();
        let unique: BTreeSet<_> = uris.iter().collect();
        assert_eq!((uris.len(), unique.len()), (6, 6), "{uris:?}");
        for uri in &uris {
            let read = client.request("resources/read", json!({ "uri": uri })).await;
            let content = &read.result()["contents"][0];
            assert_eq!(content["uri"], **uri, "{}", read.raw);
            assert!(content["text"].is_string() || content["blob"].is_string(), "{}", read.raw);
        }
        // The plain URI belongs to both, so to neither.
        assert!(!uris.contains(&"test://static-text"));

        let templates = client.list("resources/templates/list").await;
        assert_eq!(templates.len(), 2, "{templates:?}");
        for template in &templates {
            let template = template["uriTemplate"].as_str().unwrap();
            let uri = template.replace("{id}", "a%20b-7");
            let read = client.request("resources/read", json!({ "uri": uri })).await;
            assert_eq!(read.result()["contents"][0]["uri"], *uri, "{}", read.raw);
            assert!(read.result()["contents"][0]["text"].as_str().unwrap().contains("a%20b-7"), "{}", read.raw);
            let reference = json!({ "ref": { "type": "ref/resource", "uri": template }, "argument": { "name": "id", "value": "1" } });
            let completed = client.request("completion/complete", reference).await;
            assert_eq!(completed.result()["completion"]["values"], json!(["1", "12", "123"]), "{}", completed.raw);
        }
        for server in ["a", "b"] {
            let embedded = client.call(&format!("{server}_test_embedded_resource"), json!({})).await;
            let uri = embedded.result()["content"]
                .as_array()
                .unwrap()
                .iter()
                .find_map(|block| block["resource"]["uri"].as_str());
            assert!(uri.is_some(), "{}", embedded.raw);
            let prompt = format!("{server}_test_prompt_with_arguments");
            let filled = client
                .request("prompts/get", json!({ "name": prompt, "arguments": { "arg1": "x", "arg2": "y" } }))
                .await;
            assert!(filled.raw.contains("arg1='x', arg2='y'"), "{}", filled.raw);
            let reference = json!({ "ref": { "type": "ref/prompt", "name": prompt }, "argument": { "name": "arg1", "value": "par" } });
            let completed = client.request("completion/complete", reference).await;
            assert_eq!(
                completed.result()["completion"]["values"],
                json!(["paris", "park", "party"]),
                "{}",
                completed.raw
            );
        }
    }
    let alone = Client::modern(gateway.address, "/t/acme/alone/mcp", Some(gateway.key("acme")));
    let resources = alone.list("resources/list").await;
    assert!(resources.iter().any(|resource| resource["uri"] == "test://static-text"), "{resources:?}");
    let read = alone.request("resources/read", json!({ "uri": "test://static-text" })).await;
    assert_eq!(read.result()["contents"][0]["uri"], "test://static-text");
    for member in ["ttlMs", "cacheScope", "resultType"] {
        assert!(read.result().get(member).is_some(), "a read of the modern era has {member}: {}", read.raw);
    }
    // A resource of another toolset is none.
    let foreign = clients[1].list("resources/list").await;
    let foreign =
        foreign.iter().filter_map(|resource| resource["uri"].as_str()).find(|uri| uri.contains("/b/")).unwrap();
    assert_eq!(alone.request("resources/read", json!({ "uri": foreign })).await.code(), -32602);
}
