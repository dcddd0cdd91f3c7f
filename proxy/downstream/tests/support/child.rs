//! A small stdio server that behaves as badly as the tests ask. The first argument says how it opens, the tools what it does.
//! The mode `gateway` is the other side: it holds children, so that a test can kill it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    process::{Command, Stdio, exit},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "gateway" => gateway(),
        "linger" => linger(),
        "quits" => exit(3),
        "garbage-first" => (0..50).for_each(|n| say_raw(format!("npm WARN {n}\n").as_bytes())),
        "garbage-flood" => (0..10_000).for_each(|n| say_raw(format!("{n}\n").as_bytes())),
        "speaks-first" => {
            say(
                &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "up"}}),
            );
            say(&json!({"jsonrpc": "2.0", "id": "hello?", "method": "ping"}));
        }
        "stubborn" => ignore_term(),
        "stderr" => eprint_lines(),
        _ => {}
    }
    let mut server = Server {
        mode,
        capabilities: Value::Null,
        cancelled: Vec::new(),
        held: Vec::new(),
        answers: Vec::new(),
        told: Vec::new(),
        asker: None,
    };
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str::<Value>(&line) {
            Ok(message) => server.take(&message),
            Err(_) => exit(4),
        }
    }
    if server.mode == "stubborn" {
        linger();
    }
}

struct Server {
    mode: String,
    capabilities: Value,
    cancelled: Vec<Value>,
    held: Vec<(Value, Value)>,
    answers: Vec<Value>,
    /// What it was told beside calls: subscriptions, levels, roots.
    told: Vec<Value>,
    asker: Option<Value>,
}

impl Server {
    fn take(&mut self, message: &Value) {
        let id = message["id"].clone();
        let params = &message["params"];
        match message["method"].as_str() {
            Some("initialize") => self.initialize(&id, params),
            Some("server/discover") => self.discover(&id),
            Some("ping") => reply(&id, &json!({})),
            Some("tools/call") => self.call(&id, params),
            Some("tools/list") => reply(&id, &json!({"tools": [{"name": "echo"}], "ttlMs": 5000})),
            Some("subscriptions/listen") => {
                self.told.push(json!({"listen": params["notifications"], "id": id}));
                listen(&id, params);
            }
            Some("resources/subscribe" | "resources/unsubscribe" | "logging/setLevel") => {
                self.told.push(json!([message["method"], params["uri"], params["level"]]));
                reply(&id, &json!({}));
            }
            Some("notifications/roots/list_changed") => self.told.push(json!("roots")),
            Some("notifications/cancelled") => self.cancelled.push(params["requestId"].clone()),
            Some(other) if !id.is_null() => refuse(&id, -32601, &format!("no method {other}")),
            Some(_) => {}
            None => self.answered(message),
        }
    }

    fn initialize(&mut self, id: &Value, params: &Value) {
        self.capabilities = params["capabilities"].clone();
        if self.mode == "modern" {
            return refuse(id, -32601, "initialize is of the past");
        }
        let version = if self.mode == "oldest" { "2024-11-05" } else { "2025-11-25" };
        let capabilities = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}});
        reply(id, &json!({"protocolVersion": version, "capabilities": capabilities, "serverInfo": {"name": "child"}}));
    }

    fn discover(&self, id: &Value) {
        match self.mode.as_str() {
            "modern" => reply(
                id,
                &json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                    "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}},
                    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "child"}},
                }),
            ),
            "silent" => {}
            "dies-of-probe" => exit(5),
            _ => refuse(id, -32601, "Method not found"),
        }
    }

    fn call(&mut self, id: &Value, params: &Value) {
        let arguments = &params["arguments"];
        let count = arguments["count"].as_u64().unwrap_or(0);
        match params["name"].as_str().unwrap_or_default() {
            "echo" => reply(id, arguments),
            "hold" => self.hold(id, arguments, count),
            "pid" => reply(id, &json!({"pid": std::process::id()})),
            "env" => reply(id, &json!(std::env::vars().collect::<BTreeMap<_, _>>())),
            "meta" => reply(id, &params["_meta"]),
            "capabilities" => reply(id, &self.capabilities),
            "cancelled" => reply(id, &json!({"ids": self.cancelled})),
            "answers" => reply(id, &json!({"answers": self.answers})),
            "told" => reply(id, &json!(self.told)),
            "update" => {
                let params = json!({"uri": arguments["uri"]});
                say(&json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params}));
                reply(id, &json!({}));
            }
            "drip" => {
                for n in 0..count {
                    thread::sleep(Duration::from_millis(60));
                    tick(params, n);
                }
                reply(id, &json!({"done": true}));
            }
            "never" => {}
            "hang" => thread::sleep(Duration::from_secs(1000)),
            "die" => exit(9),
            "progress" => progress(id, params, count),
            "twice" => (0..2).for_each(|_| reply(id, &json!({"n": 1}))),
            "huge" => huge(id, count, arguments["id_last"] == true),
            "rune" => half_a_rune(id),
            "change" => {
                say(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
                say(&json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "a:b"}}));
                reply(id, &json!({}));
            }
            "log" => {
                say(
                    &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}),
                );
                reply(id, &json!({}));
            }
            "ask" => {
                self.asker = Some(id.clone());
                say(
                    &json!({"jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create", "params": {"message": "?"}}),
                );
            }
            "grandchild" => reply(id, &json!({"pid": grandchild(arguments["stdin"] == true)})),
            other => refuse(id, -32602, &format!("no tool {other}")),
        }
    }

    /// Answers only when so many calls are here, and then the last one first.
    fn hold(&mut self, id: &Value, arguments: &Value, count: u64) {
        self.held.push((id.clone(), arguments.clone()));
        if self.held.len() as u64 >= count {
            self.held.drain(..).rev().for_each(|(id, arguments)| reply(&id, &arguments));
        }
    }

    fn answered(&mut self, message: &Value) {
        self.answers.push(message.clone());
        if let Some(asker) = self.asker.take() {
            reply(&asker, &json!({"got": message}));
        }
    }
}

fn half_a_rune(id: &Value) {
    let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"x\":\"");
    say_raw(&[start.as_bytes(), b"\xc3", b"\"}}\n"].concat());
}

fn progress(id: &Value, params: &Value, count: u64) {
    (0..count).for_each(|n| tick(params, n));
    reply(id, &json!({"done": true}));
    tick(params, count);
}

fn tick(params: &Value, n: u64) {
    let params = json!({"progressToken": params["_meta"]["progressToken"], "progress": n});
    say(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
}

fn huge(id: &Value, bytes: u64, id_last: bool) {
    let filler = "x".repeat(usize::try_from(bytes).unwrap_or(0));
    let line = match id_last {
        true => format!("{{\"result\":{{\"x\":\"{filler}\"}},\"jsonrpc\":\"2.0\",\"id\":{id}}}\n"),
        false => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"x\":\"{filler}\"}}}}\n"),
    };
    say_raw(line.as_bytes());
}

fn listen(id: &Value, params: &Value) {
    let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
    let accepted = json!({"notifications": params["notifications"], "_meta": meta});
    say(&json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": accepted}));
    say(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": meta}}));
}

fn grandchild(with_stdin: bool) -> u32 {
    let exe = std::env::current_exe().expect("the test's own executable");
    let stdin = if with_stdin { Stdio::inherit() } else { Stdio::null() };
    let mode = if with_stdin { "plain" } else { "linger" };
    Command::new(exe).arg(mode).stdin(stdin).stdout(Stdio::inherit()).spawn().expect("a grandchild").id()
}

fn reply(id: &Value, result: &Value) {
    say(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
}

fn refuse(id: &Value, code: i64, message: &str) {
    say(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}));
}

fn say(message: &Value) {
    say_raw(format!("{message}\n").as_bytes());
}

fn say_raw(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        exit(0);
    }
}

fn eprint_lines() {
    let mut err = io::stderr().lock();
    let token = std::env::var("TOKEN").unwrap_or_default();
    for n in 0..300 {
        let _ = writeln!(err, "line {n} {token}");
    }
}

fn ignore_term() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: ignoring a signal installs no handler.
    let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) };
}

fn linger() {
    ignore_term();
    thread::sleep(Duration::from_secs(1000));
}

/// Holds a child and a grandchild, writes their ids, and waits to be killed.
fn gateway() {
    use patchbay_downstream::{
        CallCx, Downstream, Outgoing, Reply, ShareKey,
        stdio::{ChildBudget, StdioDownstream, StdioOptions},
    };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let exe = std::env::current_exe().expect("the test's own executable");
        let mut options = StdioOptions::new("child", exe, ChildBudget::new(4), tokio::runtime::Handle::current());
        options.args = vec!["plain".to_owned()];
        let server = StdioDownstream::new(options);
        for params in [r#""name":"pid","arguments":{}"#, r#""name":"grandchild","arguments":{"stdin":true}"#] {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            let cx = CallCx { deadline, extension: None, share: ShareKey::Tenant, capabilities: "{}".into() };
            let reply = server.call(cx, Outgoing::plain("tools/call", vec![params.into()])).await;
            let Ok(Reply::One(answer)) = reply else { exit(7) };
            say_raw(&answer.head);
            say_raw(b"\n");
        }
        std::future::pending::<()>().await;
    });
}
