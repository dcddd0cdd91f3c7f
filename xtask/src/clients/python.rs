//! The Python SDKs, FastMCP, and what checks the chart and the admin API: one virtual environment per file of
//! `tests/clients/python`, kept until the file changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    apt, process,
    services::Environment,
    workspace::{self, in_path},
};

const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// The variable, the file of the requirements, and a module that is there when they are. FastMCP pulls in many packages, so it has
/// an environment of its own beside the plain SDK; what checks the chart or the admin API has nothing to do with either.
const ENVIRONMENTS: [(&str, &str, &str); 5] = [
    ("PATCHBAY_TEST_PY_LEGACY", "legacy", "mcp"),
    ("PATCHBAY_TEST_PY_MODERN", "modern", "mcp"),
    ("PATCHBAY_TEST_PY_FASTMCP", "fastmcp", "mcp"),
    ("PATCHBAY_TEST_PY_CHART", "chart", "kubernetes_validate"),
    ("PATCHBAY_TEST_PY_SCHEMATHESIS", "schemathesis", "schemathesis"),
];

pub(super) fn prepare() -> Result<Environment> {
    ENVIRONMENTS.iter().map(|(variable, name, module)| Ok((*variable, environment(name, module)?.into()))).collect()
}

/// The Python executable of the environment.
fn environment(name: &str, module: &str) -> Result<PathBuf> {
    let requirements = workspace::root().join(format!("tests/clients/python/{name}.txt"));
    let folder = workspace::target().join(format!("e2e-py-{name}"));
    let python = folder.join("bin/python");
    let (mark, wanted) = (folder.join("installed"), workspace::fingerprint(std::slice::from_ref(&requirements))?);
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) && succeeds(&python, &format!("import {module}"))? {
        return Ok(python);
    }
    println!("installing the Python packages of tests/clients/python/{name}.txt (once)");
    let _ = fs::remove_dir_all(&folder);
    let mut venv = Command::new(base_python()?);
    process::output(venv.args(["-m", "venv"]).arg(&folder), "python3 -m venv", INSTALL_LIMIT)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"]).arg(&requirements);
    process::output(&mut pip, &format!("pip install of {name}.txt"), INSTALL_LIMIT)?;
    fs::write(&mark, wanted).with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(python)
}

/// A Python from 3.10 on that can make virtual environments.
fn base_python() -> Result<PathBuf> {
    if let Some(found) = find_python()? {
        return Ok(found);
    }
    apt::install(&["python3", "python3-venv"], "Python 3.10 or newer with its venv module")?;
    find_python()?
        .context("python3 and python3-venv were installed, but no Python from 3.10 on can make virtual environments")
}

fn find_python() -> Result<Option<PathBuf>> {
    let names = ["python3", "python3.13", "python3.12", "python3.11", "python3.10"];
    let system = Some(PathBuf::from("/usr/bin/python3"));
    for python in names.into_iter().map(in_path).chain([system]).flatten() {
        if succeeds(&python, "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))")? {
            return Ok(Some(python));
        }
    }
    Ok(None)
}

fn succeeds(python: &Path, code: &str) -> Result<bool> {
    process::succeeds(Command::new(python).args(["-c", code]), "python3", LOOK_LIMIT)
}
