//! Secrets in files: `${env:NAME}` and `${file:PATH}` stand for values that are kept elsewhere.
//!
//! References are replaced in fields that hold secrets and nowhere else. What they stand for never enters a message.

use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::environment::Environment;

/// The longest file that a reference may name.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file; a line break at its end does not count.
    File(PathBuf),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl SecretRef {
    /// Reads `env:NAME` or `file:PATH`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("env", name) if is_variable_name(name) => Some(Self::Env(name.to_owned())),
            ("file", path) if !path.is_empty() => Some(Self::File(path.into())),
            _ => None,
        }
    }
}

/// `[A-Za-z_][A-Za-z0-9_]*`
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// How a reference is looked up: the secret, or a sentence that says why there is none.
pub type Resolve<'a> = dyn Fn(&SecretRef) -> Result<String, String> + 'a;

/// Looks references up in the environment and in files; relative paths start at `folder`, the folder of the file that
/// names them.
pub fn resolver<'a>(env: &'a Environment, folder: &'a Path) -> impl Fn(&SecretRef) -> Result<String, String> + 'a {
    move |reference| match reference {
        SecretRef::Env(name) => {
            env.get(name).map(str::to_owned).ok_or_else(|| format!("the environment variable {name} is not set"))
        }
        SecretRef::File(path) => read(&folder.join(path)),
    }
}

/// Refuses every reference. For documents from elsewhere: what their references would stand for is theirs, not the gateway's.
pub fn refuse_references() -> impl Fn(&SecretRef) -> Result<String, String> {
    |_| {
        Err("references are looked up where the command line runs, not by the gateway: send the value itself, and write `$${` \
             where the two characters `${` are meant"
            .to_owned())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
    if u64::try_from(text.len()).is_ok_and(|len| len > SECRET_BYTES_MAX) {
        return Err(format!("the file {shown} is larger than {SECRET_BYTES_MAX} bytes"));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Replaces the references in `text`. `$${` stands for `${` itself.
pub(crate) fn expand(text: &str, resolve: &Resolve<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        out.push_str(before);
        let (inner, after) = from[2..].split_once('}').ok_or(UNKNOWN_REFERENCE)?;
        let reference = SecretRef::parse(inner).ok_or(UNKNOWN_REFERENCE)?;
        out.push_str(&resolve(&reference)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The text that stands for this very value: `expand` gives it back, whatever is in it.
pub(crate) fn escape(value: &str) -> String {
    value.replace("${", "$${")
}

const UNKNOWN_REFERENCE: &str =
    "expected `${env:NAME}` or `${file:PATH}` after `${`; write `$${` where the two characters are meant";

/// The variables that `text` refers to.
pub(crate) fn variables(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("${env:").skip(1);
    parts.filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_strange_ones_refused() {
        let resolve = |reference: &SecretRef| match reference {
            SecretRef::Env(name) if name == "A" => Ok("${env:B}".to_owned()),
            other => Err(format!("no {other}")),
        };
        let unknown = Err(UNKNOWN_REFERENCE.to_owned());
        for (text, expected) in [
            ("plain $5", Ok("plain $5".to_owned())),
            ("x${env:A}y", Ok("x${env:B}y".to_owned())),
            ("$${env:A}", Ok("${env:A}".to_owned())),
            ("${env:B}", Err("no env:B".to_owned())),
            ("${file:/f}", Err("no file:/f".to_owned())),
            ("${A}", unknown.clone()),
            ("x ${sealed}", unknown.clone()),
            ("${env:}", unknown.clone()),
            ("${env:A", unknown),
        ] {
            assert_eq!(expand(text, &resolve), expected, "{text}");
        }
        assert_eq!(variables("a ${env:A} ${file:x} ${env:B}").collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn an_escaped_value_means_itself() {
        let refuse = refuse_references();
        for value in
            ["", "plain", "$", "${", "$${", "$$$${{", "${env:A}", "$${env:A}", "x${sealed}y", "a$", "${${a}}", "$$"]
        {
            assert_eq!(expand(&escape(value), &refuse).as_deref(), Ok(value), "{}", escape(value));
        }
        let said = expand("Bearer ${file:/etc/shadow}", &refuse).unwrap_err();
        assert!(said.contains("send the value itself") && !said.contains("shadow"), "{said}");
    }

    #[test]
    fn files_lose_their_last_line_break_and_may_not_be_large() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "secret\n").unwrap();
        std::fs::write(folder.path().join("big"), "x".repeat(70_000)).unwrap();
        let env = Environment::default();
        let resolve = resolver(&env, folder.path());
        assert_eq!(resolve(&SecretRef::File("key".into())).as_deref(), Ok("secret"));
        assert!(resolve(&SecretRef::File("big".into())).unwrap_err().contains("larger than 65536 bytes"));
        assert!(resolve(&SecretRef::File("absent".into())).unwrap_err().contains("cannot be read"));
        let unset = resolve(&SecretRef::Env("X".into()));
        assert_eq!(unset.unwrap_err(), "the environment variable X is not set");
    }
}
