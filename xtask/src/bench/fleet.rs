//! Who takes part in a measurement: the origin, nginx before it, and Patchbay before it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    databases::Shop,
    nginx::Nginx,
    patchbay::{Flavour, Patchbay},
};
use crate::{
    process::Guard,
    services::Redis,
    workspace::{scratch, target},
};

/// What a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    Direct,
    Nginx,
    Patchbay,
    /// Another build of Patchbay, set up the same.
    Before,
    /// Patchbay, called with one access token again and again.
    Token,
    /// Patchbay, called with another access token each time.
    FreshToken,
    /// Another Patchbay that counts and records as little as can be.
    Bare,
    /// Another Patchbay with several limits, counted in Redis.
    Governed,
}

impl Target {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Patchbay => "patchbay",
            Self::Before => "before",
            Self::Token => "token",
            Self::FreshToken => "fresh",
            Self::Bare => "bare",
            Self::Governed => "governed",
        }
    }

    /// Whether it is Patchbay, whatever is shown to it.
    fn is_patchbay(self) -> bool {
        matches!(self, Self::Patchbay | Self::Before | Self::Token | Self::FreshToken | Self::Bare | Self::Governed)
    }
}

/// Who is wanted.
pub(super) struct With<'a> {
    /// Patchbay at all.
    pub(super) patchbay: bool,
    /// Another build of it.
    pub(super) before: Option<&'a Path>,
    /// A database, and the DB explorer before it.
    pub(super) database: bool,
    /// So many measurements that show a fresh token with each request.
    pub(super) fresh: usize,
    /// The two gateways that limits are measured by.
    pub(super) pair: bool,
}

/// Everything that runs; the fields are dropped in this order.
pub(super) struct Fleet {
    pub(super) patchbay: Option<Patchbay>,
    /// Only where another build is measured too.
    before: Option<Patchbay>,
    /// Only where limits are measured.
    pub(super) pair: Option<Pair>,
    pub(super) nginx: Nginx,
    pub(super) origin: Origin,
    /// Only where a database is asked.
    pub(super) shop: Option<Shop>,
    _folder: TempDir,
}

impl Fleet {
    /// Starts everybody who is wanted; so many measurements will show a fresh token with each request.
    pub(super) fn start(bins: &Path, with: &With<'_>) -> Result<Self> {
        let With { patchbay: with_patchbay, before, database: with_database, fresh, pair: with_pair } = *with;
        let program = bins.join("patchbay");
        let folder = scratch(&target().join("bench"))?;
        let origin = Origin::start(bins, folder.path())?;
        let nginx = Nginx::start(folder.path(), origin.port)?;
        let shop = with_database.then(|| Shop::start(bins)).transpose()?;
        let prepare = || Patchbay::prepare(&program, folder.path(), &origin, shop.as_ref(), fresh, &Flavour::Usual);
        let mut patchbay = with_patchbay.then(prepare).transpose()?;
        if let Some(patchbay) = &mut patchbay {
            patchbay.start()?;
        }
        let pair = (with_patchbay && with_pair).then(|| Pair::start(&program, folder.path(), &origin)).transpose()?;
        let before = before.map(|before| {
            let folder = folder.path().join("before");
            fs::create_dir(&folder)?;
            begin(before, &folder, &origin, &Flavour::Before)
        });
        let before = before.transpose()?;
        Ok(Self { patchbay, before, pair, nginx, origin, shop, _folder: folder })
    }

    /// Who there is to measure.
    pub(super) fn targets(&self) -> impl Iterator<Item = Target> {
        let all = [
            Target::Direct,
            Target::Nginx,
            Target::Patchbay,
            Target::Before,
            Target::Token,
            Target::FreshToken,
            Target::Bare,
            Target::Governed,
        ];
        all.into_iter().filter(|target| !target.is_patchbay() || self.gateway(*target).is_some())
    }

    /// The gateway behind a target.
    fn gateway(&self, target: Target) -> Option<&Patchbay> {
        match target {
            Target::Direct | Target::Nginx => None,
            Target::Patchbay | Target::Token | Target::FreshToken => self.patchbay.as_ref(),
            Target::Before => self.before.as_ref(),
            Target::Bare => self.pair.as_ref().map(|pair| &pair.bare),
            Target::Governed => self.pair.as_ref().map(|pair| &pair.governed),
        }
    }

    /// Where requests to a target go, as the load client wants to hear it: the origin's path, or the toolset of Patchbay.
    pub(super) fn place(&self, target: Target, era: &str, path: &str, toolset: &str) -> Result<Value> {
        let mut bearers = Value::Null;
        let (port, path, bearer) = match target {
            Target::Direct => (self.origin.port, path.to_owned(), "pb_none"),
            Target::Nginx => (self.nginx.port(), path.to_owned(), "pb_none"),
            _ => {
                let patchbay = self.gateway(target).context("Patchbay was left out")?;
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
            _ => Ok(self.gateway(target).and_then(Patchbay::pid).into_iter().collect()),
        }
    }
}

/// Two more gateways that differ in nothing but limits and audit, and the Redis of one of them.
pub(super) struct Pair {
    bare: Patchbay,
    pub(super) governed: Patchbay,
    _redis: Redis,
}

impl Pair {
    fn start(program: &Path, folder: &Path, origin: &Origin) -> Result<Self> {
        let redis = Redis::start(folder)?;
        let begin = |name: &str, flavour: &Flavour| -> Result<Patchbay> {
            let folder = folder.join(name);
            fs::create_dir(&folder)?;
            begin(program, &folder, origin, flavour)
        };
        Ok(Self {
            bare: begin("bare", &Flavour::Bare)?,
            governed: begin("governed", &Flavour::Governed { redis: redis.url() })?,
            _redis: redis,
        })
    }
}

/// A gateway of this program that runs.
fn begin(program: &Path, folder: &Path, origin: &Origin, flavour: &Flavour) -> Result<Patchbay> {
    let mut patchbay = Patchbay::prepare(program, folder, origin, None, 0, flavour)?;
    patchbay.start()?;
    Ok(patchbay)
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
