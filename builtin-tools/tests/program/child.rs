//! The program as a child process, and a client that writes and reads its lines by hand. Every wait has an end.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use patchbay_builtin_tools::db::create_sample_shop;
use serde_json::{Value, json};

/// The most that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, in an environment that names no database and no key.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay-tools"));
    command.env_remove("PATCHBAY_TOOLS_DATABASE").env_remove("WEATHERAPI_KEY");
    command
}

/// The sample shop in a folder of its own.
pub(crate) struct Shop(tempfile::TempDir);

impl Shop {
    pub(crate) fn new() -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        create_sample_shop(&shop.database()).unwrap();
        shop
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.path().join("shop.db")
    }

    /// The DB explorer over it.
    pub(crate) fn command(&self) -> Command {
        let mut command = program();
        command.args(["db", "--database"]).arg(self.database());
        command
    }
}

pub(crate) struct Child {
    child: std::process::Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    next_id: u64,
    /// Whether each request says its revision, instead of a session that was begun.
    pub(crate) is_modern: bool,
}

impl Child {
    pub(crate) fn start(mut command: impl std::borrow::BorrowMut<Command>) -> Self {
        let command = command.borrow_mut().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(1000);
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { stdin: child.stdin.take(), child, lines, next_id: 1, is_modern: false }
    }

    fn write(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Sends a request without waiting for its answer; its id.
    pub(crate) fn send(&mut self, method: &str, mut params: Value) -> u64 {
        if self.is_modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "hand", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {}
            });
        }
        let id = self.next_id;
        self.next_id += 1;
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request; the next message has to be its answer.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        let line = self.lines.recv_timeout(PATIENCE).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON on stdout: {line}"));
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(id)), "{answer}");
        answer
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    pub(crate) fn initialize(&mut self) -> Value {
        let who = json!({ "name": "hand", "version": "1" });
        let greeting =
            self.ask("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who }));
        self.notify("notifications/initialized", &json!({}));
        greeting
    }

    /// Closes stdin and waits for the end; the exit code.
    pub(crate) fn leave(&mut self) -> Option<i32> {
        drop(self.stdin.take());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it wrote to stdout that nobody has read; all of it JSON.
    pub(crate) fn rest(&self) -> Vec<Value> {
        self.lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    /// What it wrote to stderr.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
