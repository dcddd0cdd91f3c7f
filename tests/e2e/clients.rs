//! Official clients before one toolset of official servers: both SDK generations of TypeScript and Python, the Rust SDK in both
//! eras, and the Inspector. Each lists everything, calls tools, gets prompts, reads resources and completes arguments, and has
//! to find what a client finds that goes to the servers directly.

mod answers;
mod raw;
mod rust;
mod tour;
mod world;

use std::path::Path;

use patchbay_e2e::{
    Client,
    installed::{Installed, source},
    process::run,
    programs::program,
};
use serde_json::{Value, json, value::RawValue};
use tempfile::TempDir;

use self::{
    tour::{compare, needs_task},
    world::{TENANT, World},
};

/// The newest revisions of the two eras.
const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// What `query_database` says of how many orders the sample shop has.
const ORDERS: &str = r#"{"columns":["n"],"types":[],"rows":[[42]],"row_count":1,"truncated":false}"#;

/// The one line of JSON that a script prints, with the answers of its one tour.
fn answers(client: &str, said: &str) -> Value {
    let mut answers: Vec<Value> =
        serde_json::from_str(said).unwrap_or_else(|error| panic!("{client}: {error}: {said}"));
    assert_eq!(answers.len(), 1, "{client}: one tour was asked for");
    answers.remove(0)
}

/// Sends a script on the tour and holds what it found against what the servers say directly.
fn script(world: &World, program: &Path, script: &Path, protocol: &str, blind_to: &[&str]) {
    let client = script.file_name().and_then(|name| name.to_str()).unwrap();
    let mut args = vec![script.as_os_str()];
    let tours = world.tours();
    args.push(tours.as_ref());
    let found = answers(client, &world.installed.output(program, args));
    assert_eq!(found["protocol"], protocol, "{client}");
    compare(client, &found, &world.servers, blind_to);
}

#[tokio::test]
async fn the_typescript_sdks_of_both_eras_find_what_the_servers_say() {
    let Some(world) = World::start().await else { return };
    world.installed.node_script("tour.mjs");
    let (v1, v2) = (world.installed.node_script("sdk_v1.mjs"), world.installed.node_script("sdk_v2.mjs"));
    script(&world, &world.installed.node, &v1, LEGACY, &["arguments.title"]);
    script(&world, &world.installed.node, &v2, MODERN, &["execution", "arguments.title"]);
}

#[tokio::test]
async fn the_python_sdks_of_both_eras_find_what_the_servers_say() {
    let Some(world) = World::start().await else { return };
    script(&world, &world.installed.py_legacy, &source("python").join("sdk_v1.py"), LEGACY, &[]);
    script(&world, &world.installed.py_modern, &source("python").join("sdk_v2.py"), MODERN, &[]);
}

#[tokio::test]
async fn the_rust_sdk_finds_in_both_eras_what_the_servers_say() {
    let Some(world) = World::start().await else { return };
    let tours: Vec<Value> = serde_json::from_str(&world.tours()).unwrap();
    for (lifecycle, protocol) in [(rust::legacy(), LEGACY), (rust::modern(), MODERN)] {
        let found = rust::visit(&tours[0], lifecycle).await;
        assert_eq!(found["protocol"], protocol);
        compare(&format!("rmcp, {protocol}"), &found, &world.servers, &["execution"]);
    }
}

#[tokio::test]
async fn the_inspector_lists_and_calls() {
    let Some(world) = World::start().await else { return };
    let inspector = world.installed.module("@modelcontextprotocol/inspector/clients/launcher/build/index.js");
    let inspector = inspector.to_str().unwrap();
    let header = format!("Authorization: Bearer {}", world.gateway.key(TENANT));
    let url = world.url();
    let cli = [inspector, "--cli", &url, "--transport", "http", "--header", &header, "--format", "json", "--quiet"];
    let ask = |more: &[&str]| -> Value {
        let said = world.installed.output(&world.installed.node, [&cli, more].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    for era in ["legacy", "modern"] {
        let listed = ask(&["--protocol-era", era, "--method", "tools/list"]);
        let tools: Vec<_> =
            listed["result"]["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
        for server in &world.servers {
            for tool in server.answers["tools"].as_array().unwrap().iter().filter(|tool| !needs_task(tool)) {
                let exposed = server.exposed(tool["name"].as_str().unwrap());
                assert!(tools.iter().any(|name| **name == exposed), "{era}: {exposed} is not in {tools:?}");
            }
        }
        for (tool, arguments, text) in [
            ("every_echo", r#"{"message":"hi"}"#, "Echo: hi"),
            ("web_get-sum", r#"{"a":1,"b":2}"#, "The sum of 1 and 2 is 3."),
            ("fast_add", r#"{"a":40,"b":2}"#, "42"),
            ("words_reverse", r#"{"text":"abc"}"#, "cba"),
            ("shop_query_database", r#"{"sql":"SELECT count(*) AS n FROM orders"}"#, ORDERS),
        ] {
            let call = ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", arguments];
            let result = ask(&[&["--protocol-era", era][..], &call].concat());
            assert_eq!(result["result"]["content"][0]["text"], text, "{era}: {tool}: {result}");
        }
    }
}

#[tokio::test]
async fn the_inspector_uses_the_built_in_tools_alone_on_stdio() {
    let Some(installed) = Installed::find() else { return };
    let folder = TempDir::with_prefix("patchbay-e2e-tools-").unwrap();
    let database = folder.path().join("shop.db");
    let tools = program("patchbay-tools");
    run(installed.command(&tools, ["sample", "--database"]).arg(&database)).good();
    let inspector = installed.module("@modelcontextprotocol/inspector/clients/launcher/build/index.js");
    let ask = |server: &[&str], more: &[&str]| -> Value {
        let before = [inspector.to_str().unwrap(), "--cli", tools.to_str().unwrap()];
        let said =
            installed.output(&installed.node, [&before, server, &["--format", "json", "--quiet"], more].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let db = ["db", "--database", database.to_str().unwrap()];
    for (server, tool) in [(&db[..], "analyze_table"), (&["weather"], "get_forecast")] {
        let listed = ask(server, &["--method", "tools/list"]);
        let tools = listed["result"]["tools"].as_array().unwrap();
        assert!(tools.iter().any(|listed| listed["name"] == tool), "{tool} is not in {listed}");
    }
    let sql = r#"{"sql":"SELECT count(*) AS n FROM orders"}"#;
    let call = ["--method", "tools/call", "--tool-name", "query_database", "--tool-args-json", sql];
    let result = ask(&db, &call);
    assert_eq!(result["result"]["content"][0]["text"], ORDERS, "{result}");
}

#[tokio::test]
async fn the_modern_servers_of_this_story_let_no_legacy_client_in() {
    let Some(installed) = Installed::find() else { return };
    let (url, _process) = world::start_fastmcp(&installed);
    let (_, refused) = raw::initialize(world::address(&url), LEGACY).await;
    let refused: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!(refused["error"]["code"], -32022, "{refused}");
    assert!(!rust::takes_legacy(&world::words(&installed)).await);
}

#[tokio::test]
async fn results_of_the_same_era_are_byte_for_byte_those_of_a_direct_call() {
    let Some(world) = World::start().await else { return };
    let everything = world.everything_address();
    let (session, _) = raw::initialize(everything, LEGACY).await;
    let session = session.expect("server-everything has sessions");
    let through = world.gateway.legacy(TENANT).await;
    for (tool, arguments) in [
        ("echo", json!({ "message": "“quoted” \u{1f40e} \u{7f} \\ /" })),
        ("get-structured-content", json!({ "location": "New York" })),
        ("get-annotated-message", json!({ "messageType": "success", "includeImage": true })),
        ("get-tiny-image", json!({})),
        ("get-sum", json!({ "a": "not a number" })),
    ] {
        let direct = raw::call(everything, &session, tool, &arguments).await;
        for server in ["every", "web"] {
            let through = through.call(&format!("{server}_{tool}"), arguments.clone()).await;
            assert_eq!(raw::result(&through.raw), raw::result(&direct), "{tool} of {server}");
        }
    }
    let direct = Client::modern(world.fastmcp_address(), "/mcp", None);
    let through = world.gateway.modern(TENANT);
    let order = json!({ "order": { "product": "tea “Aß”", "pieces": 3 } });
    for (tool, arguments) in [("add", json!({ "a": 40, "b": 2 })), ("describe_order", order)] {
        let direct = raw::send(direct.address, &direct.ask_tool(tool, arguments.clone())).await;
        let through = through.call(&format!("fast_{tool}"), arguments).await;
        assert_eq!(members(&through.raw), members(&direct), "{tool}");
    }
}

/// The members of a result as they were written, but for `_meta`, in which the gateway names itself.
fn members(raw: &str) -> Vec<(String, String)> {
    let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(raw::result(raw)).unwrap();
    let kept = members.into_iter().filter(|(name, _)| name != "_meta");
    kept.map(|(name, value)| (name, value.get().to_owned())).collect()
}
