//! Looks for what must not be in a public repository: paths of the machine it was written on, addresses of package registries.
//!
//! `cargo xtask ci` calls it. Which crates may use which is looked at by a test of the end-to-end package.

use std::{env, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{process, workspace::root};

/// Written in halves, since this file is looked at as well.
const FORBIDDEN: [(&str, &str); 8] = [
    ("/wo", "rk/"),
    ("/fa", "rm/"),
    ("/tmp/bash", "_jobs"),
    ("/tmp/br", "ief"),
    ("registry.np", "mjs.org"),
    ("py", "pi.org"),
    ("files.python", "hosted.org"),
    ("index.cra", "tes.io"),
];

/// Larger files hold no text of ours.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Fails with all findings when there are any.
pub(crate) fn check() -> Result<()> {
    if !root().join(".git").exists() {
        println!("not a git checkout, so there are no tracked files to look at");
        return Ok(());
    }
    let forbidden = forbidden();
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let files = process::output(&mut git, "git ls-files", Duration::from_secs(60))?;
    let mut findings = Vec::new();
    for name in files.split('\0').filter(|name| !name.is_empty()) {
        findings
            .extend(findings_in(&root().join(name), &forbidden)?.into_iter().map(|found| format!("{name}:{found}")));
    }
    ensure!(
        findings.is_empty(),
        "these lines name a folder of one machine or a package registry; say it in another way:\n{}",
        findings.join("\n")
    );
    Ok(())
}

/// The fixed texts, and where this checkout and its owner's home happen to lie.
fn forbidden() -> Vec<String> {
    let fixed = FORBIDDEN.iter().map(|(first, second)| format!("{first}{second}"));
    let here = [Some(root().to_path_buf()), env::home_dir()].into_iter().flatten();
    let here = here.filter(|folder| folder.components().count() > 1).map(|folder| format!("{}/", folder.display()));
    fixed.chain(here).collect()
}

fn findings_in(file: &Path, forbidden: &[String]) -> Result<Vec<String>> {
    let Ok(facts) = fs::symlink_metadata(file) else {
        return Ok(Vec::new());
    };
    if !facts.is_file() || facts.len() > FILE_BYTES_MAX {
        return Ok(Vec::new());
    }
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let numbered = text.lines().enumerate();
    let hits = numbered.filter_map(|(index, line)| Some((index, forbidden.iter().find(|text| stands_in(line, text))?)));
    Ok(hits.map(|(index, text)| format!("{}: {text}", index + 1)).collect())
}

/// A path counts only where it begins, so that a longer path with the same words in the middle is left alone.
fn stands_in(line: &str, text: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "._-~/}$)*".contains(c);
    let begins = |at: usize| !text.starts_with('/') || !line[..at].ends_with(inside);
    line.match_indices(text).any(|(at, _)| begins(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_path_counts() {
        let folder = "/place/";
        assert!(stands_in("see /place/x", folder));
        assert!(stands_in("\"/place/x\"", folder));
        assert!(!stands_in("https://host/place/x", folder));
        assert!(!stands_in("../place/x", folder));
        assert!(stands_in("https://host.example/x", "host.example"));
    }
}
