//! A child's environment, built from nothing: a search path, the language, a home, and what the server's record declares.
//! Variables that make a runtime load code are refused, so that naming one is no way around the operator's list of commands.

use std::{env, ffi::OsString, path::Path};

use secrecy::{ExposeSecret, SecretString};

/// Where commands are searched, behind the folder of the child's own executable (`npx` finds its `node` there).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What every child gets from the gateway's own environment, where it is set there.
const INHERITED: [&str; 4] = ["HOME", "LANG", "LC_ALL", "TMPDIR"];
/// Beginnings of names that load code, choose code or redirect what runs.
const REFUSED_PREFIXES: [&str; 7] = ["LD_", "DYLD_", "GCONV_", "GIT_", "PYTHON", "PERL5", "BASH_FUNC_"];
/// Whole names of the same kind, compared without regard to case (npm reads both).
const REFUSED: [&str; 17] = [
    "PATH",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NPM_CONFIG_NODE_OPTIONS",
    "NPM_CONFIG_SCRIPT_SHELL",
    "NPM_CONFIG_USERCONFIG",
    "NPM_CONFIG_GLOBALCONFIG",
    "RUBYOPT",
    "RUBYLIB",
    "PERLLIB",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
];
/// Python variables that only change how text is written, and that many servers' instructions ask for.
const HARMLESS: [&str; 4] = ["PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE"];

/// Why an environment variable is not handed to children.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// The name is none.
    #[error("`{0}` is no name of an environment variable: expected letters, digits and `_`, not starting with a digit")]
    Name(String),
    /// The variable would decide what code runs.
    #[error(
        "the environment variable {0} may not be set for a server, because it can make another program run; take it out of \
         the server's `env`"
    )]
    Refused(String),
    /// The value holds a NUL.
    #[error("the value of the environment variable {0} holds a NUL byte, which no environment can hold")]
    Value(String),
}

/// Whether a server's record may declare this environment variable.
pub fn check_env(name: &str) -> Result<(), EnvironmentError> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic());
    if !starts || !bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
        return Err(EnvironmentError::Name(name.chars().take(80).collect()));
    }
    let upper = name.to_ascii_uppercase();
    let refused = REFUSED.contains(&&*upper) || REFUSED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    if refused && !HARMLESS.contains(&name) {
        return Err(EnvironmentError::Refused(name.to_owned()));
    }
    Ok(())
}

/// The whole environment of a child. The values are in the clear, for the one place that starts it.
pub(super) fn build(
    command: &Path,
    declared: &[(String, SecretString)],
) -> Result<Vec<(OsString, OsString)>, EnvironmentError> {
    let mut path = OsString::new();
    if let Some(folder) = command.parent().filter(|folder| folder.is_absolute()) {
        path.push(folder);
        path.push(":");
    }
    path.push(PATH);
    let mut all = vec![("PATH".into(), path)];
    let inherited = INHERITED.into_iter().filter(|name| !declared.iter().any(|(declared, _)| declared == name));
    all.extend(inherited.filter_map(|name| Some((name.into(), env::var_os(name)?))));
    for (name, value) in declared {
        check_env(name)?;
        let value = value.expose_secret();
        if value.contains('\0') {
            return Err(EnvironmentError::Value(name.clone()));
        }
        all.push((name.into(), value.into()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_load_code_are_refused_however_they_are_spelt() {
        for name in ["LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS", "node_options", "PYTHONSTARTUP", "PATH"] {
            assert_eq!(check_env(name), Err(EnvironmentError::Refused(name.to_owned())));
        }
        for name in ["", "A=B", "1A", "A B", "Ä"] {
            assert!(matches!(check_env(name), Err(EnvironmentError::Name(_))), "{name:?} was taken");
        }
        for name in ["GITHUB_TOKEN", "PYTHONUNBUFFERED", "HOME", "_x1"] {
            assert_eq!(check_env(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_declared_variable_replaces_the_inherited_one() {
        let built = build(Path::new("/opt/x/bin/x"), &[("HOME".to_owned(), "/nowhere".into())]).expect("allowed");
        let homes: Vec<_> = built.iter().filter(|(name, _)| name == "HOME").collect();
        assert_eq!(homes, [&("HOME".into(), "/nowhere".into())]);
        assert!(built[0].1.to_string_lossy().starts_with("/opt/x/bin:"));
    }
}
