//! What `apply` would change, for people: `apply --dry-run`.
//!
//! Fields are named as in the file. Values of secrets are compared and never shown.

use std::{collections::BTreeMap, fmt::Write as _};

use patchbay_core::{
    Slug,
    issuer::IssuerRow,
    model::{Secrets, ServerRow, TenantDoc, TenantLimits, TenantRow, ToolsetSpec, Transport},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value as Json;

use super::{
    export::{issuer_file, server_file, toolset_file},
    limits::{audit_file, limits_file},
    schema::{AuditFile, LimitsFile},
    secrets::SecretDocs,
};

/// The longest value that is shown whole.
const SHOWN_CHARS_MAX: usize = 200;

/// Fields that hold secrets: these have lines of their own.
const SECRET_FIELDS: [&str; 6] =
    ["headers", "env", "secrets", "introspection.client_secret", "oauth.client_secret", "oauth.private_key"];

/// The difference between what the store has and what a file wants, line by line: `+` comes, `-` goes, `~` changes.
/// Ends with a line that says that nothing changes, when nothing does.
pub fn diff(before: Option<&TenantRow>, after: &TenantDoc) -> String {
    let mut lines = Lines::default();
    match before {
        None => lines.push(0, '+', &format!("tenant {}", after.slug)),
        Some(_) => lines.push(0, ' ', &format!("tenant {}", after.slug)),
    }
    let new = TenantHead {
        title: after.title.as_deref(),
        enabled: after.enabled,
        limits: limits_file(&after.limits),
        audit: audit_file(&after.audit),
    };
    let old = before.map_or_else(TenantHead::default, |row| TenantHead {
        title: row.title.as_deref(),
        enabled: row.enabled,
        limits: limits_file(&row.limits),
        audit: audit_file(&row.audit),
    });
    lines.fields(1, &fields(&old), &fields(&new));
    weights(before, after, &mut lines);
    issuers(before, after, &mut lines);
    servers(before, after, &mut lines);
    toolsets(before, after, &mut lines);
    if lines.changes == 0 {
        lines.push(1, ' ', "nothing changes");
    }
    lines.text
}

/// What a file says of the tenant itself.
#[derive(Serialize)]
struct TenantHead<'a> {
    title: Option<&'a str>,
    enabled: bool,
    limits: LimitsFile,
    audit: AuditFile,
}

impl Default for TenantHead<'_> {
    fn default() -> Self {
        Self { title: None, enabled: true, limits: LimitsFile::default(), audit: AuditFile::default() }
    }
}

/// Of globs that weigh tools the first that matches counts, so their order is a change too.
fn weights(before: Option<&TenantRow>, after: &TenantDoc, lines: &mut Lines) {
    let globs = |limits: &TenantLimits| limits.weights.iter().map(|(glob, _)| glob.clone()).collect::<Vec<_>>();
    let (old, new) = (before.map(|row| globs(&row.limits)).unwrap_or_default(), globs(&after.limits));
    let stayed: Vec<_> = old.iter().filter(|glob| new.contains(glob)).collect();
    if !new.iter().filter(|glob| old.contains(glob)).eq(stayed) {
        lines.push(1, '~', &format!("limits.weights: now in the order {}", new.join(", ")));
    }
}

fn issuers(before: Option<&TenantRow>, after: &TenantDoc, lines: &mut Lines) {
    let rows = before.map_or(&[][..], |row| &row.issuers);
    let old: BTreeMap<&Slug, &IssuerRow> = rows.iter().map(|row| (&row.slug, row)).collect();
    for name in old.keys().filter(|name| !after.issuers.contains_key(**name)) {
        lines.push(1, '-', &format!("issuer {name}"));
    }
    for (name, doc) in &after.issuers {
        let row = old.get(name).copied();
        let mut inner = Lines::default();
        let of = |spec| fields(&issuer_file(spec));
        inner.fields(2, &row.map(|row| of(&row.spec)).unwrap_or_default(), &of(&doc.spec));
        secrets(row.map(|row| &row.secrets), &doc.secrets, &mut inner);
        lines.part(row.is_some(), &format!("issuer {name}"), "", &inner);
    }
}

fn servers(before: Option<&TenantRow>, after: &TenantDoc, lines: &mut Lines) {
    let rows = before.map_or(&[][..], |row| &row.servers);
    let old: BTreeMap<&Slug, &ServerRow> = rows.iter().map(|row| (&row.slug, row)).collect();
    for name in old.keys().filter(|name| !after.servers.contains_key(**name)) {
        lines.push(1, '-', &format!("server {name}"));
    }
    for (name, doc) in &after.servers {
        let row = old.get(name).copied();
        let mut inner = Lines::default();
        let of = |spec| fields(&server_file(spec));
        inner.fields(2, &row.map(|row| of(&row.spec)).unwrap_or_default(), &of(&doc.spec));
        secrets(row.map(|row| &row.secrets), &doc.secrets, &mut inner);
        let kind = format!(" ({})", kind(&doc.spec.transport));
        lines.part(row.is_some(), &format!("server {name}"), &kind, &inner);
    }
}

const fn kind(transport: &Transport) -> &'static str {
    match transport {
        Transport::Builtin { .. } => "builtin",
        Transport::Stdio { .. } => "stdio",
        Transport::Http { .. } => "http",
    }
}

fn secrets(row: Option<&Secrets>, doc: &SecretDocs, lines: &mut Lines) {
    let old = |name: &str| row.and_then(|row| row.reveal(name));
    for (name, value) in doc {
        match (old(name), value.as_ref().map(ExposeSecret::expose_secret)) {
            (None, Some(_)) => lines.push(2, '+', &format!("{}: set", titled(name))),
            (None, None) => {
                let what = format!("{}: ${{sealed}}, but the store has none; give its value", titled(name));
                lines.push(2, '!', &what);
            }
            (Some(old), Some(new)) if old != new => lines.push(2, '~', &format!("{}: changed", titled(name))),
            (Some(_), _) => {}
        }
    }
    let gone = row.into_iter().flat_map(|row| row.0.keys()).filter(|name| !doc.contains_key(*name));
    for name in gone {
        lines.push(2, '-', &titled(name));
    }
}

/// The name of a secret with the word before it, where it is not its beginning already.
fn titled(name: &str) -> String {
    if name.starts_with("secret:") { name.to_owned() } else { format!("secret {name}") }
}

fn toolsets(before: Option<&TenantRow>, after: &TenantDoc, lines: &mut Lines) {
    let pairs = before.map_or(&[][..], |row| &row.toolsets);
    let old: BTreeMap<&Slug, &ToolsetSpec> = pairs.iter().map(|(name, spec)| (name, spec)).collect();
    for name in old.keys().filter(|name| !after.toolsets.contains_key(**name)) {
        lines.push(1, '-', &format!("toolset {name}"));
    }
    let of = |spec: &ToolsetSpec| fields(&toolset_file(spec));
    for (name, spec) in &after.toolsets {
        let was = old.get(name).copied();
        let mut inner = Lines::default();
        inner.fields(2, &of(was.unwrap_or(&ToolsetSpec::default())), &of(spec));
        lines.part(was.is_some(), &format!("toolset {name}"), "", &inner);
    }
}

/// The value's fields by their dotted paths; what is absent or secret is left out.
fn fields(value: &impl Serialize) -> BTreeMap<String, Json> {
    let mut found = BTreeMap::new();
    flatten(String::new(), serde_json::to_value(value).unwrap_or_default(), &mut found);
    found
}

fn flatten(path: String, value: Json, found: &mut BTreeMap<String, Json>) {
    match value {
        Json::Null => {}
        _ if SECRET_FIELDS.contains(&path.as_str()) => {}
        Json::Object(fields) => {
            for (key, value) in fields {
                let inner = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(inner, value, found);
            }
        }
        value => {
            found.insert(path, value);
        }
    }
}

/// Lines of the difference, and how many of them are changes.
#[derive(Default)]
struct Lines {
    text: String,
    changes: usize,
}

impl Lines {
    fn push(&mut self, depth: usize, sign: char, what: &str) {
        let _ = writeln!(self.text, "{:indent$}{sign} {what}", "", indent = depth * 2);
        self.changes += usize::from(sign != ' ');
    }

    /// A part of the tenant: what it is called, what is said of a new one besides, and its lines.
    fn part(&mut self, known: bool, what: &str, of_new: &str, inner: &Self) {
        match known {
            false => self.push(1, '+', &format!("{what}{of_new}")),
            true if inner.changes > 0 => self.push(1, '~', what),
            true => {}
        }
        self.text.push_str(&inner.text);
        self.changes += inner.changes;
    }

    fn fields(&mut self, depth: usize, old: &BTreeMap<String, Json>, new: &BTreeMap<String, Json>) {
        for (path, value) in old {
            match new.get(path) {
                None => self.push(depth, '-', &format!("{path}: {}", shown(value))),
                Some(other) if other != value => {
                    self.push(depth, '~', &format!("{path}: {} → {}", shown(value), shown(other)));
                }
                Some(_) => {}
            }
        }
        for (path, value) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
            self.push(depth, '+', &format!("{path}: {}", shown(value)));
        }
    }
}

fn shown(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
