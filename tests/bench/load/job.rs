//! What the client can be asked to do, and the messages it sends for that.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

/// One job.
#[derive(Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Job {
    /// Send requests over HTTP in a closed loop.
    Http(HttpJob),
    /// Open sessions and keep them until standard input ends.
    Hold(HoldJob),
    /// Open streams of changes; for each line of standard input wait until all of them were told of one more change.
    Listen(ListenJob),
    /// Send requests to a child process in a closed loop.
    Stdio(StdioJob),
    /// Run statements on a database in a closed loop, by a plain driver.
    Sql(SqlJob),
    /// Start a server again and again and wait for its first answer.
    Start(StartJob),
}

/// Where a server is, and who calls.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// The path of the MCP endpoint.
    pub(crate) path: String,
    /// The API key or token.
    pub(crate) bearer: String,
    /// A file with a token in each line: each request shows the next one, in the place of `bearer`.
    #[serde(default)]
    pub(crate) bearers: Option<PathBuf>,
    /// Which revision the client speaks.
    pub(crate) era: Era,
}

/// See [`Job::Http`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpJob {
    pub(crate) target: Target,
    pub(crate) act: Act,
    pub(crate) connections: usize,
    /// How many requests are sent in a second, over all connections; absent: as many as are answered.
    #[serde(default)]
    pub(crate) per_s: Option<f64>,
    /// Whether 429 is an answer like any other; its time does not count.
    #[serde(default)]
    pub(crate) may_be_refused: bool,
    pub(crate) warmup_ms: u64,
    pub(crate) window_ms: u64,
    /// Whose CPU time counts.
    pub(crate) pids: Vec<u32>,
}

/// See [`Job::Hold`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldJob {
    pub(crate) target: Target,
    pub(crate) sessions: usize,
}

/// See [`Job::Listen`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenJob {
    pub(crate) target: Target,
    pub(crate) streams: usize,
}

/// See [`Job::Stdio`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StdioJob {
    pub(crate) command: Vec<String>,
    pub(crate) act: Act,
    pub(crate) in_flight: usize,
    pub(crate) warmup_ms: u64,
    pub(crate) window_ms: u64,
}

/// See [`Job::Sql`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlJob {
    pub(crate) url: String,
    /// Run one after the other; together they are one request.
    pub(crate) statements: Vec<String>,
    pub(crate) warmup_ms: u64,
    pub(crate) window_ms: u64,
}

/// See [`Job::Start`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartJob {
    pub(crate) command: Vec<String>,
    pub(crate) target: Target,
    pub(crate) tries: usize,
}

/// Legacy clients have a session, modern ones say everything with each request.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Era {
    Legacy,
    Modern,
}

impl Era {
    /// The revision in the header.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }
}

/// What is done over and over.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Act {
    /// Call this tool; its answer is at least this long.
    Call {
        tool: String,
        bytes_min: usize,
        #[serde(default = "arguments_default")]
        arguments: Value,
    },
    /// Call this tool and ask for its progress; so many messages come before its answer.
    Progress { tool: String, messages: usize },
    /// List the tools; that many are there.
    List { tools: usize },
    /// Begin a session, say so, call this tool.
    Storm { tool: String },
}

impl Act {
    /// The request that is repeated.
    pub(crate) fn request(&self, era: Era) -> Template {
        match self {
            Self::Call { tool, arguments, .. } => Template::call(era, tool, arguments),
            Self::Progress { tool, .. } => Template::call(era, tool, &arguments_default()).with_progress(),
            Self::Storm { tool } => Template::call(era, tool, &arguments_default()),
            Self::List { .. } => Template::list(era),
        }
    }
}

fn arguments_default() -> Value {
    json!({"query": "lorem ipsum", "limit": 3})
}

/// A request whose id is still to be put in.
pub(crate) struct Template {
    /// The method, for the header of the same name.
    pub(crate) method: &'static str,
    /// The tool, for the header of the same name.
    pub(crate) tool: Option<String>,
    before: String,
    after: String,
}

impl Template {
    /// `tools/call`.
    pub(crate) fn call(era: Era, tool: &str, arguments: &Value) -> Self {
        let start = format!(r#""name":"{tool}","arguments":{arguments}"#);
        Self::new(era, "tools/call", Some(tool.to_owned()), &start)
    }

    /// `tools/list`.
    pub(crate) fn list(era: Era) -> Self {
        Self::new(era, "tools/list", None, "")
    }

    /// The same, asking for progress.
    fn with_progress(mut self) -> Self {
        const TOKEN: &str = r#""progressToken":"p""#;
        let (meta, rest) = (r#""_meta":{"#, self.after.find(r#""_meta":{"#));
        match rest {
            Some(at) => self.after.insert_str(at + meta.len(), &format!("{TOKEN},")),
            None => self.after.insert_str(self.after.len() - 2, &format!(",{meta}{TOKEN}}}")),
        }
        self
    }

    /// `subscriptions/listen`, for changes of the tools.
    pub(crate) fn listen() -> Self {
        Self::new(Era::Modern, "subscriptions/listen", None, r#""notifications":{"toolsListChanged":true}"#)
    }

    /// `initialize`.
    pub(crate) fn initialize() -> Self {
        let version = Era::Legacy.version();
        let client = r#""capabilities":{},"clientInfo":{"name":"bench-load","version":"1.0.0"}"#;
        Self::new(Era::Legacy, "initialize", None, &format!(r#""protocolVersion":"{version}",{client}"#))
    }

    /// The message with this id.
    pub(crate) fn with_id(&self, id: u64) -> String {
        format!("{}{id}{}", self.before, self.after)
    }

    fn new(era: Era, method: &'static str, tool: Option<String>, start: &str) -> Self {
        let meta = concat!(
            r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientCapabilities":{},"#,
            r#""io.modelcontextprotocol/clientInfo":{"name":"bench-load","version":"1.0.0"}}"#
        );
        let meta = if era == Era::Modern { meta } else { "" };
        let comma = if start.is_empty() || meta.is_empty() { "" } else { "," };
        let after = format!(r#","method":"{method}","params":{{{start}{comma}{meta}}}}}"#);
        Self { method, tool, before: r#"{"jsonrpc":"2.0","id":"#.to_owned(), after }
    }
}

/// `notifications/initialized`.
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
