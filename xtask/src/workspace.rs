//! Where things are: the checkout, the target folder, programs in PATH, and a `cargo` that is ready to be told what to do.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use anyhow::{Context, Result};

/// The root folder of the checkout.
///
/// Cargo says at run time where this package lies; what it said at compile time is wrong when two checkouts share a
/// target folder.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package).parent();
        root.expect("this package lies in a folder of the workspace").to_path_buf()
    });
    &ROOT
}

/// Cargo's target folder, with whatever else we keep between runs.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Cargo, at the root of the checkout.
///
/// `cargo xtask` sets variables about the package xtask; some build scripts (that of ring) ask to be run again when those
/// change, so passing them on would rebuild half of the dependencies each time somebody calls cargo without us.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    let about_xtask = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| about_xtask.iter().any(|prefix| name.starts_with(prefix))) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// The first program of this name in PATH.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    path_folders().into_iter().map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The folders of PATH, then those where system programs lie that PATH may lack.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from)).collect()
}

/// A port of the loopback address that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// A short name for the contents of these files, for caches.
pub(crate) fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        fs::read(file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// A fresh folder for this run; those of runs that were killed are removed on the way.
pub(crate) fn scratch(parent: &Path) -> Result<tempfile::TempDir> {
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    for entry in fs::read_dir(parent)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-")).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("run-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).context("cannot make a scratch folder")
}
