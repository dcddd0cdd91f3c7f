//! Node 22 and the npm packages of `tests/clients/node`, in one cached folder named after the lock file.
//!
//! Node itself comes as an npm package too, so that the machine's own Node only has to be able to run npm.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    apt, process,
    services::Environment,
    workspace::{self, in_path},
};

const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);
const MANIFESTS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

pub(super) fn prepare() -> Result<Environment> {
    let source = workspace::root().join("tests/clients/node");
    let cache = workspace::target().join("e2e-node");
    let folder = cache.join(workspace::fingerprint(&MANIFESTS.map(|name| source.join(name)))?);
    if !folder.is_dir() {
        install(&source, &cache, &folder)?;
    }
    copy_scripts(&source, &folder)?;
    let node = node_22(&folder)?;
    Ok(vec![("PATCHBAY_TEST_NODE", node.into()), ("PATCHBAY_TEST_NODE_DIR", folder.into())])
}

/// Installs into a folder of another name first, so that an interrupted installation is never taken for a whole one.
fn install(source: &Path, cache: &Path, folder: &Path) -> Result<()> {
    if in_path("npm").is_none() {
        apt::install(&["nodejs", "npm"], "npm, which installs the Node side of the tests,")?;
    }
    // What lies here belongs to an older lock file or to an interrupted installation.
    let _ = fs::remove_dir_all(cache);
    let fresh = cache.join("incomplete");
    fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    for name in MANIFESTS {
        fs::copy(source.join(name), fresh.join(name))?;
    }
    println!("installing the Node packages of tests/clients/node (once)");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]);
    process::output(npm.current_dir(&fresh), "npm ci in tests/clients/node", INSTALL_LIMIT)?;
    fs::rename(&fresh, folder).with_context(|| format!("cannot rename to {}", folder.display()))?;
    Ok(())
}

/// Scripts are run from the folder of the packages, because an ES module looks for packages only above its own file.
fn copy_scripts(source: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(source)?.flatten() {
        let (from, to) = (entry.path(), folder.join(entry.file_name()));
        if from.extension().is_some_and(|ext| ext == "mjs") && fs::read(&from)? != fs::read(&to).unwrap_or_default() {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}

/// The Node of the folder, or, on a machine for which none is packaged, the one in PATH when it is new enough.
fn node_22(folder: &Path) -> Result<PathBuf> {
    let packaged = folder.join("node_modules/.bin/node");
    let node = if packaged.exists() { Some(packaged) } else { in_path("node") };
    let node =
        node.context("there is no packaged Node for this machine and none in PATH; install Node 22.19 or newer")?;
    let version = process::output(Command::new(&node).arg("--version"), "node --version", Duration::from_secs(30))?;
    let mut numbers = version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next(), numbers.next());
    ensure!(
        found >= (Some(22), Some(19)),
        "{} is Node {}; the conformance suite and the inspector need Node 22.19 or newer, install that",
        node.display(),
        version.trim()
    );
    Ok(node)
}
