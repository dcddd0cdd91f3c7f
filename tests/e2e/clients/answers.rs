//! Official clients whose callbacks answer: forms, requests to the model and roots reach them from servers of both eras, in the
//! way of their own era, and what they say reaches the server.

use std::path::{Path, PathBuf};

use patchbay_e2e::{
    Fixture, TestGateway,
    installed::{Installed, source},
    setup::tenant,
};
use serde_json::{Value, json};

use super::{LEGACY, MODERN, world::start_everything};

#[tokio::test]
async fn the_callbacks_of_the_sdks_of_both_eras_answer_servers_of_both_eras() {
    let Some(installed) = Installed::find() else { return };
    let fixtures = ["legacy", "modern"].map(|era| Fixture::conformance(&["--era", era]));
    let servers = ["old", "new"].into_iter().zip(&fixtures).map(|(name, fixture)| {
        let mut server = fixture.server();
        server["asks"] = json!({ "elicitation": true, "sampling": true, "roots": true });
        (name, server)
    });
    let mut acme = tenant("acme", servers);
    let alone = |name: &str| json!({ "servers": [name], "prefix": "never" });
    acme["toolsets"] = json!({ "old": alone("old"), "new": alone("new") });
    let gateway = TestGateway::setup().tenant(acme).at_once().start().await;
    installed.node_script("answers.mjs");
    let python = |name: &str| source("python").join(name);
    let clients: [(&str, &PathBuf, PathBuf); 4] = [
        (LEGACY, &installed.node, installed.node_script("answers_v1.mjs")),
        (MODERN, &installed.node, installed.node_script("answers_v2.mjs")),
        (LEGACY, &installed.py_legacy, python("answers_v1.py")),
        (MODERN, &installed.py_modern, python("answers_v2.py")),
    ];
    for (protocol, program, script) in clients {
        for server in ["old", "new"] {
            let client = format!("{} at {server}", script.file_name().and_then(|name| name.to_str()).unwrap());
            let calls = json!([
                { "name": "test_elicitation", "arguments": { "message": "Who are you?" } },
                { "name": "test_sampling", "arguments": { "prompt": "Are you a model?" } },
                { "name": "test_input_required_result_list_roots", "arguments": {} },
            ]);
            let told = tell(&installed, &gateway, program, &script, server, &calls);
            assert_eq!(told["protocol"], protocol, "{client}");
            // The user sees who asks.
            assert_eq!(
                told["asked"],
                json!([format!("[{server}] Who are you?"), "Are you a model?", "roots"]),
                "{client}"
            );
            let said = |at: usize| told["said"][at].as_str().unwrap_or_else(|| panic!("{client}: {told}")).to_owned();
            let form = said(0);
            let content = form
                .strip_prefix("User response: action=accept, content=")
                .unwrap_or_else(|| panic!("{client}: {form}"));
            let content: Value = serde_json::from_str(content).unwrap();
            assert_eq!(content, json!({ "username": "ada", "email": "ada@example.org" }), "{client}");
            assert_eq!(said(1), "LLM response: The model says so.", "{client}");
            assert!(said(2).contains("file:///home/ada"), "{client}: {}", said(2));
        }
    }
}

/// server-everything has its asking tools only for clients that can be asked.
#[tokio::test]
async fn server_everything_asks_the_users_and_models_of_the_sdks_of_both_eras() {
    let Some(installed) = Installed::find() else { return };
    let (url, _process) = start_everything(&installed);
    let asks = json!({ "elicitation": true, "sampling": true, "roots": true });
    let gateway =
        TestGateway::setup().tenant(tenant("acme", [("every", json!({ "url": url, "asks": asks }))])).start().await;
    installed.node_script("answers.mjs");
    let python = |name: &str| source("python").join(name);
    let calls = json!([
        { "name": "every_trigger-elicitation-request", "arguments": {} },
        { "name": "every_trigger-sampling-request", "arguments": { "prompt": "Are you a model?", "maxTokens": 10 } },
    ]);
    for (program, script) in [
        (&installed.node, installed.node_script("answers_v1.mjs")),
        (&installed.node, installed.node_script("answers_v2.mjs")),
        (&installed.py_legacy, python("answers_v1.py")),
        (&installed.py_modern, python("answers_v2.py")),
    ] {
        let client = script.file_name().and_then(|name| name.to_str()).unwrap();
        let told = tell(&installed, &gateway, program, &script, "default", &calls);
        let asked = |at: usize| told["asked"][at].as_str().unwrap_or_else(|| panic!("{client}: {told}")).to_owned();
        assert!(asked(0).starts_with("[every] "), "{client}: {told}");
        assert!(asked(1).contains("Are you a model?"), "{client}: {told}");
        let said = |at: usize| told["said"][at].as_str().unwrap_or_else(|| panic!("{client}: {told}")).to_owned();
        assert!(said(0).contains("User provided the requested information"), "{client}: {told}");
        assert!(said(1).contains("The model says so."), "{client}: {told}");
    }
}

fn tell(
    installed: &Installed,
    gateway: &TestGateway,
    program: &Path,
    script: &Path,
    toolset: &str,
    calls: &Value,
) -> Value {
    let given = json!({
        "url": format!("http://{}/t/acme/{toolset}/mcp", gateway.address),
        "key": gateway.key("acme"),
        "calls": calls,
    });
    let said = installed.output(program, [script.as_os_str(), given.to_string().as_ref()]);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}
