//! What IDEs let stand for a value: `${env:NAME}`, `${NAME}`, `${NAME:-default}`, `$NAME`, `${input:id}`, `${workspaceFolder}`.

use crate::secret::{Resolve, SecretRef, is_variable_name};

/// Words that VS Code and Cursor replace by something of the user's own machine.
const OF_THE_EDITOR: [&str; 6] =
    ["cwd", "pathSeparator", "userHome", "workspaceFolder", "workspaceFolderBasename", "CLAUDE_PLUGIN_ROOT"];

/// The text with the variables that it refers to; or the first reference that cannot be followed.
pub(super) fn fill(text: &str, resolve: &Resolve<'_>) -> Result<String, String> {
    if let Some(name) = text.strip_prefix('$').filter(|name| is_variable_name(name)) {
        return resolve(&SecretRef::Env(name.to_owned())).map_err(|_| text.to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inner, tail)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            break;
        };
        out.push_str(&value(inner, resolve).ok_or_else(|| format!("${{{inner}}}"))?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(inner: &str, resolve: &Resolve<'_>) -> Option<String> {
    let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
    let name = name.strip_prefix("env:").unwrap_or(name);
    if !is_variable_name(name) || OF_THE_EDITOR.contains(&name) {
        return None;
    }
    resolve(&SecretRef::Env(name.to_owned())).ok().or_else(|| default.map(str::to_owned))
}

/// The first reference in a text that is shown and can therefore not be filled in.
pub(super) fn first(text: &str) -> Option<&str> {
    let start = text.find("${")?;
    let end = text[start..].find('}')?;
    Some(&text[start..=start + end])
}
