//! Secrets of a tenant file: references replaced, checked, and put under the names that the store knows.
//!
//! Called where servers and issuers are lowered. No message shows a value.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{SEALED, lower::Lower, names::check_secret_text};
use crate::{path::FieldPath, secret::expand};

/// The secrets of a server or an issuer by their names; `None` keeps what the store has.
pub(crate) type SecretDocs = BTreeMap<String, Option<SecretString>>;

impl Lower<'_, '_> {
    /// The secrets of a mapping, named `family:key`.
    pub(crate) fn secrets(&mut self, field: &FieldPath, family: &str, values: BTreeMap<String, String>) -> SecretDocs {
        let mut secrets = SecretDocs::new();
        let check = |value: &str| check_secret_text(value, family == "header");
        for (name, text) in values {
            let value = self.secret(&field.key(&name), &text, &check);
            secrets.insert(format!("{family}:{name}"), value);
        }
        secrets
    }

    /// The secret that `text` stands for; `None` when the store has it, or when something was wrong.
    pub(crate) fn secret(
        &mut self,
        field: &FieldPath,
        text: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Option<SecretString> {
        if text == SEALED {
            return None;
        }
        if mentions_sealed(text) {
            self.report
                .meaning(field, "expected `${sealed}` to stand alone: it keeps the whole value that the store has");
            return None;
        }
        let value = expand(text, self.resolve);
        let checked = value.and_then(|value| check(&value).map(|()| value));
        checked.map_err(|why| self.report.meaning(field, why)).ok().map(SecretString::from)
    }
}

/// Whether `${sealed}` stands in the text, and is meant.
pub(crate) fn mentions_sealed(text: &str) -> bool {
    text.replace("$${", "").contains(SEALED)
}

/// A secret that a client shares with an authorization server.
pub(crate) fn check_client_secret(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("expected a secret, found an empty text".to_owned());
    }
    check_secret_text(value, true)
}

/// A private key; it is read where it is used, but what is no PEM at all should be said here.
pub(crate) fn check_private_key(value: &str) -> Result<(), String> {
    check_secret_text(value, false)?;
    let label = |line: &str| {
        let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        (label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY")).then(|| label.to_owned())
    };
    let mut lines = value.lines().map(str::trim);
    let Some(label) = lines.find_map(label) else {
        return Err("expected a private key in PEM, the line -----BEGIN PRIVATE KEY----- or one like it first; the \
                    surest way is ${file:PATH}"
            .to_owned());
    };
    let end = format!("-----END {label}-----");
    let body: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
    if label.starts_with("ENCRYPTED") || body.iter().any(|line| line.contains("ENCRYPTED")) {
        return Err("expected a private key without a passphrase: it is sealed in the store anyway".to_owned());
    }
    let whole = value.lines().any(|line| line.trim() == end);
    if whole && body.iter().any(|line| !line.is_empty()) {
        Ok(())
    } else {
        Err(format!("expected a whole private key in PEM, down to the line {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_private_key_is_refused_without_being_shown() {
        let pem = |label: &str| format!("-----BEGIN {label}-----\nhunter2\n-----END {label}-----\n");
        for (text, why) in [
            (String::new(), "expected a private key in PEM"),
            ("hunter2".to_owned(), "expected a private key in PEM"),
            (pem("CERTIFICATE"), "expected a private key in PEM"),
            (pem("PUBLIC KEY"), "expected a private key in PEM"),
            (pem("PRIVATE KEY").replace('\n', "\\n"), "expected a private key in PEM"),
            (pem("ENCRYPTED PRIVATE KEY"), "without a passphrase"),
            (pem("RSA PRIVATE KEY").replace("hunter2", "Proc-Type: 4,ENCRYPTED\nhunter2"), "without a passphrase"),
            (pem("PRIVATE KEY").replace("-----END", "----END"), "down to the line"),
            (pem("PRIVATE KEY").replace("hunter2", ""), "down to the line"),
            (format!("{}\0", pem("PRIVATE KEY")), "zero byte"),
        ] {
            let said = check_private_key(&text).unwrap_err();
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            assert_eq!(check_private_key(&pem(label)), Ok(()), "{label}");
        }
        let windows = pem("PRIVATE KEY").replace('\n', "\r\n");
        assert_eq!(check_private_key(&windows), Ok(()));
        assert_eq!(check_private_key(&format!("{}{}", pem("EC PARAMETERS"), pem("EC PRIVATE KEY"))), Ok(()));
    }
}
