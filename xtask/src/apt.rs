//! Installs system packages where that is possible without asking anybody; else says what to install.
//!
//! Called when a program that tests or measurements need is not there. Services of fresh packages are not started.

use std::{process::Command, sync::Once, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

use crate::{
    process,
    workspace::{in_path, root},
};

/// How long apt may take, the wait for its lock included.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Keeps the package's service from being started: `invoke-rc.d` asks this file, and 101 means no.
const SCRIPT: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" || exit 1
"#;

static UPDATED: Once = Once::new();

/// Installs `packages`, or fails with a sentence that says what is missing and how to get it.
pub(crate) fn install(packages: &[&str], wanted_for: &str) -> Result<()> {
    let names = packages.join(" ");
    let how = format!(
        "{wanted_for} is missing here; install it (on Debian or Ubuntu: apt-get install {names}) and run this again"
    );
    ensure!(in_path("apt-get").is_some() && may_install()?, "{how}");
    println!("installing {names} for {wanted_for}");
    UPDATED.call_once(|| {
        let update = process::output(as_root(&["apt-get", "update"]).current_dir(root()), "apt-get update", LIMIT);
        if let Err(error) = update {
            println!("apt-get update failed, going on with the package lists that are here: {error}");
        }
    });
    let mut arguments = vec!["sh", "-c", SCRIPT, "sh"];
    arguments.extend(packages);
    process::output(as_root(&arguments).current_dir(root()), "apt-get install", LIMIT).context(how)?;
    Ok(())
}

fn may_install() -> Result<bool> {
    if geteuid().is_root() {
        return Ok(true);
    }
    let mut sudo = Command::new("sudo");
    Ok(in_path("sudo").is_some() && process::succeeds(sudo.args(["-n", "true"]), "sudo", Duration::from_secs(10))?)
}

fn as_root(arguments: &[&str]) -> Command {
    if geteuid().is_root() {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]);
        command
    } else {
        let mut command = Command::new("sudo");
        command.arg("-n").args(arguments);
        command
    }
}
