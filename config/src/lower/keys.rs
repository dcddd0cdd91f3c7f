//! Keys that `patchbay.yaml` names by `env:NAME` or `file:PATH`: the ones that seal, the new one and the old ones, and the first
//! admin key. What they are is in no message.

use secrecy::{ExposeSecret, SecretString};

use super::Lower;
use crate::{gateway::SealingKey, path::FieldPath, secret::SecretRef};

/// Keys that sealed before, at the most: each is tried on what the newer ones do not open.
pub(crate) const SEALING_KEYS_OLD_MAX: usize = 8;

/// What admin keys begin with.
const ADMIN_KEY_PREFIX: &str = "pba_";

/// What has to follow at least: fewer characters are guessed.
const ADMIN_KEY_CHARS_MIN: usize = 32;

/// The longest admin key; it is sent with every request.
const ADMIN_KEY_BYTES_MAX: usize = 256;

impl Lower<'_, '_> {
    /// The key that seals, and those that did: the further lines of its own source, then those of `sealing_keys_old`.
    pub(super) fn sealing_keys(&mut self, key: Option<&str>, old: &[String]) -> (Option<SealingKey>, Vec<SealingKey>) {
        let mut keys = Vec::new();
        let field = FieldPath::of(["sealing_key"]);
        if let Some(text) = key {
            self.sealing_keys_of(&field, text, &mut keys);
        }
        let of_itself = keys.len();
        let field_old = FieldPath::of(["sealing_keys_old"]);
        for (at, text) in old.iter().enumerate() {
            self.sealing_keys_of(&field_old.index(at), text, &mut keys);
        }
        let current = (of_itself > 0).then(|| keys.remove(0));
        if keys.len() > SEALING_KEYS_OLD_MAX {
            let place = if of_itself > SEALING_KEYS_OLD_MAX + 1 { field } else { field_old };
            let message = format!(
                "expected at most {SEALING_KEYS_OLD_MAX} old keys, found {}; each line after the first of sealing_key is one",
                keys.len()
            );
            self.report.meaning(&place, message);
        }
        (current, keys)
    }

    /// The keys behind one reference, one on each line.
    fn sealing_keys_of(&mut self, field: &FieldPath, text: &str, keys: &mut Vec<SealingKey>) {
        let Some((source, value)) = self.kept(field, text) else { return };
        for line in value.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match keys.iter().find(|key| key.value.expose_secret() == line) {
                Some(other) => {
                    let message = format!("one of these keys is in {} already; expected each key once", other.source);
                    self.report.meaning(field, message);
                }
                None => keys.push(SealingKey { source: source.clone(), value: line.into() }),
            }
        }
    }

    /// The first admin key.
    pub(super) fn bootstrap_key(&mut self, text: &str) -> Option<SecretString> {
        let field = FieldPath::of(["admin", "bootstrap_key"]);
        let (source, value) = self.kept(&field, text)?;
        if !is_admin_key(&value) {
            let message = format!(
                "expected an admin key in {source}: `{ADMIN_KEY_PREFIX}` and at least {ADMIN_KEY_CHARS_MIN} further characters of \
                 A-Z, a-z, 0-9, `-`, `.` and `_`, at most {ADMIN_KEY_BYTES_MAX} in all, which must be random; make one by \
                 printf '{ADMIN_KEY_PREFIX}%s\\n' \"$(openssl rand -hex 32)\""
            );
            self.report.meaning(&field, message);
            return None;
        }
        Some(value.into())
    }

    /// What is kept where the text says, without the blanks around it; never nothing.
    fn kept(&mut self, field: &FieldPath, text: &str) -> Option<(SecretRef, String)> {
        let Some(source) = SecretRef::parse(text) else {
            // The text is not shown: it may be the key itself.
            self.report.meaning(field, "expected env:NAME or file:PATH, which say where the key is kept");
            return None;
        };
        match (self.resolve)(&source) {
            Ok(value) if !value.trim().is_empty() => {
                let source = match source {
                    SecretRef::File(path) => SecretRef::File(self.folder.join(path)),
                    variable => variable,
                };
                Some((source, value.trim().to_owned()))
            }
            Ok(_) => {
                self.report.meaning(field, format!("expected a key in {source}, found nothing"));
                None
            }
            Err(why) => {
                self.report.meaning(field, why);
                None
            }
        }
    }
}

fn is_admin_key(value: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let rest = value.strip_prefix(ADMIN_KEY_PREFIX);
    value.len() <= ADMIN_KEY_BYTES_MAX
        && rest.is_some_and(|rest| rest.len() >= ADMIN_KEY_CHARS_MIN && rest.chars().all(good))
}
