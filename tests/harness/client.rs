//! An MCP client that says exactly what it is told, in either era. It checks nothing on its own: what an answer has to look
//! like is for the tests to say.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use crate::http::{Ask, Event, Reply};

/// The newest revision with a handshake.
pub const LEGACY: &str = "2025-11-25";
/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The `_meta` member with the revision.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The `_meta` member with the client's capabilities.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The `_meta` member that asks for log messages.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// A client at one URL.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where.
    pub address: SocketAddr,
    /// The path of the endpoint.
    pub path: String,
    /// With which key.
    pub key: Option<String>,
    /// In which revision.
    pub version: String,
    /// The session, in the legacy era.
    pub session: Option<String>,
    /// What it can be asked.
    pub capabilities: Value,
    /// The id of its next request.
    pub next_id: Arc<AtomicU64>,
}

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The status.
    pub status: u16,
    /// The messages before the response.
    pub before: Vec<Value>,
    /// The response as it was written.
    pub raw: String,
    /// The response.
    pub response: Value,
    /// How many signs of life came between.
    pub comments: usize,
}

impl Exchange {
    /// The result.
    ///
    /// # Panics
    /// When there is none.
    pub fn result(&self) -> &Value {
        assert!(self.response["result"].is_object(), "expected a result: {}", self.raw);
        &self.response["result"]
    }

    /// The code of the error.
    ///
    /// # Panics
    /// When there is none.
    pub fn code(&self) -> i64 {
        self.response["error"]["code"].as_i64().unwrap_or_else(|| panic!("expected an error: {}", self.raw))
    }

    /// The first text of a tool's result.
    ///
    /// # Panics
    /// When there is none.
    pub fn text(&self) -> &str {
        let text = self.response["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("expected the text of a tool: {}", self.raw))
    }

    /// Whether the tool says that it failed.
    pub fn is_error(&self) -> bool {
        self.response["result"]["isError"] == true
    }
}

impl Client {
    /// A client of the modern era that can be asked nothing.
    pub fn modern(address: SocketAddr, path: &str, key: Option<&str>) -> Self {
        Self {
            address,
            path: path.to_owned(),
            key: key.map(str::to_owned),
            version: MODERN.to_owned(),
            session: None,
            capabilities: json!({}),
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    /// A client of the newest legacy revision, with its session.
    pub async fn legacy(address: SocketAddr, path: &str, key: Option<&str>) -> Self {
        Self::legacy_as(address, path, key, LEGACY, json!({})).await
    }

    /// A client of a legacy revision with these capabilities, with its session.
    ///
    /// # Panics
    /// When it gets none.
    pub async fn legacy_as(address: SocketAddr, path: &str, key: Option<&str>, version: &str, can: Value) -> Self {
        let mut client = Self::modern(address, path, key);
        version.clone_into(&mut client.version);
        client.capabilities = can;
        let reply = client.initialize().send(address).await;
        let status = reply.status;
        client.session = reply.header("mcp-session-id").map(str::to_owned);
        let answer = reply.json().await;
        assert_eq!(status, 200, "initialize: {answer}");
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        let noted = client.notification("notifications/initialized", json!({})).send(address).await;
        assert_eq!(noted.status, 202);
        client
    }

    /// The same client, with its session if it has one, at another gateway.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// The same client, with its session if it has one, with another credential or none.
    #[must_use]
    pub fn with(&self, credential: Option<&str>) -> Self {
        Self { key: credential.map(str::to_owned), ..self.clone() }
    }

    /// The same client, of the modern era, when it can be asked this.
    #[must_use]
    pub fn able(&self, can: Value) -> Self {
        Self { capabilities: can, ..self.clone() }
    }

    /// The same client in another session.
    #[must_use]
    pub fn in_session(&self, id: &str) -> Self {
        Self { session: Some(id.to_owned()), ..self.clone() }
    }

    /// Whether it is one of the modern era.
    pub fn is_modern(&self) -> bool {
        self.version == MODERN
    }

    /// An `initialize` request.
    pub fn initialize(&self) -> Ask {
        let params = json!({
            "protocolVersion": self.version,
            "capabilities": self.capabilities,
            "clientInfo": { "name": "patchbay-e2e", "version": "1" }
        });
        self.post(json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }).to_string())
    }

    /// A POST with the key and nothing else that says who asks.
    pub fn post(&self, body: impl Into<bytes::Bytes>) -> Ask {
        let ask = Ask::post(&self.path, body);
        match &self.key {
            Some(key) => ask.bearer(key),
            None => ask,
        }
    }

    /// A POST with the headers of the revision, but without those that repeat the body.
    pub fn post_in_era(&self, body: impl Into<bytes::Bytes>) -> Ask {
        let ask = self.post(body).header("MCP-Protocol-Version", &self.version);
        match &self.session {
            Some(session) => ask.header("Mcp-Session-Id", session),
            None => ask,
        }
    }

    /// A request. In the modern era `_meta` and the headers are added.
    pub fn ask(&self, method: &str, params: Value) -> Ask {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.ask_as(&id.to_string(), method, params)
    }

    /// A request with this id, which is raw JSON.
    ///
    /// # Panics
    /// When `params` is no object.
    pub fn ask_as(&self, id: &str, method: &str, mut params: Value) -> Ask {
        let name = ["name", "uri", "taskId"].into_iter().find_map(|key| params[key].as_str().map(str::to_owned));
        if self.is_modern() {
            let meta =
                params.as_object_mut().expect("params are an object").entry("_meta").or_insert_with(|| json!({}));
            meta[META_VERSION] = json!(self.version);
            meta[META_CAPABILITIES] = self.capabilities.clone();
        }
        self.ask_raw(id, method, name.as_deref(), &params.to_string())
    }

    /// A request with params that are sent byte for byte; nothing is added to them.
    pub fn ask_raw(&self, id: &str, method: &str, name: Option<&str>, params: &str) -> Ask {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let ask = self.post_in_era(body);
        if !self.is_modern() {
            return ask;
        }
        let ask = ask.header("Mcp-Method", method);
        let mirrored =
            matches!(method, "tools/call" | "prompts/get" | "resources/read") || method.starts_with("tasks/");
        match name.filter(|_| mirrored) {
            Some(name) => ask.header("Mcp-Name", header_value(name)),
            None => ask,
        }
    }

    /// The members that `_meta` needs, as raw JSON without braces; empty in the legacy era.
    pub fn meta(&self) -> String {
        if self.is_modern() {
            format!(r#""{META_VERSION}":"{}","{META_CAPABILITIES}":{}"#, self.version, self.capabilities)
        } else {
            String::new()
        }
    }

    /// A notification.
    pub fn notification(&self, method: &str, mut params: Value) -> Ask {
        if self.is_modern() {
            params["_meta"] = json!({ META_VERSION: self.version, META_CAPABILITIES: self.capabilities });
        }
        let ask = self.post_in_era(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
        if self.is_modern() { ask.header("Mcp-Method", method) } else { ask }
    }

    /// A call of a tool.
    pub fn ask_tool(&self, tool: &str, arguments: Value) -> Ask {
        let mut params = json!({ "name": tool });
        params["arguments"] = arguments;
        self.ask("tools/call", params)
    }

    /// Sends a request and gathers its answer, be it JSON or events.
    pub async fn gather(&self, ask: &Ask) -> Exchange {
        gather(ask.send(self.address).await).await
    }

    /// Sends a request and gathers its answer.
    pub async fn request(&self, method: &str, params: Value) -> Exchange {
        self.gather(&self.ask(method, params)).await
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Exchange {
        self.gather(&self.ask_tool(tool, arguments)).await
    }

    /// All items of a list, over all of its pages. When the list changes on the way, it is asked for from its beginning again,
    /// as the gateway says.
    ///
    /// # Panics
    /// When there is no end of pages.
    pub async fn list(&self, method: &str) -> Vec<Value> {
        let member = match method {
            "resources/templates/list" => "resourceTemplates",
            other => other.trim_end_matches("/list"),
        };
        let mut items = Vec::new();
        let mut cursor = None;
        for _ in 0..1000 {
            let params = cursor.map_or_else(|| json!({}), |cursor: Value| json!({ "cursor": cursor }));
            let began = params.get("cursor").is_some();
            let page = self.request(method, params).await;
            if began && page.raw.contains("start again without a cursor") {
                (items, cursor) = (Vec::new(), None);
                continue;
            }
            let result = page.result();
            items.extend(
                result[member].as_array().unwrap_or_else(|| panic!("no {member}: {}", page.raw)).iter().cloned(),
            );
            match result.get("nextCursor") {
                None => return items,
                Some(next) => cursor = Some(next.clone()),
            }
        }
        panic!("{method} has no end");
    }

    /// The names of all tools.
    pub async fn tools(&self) -> Vec<String> {
        let tools = self.list("tools/list").await;
        tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect()
    }
}

/// Gathers an answer, be it JSON or events.
///
/// # Panics
/// When there is no response in it.
pub async fn gather(reply: Reply) -> Exchange {
    let status = reply.status;
    if reply.kind() != "text/event-stream" {
        let raw = reply.text().await;
        let response =
            serde_json::from_str(&raw).unwrap_or_else(|error| panic!("{status}, no JSON ({error}): {raw:?}"));
        return Exchange { status, before: Vec::new(), raw, response, comments: 0 };
    }
    let mut events = reply.events();
    let (mut before, mut comments) = (Vec::new(), 0);
    loop {
        match events.next().await {
            Ok(Some(Event::Comment(_))) => comments += 1,
            Ok(Some(event)) => {
                let message = event.json();
                if message.get("method").is_some() {
                    before.push(message);
                    continue;
                }
                let Event::Message(raw) = event else { unreachable!("a message has a text") };
                assert_eq!(events.next().await, Ok(None), "the response is the last event");
                return Exchange { status, before, raw, response: message, comments };
            }
            end => panic!("the stream ended without a response ({end:?}) after {before:?}"),
        }
    }
}

/// A value as headers carry it: as it is, or in the base64 form for what headers cannot hold (2026-07-28, transports).
fn header_value(value: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let plain = value.bytes().all(|byte| (0x21..=0x7e).contains(&byte) || byte == b' ');
    if plain && !value.starts_with("=?base64?") && value.trim() == value {
        return value.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(value))
}
