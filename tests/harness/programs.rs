//! Where the programs under test are: in the folder that `cargo xtask test` names, else built once, here.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The variable that names the folder of the programs.
const FOLDER: &str = "PATCHBAY_TEST_BIN_DIR";

/// A program of this workspace, by its name.
///
/// # Panics
/// When it is not there.
pub fn program(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(path.is_file(), "{} is not there: build it, or let {FOLDER} name the folder where it is", path.display());
    path
}

fn folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os(FOLDER).map_or_else(build, PathBuf::from))
}

/// Builds the programs once for this process; cargo itself sees to it that several processes do not do it twice.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let packages = ["--package", "patchbay", "--package", "patchbay-builtin-tools", "--package", "patchbay-e2e"];
    let status = Command::new(cargo).arg("build").args(packages).arg("--bins").current_dir(root).status();
    assert!(status.is_ok_and(|status| status.success()), "cargo could not build the programs under test");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    target.join("debug")
}
