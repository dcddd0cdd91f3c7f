//! One toolset with the official servers, and each of them as it answers without the gateway: server-everything over stdio and
//! over HTTP, which speaks the legacy era alone; FastMCP over HTTP and the Python SDK over stdio, which are made to speak the
//! modern era alone; and the built-in servers: the database explorer with the sample shop, and the weather,
//! whose provider is out of reach.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
};

use patchbay_e2e::{
    Installed, TestGateway,
    installed::source,
    process::{Running, run},
    programs::program,
    setup::tenant,
    wait::block_until,
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tour::{Server, through};

/// Everything that runs.
pub(crate) struct World {
    pub(crate) installed: Installed,
    pub(crate) gateway: TestGateway,
    pub(crate) servers: Vec<Server>,
    everything: String,
    fastmcp: String,
    _processes: Vec<Running>,
    _shop: TempDir,
}

/// Where no weather service is.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The tenant.
pub(crate) const TENANT: &str = "acme";

impl World {
    /// Starts all of it; `None` where the official clients are not installed and need not be.
    pub(crate) async fn start() -> Option<Self> {
        let installed = Installed::find()?;
        let shop = TempDir::with_prefix("patchbay-e2e-shop-").unwrap();
        let database = shop.path().join("shop.db");
        run(installed.command(&program("patchbay-tools"), ["sample", "--database"]).arg(&database)).good();
        let (everything, http_process) = start_everything(&installed);
        let (fastmcp, fastmcp_process) = start_fastmcp(&installed);
        let entry = text(&installed.module("@modelcontextprotocol/server-everything/dist/index.js"));
        let servers = servers(&installed, &everything, &fastmcp, &entry, &database);
        let gateway = start_gateway(&installed, &servers).await;
        Some(Self {
            installed,
            gateway,
            servers,
            everything,
            fastmcp,
            _processes: vec![http_process, fastmcp_process],
            _shop: shop,
        })
    }

    /// The URL of the toolset.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.gateway.address, TestGateway::path(TENANT))
    }

    /// The address of server-everything over HTTP.
    pub(crate) fn everything_address(&self) -> SocketAddr {
        address(&self.everything)
    }

    /// The address of the FastMCP server.
    pub(crate) fn fastmcp_address(&self) -> SocketAddr {
        address(&self.fastmcp)
    }

    /// What a client's script is given: one tour of the toolset.
    pub(crate) fn tours(&self) -> String {
        let mut tour = through(&self.servers);
        tour["url"] = json!(self.url());
        tour["key"] = json!(self.gateway.key(TENANT));
        json!([tour]).to_string()
    }
}

/// The socket of an endpoint.
pub(crate) fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").trim_end_matches("/mcp").parse().expect("an address")
}

fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

/// server-everything over Streamable HTTP takes its port from the environment.
pub(crate) fn start_everything(installed: &Installed) -> (String, Running) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let entry = installed.module("@modelcontextprotocol/server-everything/dist/index.js");
    let mut command = installed.command(&installed.node, [entry.as_os_str(), "streamableHttp".as_ref()]);
    let mut process = Running::start(command.env("PORT", free.port().to_string()));
    block_until("server-everything listens", || {
        assert!(process.status().is_none(), "server-everything ended: {}", process.err());
        TcpStream::connect(free).is_ok()
    });
    (format!("http://{free}/mcp"), process)
}

/// The FastMCP server; its URL and its process.
pub(crate) fn start_fastmcp(installed: &Installed) -> (String, Running) {
    let script = source("python").join("server_fastmcp.py");
    let mut process = installed.start(&installed.py_fastmcp, ["-B".as_ref(), script.as_os_str()]);
    let mut url = None;
    block_until("the FastMCP server listens", || {
        assert!(process.status().is_none(), "the FastMCP server ended: {}", process.err());
        url = process.out().lines().find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
        url.is_some()
    });
    (url.expect("it was found"), process)
}

/// The command of the Python SDK's server over stdio.
pub(crate) fn words(installed: &Installed) -> Vec<String> {
    vec![text(&installed.py_modern), "-B".to_owned(), text(&source("python").join("server_stdio.py"))]
}

/// The servers as the tenant's file has them, with what each answers to a client that comes without the gateway.
fn servers(installed: &Installed, everything: &str, fastmcp: &str, entry: &str, database: &Path) -> Vec<Server> {
    let tools = text(&program("patchbay-tools"));
    let (database, words) = (text(database), words(installed));
    let stdio = json!({ "command": [text(&installed.node), entry, "stdio"] });
    let kinds = [
        ("every", json!({ "command": "node", "args": [entry, "stdio"] }), stdio),
        // As a client finds it that cannot be asked: it has tools only for those who can.
        ("web", json!({ "url": everything, "asks": { "elicitation": false } }), json!({ "url": everything })),
        ("fast", json!({ "url": fastmcp }), json!({ "url": fastmcp })),
        ("words", json!({ "command": "python", "args": words[1..] }), json!({ "command": words })),
        (
            "shop",
            json!({ "builtin": "db", "options": { "database": &database } }),
            json!({ "command": [&tools, "db", "--database", &database] }),
        ),
        (
            "weather",
            json!({ "builtin": "weather", "options": { "nws_url": NOWHERE } }),
            json!({ "command": [tools, "weather", "--nws-url", NOWHERE] }),
        ),
    ];
    let mut servers: Vec<_> =
        kinds.into_iter().map(|(name, configured, reached)| Server::new(name, configured, reached)).collect();
    let tours: Vec<_> = servers.iter().map(Server::direct).collect();
    let script = source("python").join("sdk_v2.py");
    let said = installed
        .output(&installed.py_modern, ["-B".as_ref(), script.as_os_str(), Value::Array(tours).to_string().as_ref()]);
    let answers: Vec<Value> = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(answers.len(), servers.len());
    for (server, answers) in servers.iter_mut().zip(answers) {
        server.answers = answers;
    }
    servers
}

async fn start_gateway(installed: &Installed, servers: &[Server]) -> TestGateway {
    let configured = servers.iter().map(|server| (server.name, server.configured.clone()));
    let commands =
        json!({ "commands": { "node": { "path": installed.node }, "python": { "path": installed.py_modern } } });
    let gateway = TestGateway::setup().set("stdio", commands).tenant(tenant(TENANT, configured)).start().await;
    let client = gateway.modern(TENANT);
    wait_until("the tools of all servers are listed", || async {
        let tools = client.tools().await;
        servers.iter().all(|server| tools.iter().any(|tool| tool.starts_with(&server.exposed(""))))
    })
    .await;
    gateway
}
