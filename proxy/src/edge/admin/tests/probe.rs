//! Servers are asked before they are saved: only those that could be saved, only by those who may, and nothing is left behind.

use std::{os::unix::fs::PermissionsExt, path::Path};

use patchbay_builtin_tools::db::create_sample_shop;
use patchbay_config::{GatewayConfig, StdioCommand};
use serde_json::json;

use super::{Answer, Kit, admin_of, platform};
use crate::edge::admin::who::Admin;

async fn acme(edit: impl FnOnce(&mut GatewayConfig)) -> Kit {
    let kit = Kit::live(edit).await;
    kit.apply("tenant: acme\nservers: { web: { url: 'https://127.0.0.1:1/mcp', headers: { X: s3cret } } }").await;
    kit
}

async fn probe(kit: &Kit, admin: &Admin, body: serde_json::Value) -> Answer {
    kit.ask(admin, "POST", "/tenants/acme/probe", &[], body).await
}

#[tokio::test]
async fn a_built_in_server_says_what_it_offers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    create_sample_shop(&path).unwrap();
    let kit = acme(|_| ()).await;
    let body = json!({ "builtin": "db", "options": { "database": path } });
    let told = probe(&kit, &platform(), body.clone()).await;
    assert_eq!((told.status, &told.json["reachable"]), (200, &json!(true)), "{told:?}");
    let tools = told.json["tools"].as_array().unwrap();
    assert!(!tools.is_empty() && told.json["counts"]["tools"] == tools.len(), "{told:?}");
    assert!(told.json["name"].is_string() && told.json["era"].is_string(), "{told:?}");
    let refused = probe(&kit, &admin_of("acme"), body).await;
    assert_eq!((refused.status, refused.pointers()), (403, vec!["/options"]), "{refused:?}");
    assert_eq!(kit.get(&platform(), "/tenants/acme").await.json["generation"], 1, "nothing was saved");
}

#[tokio::test]
async fn what_cannot_be_saved_is_not_asked() {
    let kit = acme(|_| ()).await;
    for (body, pointers) in [
        (json!({ "url": "ftp://x" }), vec!["/url"]),
        (json!({ "url": "https://x.example", "headers": { "X": "${env:HOME}" } }), vec!["/headers/X"]),
        (json!({ "name": "gone", "url": "https://x.example", "headers": { "X": "${sealed}" } }), vec!["/headers/X"]),
    ] {
        let refused = probe(&kit, &platform(), body).await;
        assert_eq!((refused.status, refused.pointers()), (422, pointers), "{refused:?}");
    }
    let moved = json!({ "name": "web", "url": "https://evil.example", "headers": { "X": "${sealed}" } });
    let refused = probe(&kit, &admin_of("acme"), moved).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/headers/X"]), "{refused:?}");
    let without = Kit::new().await;
    without.apply("tenant: acme").await;
    assert_eq!(probe(&without, &platform(), json!({ "builtin": "weather" })).await.status, 503);
}

#[tokio::test]
async fn an_address_inside_is_not_connected_to() {
    let kit = acme(|_| ()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/mcp", listener.local_addr().unwrap());
    for admin in [platform(), admin_of("acme")] {
        let told = probe(&kit, &admin, json!({ "url": url })).await;
        assert_eq!((told.status, &told.json["reachable"]), (200, &json!(false)), "{told:?}");
    }
    let silence = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(silence, listener.accept()).await.is_err(), "somebody connected");
}

/// A program that writes its process id, says something, and waits for ever.
fn sleeper(folder: &Path, then: &str) -> StdioCommand {
    let path = folder.join("tool");
    let script = format!("#!/bin/sh\necho $$ > '{}'\necho 'no good today' >&2\n{then}\n", folder.join("pid").display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    StdioCommand { path, args_prefix: Vec::new(), description: None }
}

#[tokio::test]
async fn programs_are_started_for_platform_admins_alone_and_only_from_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let command = sleeper(folder.path(), "exit 3");
    let kit = acme(|config| {
        config.stdio.commands.insert("tool".to_owned(), command);
    })
    .await;
    let pid = folder.path().join("pid");
    let refused = probe(&kit, &admin_of("acme"), json!({ "command": "tool" })).await;
    assert!(refused.status == 403 && !pid.exists(), "{refused:?}");
    let refused = probe(&kit, &admin_of("acme"), json!({ "command": "sh", "args": ["-c", "id"] })).await;
    assert_eq!((refused.status, refused.pointers()), (403, vec!["/command"]), "{refused:?}");
    let unlisted = probe(&kit, &platform(), json!({ "command": "sh", "args": ["-c", "id"] })).await;
    assert!(unlisted.json["error"].as_str().unwrap().contains("not on the operator's list"), "{unlisted:?}");
    assert!(!pid.exists());
    let told = probe(&kit, &platform(), json!({ "command": "tool" })).await;
    assert_eq!((told.status, &told.json["reachable"]), (200, &json!(false)), "{told:?}");
    assert!(told.json["error"].as_str().unwrap().contains("no good today"), "{told:?}");
    assert!(pid.exists());
}

#[tokio::test]
async fn a_program_that_says_nothing_is_gone_when_the_answer_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let command = sleeper(folder.path(), "exec sleep 1000");
    let kit = acme(|config| {
        config.stdio.commands.insert("tool".to_owned(), command);
        config.stdio.start_timeout = std::time::Duration::from_secs(1);
    })
    .await;
    let told = probe(&kit, &platform(), json!({ "command": "tool" })).await;
    assert_eq!((told.status, &told.json["reachable"]), (200, &json!(false)), "{told:?}");
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let at = format!("/proc/{}/cmdline", pid.trim());
    let gone = std::fs::read_to_string(&at).is_ok_and(|line| !line.contains("sleep")) || !Path::new(&at).exists();
    assert!(gone, "the child lives on");
}
