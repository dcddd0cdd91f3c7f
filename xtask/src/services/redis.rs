//! A private Redis: found or installed, kept in memory only, and stopped with us.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::log_tail;
use crate::{
    apt,
    process::{self, Guard},
    workspace,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A running server; the fields are dropped in this order.
pub(crate) struct Redis {
    _server: Guard,
    _folder: TempDir,
    port: u16,
}

impl Redis {
    pub(crate) fn start(parent: &Path) -> Result<Self> {
        let program = "redis-server";
        if workspace::in_path(program).is_none() {
            apt::install(&["redis-server"], "Redis (its program redis-server)")?;
        }
        let program =
            workspace::in_path(program).context("redis-server is still not in PATH after its package was installed")?;
        let folder = workspace::scratch(parent)?;
        let mut attempts = 3;
        loop {
            attempts -= 1;
            let port = workspace::free_port()?;
            match serve(&program, folder.path(), port) {
                Ok(server) => {
                    return Ok(Self { _server: server, _folder: folder, port });
                }
                Err(error) if attempts == 0 => return Err(error),
                Err(_) => process::check_interrupted()?,
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

fn serve(program: &Path, folder: &Path, port: u16) -> Result<Guard> {
    let log = folder.join("redis.log");
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string(), "--dir"])
        .arg(folder);
    command.stdin(Stdio::null()).stdout(File::create(&log)?).stderr(File::create(folder.join("redis.err"))?);
    let mut server = Guard::start(&mut command, "Redis")?;
    let end = Instant::now() + LIMIT;
    while !answers(port) {
        server.check_alive().with_context(|| format!("Redis did not start: {}", log_tail(&log)))?;
        if Instant::now() > end {
            bail!("Redis took no connections within {} seconds: {}", LIMIT.as_secs(), log_tail(&log));
        }
        process::pause()?;
    }
    Ok(server)
}

fn answers(port: u16) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    };
    ping().unwrap_or(false)
}
