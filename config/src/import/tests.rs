//! The files of real products, and files that are wrong.

use patchbay_core::model::{EraPin, Transport};
use secrecy::ExposeSecret;

use super::*;
use crate::SecretRef;

fn import(text: &str) -> Result<Imported, ConfigErrors> {
    let resolve = |reference: &SecretRef| match reference {
        SecretRef::Env(name) if name == "TOKEN" => Ok("hunter2".to_owned()),
        _ => Err("not set".to_owned()),
    };
    import_mcp_servers(text, "mcp.json", &resolve)
}

fn secret(imported: &Imported, server: &str, name: &str) -> Option<String> {
    imported.servers[server].secrets[name].as_ref().map(|value| value.expose_secret().to_owned())
}

#[test]
fn files_that_are_wrong_are_refused_with_their_place() {
    for (text, expected) in [
        ("{\n  \"mcpServers\": {,}\n}", "mcp.json:2:18: this is no valid JSON: key must be a string"),
        ("", "mcp.json:1:1: this is no valid JSON: EOF while parsing a value"),
        (
            "[]",
            "mcp.json: expected servers under `mcpServers` (Claude, Cursor, Windsurf, Gemini CLI) or `servers` (VS Code), found none",
        ),
        (
            "{\"mcpServers\": {}}",
            "mcp.json: expected servers under `mcpServers` (Claude, Cursor, Windsurf, Gemini CLI) or `servers` (VS Code), found none",
        ),
    ] {
        let said = import(text).unwrap_err().to_string();
        assert_eq!(said, expected, "{text}");
    }
    assert!(import(&format!("{}1", "[".repeat(100_000))).is_err());
    let many: Vec<String> = (0..=SERVERS_MAX).map(|at| format!("\"s{at}\": {{\"command\": \"x\"}}")).collect();
    let said = import(&format!("{{\"servers\": {{{}}}}}", many.join(","))).unwrap_err().to_string();
    assert_eq!(said, "mcp.json: expected at most 200 servers, found 201");
}

#[test]
fn one_odd_server_is_left_out_alone_and_named() {
    let imported = import(
        r#"{"mcpServers": {
            "good": {"command": "npx"},
            "socket": {"type": "ws", "url": "wss://h/mcp"},
            "empty": {},
            "text": "x",
            "bad url": {"url": "ftp://h"},
            "user": {"url": "https://u:hunter2@h"}
        }}"#,
    )
    .unwrap();
    assert_eq!(imported.servers.keys().map(Slug::as_str).collect::<Vec<_>>(), ["good"]);
    assert_eq!(
        imported.notes,
        [
            "socket: left out: the transport `ws` is not supported; ask its maker for a Streamable HTTP address.",
            "empty: left out: it has neither `command` nor an address (`url`, `serverUrl`, `httpUrl`).",
            "text: left out: expected an object.",
            "bad url: left out: expected an http or https address, as in https://mcp.example.org/mcp.",
            "user: left out: expected an address without user name and password; put them into headers, where they are kept secret.",
        ]
    );
}

#[test]
fn servers_of_the_older_transport_are_taken_over_as_such() {
    let imported = import(
        r#"{"mcpServers": {
            "claude": {"type": "sse", "url": "https://h/sse", "headers": {"X-Key": "1"}},
            "cursor": {"transport": "SSE", "url": "https://h/events"},
            "cline": {"transportType": "sse", "url": "https://h/sse"},
            "new": {"type": "http", "url": "https://h/mcp"}
        }}"#,
    )
    .unwrap();
    let era = |name: &str| match &imported.servers[name].spec.transport {
        Transport::Http { era, .. } => *era,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [era("claude"), era("cursor"), era("cline"), era("new")],
        [EraPin::Sse, EraPin::Sse, EraPin::Sse, EraPin::Auto]
    );
    assert_eq!(imported.notes, Vec::<String>::new());
}

#[test]
fn a_cursor_file_comes_over_with_its_secrets_apart() {
    let imported = import(
        r#"{
          // my servers
          "mcpServers": {
            "My GitHub": {
              "command": "npx", "args": ["-y", "@modelcontextprotocol/server-github", 5],
              "env": {"GITHUB_TOKEN": "${env:TOKEN}", "GIT_DIR": "/x", "PORT": 8080, "OTHER": "${env:NOT_SET}"},
              "cwd": "/home/me", "autoApprove": ["x"],
            },
            "my-github": {"url": "https://h/mcp", "headers": {"Authorization": "Bearer ${TOKEN}", "Host": "x", "authorization": "y"}},
          },
        }"#,
    )
    .unwrap();
    assert_eq!(imported.servers.keys().map(Slug::as_str).collect::<Vec<_>>(), ["my-github", "my-github-2"]);
    let Transport::Stdio { command, args, env, cwd, .. } = &imported.servers["my-github"].spec.transport else {
        panic!()
    };
    assert_eq!((command.as_str(), cwd), ("npx", &None));
    assert_eq!(args, &["-y", "@modelcontextprotocol/server-github", "5"]);
    assert_eq!(env, &["GITHUB_TOKEN", "OTHER", "PORT"]);
    assert_eq!(secret(&imported, "my-github", "env:GITHUB_TOKEN").as_deref(), Some("hunter2"));
    assert_eq!(secret(&imported, "my-github", "env:PORT").as_deref(), Some("8080"));
    assert_eq!(secret(&imported, "my-github", "env:OTHER"), None);
    assert_eq!(secret(&imported, "my-github-2", "header:Authorization").as_deref(), Some("Bearer hunter2"));
    assert_eq!(imported.commands.iter().map(String::as_str).collect::<Vec<_>>(), ["npx"]);
    let refused = "this variable decides which code a program loads, so tenants may not set it; ask the operator for a command of its own under stdio.commands";
    assert_eq!(
        imported.notes,
        [
            "My GitHub: its working directory (`cwd`) is of the IDE's machine and was dropped.".to_owned(),
            format!("My GitHub: the variable \"GIT_DIR\" was dropped: {refused}."),
            "My GitHub: the variable `OTHER` has no value yet: ${env:NOT_SET} has no value here; give it in the tenant file.".to_owned(),
            "My GitHub: not taken over: `autoApprove`.".to_owned(),
            "My GitHub: its name here is `my-github`.".to_owned(),
            "my-github: the header \"Host\" was dropped: the gateway sets this header itself; leave it out.".to_owned(),
            "my-github: the header `authorization` was dropped: expected one text.".to_owned(),
            "my-github: its name here is `my-github-2`.".to_owned(),
        ]
    );
    assert!(!format!("{imported:?}").contains("hunter2"));
}

#[test]
fn a_vs_code_file_names_the_inputs_that_need_values() {
    let imported = import(
        r#"{
          "inputs": [{"type": "promptString", "id": "key", "description": "API key", "password": true}],
          "servers": {
            "remote": {"type": "http", "url": "https://h/mcp", "headers": {"X-Key": "${input:key}"}},
            "local": {"type": "stdio", "command": "${workspaceFolder}/run", "args": ["${userHome}/x"], "envFile": ".env"},
            "relative": {"type": "stdio", "command": "./run.sh"}
          }
        }"#,
    )
    .unwrap();
    assert_eq!(secret(&imported, "remote", "header:X-Key"), None);
    assert!(imported.servers["remote"].spec.enabled);
    assert!(!imported.servers["local"].spec.enabled && !imported.servers["relative"].spec.enabled);
    assert!(imported.commands.is_empty());
    assert_eq!(
        imported.notes,
        [
            "remote: the header `X-Key` has no value yet: ${input:key} has no value here; give it in the tenant file.",
            "local: taken over switched off: its command refers to ${workspaceFolder}; write the value itself into the tenant file.",
            "local: taken over switched off: an argument refers to ${userHome}; write the value itself into the tenant file.",
            "local: not taken over: `envFile`.",
            "relative: taken over switched off: its command `./run.sh` depends on a folder of the IDE: expected an absolute path, or a bare name that is looked up on PATH.",
            "input `key` (API key): VS Code asks for this value; here, put it into the tenant file of the servers that use it.",
        ]
    );
}

#[test]
fn the_dialects_of_windsurf_gemini_and_claude_are_understood() {
    let imported = import(
        r#"{"mcpServers": {
            "windsurf": {"serverUrl": "https://w/mcp", "disabledTools": ["a*b"], "disabled": true},
            "gemini": {"httpUrl": "https://g/mcp", "url": "https://g/sse", "includeTools": ["x"], "timeout": 5},
            "claude": {"command": "uvx", "args": ["y"], "env": {"A": "${NO:-fallback}", "B": "$TOKEN", "C": "cost $5"}},
            "bridge": {"command": "npx", "args": ["mcp-remote@latest", "https://b/mcp"]},
            "old": {"url": "https://o/sse/"}
        }}"#,
    )
    .unwrap();
    let spec = |name: &str| &imported.servers[name].spec;
    assert!(matches!(&spec("windsurf").transport, Transport::Http { url, .. } if url == "https://w/mcp"));
    assert_eq!((spec("windsurf").enabled, spec("windsurf").tools.deny.as_slice()), (false, &["a[*]b".to_owned()][..]));
    assert!(matches!(&spec("gemini").transport, Transport::Http { url, .. } if url == "https://g/mcp"));
    assert_eq!(spec("gemini").tools.allow, ["x"]);
    assert_eq!(secret(&imported, "claude", "env:A").as_deref(), Some("fallback"));
    assert_eq!(secret(&imported, "claude", "env:B").as_deref(), Some("hunter2"));
    assert_eq!(secret(&imported, "claude", "env:C").as_deref(), Some("cost $5"));
    assert_eq!(imported.commands.iter().map(String::as_str).collect::<Vec<_>>(), ["npx", "uvx"]);
    assert_eq!(
        imported.notes,
        [
            "windsurf: taken over switched off: it is switched off in the file.",
            "gemini: not taken over: `timeout`.",
            "bridge: it goes through mcp-remote; here, give its address as `url` instead.",
            "old: its address looks like the older HTTP+SSE transport; if it is, write `era: sse` into the tenant file, or ask its maker for a Streamable HTTP address.",
        ]
    );
}

#[test]
fn names_that_become_the_same_stay_apart() {
    let long = "x".repeat(60);
    let text = format!(
        "{{\"servers\": {{\"{long}a\": {{\"command\": \"x\"}}, \"{long}b\": {{\"command\": \"x\"}}, \"日本\": {{\"command\": \"x\"}}}}}}"
    );
    let imported = import(&text).unwrap();
    let names: Vec<&str> = imported.servers.keys().map(Slug::as_str).collect();
    assert_eq!(names, ["server", &format!("{}-2", "x".repeat(38)), &"x".repeat(40)]);
}
