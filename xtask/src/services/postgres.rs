//! A private PostgreSQL: found, set up in a scratch folder as a user other than root, and stopped with us.

use std::{
    fs::{self, File},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::Signal,
    unistd::{User, geteuid},
};
use tempfile::TempDir;

use super::log_tail;
use crate::{
    apt,
    process::{self, Guard},
    workspace,
};

/// How long `initdb`, and the start after it, may take.
const LIMIT: Duration = Duration::from_secs(120);
/// What the server logs when it takes connections.
const READY: &str = "database system is ready to accept connections";

/// A running server; the fields are dropped in this order.
pub(crate) struct Postgres {
    _server: Guard,
    _folder: TempDir,
    port: u16,
}

impl Postgres {
    /// Finds or installs it, and starts it on a free port with empty data, which lies in a folder of its own below `parent`.
    pub(crate) fn start(parent: &Path) -> Result<Self> {
        let programs = programs()?;
        let owner = owner()?;
        let folder = folder(parent, owner.as_ref())?;
        initdb(&programs, owner.as_ref(), folder.path())?;
        // Somebody may take the port between our look and the start, so there is a second and a third try.
        let mut attempts = 3;
        loop {
            attempts -= 1;
            let port = workspace::free_port()?;
            match serve(&programs, owner.as_ref(), folder.path(), port) {
                Ok(server) => {
                    return Ok(Self { _server: server, _folder: folder, port });
                }
                Err(error) if attempts == 0 => return Err(error),
                Err(_) => process::check_interrupted()?,
            }
        }
    }

    /// The administrator's URL; tests make their own databases with it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

/// The folder with `postgres` and `initdb`.
fn programs() -> Result<PathBuf> {
    if let Some(found) = find_programs() {
        return Ok(found);
    }
    apt::install(&["postgresql"], "PostgreSQL (its programs postgres and initdb)")?;
    find_programs().context("the package postgresql was installed, but postgres and initdb were not found after it")
}

fn find_programs() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    workspace::path_folders().into_iter().chain(packaged()).find(complete)
}

/// Where distributions put the programs that are not in PATH, the newest version first.
fn packaged() -> Vec<PathBuf> {
    let mut versions: Vec<_> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path()).collect();
    let number = |folder: &PathBuf| folder.file_name().and_then(|n| n.to_str()?.parse::<u32>().ok());
    versions.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
    let others = ["/usr/local/pgsql", "/usr/lib/postgres", "/usr/pgsql"].map(PathBuf::from);
    versions.into_iter().chain(others).map(|folder| folder.join("bin")).collect()
}

/// Whom the server runs as; PostgreSQL refuses to run as root.
fn owner() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user postgres or nobody; run this as an ordinary user")
}

/// A folder that the owner can reach and write: below the target folder, or, where that is closed to others, below the
/// system's folder for temporary files.
fn folder(parent: &Path, owner: Option<&User>) -> Result<TempDir> {
    let Some(user) = owner else {
        return workspace::scratch(parent);
    };
    for parent in [parent, &std::env::temp_dir().join("patchbay-e2e")] {
        let folder = workspace::scratch(parent)?;
        chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        let mut probe = Command::new("/bin/sh");
        probe.args(["-c", "cd \"$1\" && : > probe && rm probe", "sh"]).arg(folder.path()).current_dir("/");
        if process::succeeds(as_owner(&mut probe, owner), "a look at the data folder", LIMIT)? {
            return Ok(folder);
        }
    }
    bail!(
        "the user {} can write neither below the target folder nor below {}",
        user.name,
        std::env::temp_dir().display()
    )
}

fn initdb(programs: &Path, owner: Option<&User>, folder: &Path) -> Result<()> {
    let mut initdb = Command::new(programs.join("initdb"));
    initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
    initdb.arg(folder.join("data")).current_dir(folder);
    process::output(as_owner(&mut initdb, owner), "initdb", LIMIT)?;
    Ok(())
}

/// Starts the server and waits until its log says that it takes connections.
fn serve(programs: &Path, owner: Option<&User>, folder: &Path, port: u16) -> Result<Guard> {
    let log = folder.join("postgres.log");
    let mut command = Command::new(programs.join("postgres"));
    command.arg("-D").arg(folder.join("data")).current_dir(folder);
    for setting in [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=200",
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "logging_collector=off",
        "lc_messages=C",
    ] {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
    // SIGTERM would wait for the clients to leave.
    let mut server = Guard::start_ended_by(Signal::SIGINT, as_owner(&mut command, owner), "PostgreSQL")?;
    let end = Instant::now() + LIMIT;
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains(READY)) {
        server.check_alive().with_context(|| format!("PostgreSQL did not start: {}", log_tail(&log)))?;
        if Instant::now() > end {
            bail!("PostgreSQL took no connections within {} seconds: {}", LIMIT.as_secs(), log_tail(&log));
        }
        process::pause()?;
    }
    Ok(server)
}

fn as_owner<'a>(command: &'a mut Command, owner: Option<&User>) -> &'a mut Command {
    if let Some(user) = owner {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).env("HOME", "/");
    }
    command
}
