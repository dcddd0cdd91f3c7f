//! A real client as a process that is told what to do, line by line (`tests/clients`, `oauth*`): how it signs in is its own
//! affair.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use patchbay_e2e::{Installed, installed::source, process::Running, wait::block_until};
use serde_json::{Value, json};

use super::World;

pub(super) struct Actor {
    name: &'static str,
    process: Running,
    /// How many lines of its answers were read.
    heard: usize,
}

impl Actor {
    /// A script for Node.
    pub(super) fn node(name: &'static str, world: &World, user: &str) -> Self {
        world.installed.node_script("oauth.mjs");
        let script = world.installed.node_script(&format!("{name}.mjs"));
        Self::start(name, &world.installed, &world.installed.node, &[script], &world.given(user))
    }

    /// A script for Python.
    pub(super) fn python(name: &'static str, world: &World, python: &Path, user: &str) -> Self {
        let script = source("python").join(format!("{name}.py"));
        Self::start(name, &world.installed, python, &["-B".into(), script], &world.given(user))
    }

    /// A host that knows stdio alone, with mcp-remote.
    pub(super) fn remote(world: &World, user: &str) -> Self {
        let installed = &world.installed;
        for script in ["oauth.mjs", "browser.mjs"] {
            installed.node_script(script);
        }
        let home = installed.home();
        let browser = home.join("browser.sh");
        let command = format!(
            "#!/bin/sh\nexec '{}' '{}' '{}' '{user}' \"$1\"\n",
            installed.node.display(),
            installed.node_dir.join("browser.mjs").display(),
            world.idp.browser(),
        );
        std::fs::write(&browser, command).unwrap();
        std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Nothing of a desktop, so that what opens browsers goes by BROWSER.
        let environment = json!({ "HOME": home, "PATH": "/usr/bin:/bin", "BROWSER": browser, "NO_COLOR": "1" });
        let program = installed.module("mcp-remote/dist/proxy.js");
        let given = json!({ "url": world.resource("default"), "program": program, "environment": environment });
        let script = installed.node_script("oauth_remote.mjs");
        Self::start("mcp-remote", installed, &installed.node, &[script], &given)
    }

    fn start(name: &'static str, installed: &Installed, program: &Path, args: &[PathBuf], given: &Value) -> Self {
        let mut command = installed.command(program, args);
        command.arg(given.to_string()).stdin(Stdio::piped());
        Self { name, process: Running::start(&mut command), heard: 0 }
    }

    /// Tells it to do something, and gives what it says; `Err` with its own words when it could not.
    pub(super) fn attempt(&mut self, order: &Value) -> Result<Value, String> {
        self.process.say(&order.to_string());
        let mut line = None;
        block_until(format!("{} does {order}", self.name), || {
            let out = self.process.out();
            line = out.lines().filter(|line| line.starts_with("{\"")).nth(self.heard).map(str::to_owned);
            assert!(
                line.is_some() || self.process.status().is_none(),
                "{} ended: {out}\n{}",
                self.name,
                self.process.err()
            );
            line.is_some()
        });
        self.heard += 1;
        let line = line.unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["ok"].take()),
        }
    }

    /// Tells it to do something that it can.
    pub(super) fn act(&mut self, order: &Value) -> Value {
        self.attempt(order)
            .unwrap_or_else(|error| panic!("{} cannot {order}: {error}\n{}", self.name, self.process.err()))
    }

    /// Has it call a tool; the text of the result.
    pub(super) fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let result = self.act(&json!({ "do": "call", "name": tool, "arguments": arguments }));
        result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}")).to_owned()
    }
}

impl World {
    fn given(&self, user: &str) -> Value {
        json!({ "url": self.resource("default"), "browser": self.idp.browser(), "user": user })
    }
}
