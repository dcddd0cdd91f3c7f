//! Tasks, skills and pages through the gateway: a task is its owner's alone and survives what is in between, the files of
//! skills keep every byte under their server's prefix, and a page reaches no other server's tools.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use patchbay_e2e::{
    Fixture, TestGateway,
    client::{Client, LEGACY},
    setup::tenant,
    wait::wait_until,
};
use serde_json::{Value, json};

const TASKS: &str = "io.modelcontextprotocol/tasks";
const SKILLS: &str = "io.modelcontextprotocol/skills";
const APPS: &str = "io.modelcontextprotocol/ui";

/// A gateway with two tenants of two servers each, and their fixtures.
async fn world(era: &str) -> (TestGateway, [Fixture; 2]) {
    let fixtures =
        [Fixture::conformance(&["--era", era, "--extended"]), Fixture::conformance(&["--era", era, "--extended"])];
    let of = |slug: &str| {
        let mut tenant = tenant(slug, [("one", fixtures[0].server()), ("two", fixtures[1].server())]);
        tenant["toolsets"] = json!({ "default": {}, "alone": { "servers": ["one"] } });
        tenant
    };
    let gateway = TestGateway::setup().tenant(of("acme")).tenant(of("other")).start().await;
    (gateway, fixtures)
}

/// A modern client that can follow tasks and be asked.
fn follower(gateway: &TestGateway, tenant: &str) -> Client {
    let mut client = gateway.modern(tenant);
    client.capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    client
}

/// The same client at the toolset that has the server `one` alone.
fn alone(client: &Client) -> Client {
    let mut client = client.clone();
    client.path = format!("{}/alone/mcp", client.path.trim_end_matches("/mcp"));
    client
}

async fn asked(client: &Client, method: &str, task: &str, more: Value) -> Value {
    let mut params = json!({ "taskId": task });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    client.request(method, params).await.response
}

/// How a task stands once it stands like that.
async fn settled(client: &Client, task: &str, status: &str) -> Value {
    let look = || asked(client, "tasks/get", task, json!({}));
    wait_until(format!("the task is {status}"), || async { look().await["result"]["status"] == status }).await;
    let said = look().await["result"].take();
    assert_eq!((said["taskId"].as_str(), said["status"].as_str()), (Some(task), Some(status)), "{said}");
    said
}

/// Another principal of the same tenant, once the gateway knows the key.
async fn colleague(gateway: &TestGateway, owner: &Client) -> Client {
    let colleague = owner.with(Some(&gateway.new_key("acme", "colleague", &[]).text));
    wait_until("the new key opens the door", || async {
        colleague.ask("tools/list", json!({})).send(colleague.address).await.status == 200
    })
    .await;
    colleague
}

#[tokio::test]
async fn a_task_is_its_owners_alone_and_its_id_says_nothing() {
    let (gateway, _fixtures) = world("modern").await;
    let owner = follower(&gateway, "acme");
    let begun = owner.call("one_slow_compute", json!({ "seconds": 60, "label": "x" })).await;
    let task = begun.result()["taskId"].as_str().unwrap().to_owned();
    assert_eq!(begun.result()["resultType"], "task", "{}", begun.raw);
    let unknown = asked(&owner, "tasks/get", "no-such-task", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let mut tampered = task.clone().into_bytes();
    tampered[60] ^= 1;
    let alone = alone(&owner);
    let colleague = colleague(&gateway, &owner).await;
    for (who, client, id) in [
        ("a colleague", &colleague, task.clone()),
        ("another tenant", &follower(&gateway, "other"), task.clone()),
        ("another toolset", &alone, task.clone()),
        ("somebody who changed it", &owner, String::from_utf8(tampered).unwrap()),
        ("somebody who cut it", &owner, task[..40].to_owned()),
        ("nobody", &owner, String::new()),
    ] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let said = asked(client, method, &id, json!({ "inputResponses": {} })).await;
            assert_eq!(said["error"], unknown["error"], "{who}: {method}");
        }
    }
    let mut silent = owner.clone();
    silent.capabilities = json!({});
    let said = asked(&silent, "tasks/get", &task, json!({})).await;
    assert_eq!(said["error"]["code"], -32021, "{said}");
    assert_eq!(said["error"]["data"]["requiredCapabilities"]["extensions"][TASKS], json!({}), "{said}");
    let header = owner.ask("tasks/get", json!({ "taskId": task })).with("Mcp-Name", "another");
    assert_eq!(header.send(gateway.address).await.status, 400);
    let legacy = gateway.legacy("acme").await;
    assert_eq!(asked(&legacy, "tasks/get", &task, json!({})).await["error"]["code"], -32601);

    assert_eq!(settled(&owner, &task, "working").await["resultType"], "complete");
    let told = asked(&owner, "tasks/cancel", &task, json!({})).await;
    assert_eq!(told["result"]["resultType"], "complete", "{told}");
    settled(&owner, &task, "cancelled").await;
}

#[tokio::test]
async fn a_task_asks_in_its_servers_name_and_its_result_is_like_that_of_a_call() {
    let (gateway, _fixtures) = world("modern").await;
    let owner = follower(&gateway, "acme");
    let begun = owner.call("two_confirm_delete", json!({ "filename": "a.txt" })).await;
    let task = begun.result()["taskId"].as_str().unwrap().to_owned();
    let asking = settled(&owner, &task, "input_required").await;
    let question = &asking["inputRequests"]["confirm"];
    let message = question["params"]["message"].as_str().unwrap();
    assert!(message.contains("two") && message.contains("Delete a.txt?"), "{question}");
    assert_eq!(question["params"]["_meta"]["dev.patchbay/server"], "two", "{question}");

    let mut speechless = owner.clone();
    speechless.capabilities = json!({ "extensions": { TASKS: {} } });
    let refused = asked(&speechless, "tasks/get", &task, json!({})).await;
    assert_eq!(refused["error"]["code"], -32603, "a question that was not offered: {refused}");

    let answers = json!({ "inputResponses": { "confirm": { "action": "accept", "content": { "confirm": true } } } });
    let told = asked(&owner, "tasks/update", &task, answers).await;
    assert_eq!(told["result"]["resultType"], "complete", "{told}");
    let done = settled(&owner, &task, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "a.txt: true", "{done}");
}

#[tokio::test]
async fn a_stream_hears_of_its_callers_tasks_from_a_server_that_has_to_be_asked() {
    let (gateway, _fixtures) = world("modern").await;
    let owner = follower(&gateway, "acme");
    let begun = owner.call("two_confirm_delete", json!({ "filename": "a.txt" })).await;
    let task = begun.result()["taskId"].as_str().unwrap().to_owned();
    let colleague = colleague(&gateway, &owner).await;
    let listen = async |client: &Client| {
        let wanted = json!({ "notifications": { "toolsListChanged": true, "taskIds": [task, "no-such-task"] } });
        let mut events = client.ask_as("7", "subscriptions/listen", wanted).send(client.address).await.events();
        let accepted = events.message().await["params"]["notifications"].take();
        (events, accepted)
    };
    assert_eq!(listen(&colleague).await.1, json!({ "toolsListChanged": true }));
    let (mut events, accepted) = listen(&owner).await;
    assert_eq!(accepted, json!({ "toolsListChanged": true, "taskIds": [task] }));
    let mut news = async |status: &str| loop {
        let mut message = events.message().await;
        assert_eq!(message["method"], "notifications/tasks", "{message}");
        assert_eq!(message["params"]["taskId"], task, "{message}");
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7, "{message}");
        if message["params"]["status"] == status {
            return message["params"].take();
        }
    };
    let asking = news("input_required").await;
    assert_eq!(asking["inputRequests"]["confirm"]["params"]["_meta"]["dev.patchbay/server"], "two", "{asking}");
    let answers = json!({ "inputResponses": { "confirm": { "action": "accept", "content": { "confirm": true } } } });
    asked(&owner, "tasks/update", &task, answers).await;
    let done = news("completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "a.txt: true", "{done}");
}

#[tokio::test]
async fn who_cannot_follow_tasks_gets_its_answer_at_once() {
    let (gateway, _fixtures) = world("modern").await;
    let arguments = json!({ "seconds": 0, "label": "y" });
    for client in gateway.both("acme").await {
        let answer = client.call("one_slow_compute", arguments.clone()).await;
        assert_eq!(answer.text(), "Computed y", "{}", answer.raw);
        assert!(answer.result().get("taskId").is_none(), "{}", answer.raw);
    }
    let discovered = gateway.modern("acme").request("server/discover", json!({})).await;
    let extensions = &discovered.result()["capabilities"]["extensions"];
    assert_eq!(*extensions, json!({ TASKS: {}, SKILLS: { "directoryRead": true }, APPS: {} }));
    let mut older = gateway.modern("acme");
    LEGACY.clone_into(&mut older.version);
    let begun = older.initialize().send(gateway.address).await.json().await;
    let extensions = &begun["result"]["capabilities"]["extensions"];
    assert_eq!(*extensions, json!({ SKILLS: { "directoryRead": true }, APPS: {} }), "tasks are of the modern era");
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[tokio::test]
async fn skills_are_listed_with_their_servers_prefix_and_keep_every_byte() {
    for era in ["legacy", "modern"] {
        let (gateway, _fixtures) = world(era).await;
        for client in gateway.both("acme").await {
            let listed = client.request("skills/list", json!({})).await;
            let skills = listed.result()["skills"].as_array().unwrap();
            let uris: Vec<_> = skills.iter().map(|skill| skill["uri"].as_str().unwrap()).collect();
            assert_eq!(uris, ["skill://one/acme/billing/SKILL.md", "skill://two/acme/billing/SKILL.md"], "{era}");
            for skill in skills {
                let got = client.request("skills/get", json!({ "uri": skill["uri"] })).await;
                assert_eq!(got.result()["skill"], *skill, "{}", got.raw);
                for file in skill["resources"].as_array().unwrap() {
                    let read = client.request("resources/read", json!({ "uri": file["uri"] })).await;
                    let content = &read.result()["contents"][0];
                    assert_eq!(content["uri"], file["uri"], "{}", read.raw);
                    let text = content["text"].as_str().unwrap();
                    let (size, digest) = (file["size"].as_u64().unwrap(), file["digest"].as_str().unwrap());
                    assert_eq!((text.len() as u64, sha256(text.as_bytes()).as_str()), (size, digest), "{}", read.raw);
                }
            }
            for uri in
                ["skill://three/acme/billing/SKILL.md", "skill://acme/billing/SKILL.md", "skill://one/x/SKILL.md"]
            {
                let lost = client.request("skills/get", json!({ "uri": uri })).await;
                assert_eq!(lost.code(), -32602, "{uri}");
            }
        }
    }
}

#[tokio::test]
async fn a_directory_of_a_skill_is_listed_page_by_page_with_cursors_of_our_own() {
    let (gateway, _fixtures) = world("modern").await;
    let client = gateway.modern("acme");
    let read = async |params: Value| client.request("resources/directory/read", params).await;
    let folder = "skill://two/acme/billing";
    let first = read(json!({ "uri": folder })).await;
    assert_eq!(first.result()["resources"][0]["uri"], "skill://two/acme/billing/SKILL.md", "{}", first.raw);
    let cursor = first.result()["nextCursor"].as_str().unwrap();
    assert_ne!(cursor, "1", "the server's own cursor");
    let second = read(json!({ "uri": folder, "cursor": cursor })).await;
    assert_eq!(second.result()["resources"][0]["uri"], "skill://two/acme/billing/rates.json", "{}", second.raw);
    assert!(second.result().get("nextCursor").is_none(), "{}", second.raw);
    for (uri, cursor) in [("skill://one/acme/billing", cursor), (folder, "1")] {
        assert_eq!(read(json!({ "uri": uri, "cursor": cursor })).await.code(), -32602, "a cursor of another directory");
    }
}

#[tokio::test]
async fn a_page_is_read_and_reaches_its_own_servers_tools_alone() {
    let (gateway, _fixtures) = world("modern").await;
    let client = gateway.modern("acme");
    let tools = client.list("tools/list").await;
    let named = |name: &str| tools.iter().find(|tool| tool["name"] == name);
    assert!(named("one_board_refresh").is_none(), "a page of the other server could call it");
    for (name, server) in [("one_board_show", "one"), ("two_board_show", "two")] {
        let page = named(name).unwrap()["_meta"]["ui"]["resourceUri"].as_str().unwrap().to_owned();
        assert!(page.contains(server), "two servers have the page: {page}");
        let read = client.request("resources/read", json!({ "uri": page })).await;
        assert_eq!(read.result()["contents"][0]["uri"], page, "{}", read.raw);
        assert_eq!(read.result()["contents"][0]["text"], "<p>The board</p>", "{}", read.raw);
    }
    for name in ["board_refresh", "one_board_refresh", "two_board_refresh", "board_show", "test_simple_text"] {
        assert_eq!(client.call(name, json!({})).await.code(), -32602, "{name}");
    }
    let alone = alone(&client);
    let shown = alone.list("tools/list").await;
    let page = shown.iter().find(|tool| tool["name"] == "one_board_show").unwrap();
    assert_eq!(page["_meta"]["ui"]["resourceUri"], "ui://board/page.html");
    for name in ["board_refresh", "one_board_refresh", "board_show"] {
        assert_eq!(alone.call(name, json!({})).await.text(), name.trim_start_matches("one_"), "{name}");
    }
    assert_eq!(alone.call("test_simple_text", json!({})).await.code(), -32602, "it is about no page");
}
