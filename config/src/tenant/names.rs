//! Which names things in a tenant file may have: headers, environment variables, secrets, prefixes, exposed names, globs.
//!
//! Each check is a pure function that says what was expected.

use patchbay_core::Slug;

/// Headers that belong to the connection or to the gateway, in lower case.
const HEADERS_RESERVED: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Beginnings of such headers.
const HEADERS_RESERVED_PREFIXES: [&str; 2] = ["content-", "mcp-"];

/// Variables that change which code a program loads, in upper case.
const ENV_REFUSED: [&str; 8] =
    ["BASH_ENV", "ENV", "JAVA_TOOL_OPTIONS", "NODE_OPTIONS", "NODE_PATH", "PATH", "PERL5OPT", "RUBYOPT"];

/// Beginnings of such variables.
const ENV_REFUSED_PREFIXES: [&str; 4] = ["DYLD_", "GIT_", "LD_", "PYTHON"];

/// The longest value of a header, a variable or a secret.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// A header that an operator may set on requests to a server.
pub(crate) fn check_header_name(name: &str) -> Result<(), String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(token) {
        return Err("expected the name of a header: 1 to 100 letters, digits or `-`".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if HEADERS_RESERVED.contains(&lower.as_str()) || HEADERS_RESERVED_PREFIXES.iter().any(|p| lower.starts_with(p)) {
        return Err("the gateway sets this header itself; leave it out".to_owned());
    }
    Ok(())
}

/// A variable that a tenant may set for a child process.
pub(crate) fn check_env_name(name: &str) -> Result<(), String> {
    if name.len() > 100 || !crate::secret::is_variable_name(name) {
        return Err(
            "expected the name of a variable: 1 to 100 letters, digits or `_`, not starting with a digit".into()
        );
    }
    let upper = name.to_ascii_uppercase();
    if ENV_REFUSED.contains(&upper.as_str()) || ENV_REFUSED_PREFIXES.iter().any(|p| upper.starts_with(p)) {
        return Err(
            "this variable decides which code a program loads, so tenants may not set it; ask the operator for \
                    a command of its own under stdio.commands"
                .to_owned(),
        );
    }
    Ok(())
}

/// A secret of a built-in server.
pub(crate) fn check_secret_name(name: &str) -> Result<(), String> {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let good = (1..=40).contains(&name.len()) && name.chars().all(part);
    if good {
        Ok(())
    } else {
        Err("expected the name of a secret: 1 to 40 characters of a-z, 0-9, `-` and `_`".to_owned())
    }
}

/// A value that a header, a variable or a secret may have; no message shows it.
pub(crate) fn check_secret_text(value: &str, is_header: bool) -> Result<(), String> {
    if value.len() > SECRET_BYTES_MAX {
        return Err(format!("expected at most {SECRET_BYTES_MAX} bytes, found {}", value.len()));
    }
    let bad = |c: char| {
        if is_header { c.is_control() && c != '\t' } else { c == '\0' }
    };
    match value.contains(bad) {
        true if is_header => Err("expected one line without control characters".to_owned()),
        true => Err("expected a text without a zero byte".to_owned()),
        false => Ok(()),
    }
}

/// A word before exposed names.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), String> {
    let good = (1..=12).contains(&prefix.len()) && prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if good { Ok(()) } else { Err(format!("expected 1 to 12 characters of A-Z, a-z, 0-9 and `-`, found {prefix:?}")) }
}

/// A whole name that clients see.
pub(crate) fn check_exposed(name: &str) -> Result<(), String> {
    let good = (1..=40).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if good {
        Ok(())
    } else {
        Err(format!("expected 1 to 40 characters of A-Z, a-z, 0-9, `_` and `-`, found {name:?}"))
    }
}

/// A glob over names.
pub(crate) fn check_glob(glob: &str) -> Result<(), String> {
    if glob.is_empty() || glob.len() > 300 {
        return Err("expected a glob of 1 to 300 characters, as in `get_*`".to_owned());
    }
    globset::Glob::new(glob).map(|_| ()).map_err(|error| format!("expected a glob, as in `get_*`: {}", error.kind()))
}

/// A glob over `server/name`; one without a slash would never match.
pub(crate) fn check_toolset_glob(glob: &str) -> Result<(), String> {
    check_glob(glob)?;
    if glob.contains('/') || glob.starts_with(['*', '{', '[']) {
        return Ok(());
    }
    Err(format!("expected a glob over `server/name`, as in `github/{glob}` or `*/{glob}`"))
}

/// The address of a remote server.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        return Err("expected an http or https address, as in https://mcp.example.org/mcp".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected an address without user name and password; put them into headers, where they are kept \
                    secret"
            .to_owned());
    }
    if url.fragment().is_some() {
        return Err("expected an address without `#`".to_owned());
    }
    Ok(())
}

/// The nearest well-formed name; `server` when nothing of the text can stay.
pub(crate) fn slugify(text: &str) -> Slug {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == patchbay_core::ids::SLUG_BYTES_MAX {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    let named = if slug.is_empty() { "server" } else { slug };
    named.parse().expect("lower-case letters, digits and dashes, starting with a letter or digit, are a slug")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_names_are_refused_in_any_case() {
        for name in
            ["Host", "ACCEPT", "content-length", "Mcp-Session-Id", "TE", "a b", "", "a:b", "ä", "Transfer-Encoding"]
        {
            assert!(check_header_name(name).is_err(), "{name}");
        }
        for name in ["Authorization", "X-Api-Key", "Cookie", "Accept-Language"] {
            assert!(check_header_name(name).is_ok(), "{name}");
        }
        for name in
            ["LD_PRELOAD", "ld_preload", "PATH", "NODE_OPTIONS", "PYTHONPATH", "GIT_SSH", "DYLD_X", "1A", "A-B", ""]
        {
            assert!(check_env_name(name).is_err(), "{name}");
        }
        for name in ["TOKEN", "MY_PATH", "_x", "LDAP_URL", "GITHUB_TOKEN"] {
            assert!(check_env_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn secrets_have_short_plain_names() {
        for name in ["", "Database", "a b", "a:b", "ä", "a.b", &"x".repeat(41)] {
            assert!(check_secret_name(name).is_err(), "{name}");
        }
        for name in ["database", "api-key_2", "0", "-", &"x".repeat(40)] {
            assert!(check_secret_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn any_text_becomes_a_name() {
        for (text, expected) in [
            ("My Server", "my-server"),
            ("--Größe__2--", "gr-e-2"),
            ("日本", "server"),
            ("", "server"),
            ("İ", "i"),
            (&"x-".repeat(40), &format!("{}x", "x-".repeat(19))),
        ] {
            assert_eq!(slugify(text).as_str(), expected, "{text}");
        }
    }
}
