//! Servers of our own as processes: `fixture-scripted`, which misbehaves as it is told, and `fixture-conformance`, over HTTP.
//! Over stdio the gateway starts them itself; see [`crate::setup`].

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    process::{Running, command},
    programs::program,
    wait::block_until,
};

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Fixture {
    process: Running,
    /// Its endpoint.
    pub url: String,
    /// Its socket.
    pub address: SocketAddr,
}

impl Fixture {
    /// `fixture-scripted` over HTTP with these further arguments.
    pub fn scripted(args: &[&str]) -> Self {
        Self::start("fixture-scripted", args, &[])
    }

    /// `fixture-scripted` over HTTP, under this name.
    pub fn named(name: &str, args: &[&str]) -> Self {
        Self::start("fixture-scripted", args, &[("FIXTURE_NAME", name)])
    }

    /// `fixture-conformance` over HTTP with these further arguments.
    pub fn conformance(args: &[&str]) -> Self {
        Self::start("fixture-conformance", args, &[])
    }

    /// # Panics
    /// When it does not come up.
    fn start(name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let args = ["--http", "127.0.0.1:0"].iter().chain(args);
        let mut process = Running::start(command(&program(name), args).envs(env.iter().copied()));
        block_until(format!("{name} listens"), || {
            let ended = process.status();
            assert!(ended.is_none(), "{name} ended: {ended:?}: {}", process.err());
            process.out().contains('\n')
        });
        let out = process.out();
        let url = out.lines().next().and_then(|line| line.strip_prefix("listening ")).expect("the line with its URL");
        let authority = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let address = authority.parse().unwrap_or_else(|_| panic!("no address in {out:?}"));
        Self { url: url.to_owned(), address, process }
    }

    /// The server as a tenant file has it.
    pub fn server(&self) -> Value {
        json!({ "url": self.url })
    }

    /// The server as a tenant file has it, behind a wire.
    pub fn server_through(&self, wire: &crate::Wire) -> Value {
        json!({ "url": self.url.replace(&self.address.to_string(), &wire.address().to_string()) })
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
