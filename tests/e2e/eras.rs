//! The table of mixed eras: each client at each server over each transport, and for each sort of message what arrives at the
//! other end, exactly. The outcomes stand in docs/bridging.md; `UPDATE_TABLE=1` writes them there.

mod cells;
mod table;

use std::{collections::BTreeMap, time::Duration};

use patchbay_e2e::{
    Client, Fixture, TestGateway,
    client::LEGACY,
    setup::{scripted, tenant},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use self::table::Outcomes;

/// How long one cell may take. Generous; nothing is proven by it.
const CELL_WAIT: Duration = Duration::from_secs(30);

/// A server as the client of a cell meets it: alone in its toolset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Server {
    name: &'static str,
    is_modern: bool,
    is_child: bool,
    /// Whether callers share the child who have nothing to do with each other.
    is_shared: bool,
}

const fn server(name: &'static str, is_modern: bool, is_child: bool, is_shared: bool) -> Server {
    Server { name, is_modern, is_child, is_shared }
}

const SERVERS: [Server; 6] = [
    server("old", false, false, false),
    server("new", true, false, false),
    server("child", false, true, false),
    server("kid", true, true, false),
    server("common", false, true, true),
    server("shared", true, true, true),
];

/// The clients of both eras, each with a tenant and servers of its own, so that what servers have seen is theirs alone.
const TENANTS: [(&str, bool); 2] = [("past", false), ("present", true)];

/// One client before one server.
#[derive(Debug, Clone)]
struct Cell {
    server: Server,
    client: Client,
}

impl Cell {
    async fn open(gateway: &TestGateway, tenant: &str, is_modern: bool, server: Server) -> Self {
        let can = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": { "listChanged": true } });
        let (path, key) = (format!("/t/{tenant}/{}/mcp", server.name), gateway.key(tenant));
        let client = if is_modern {
            Client::modern(gateway.address, &path, Some(key)).able(can)
        } else {
            Client::legacy_as(gateway.address, &path, Some(key), LEGACY, can).await
        };
        Self { server, client }
    }

    /// What the server has seen.
    async fn seen(&self) -> Value {
        serde_json::from_str(self.client.call("seen", json!({})).await.text()).unwrap()
    }
}

async fn world() -> (TestGateway, Vec<Fixture>) {
    let mut fixtures = Vec::new();
    let mut setup = TestGateway::setup();
    for (name, _) in TENANTS {
        let servers = SERVERS.map(|server| {
            let era = if server.is_modern { "modern" } else { "legacy" };
            let args = ["--rich", "--no-odd", "--era", era];
            let mut configured = if server.is_child {
                let mut child = scripted(&args);
                child["sharing"] = json!(if server.is_shared { "shared" } else { "principal" });
                child
            } else {
                fixtures.push(Fixture::scripted(&args));
                fixtures[fixtures.len() - 1].server()
            };
            configured["asks"] = json!({ "elicitation": true, "sampling": true, "roots": true });
            (server.name, configured)
        });
        let mut tenant = tenant(name, servers);
        let toolset =
            |server: &Server| (server.name.to_owned(), json!({ "servers": [server.name], "prefix": "never" }));
        tenant["toolsets"] = SERVERS.iter().map(toolset).collect::<serde_json::Map<_, _>>().into();
        setup = setup.tenant(tenant);
    }
    // The lists of all toolsets are asked for by the cells themselves.
    (setup.at_once().start().await, fixtures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_in_the_other_era_as_the_table_says() {
    let (gateway, _fixtures) = world().await;
    let gateway = std::sync::Arc::new(gateway);
    let mut columns = tokio::task::JoinSet::new();
    for (tenant, is_modern) in TENANTS {
        for server in SERVERS {
            let gateway = gateway.clone();
            columns.spawn(async move {
                let mut outcomes = BTreeMap::new();
                for topic in cells::TOPICS.into_iter().filter(|topic| topic.is_of(server)) {
                    let cell = Cell::open(&gateway, tenant, is_modern, server).await;
                    // A cell of its own task, so that one that panics leaves the others of its column.
                    let played = timeout(CELL_WAIT, tokio::spawn(topic.play(cell))).await;
                    let outcome = match played {
                        Ok(Ok(outcome)) => outcome,
                        Ok(Err(error)) => format!("BROKEN: {}", panicked(error)),
                        Err(_) => "BROKEN: nothing came".to_owned(),
                    };
                    outcomes.insert((topic.name(), is_modern, server), outcome);
                }
                outcomes
            });
        }
    }
    let mut outcomes = Outcomes::new();
    while let Some(column) = columns.join_next().await {
        outcomes.extend(column.unwrap());
    }
    let broken: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.starts_with("BROKEN")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    table::compare(&outcomes);
}

fn panicked(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was ended".to_owned() };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
