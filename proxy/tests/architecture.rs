//! Holds the house to its plan: which crate may use which, which room may know what, and that the tables in docs/ say what
//! the code says. It reads manifests, sources and pages as texts; nothing is built or started. Each rule prints why it is one.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "architecture/arrows.rs"]
mod arrows;
#[path = "architecture/bounds.rs"]
mod bounds;
#[path = "architecture/eyes.rs"]
mod eyes;
#[path = "architecture/pages.rs"]
mod pages;
#[path = "architecture/rooms.rs"]
mod rooms;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The repository.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// A Rust file: its path from the root, its text, and of that what is in the product (no comments, no tests at its end).
struct Source {
    path: String,
    text: String,
    product: String,
}

impl Source {
    fn is_test(&self) -> bool {
        let parts: Vec<_> = self.path.split('/').collect();
        parts.contains(&"tests") || parts.contains(&"tests.rs")
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }
}

/// All Rust files of the workspace.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in ["proxy", "builtin-tools", "config", "tests", "xtask"] {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 200, "only {} Rust files were found; the rules would hold for nothing", paths.len());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Source { path, product: product(&text), text }
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            collect(&path, into);
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
}

/// The text without comments and without the tests that end a file.
fn product(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| match line.trim_start().starts_with("//") {
        true => "",
        false => line.split(" // ").next().unwrap_or_default(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether the word stands in the text, not as a part of a longer one.
fn names(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let open = |edge: Option<char>| !edge.is_some_and(is_part);
        (open(before.chars().next_back()) || !word.starts_with(is_part))
            && (open(after.chars().next()) || !word.ends_with(is_part))
    })
}

/// Fails with all findings, each on a line of its own.
fn nothing_of(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn a_word_is_found_alone_and_not_as_a_part() {
    assert!(names("use rmcp::Service;", "rmcp::") && names("x: Box<dyn sqlx::Db>", "sqlx::"));
    assert!(!names("use my_rmcp::Service;", "rmcp::") && !names("MemoryLimiters", "MemoryLimiter"));
    assert!(!names(&product("// axum::Router\nlet a = 1; // axum::Router"), "axum::"));
}
