//! How each client wants to be told of a server: its file, its fields, its way to a secret. Pure: from a [`Target`] to
//! blocks. Beside this file, only `docs` knows these formats.

use clap::{ValueEnum, builder::PossibleValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Credential, KEY_PLACEHOLDER, KEY_VARIABLE, SignIn, Target};

/// A client whose format is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Cursor.
    Cursor,
    /// Visual Studio Code with Copilot.
    VsCode,
    /// Claude Code.
    ClaudeCode,
    /// Claude Desktop, which starts `mcp-remote` for us.
    ClaudeDesktop,
    /// Windsurf.
    Windsurf,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    Gemini,
}

/// Something to paste or to run.
#[derive(Debug, Clone)]
pub struct Block {
    /// For whom.
    pub client: Client,
    /// Where it goes.
    pub place: &'static str,
    /// What it is written in.
    pub format: Format,
    /// The block itself.
    pub text: String,
}

/// What a block is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON file, or a part of one.
    Json,
    /// A part of a TOML file.
    Toml,
    /// A command line.
    Shell,
}

impl ValueEnum for Client {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Client {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Cursor, Self::VsCode, Self::ClaudeCode, Self::ClaudeDesktop, Self::Windsurf, Self::Codex, Self::Gemini];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Windsurf => "windsurf",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
        }
    }

    /// The name that its makers use.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::ClaudeCode => "Claude Code",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::Windsurf => "Windsurf",
            Self::Codex => "Codex",
            Self::Gemini => "Gemini CLI",
        }
    }

    /// What this client needs to reach the target, the easiest way first.
    pub fn blocks(self, target: &Target) -> Vec<Block> {
        match self {
            Self::Cursor => vec![self.json("~/.cursor/mcp.json, or .cursor/mcp.json of a project", &cursor(target))],
            Self::VsCode => vec![self.json(
                ".vscode/mcp.json of a project, or the file that the command `MCP: Open User Configuration` opens",
                &vs_code(target),
            )],
            Self::ClaudeCode if has_client_id(target) => {
                vec![Block {
                    client: self,
                    place: "in a terminal",
                    format: Format::Shell,
                    text: claude_mcp_add(target),
                }]
            }
            Self::ClaudeCode => vec![
                Block { client: self, place: "in a terminal", format: Format::Shell, text: claude_mcp_add(target) },
                self.json(
                    "or .mcp.json of a project",
                    &servers(
                        "mcpServers",
                        target,
                        json!({ "type": "http", "url": target.url }),
                        &format!("${{{KEY_VARIABLE}}}"),
                    ),
                ),
            ],
            Self::ClaudeDesktop => vec![self.json(
                "claude_desktop_config.json (Settings, Developer, Edit Config); needs Node.js",
                &json!({ "mcpServers": { &target.name: mcp_remote(target) } }),
            )],
            Self::Windsurf => vec![self.json(
                "~/.codeium/windsurf/mcp_config.json",
                &servers("mcpServers", target, json!({ "serverUrl": target.url }), &format!("${{env:{KEY_VARIABLE}}}")),
            )],
            Self::Codex => {
                let file =
                    Block { client: self, place: "~/.codex/config.toml", format: Format::Toml, text: codex(target) };
                let login = || Block {
                    client: self,
                    place: "then in a terminal",
                    format: Format::Shell,
                    text: format!("codex mcp login {}", target.name),
                };
                let signs_in = matches!(target.credential, Credential::SignIn(_));
                std::iter::once(file).chain(signs_in.then(login)).collect()
            }
            Self::Gemini => {
                vec![self.json("~/.gemini/settings.json, or .gemini/settings.json of a project", &gemini(target))]
            }
        }
    }

    fn json(self, place: &'static str, value: &Value) -> Block {
        Block { client: self, place, format: Format::Json, text: format!("{value:#}") }
    }
}

/// The value of the `Authorization` header; `reference` is how the client names our variable.
fn bearer(target: &Target, reference: &str) -> Option<String> {
    match &target.credential {
        Credential::None | Credential::SignIn(_) => None,
        Credential::Reference => Some(format!("Bearer {reference}")),
        Credential::Key(key) => Some(format!("Bearer {}", key.expose_secret())),
    }
}

/// The server under the file's word for servers, with the header that most clients take.
fn servers(word: &str, target: &Target, mut server: Value, reference: &str) -> Value {
    if let Some(bearer) = bearer(target, reference) {
        server["headers"] = json!({ "Authorization": bearer });
    }
    json!({ word: { &target.name: server } })
}

/// The client id that was registered beforehand, and its port.
fn registered(target: &Target) -> Option<(&str, Option<u16>)> {
    match &target.credential {
        Credential::SignIn(SignIn { client_id: Some(id), callback_port, .. }) => Some((id, *callback_port)),
        _ => None,
    }
}

fn has_client_id(target: &Target) -> bool {
    registered(target).is_some()
}

fn cursor(target: &Target) -> Value {
    let mut server = json!({ "url": target.url });
    if let Some((id, _)) = registered(target) {
        server["auth"] = json!({ "CLIENT_ID": id });
    }
    servers("mcpServers", target, server, &format!("${{env:{KEY_VARIABLE}}}"))
}

fn gemini(target: &Target) -> Value {
    let mut server = json!({ "httpUrl": target.url });
    if let Some((id, _)) = registered(target) {
        server["oauth"] = json!({ "enabled": true, "clientId": id });
    }
    servers("mcpServers", target, server, &format!("${KEY_VARIABLE}"))
}

/// VS Code asks for the key once and keeps it in the system's key ring.
fn vs_code(target: &Target) -> Value {
    let id = format!("{}-key", target.name);
    let server = json!({ "type": "http", "url": target.url });
    let mut file = servers("servers", target, server, &format!("${{input:{id}}}"));
    if matches!(target.credential, Credential::Reference) {
        let description = format!("API key for {}", target.url);
        file["inputs"] = json!([{ "type": "promptString", "id": id, "description": description, "password": true }]);
    }
    file
}

fn claude_mcp_add(target: &Target) -> String {
    let mut line = format!("claude mcp add --transport http {} {}", target.name, quoted(&target.url));
    if let Some((id, port)) = registered(target) {
        line.push_str(&format!(" --client-id {}", quoted(id)));
        line.push_str(&port.map_or_else(String::new, |port| format!(" --callback-port {port}")));
    }
    if let Some(bearer) = bearer(target, KEY_PLACEHOLDER) {
        line.push_str(&format!(" --header {}", quoted(&format!("Authorization: {bearer}"))));
    }
    line
}

/// The header travels in a variable, since Claude Desktop on Windows breaks arguments with blanks apart.
fn mcp_remote(target: &Target) -> Value {
    let sign_in = registered(target);
    let port = sign_in.and_then(|(_, port)| port).map(|port| port.to_string());
    let client = sign_in.map(|(id, _)| json!({ "client_id": id }).to_string());
    let mut args = vec!["-y", "mcp-remote", &target.url];
    args.extend(port.as_deref());
    args.extend(["--transport", "http-only"]);
    if let Some(client) = &client {
        args.extend(["--static-oauth-client-info", client]);
    }
    if !target.url.starts_with("https://") && !is_this_machine(&target.url) {
        args.push("--allow-http");
    }
    let Some(bearer) = bearer(target, KEY_PLACEHOLDER) else {
        return json!({ "command": "npx", "args": args });
    };
    args.extend(["--header", "Authorization:${PATCHBAY_AUTHORIZATION}"]);
    json!({ "command": "npx", "args": args, "env": { "PATCHBAY_AUTHORIZATION": bearer } })
}

/// The two names under which `mcp-remote` takes plain HTTP for harmless.
fn is_this_machine(url: &str) -> bool {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| matches!(host.as_str(), "localhost" | "127.0.0.1"))
}

fn codex(target: &Target) -> String {
    // A JSON string without control characters is a basic string of TOML.
    let mut lines = vec![format!("[mcp_servers.{}]", target.name), format!("url = {}", json!(target.url))];
    match &target.credential {
        Credential::None | Credential::SignIn(_) => {}
        Credential::Reference => lines.push(format!("bearer_token_env_var = \"{KEY_VARIABLE}\"")),
        Credential::Key(key) => {
            lines.push(format!(
                "http_headers = {{ Authorization = {} }}",
                json!(format!("Bearer {}", key.expose_secret()))
            ));
        }
    }
    lines.join("\n")
}

/// One word of a POSIX shell.
pub(in crate::cli) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
