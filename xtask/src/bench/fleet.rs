//! Who takes part in a measurement: the origin, nginx before it, and Patchbay before it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{databases::Shop, nginx::Nginx, patchbay::Patchbay};
use crate::{
    process::Guard,
    workspace::{scratch, target},
};

/// What a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    Direct,
    Nginx,
    Patchbay,
    /// Patchbay, called with one access token again and again.
    Token,
    /// Patchbay, called with another access token each time.
    FreshToken,
}

impl Target {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Patchbay => "patchbay",
            Self::Token => "token",
            Self::FreshToken => "fresh",
        }
    }

    /// Whether it is Patchbay, whatever is shown to it.
    fn is_patchbay(self) -> bool {
        matches!(self, Self::Patchbay | Self::Token | Self::FreshToken)
    }
}

/// Everything that runs; the fields are dropped in this order.
pub(super) struct Fleet {
    pub(super) patchbay: Option<Patchbay>,
    pub(super) nginx: Nginx,
    pub(super) origin: Origin,
    /// Only where a database is asked.
    pub(super) shop: Option<Shop>,
    _folder: TempDir,
}

impl Fleet {
    /// Starts everybody who is wanted; so many measurements will show a fresh token with each request.
    pub(super) fn start(bins: &Path, with_patchbay: bool, with_database: bool, fresh: usize) -> Result<Self> {
        let folder = scratch(&target().join("bench"))?;
        let origin = Origin::start(bins, folder.path())?;
        let nginx = Nginx::start(folder.path(), origin.port)?;
        let shop = with_database.then(|| Shop::start(bins)).transpose()?;
        let prepare = || Patchbay::prepare(bins, folder.path(), &origin, shop.as_ref(), fresh);
        let mut patchbay = with_patchbay.then(prepare).transpose()?;
        if let Some(patchbay) = &mut patchbay {
            patchbay.start()?;
        }
        Ok(Self { patchbay, nginx, origin, shop, _folder: folder })
    }

    /// Who there is to measure.
    pub(super) fn targets(&self) -> impl Iterator<Item = Target> {
        let all = [Target::Direct, Target::Nginx, Target::Patchbay, Target::Token, Target::FreshToken];
        all.into_iter().filter(|target| !target.is_patchbay() || self.patchbay.is_some())
    }

    /// Where requests to a target go, as the load client wants to hear it: the origin's path, or the toolset of Patchbay.
    pub(super) fn place(&self, target: Target, era: &str, path: &str, toolset: &str) -> Result<Value> {
        let mut bearers = Value::Null;
        let (port, path, bearer) = match target {
            Target::Direct => (self.origin.port, path.to_owned(), "pb_none"),
            Target::Nginx => (self.nginx.port(), path.to_owned(), "pb_none"),
            Target::Patchbay | Target::Token | Target::FreshToken => {
                let patchbay = self.patchbay.as_ref().context("Patchbay was left out")?;
                let bearer = if target == Target::Token { patchbay.token() } else { patchbay.key() };
                if target == Target::FreshToken {
                    bearers = json!(patchbay.fresh_tokens()?);
                }
                (patchbay.port(), patchbay.path(toolset), bearer)
            }
        };
        Ok(
            json!({"address": format!("127.0.0.1:{port}"), "path": path, "bearer": bearer, "bearers": bearers, "era": era}),
        )
    }

    /// The processes of the proxy whose CPU time counts.
    pub(super) fn pids(&self, target: Target) -> Result<Vec<u32>> {
        match target {
            Target::Direct => Ok(vec![self.origin.server.pid()]),
            Target::Nginx => self.nginx.pids(),
            Target::Patchbay | Target::Token | Target::FreshToken => {
                Ok(self.patchbay.as_ref().and_then(Patchbay::pid).into_iter().collect())
            }
        }
    }
}

/// The server behind all of them.
pub(super) struct Origin {
    server: Guard,
    program: PathBuf,
    pub(super) port: u16,
}

impl Origin {
    fn start(bins: &Path, keys: &Path) -> Result<Self> {
        let program = bins.join("bench-origin");
        let mut command = Command::new(&program);
        command.args(["--port", "0"]).arg(keys).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = Guard::start(&mut command, "the origin")?;
        let mut line = String::new();
        let pipe = server.child().stdout.take().context("the pipe was asked for above")?;
        BufReader::new(pipe).read_line(&mut line)?;
        let port = line.trim().parse().context("the origin did not tell its port")?;
        Ok(Self { server, program, port })
    }

    /// The command that serves the same over standard streams.
    pub(super) fn stdio_command(&self) -> Vec<String> {
        vec![self.program.display().to_string(), "--stdio".to_owned(), "legacy".to_owned()]
    }

    /// The command that makes access tokens, and puts their keys where the origin serves them.
    pub(super) fn mint_command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--mint").arg(folder);
        command
    }

    /// The address of one of its servers.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
