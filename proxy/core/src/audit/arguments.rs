//! What a record says of a call's arguments: nothing, their names, a digest, or names with those values that the tenant's policy
//! keeps, without what looks like a secret. Appended to the line between what is known before the call and how it ended.
//!
//! Everything here is bounded: whatever a client sends, the line grows by at most [`ARGUMENTS_BYTES_MAX`].

use super::{AuditArguments, DigestKey, line, secrets, sql};
use crate::{
    TenantId,
    json::{self, Member},
};

/// The most that arguments add to a record, in bytes; those that find no room are left out, and the record says so.
pub const ARGUMENTS_BYTES_MAX: usize = 4096;

/// The longest name of an argument that is shown, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest value that is looked into, in bytes as it was written.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// How deep a kept value is looked into.
const KEPT_DEPTH_MAX: usize = 8;
/// The longest number that is shown.
const NUMBER_BYTES_MAX: usize = 20;
/// What closes the object at the most.
const CLOSE_BYTES: usize = br#"],"cut":true}"#.len();

/// What stands in the place of a secret.
const SECRET: &str = "[secret]";

/// The arguments of a call.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    /// As they came: JSON whose grammar was checked. Nothing is the same as an empty object.
    pub raw: Option<&'a str>,
    /// The names of those whose values may be shown.
    pub keep: &'a [String],
}

impl Arguments<'_> {
    /// Appends the member `arguments` to a line that [`super::Event::write`] began; nothing, when the policy says so.
    pub fn write(&self, how: AuditArguments, key: &DigestKey, tenant: TenantId, line: &mut Vec<u8>) {
        let raw = self.raw.unwrap_or("{}");
        let end = line.len() + ARGUMENTS_BYTES_MAX - CLOSE_BYTES;
        match how {
            AuditArguments::None => {}
            AuditArguments::Digest => {
                line::hex_text(line, br#","arguments":{"digest":"#, &key.digest(tenant, raw));
                line.push(b'}');
            }
            AuditArguments::Keys => {
                line.extend_from_slice(br#","arguments":{"keys":["#);
                let whole = Shown { line, end }.names(raw);
                line.push(b']');
                close(line, whole);
            }
            AuditArguments::Redacted => {
                line.extend_from_slice(br#","arguments":{"redacted":"#);
                let whole = Shown { line, end }.redacted(raw, self.keep);
                close(line, whole);
            }
        }
    }
}

fn close(line: &mut Vec<u8>, whole: bool) {
    line.extend_from_slice(if whole { b"}" } else { br#","cut":true}"# });
}

/// Whether such an argument is a statement.
fn is_sql(name: &str) -> bool {
    name.eq_ignore_ascii_case("sql")
}

/// Whether there is a statement among the members of an object.
fn has_sql(raw: &str) -> bool {
    json::members(raw).flatten().any(|member| is_sql(&member.name()))
}

/// Whether such an argument is what is filled into the statement that stands beside it.
fn is_params(name: &str) -> bool {
    ["params", "parameters"].iter().any(|params| name.eq_ignore_ascii_case(params))
}

/// A line that may grow to its end.
struct Shown<'a> {
    line: &'a mut Vec<u8>,
    end: usize,
}

impl Shown<'_> {
    /// The names alone; whether all of them found room.
    fn names(&mut self, raw: &str) -> bool {
        for (at, member) in json::members(raw).flatten().enumerate() {
            let before = self.line.len();
            if at > 0 {
                self.line.push(b',');
            }
            self.name(&member.name());
            if !self.fits(before) {
                return false;
            }
        }
        true
    }

    /// All names, with what may be shown of the values; whether everything found room.
    fn redacted(&mut self, raw: &str, keep: &[String]) -> bool {
        if !raw.trim_start().starts_with('{') {
            self.marker(raw);
            return true;
        }
        let beside_sql = has_sql(raw);
        self.object(raw, |shown, member| {
            let name = member.name();
            let kept = keep.iter().any(|kept| *kept == *name) && !(beside_sql && is_params(&name));
            if kept { shown.value(&name, member.value, KEPT_DEPTH_MAX) } else { shown.marker(member.value) }
        })
    }

    /// An object with its names; a value that finds no room shows its size, and members after that are left out.
    fn object(&mut self, raw: &str, mut value: impl FnMut(&mut Self, &Member<'_>)) -> bool {
        self.line.push(b'{');
        let mut whole = true;
        for (at, member) in json::members(raw).flatten().enumerate() {
            let before = self.line.len();
            if at > 0 {
                self.line.push(b',');
            }
            self.name(&member.name());
            self.line.push(b':');
            let named = self.line.len();
            value(self, &member);
            if self.line.len() > self.end {
                self.line.truncate(named);
                self.marker(member.value);
            }
            if !self.fits(before) {
                whole = false;
                break;
            }
        }
        self.line.push(b'}');
        whole
    }

    fn array(&mut self, name: &str, raw: &str, depth: usize) {
        self.line.push(b'[');
        for (at, element) in json::elements(raw).unwrap_or_default().into_iter().enumerate() {
            if at > 0 {
                self.line.push(b',');
            }
            self.value(name, element, depth);
            if self.line.len() > self.end {
                // Too long already: whoever asked for it takes it back whole.
                break;
            }
        }
        self.line.push(b']');
    }

    /// Takes back what was appended since, when it is too much.
    fn fits(&mut self, before: usize) -> bool {
        let fits = self.line.len() <= self.end;
        if !fits {
            self.line.truncate(before);
        }
        fits
    }

    fn name(&mut self, name: &str) {
        let shown = if secrets::is_secret(name) { SECRET } else { name };
        line::string(self.line, shown, NAME_BYTES_MAX);
    }

    /// A value that is kept, as far as it is no secret.
    fn value(&mut self, name: &str, raw: &str, depth: usize) {
        if secrets::is_secret_name(name) {
            return line::string(self.line, SECRET, NAME_BYTES_MAX);
        }
        if raw.len() > KEPT_BYTES_MAX {
            return self.marker(raw);
        }
        match (raw.as_bytes().first(), depth.checked_sub(1)) {
            (Some(b'"'), _) => self.text(name, raw),
            (Some(b'{'), Some(depth)) => {
                let beside_sql = has_sql(raw);
                // Whether all of it fits is asked by the outermost object, which takes it back if not.
                self.object(raw, |shown, member| match &*member.name() {
                    name if beside_sql && is_params(name) => shown.marker(member.value),
                    name => shown.value(name, member.value, depth),
                });
            }
            (Some(b'['), Some(depth)) => self.array(name, raw, depth),
            (Some(b'{' | b'['), None) => self.marker(raw),
            _ if raw.len() <= NUMBER_BYTES_MAX => self.line.extend_from_slice(raw.as_bytes()),
            _ => self.marker(raw),
        }
    }

    fn text(&mut self, name: &str, raw: &str) {
        let Some(text) = json::unquote(raw) else { return self.marker(raw) };
        let text = if is_sql(name) {
            let Some(statement) = sql::without_literals(&text) else { return self.marker(raw) };
            statement.into()
        } else {
            text
        };
        let shown = if secrets::is_secret(&text) { SECRET } else { &*text };
        line::string(self.line, shown, secrets::shown_max());
    }

    /// What stands in the place of a value: its type, and how long it is as it was written.
    fn marker(&mut self, raw: &str) {
        let (kind, sized) = match raw.trim_start().as_bytes().first() {
            Some(b'"') => ("[string, ", true),
            Some(b'{') => ("[object, ", true),
            Some(b'[') => ("[array, ", true),
            Some(b't' | b'f') => ("[boolean]", false),
            Some(b'n') => ("[null]", false),
            _ => ("[number]", false),
        };
        self.line.push(b'"');
        self.line.extend_from_slice(kind.as_bytes());
        if sized {
            line::number(self.line, raw.len());
            self.line.extend_from_slice(b" bytes]");
        }
        self.line.push(b'"');
    }
}

#[cfg(test)]
mod tests;
