//! What the Dockerfile and .dockerignore have to say, read from their text, since there is no engine to ask.

use std::fs;

use crate::eyes::prometheus::root;

/// An instruction: its word, and the rest with continued lines joined.
struct Step {
    word: String,
    rest: String,
}

/// The instructions, without comments.
fn steps(text: &str) -> Vec<Step> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.map(|line| line.strip_suffix('\\').map_or_else(|| format!("{line}\n"), str::to_owned));
    let joined: String = joined.collect();
    let parts = joined.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    parts.map(|(word, rest)| Step { word: word.to_owned(), rest: rest.trim().to_owned() }).collect()
}

fn dockerfile() -> Vec<Step> {
    steps(&fs::read_to_string(root().join("Dockerfile")).unwrap())
}

/// What the instruction of this word says in the last stage; there has to be one.
fn last<'a>(steps: &'a [Step], word: &str) -> &'a str {
    let stage = steps.iter().rposition(|step| step.word == "FROM").unwrap();
    let found: Vec<_> = steps[stage..].iter().filter(|step| step.word == word).collect();
    assert_eq!(found.len(), 1, "{word} stands {} times in the last stage", found.len());
    &found[0].rest
}

/// The paths that are copied from the checkout.
fn copied(steps: &[Step]) -> Vec<&str> {
    let of_context = steps.iter().filter(|step| step.word == "COPY" && !step.rest.starts_with("--from="));
    of_context
        .flat_map(|step| {
            let mut paths: Vec<_> = step.rest.split_whitespace().filter(|path| !path.starts_with("--")).collect();
            paths.pop();
            paths
        })
        .collect()
}

/// Whether an image is named by a version, or is nothing at all.
pub(super) fn is_versioned(image: &str) -> bool {
    let tag = image.split('@').next().and_then(|name| name.rsplit_once(':')).map(|(_, tag)| tag);
    image == "scratch" || tag.is_some_and(|tag| !tag.contains('/') && tag.contains(|c: char| c.is_ascii_digit()))
}

#[test]
fn an_image_without_a_version_is_not_taken_for_one_with() {
    for good in ["scratch", "rust:1.95.0-bookworm", "prom/prometheus:v3.5.0", "host:5000/redis:7.4@sha256:ab"] {
        assert!(is_versioned(good), "{good}");
    }
    for bad in ["rust", "rust:latest", "rust:bookworm", "host:5000/redis"] {
        assert!(!is_versioned(bad), "{bad}");
    }
}

#[test]
fn the_image_is_made_from_nothing_for_a_user_who_is_not_root() {
    let steps = dockerfile();
    let stages: Vec<_> = steps.iter().filter(|step| step.word == "FROM").map(|step| step.rest.as_str()).collect();
    assert_eq!(stages, ["${RUST_IMAGE} AS build", "scratch"], "there is no shell in nothing");
    let bases = steps.iter().filter(|step| step.word == "ARG").filter_map(|step| step.rest.split_once("_IMAGE="));
    for (name, image) in bases {
        assert!(is_versioned(image), "{name}: {image} has no version");
    }
    let user = last(&steps, "USER");
    let numeric = |id: &str| id.parse::<u32>().is_ok_and(|id| id >= 10_000);
    assert!(user.split(':').all(numeric), "Kubernetes cannot see that {user} is not root");
    assert_eq!(last(&steps, "ENTRYPOINT"), r#"["/usr/local/bin/patchbay"]"#);
    let check = last(&steps, "HEALTHCHECK");
    assert!(check.ends_with(r#"CMD ["/usr/local/bin/patchbay", "health"]"#), "{check}: without a shell it is a list");
    let volume = last(&steps, "VOLUME");
    assert_eq!(volume, r#"["/var/lib/patchbay"]"#);
    assert_eq!(last(&steps, "WORKDIR"), "/var/lib/patchbay", "the default data folder lies in the volume");
    let labels = last(&steps, "LABEL");
    for label in ["title", "description", "licenses", "version", "revision"] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}=")), "no label {label}: {labels}");
    }
    let stage = steps.iter().rposition(|step| step.word == "FROM").unwrap();
    assert!(!steps[stage..].iter().any(|step| step.word == "RUN" || step.word == "ADD" || step.word == "ENV"));
    let copies = steps[stage..].iter().filter(|step| step.word == "COPY");
    let copies: Vec<_> = copies.map(|step| step.rest.as_str()).collect();
    assert_eq!(copies, ["--from=build /rootfs/ /", "--from=build --chown=10001:10001 /data/ /var/lib/patchbay/"]);
    let build = steps.iter().find(|step| step.word == "RUN").unwrap();
    for part in ["--release", "--locked", "--package patchbay", "image/rootfs.sh target/release/patchbay /rootfs"] {
        assert!(build.rest.contains(part), "{part} is not in: {}", build.rest);
    }
}

#[test]
fn the_rust_of_the_image_is_the_one_that_the_workspace_names_and_the_version_is_ours() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let of = |field: &str| {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{field} = "))).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let steps = dockerfile();
    let args: Vec<_> = steps.iter().filter(|step| step.word == "ARG").map(|step| step.rest.as_str()).collect();
    let rust = args.iter().find_map(|arg| arg.strip_prefix("RUST_IMAGE=rust:")).unwrap();
    assert!(rust.starts_with(&format!("{}.", of("rust-version"))), "{rust} is not {}", of("rust-version"));
    assert!(args.contains(&&*format!("VERSION={}", of("version"))), "{args:?}");
    let compose = fs::read_to_string(root().join("compose.yaml")).unwrap();
    assert!(
        compose.contains(&format!("PATCHBAY_IMAGE:-patchbay:{}", of("version"))),
        "compose.yaml has another version"
    );
}

#[test]
fn the_build_sees_what_it_copies_and_nothing_else() {
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let rules: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(rules[0], "*", "everything is hidden but what is named");
    let steps = dockerfile();
    let wanted = copied(&steps);
    for path in &wanted {
        assert!(root().join(path).exists(), "{path} is copied and is not there");
        assert!(rules.contains(&&*format!("!{path}")), "{path} is copied and hidden by .dockerignore");
    }
    for rule in rules.iter().filter_map(|rule| rule.strip_prefix('!')) {
        assert!(wanted.contains(&rule), "{rule} is shown to the build, which does not copy it");
    }
    for hidden in ["**/target", "**/.git", "**/patchbay-data", "**/*.key"] {
        let at = rules.iter().position(|rule| *rule == hidden);
        let shown = rules.iter().rposition(|rule| rule.starts_with('!')).unwrap();
        assert!(at.is_some_and(|at| at > shown), "{hidden} is not hidden after all that is shown");
    }
    // A file that the hiding would take away from the build would be missed by nobody but the engine.
    let lost: Vec<_> = wanted.iter().flat_map(|path| files_with(path, &["db", "key"])).collect();
    assert!(lost.is_empty(), "these are copied, but .dockerignore hides their kind: {lost:?}");
    let members = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = members.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        let manifest = format!("{member}/Cargo.toml");
        let is_copied = wanted.iter().any(|path| **path == manifest || manifest.starts_with(&format!("{path}/")));
        assert!(is_copied, "cargo wants to see {manifest}, and the Dockerfile does not copy it");
    }
}

/// The files below a path of the checkout that end so.
fn files_with(path: &str, ends: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![root().join(path)];
    while let Some(path) = left.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "patchbay-data", ".git"].contains(&&*name) {
            left.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else if path.extension().is_some_and(|end| ends.iter().any(|known| end == *known)) {
            found.push(path.display().to_string());
        }
    }
    found
}
