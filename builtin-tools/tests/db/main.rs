//! The DB explorer as a client sees it: what it refuses, what it answers, what bounds it, and how it speaks MCP.
//! Every test has a database of its own; the ones that attack it look at its folder before and after.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bounds;
mod corpus;
mod hostile;
mod legitimate;
mod protocol;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use patchbay_builtin_tools::{DbExplorer, Given, db, db::create_sample_shop};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, ProtocolVersion},
    service::{ClientLifecycleMode, RunningService, serve_client_with_lifecycle},
};
use rusqlite::Connection;
use serde_json::{Value, json};

type Client = RunningService<RoleClient, ()>;

/// A folder with a shop database in it, and nothing else.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        create_sample_shop(&shop.database()).unwrap();
        shop
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// Lets the operator's own hand change the database.
    fn execute(&self, sql: &str) {
        Connection::open(self.database()).unwrap().execute_batch(sql).unwrap();
    }

    fn explorer(&self, options: &Value) -> DbExplorer {
        let mut all = json!({ "database": self.database() });
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        db(&Given::of(all)).unwrap()
    }

    async fn client(&self, options: Value) -> Client {
        connect(self.explorer(&options), ClientLifecycleMode::Initialize).await
    }

    /// Every file of the folder with its bytes.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files(self.folder.path())
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

async fn connect(explorer: DbExplorer, lifecycle: ClientLifecycleMode) -> Client {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { explorer.serve(far).await.unwrap().waiting().await });
    serve_client_with_lifecycle((), near, lifecycle).await.unwrap()
}

fn both_lifecycles() -> [ClientLifecycleMode; 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [ClientLifecycleMode::Initialize, ClientLifecycleMode::Discover { preferred_versions }]
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    client.call_tool(request).await.unwrap()
}

async fn query(client: &Client, sql: &str) -> CallToolResult {
    call(client, "query_database", json!({ "sql": sql })).await
}

fn text(result: &CallToolResult) -> &str {
    &result.content.first().unwrap().as_text().unwrap().text
}

/// The structured answer of a call that went well.
fn answer(result: &CallToolResult) -> &Value {
    assert_eq!(result.is_error, Some(false), "{}", text(result));
    result.structured_content.as_ref().unwrap()
}

fn is_error(result: &CallToolResult) -> bool {
    result.is_error == Some(true)
}
