//! The official SDKs and tools, as `cargo xtask test` installs them and tells where they are. Without them the tests that need
//! them are skipped, with a line that says so, unless the environment says that they are required.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::process::{Running, command, run};

/// Set where a missing service or client is a failure.
const REQUIRED: &str = "PATCHBAY_TEST_REQUIRE_SERVICES";

/// Node 22, the npm packages, and the three Python environments.
#[derive(Debug)]
pub struct Installed {
    /// The Node program.
    pub node: PathBuf,
    /// The folder that has `node_modules`, with the scripts of `tests/clients/node` beside it.
    pub node_dir: PathBuf,
    /// Python with the SDK of the 2025 era.
    pub py_legacy: PathBuf,
    /// Python with the SDK of the 2026 era.
    pub py_modern: PathBuf,
    /// Python with FastMCP.
    pub py_fastmcp: PathBuf,
    /// A home of their own for programs that keep things there.
    home: TempDir,
}

impl Installed {
    /// Where everything is; `None` when it is not there and need not be.
    pub fn find() -> Option<Self> {
        Some(Self {
            node: variable("PATCHBAY_TEST_NODE")?,
            node_dir: variable("PATCHBAY_TEST_NODE_DIR")?,
            py_legacy: variable("PATCHBAY_TEST_PY_LEGACY")?,
            py_modern: variable("PATCHBAY_TEST_PY_MODERN")?,
            py_fastmcp: variable("PATCHBAY_TEST_PY_FASTMCP")?,
            home: TempDir::with_prefix("patchbay-e2e-home-").expect("a folder"),
        })
    }

    /// A folder for programs that keep things at home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A file of an npm package.
    pub fn module(&self, path: &str) -> PathBuf {
        let file = self.node_dir.join("node_modules").join(path);
        assert!(file.is_file(), "{} is not there: run `cargo xtask test`, which installs it", file.display());
        file
    }

    /// A script of `tests/clients/node`. It is put beside the packages, where Node looks for what the script imports.
    pub fn node_script(&self, name: &str) -> PathBuf {
        let (from, to) = (source("node").join(name), self.node_dir.join(name));
        let text = std::fs::read(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        if std::fs::read(&to).ok().as_ref() != Some(&text) {
            // Written elsewhere and moved, so that a test beside this one never runs half a script.
            let fresh = tempfile::NamedTempFile::new_in(&self.node_dir).expect("a file");
            std::fs::write(fresh.path(), &text).expect("the folder can be written");
            fresh.persist(&to).expect("the folder can be written");
        }
        to
    }

    /// A command that knows a home, the usual paths, and nothing of the gateway.
    pub fn command(&self, program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = command(program, args);
        command.env("HOME", self.home.path()).env("NO_COLOR", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command.env_remove("FORCE_COLOR").current_dir(self.home.path());
        command
    }

    /// Starts a server.
    pub fn start(&self, program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Running {
        Running::start(&mut self.command(program, args))
    }

    /// Runs a client to its end and gives what it wrote; it has to end well.
    pub fn output(&self, program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        run(&mut self.command(program, args)).good()
    }
}

/// The folder of our own scripts for Node or Python.
pub fn source(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(language)
}

/// What a variable of `cargo xtask test` names; `None`, with a line that says so, when it is not set and need not be.
///
/// # Panics
/// When it is not set and has to be.
#[expect(clippy::print_stderr, reason = "whoever reads the tests' output wants to know what was not tested")]
pub fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name);
    if value.is_none() {
        let required = std::env::var_os(REQUIRED).is_some();
        assert!(!required, "{REQUIRED} is set: expected {name} to name what `cargo xtask test` installs");
        eprintln!("skipped: {name} is not set; `cargo xtask test` installs what it names and sets it");
    }
    value.map(PathBuf::from)
}
