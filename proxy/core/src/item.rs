//! One item of a server's list (a tool, a prompt, a resource, a template, a skill) as raw JSON text: read shallowly and checked alone.
//! An item that is odd is a fault of its own; [`crate::snapshot`] drops it and keeps the others. [`render()`] writes items again.

mod render;

use std::borrow::Cow;

use serde::de::IgnoredAny;

pub use self::render::{Edits, Link, render, render_skill};
use crate::json::{self, Member, ScanError};

/// The longest item.
pub const ITEM_BYTES_MAX: usize = 256 * 1024;
/// The deepest item.
pub const ITEM_DEPTH_MAX: usize = 64;
/// The longest URI or URI template.
pub const URI_BYTES_MAX: usize = 4096;
/// The longest native name.
pub const NATIVE_BYTES_MAX: usize = 1024;

/// An item that no client gets to see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ItemFault {
    /// What it is called, when that can be read.
    pub name: Option<String>,
    /// What is wrong.
    pub reason: FaultReason,
}

/// What is wrong with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultReason {
    /// Larger than [`ITEM_BYTES_MAX`].
    #[error("it is larger than {ITEM_BYTES_MAX} bytes")]
    TooLarge,
    /// Deeper than [`ITEM_DEPTH_MAX`].
    #[error("it is nested deeper than {ITEM_DEPTH_MAX}")]
    TooDeep,
    /// Not JSON, or not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// A member that is read stands twice.
    #[error("its `{0}` stands twice")]
    Twice(&'static str),
    /// A member that must be there is not.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// A known member is of another kind.
    #[error("its `{0}` is not {1}")]
    Shape(&'static str, &'static str),
    /// A name or a URI that is empty, too long or holds control characters.
    #[error("its `{0}` is empty, too long or holds control characters")]
    Text(&'static str),
    /// The `type` of an input schema is something else than `object`.
    #[error("its `inputSchema` has another type than `object`")]
    InputType,
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool<'a> {
    /// The whole item.
    pub raw: &'a str,
    /// The native name.
    pub name: Cow<'a, str>,
    /// `inputSchema`, an object.
    pub schema: &'a str,
    /// Who may see `outputSchema`.
    pub output: OutputSchema,
    /// It runs only as a task of 2025-11-25, which Patchbay does not offer.
    pub needs_task: bool,
    /// It is meant for an app's page, not for the model (`_meta.ui.visibility`).
    pub app_only: bool,
    /// An app's page may call it: it says something of pages, and not that it is for the model alone.
    pub for_pages: bool,
    /// The pages it links to in `_meta`.
    pub ui_uris: Vec<String>,
}

/// Who may see a tool's `outputSchema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputSchema {
    /// Everybody, or there is none.
    Everyone,
    /// Modern clients: legacy results have to be objects (2025-11-25, tools).
    ModernOnly,
    /// Nobody: it is no object, and strict clients would refuse the whole list for it.
    Nobody,
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// The whole item.
    pub raw: &'a str,
    /// The native name.
    pub name: Cow<'a, str>,
}

/// A resource or a resource template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The whole item.
    pub raw: &'a str,
    /// The native `uri`, or `uriTemplate`.
    pub uri: Cow<'a, str>,
}

/// A skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill<'a> {
    /// The whole item.
    pub raw: &'a str,
    /// The native URI of its `SKILL.md`.
    pub uri: Cow<'a, str>,
    /// The native URIs of its files; none when they are not known beforehand.
    pub files: Vec<Cow<'a, str>>,
}

#[derive(Clone, Copy)]
enum Shape {
    Text,
    MaybeText,
    Object,
    MaybeObject,
    MaybeArray,
    Any,
}

/// The members that are read of one kind of item. A known member of the wrong kind is a fault because typed clients refuse
/// the whole list for one such item.
type Known = &'static [(&'static str, Shape)];

const TOOL: Known = &[
    ("name", Shape::Text),
    ("inputSchema", Shape::Object),
    ("outputSchema", Shape::Any),
    ("execution", Shape::MaybeObject),
    ("_meta", Shape::MaybeObject),
    ("description", Shape::MaybeText),
    ("title", Shape::MaybeText),
    ("annotations", Shape::MaybeObject),
    ("icons", Shape::MaybeArray),
];
const PROMPT: Known = &[
    ("name", Shape::Text),
    ("arguments", Shape::MaybeArray),
    ("description", Shape::MaybeText),
    ("title", Shape::MaybeText),
    ("_meta", Shape::MaybeObject),
];
const RESOURCE: Known = &[("uri", Shape::Text), ("name", Shape::Text), ("description", Shape::MaybeText)];
const TEMPLATE: Known = &[("uriTemplate", Shape::Text), ("name", Shape::Text), ("description", Shape::MaybeText)];

const SKILL: Known =
    &[("uri", Shape::Text), ("frontmatter", Shape::Object), ("resources", Shape::Any), ("_meta", Shape::MaybeObject)];
/// What the URI of every skill ends with.
const SKILL_FILE: &str = "/SKILL.md";
/// What the files of a skill are that are not known beforehand.
const DYNAMIC: &str = "\"dynamic\"";

/// Reads a tool.
pub fn tool(raw: &str) -> Result<Tool<'_>, ItemFault> {
    read_tool(raw).map_err(|reason| fault(raw, "name", reason))
}

/// Reads a prompt.
pub fn prompt(raw: &str) -> Result<Prompt<'_>, ItemFault> {
    let read = || {
        let found = known(raw, PROMPT)?;
        Ok(Prompt { raw, name: text(found[0], "name", NATIVE_BYTES_MAX)? })
    };
    read().map_err(|reason| fault(raw, "name", reason))
}

/// Reads a resource.
pub fn resource(raw: &str) -> Result<Resource<'_>, ItemFault> {
    read_resource(raw, RESOURCE).map_err(|reason| fault(raw, "uri", reason))
}

/// Reads a resource template.
pub fn template(raw: &str) -> Result<Resource<'_>, ItemFault> {
    read_resource(raw, TEMPLATE).map_err(|reason| fault(raw, "uriTemplate", reason))
}

/// Reads a skill.
pub fn skill(raw: &str) -> Result<Skill<'_>, ItemFault> {
    read_skill(raw).map_err(|reason| fault(raw, "uri", reason))
}

fn fault(raw: &str, key: &str, reason: FaultReason) -> ItemFault {
    let name = json::at_path(raw, &[key]).and_then(json::unquote);
    ItemFault { name: name.map(|name| name.chars().take(80).collect()), reason }
}

fn read_tool(raw: &str) -> Result<Tool<'_>, FaultReason> {
    let found = known(raw, TOOL)?;
    let name = text(found[0], "name", NATIVE_BYTES_MAX)?;
    let schema = found[1].ok_or(FaultReason::Missing("inputSchema"))?;
    let kind = json::unique(schema, "type").map_err(|_| FaultReason::InputType)?;
    if kind.is_some_and(|kind| !is_text(kind, "object")) {
        return Err(FaultReason::InputType);
    }
    let support = found[3].and_then(|execution| json::at_path(execution, &["taskSupport"]));
    let meta = found[4].unwrap_or("{}");
    Ok(Tool {
        raw,
        name,
        schema,
        output: output_schema(found[2]),
        needs_task: support.is_some_and(|support| is_text(support, "required")),
        app_only: is_app_only(meta),
        for_pages: is_for_pages(meta),
        ui_uris: [&["ui", "resourceUri"][..], &["ui/resourceUri"]]
            .iter()
            .filter_map(|path| json::at_path(meta, path).and_then(json::unquote).map(Cow::into_owned))
            .filter(|uri| uri.starts_with(PAGE_SCHEME) && uri.len() <= URI_BYTES_MAX)
            .collect(),
    })
}

/// What the URIs of pages begin with. A link to anything else is no page, and gives a server no claim to that URI.
const PAGE_SCHEME: &str = "ui://";

fn read_resource(raw: &str, table: Known) -> Result<Resource<'_>, FaultReason> {
    let found = known(raw, table)?;
    text(found[1], "name", NATIVE_BYTES_MAX)?;
    Ok(Resource { raw, uri: text(found[0], table[0].0, URI_BYTES_MAX)? })
}

fn read_skill(raw: &str) -> Result<Skill<'_>, FaultReason> {
    let found = known(raw, SKILL)?;
    let uri = text(found[0], "uri", URI_BYTES_MAX)?;
    if uri.strip_suffix(SKILL_FILE).is_none_or(|root| root.ends_with([':', '/'])) {
        return Err(FaultReason::Shape("uri", "the URI of a SKILL.md in a folder"));
    }
    let frontmatter = found[1].and_then(|frontmatter| json::unique(frontmatter, "name").ok().flatten());
    text(frontmatter, "frontmatter", NATIVE_BYTES_MAX)?;
    let files = match found[2].ok_or(FaultReason::Missing("resources"))? {
        DYNAMIC => Vec::new(),
        list => skill_files(list)?,
    };
    Ok(Skill { raw, uri, files })
}

/// The URIs of a skill's files. Strict clients refuse the whole list for one entry without its digest or size.
fn skill_files(list: &str) -> Result<Vec<Cow<'_, str>>, FaultReason> {
    json::elements(list).map_err(|_| ODD_FILES)?.into_iter().map(skill_file).collect()
}

const ODD_FILES: FaultReason = FaultReason::Shape("resources", "a list of files with `uri`, `digest` and `size`");

fn skill_file(file: &str) -> Result<Cow<'_, str>, FaultReason> {
    let [mut uri, mut digest, mut size] = [None; 3];
    for member in json::members(file) {
        let member = member.map_err(|_| ODD_FILES)?;
        let place = match &*member.name() {
            "uri" => &mut uri,
            "digest" => &mut digest,
            "size" => &mut size,
            _ => continue,
        };
        if place.replace(member.value).is_some() {
            return Err(ODD_FILES);
        }
    }
    let whole = digest.is_some_and(|raw| raw.starts_with('"'))
        && size.is_some_and(|raw| raw.bytes().all(|byte| byte.is_ascii_digit()));
    if whole { text(uri, "resources", URI_BYTES_MAX) } else { Err(ODD_FILES) }
}

fn output_schema(schema: Option<&str>) -> OutputSchema {
    match schema {
        None => OutputSchema::Everyone,
        Some(schema) if !schema.starts_with('{') => OutputSchema::Nobody,
        Some(schema) => match json::unique(schema, "type") {
            Ok(Some(kind)) if is_text(kind, "object") => OutputSchema::Everyone,
            _ => OutputSchema::ModernOnly,
        },
    }
}

/// Pages may call what is about pages, if `visibility` does not leave them out.
fn is_for_pages(meta: &str) -> bool {
    let ui = json::at_path(meta, &["ui"]).filter(|ui| ui.starts_with('{'));
    let flat = json::at_path(meta, &["ui/resourceUri"]).is_some();
    let listed = ui.and_then(|ui| json::at_path(ui, &["visibility"])).and_then(|list| json::elements(list).ok());
    (ui.is_some() || flat) && listed.is_none_or(|list| list.iter().any(|entry| is_text(entry, "app")))
}

fn is_app_only(meta: &str) -> bool {
    let listed = json::at_path(meta, &["ui", "visibility"]).and_then(|list| json::elements(list).ok());
    listed.is_some_and(|list| !list.is_empty() && list.iter().all(|entry| is_text(entry, "app")))
}

fn is_text(raw: &str, text: &str) -> bool {
    json::unquote(raw).is_some_and(|found| found == text)
}

/// The values of the known members in the order of the table, after the whole item has been checked.
fn known(raw: &str, table: Known) -> Result<Vec<Option<&str>>, FaultReason> {
    if raw.len() > ITEM_BYTES_MAX {
        return Err(FaultReason::TooLarge);
    }
    if json::deeper_than(raw.as_bytes(), ITEM_DEPTH_MAX) {
        return Err(FaultReason::TooDeep);
    }
    // The text goes into a list with others, so nothing in it may be broken, however deep.
    serde_json::from_str::<IgnoredAny>(raw).map_err(|_| FaultReason::NotAnObject)?;
    let mut found = vec![None; table.len()];
    for member in json::members(raw) {
        let member: Member<'_> = member.map_err(|_: ScanError| FaultReason::NotAnObject)?;
        let name = member.name();
        if let Some(at) = table.iter().position(|(known, _)| *known == name)
            && found[at].replace(member.value).is_some()
        {
            return Err(FaultReason::Twice(table[at].0));
        }
    }
    for (value, (name, shape)) in found.iter().zip(table) {
        check_shape(*value, name, *shape)?;
    }
    Ok(found)
}

fn check_shape(value: Option<&str>, name: &'static str, shape: Shape) -> Result<(), FaultReason> {
    let (first, expected, optional) = match shape {
        Shape::Any => return Ok(()),
        Shape::Text => ('"', "a string", false),
        Shape::MaybeText => ('"', "a string", true),
        Shape::Object => ('{', "an object", false),
        Shape::MaybeObject => ('{', "an object", true),
        Shape::MaybeArray => ('[', "an array", true),
    };
    match value {
        None if optional => Ok(()),
        None => Err(FaultReason::Missing(name)),
        Some("null") if optional => Ok(()),
        Some(value) if value.starts_with(first) => Ok(()),
        Some(_) => Err(FaultReason::Shape(name, expected)),
    }
}

fn text<'a>(raw: Option<&'a str>, name: &'static str, bytes_max: usize) -> Result<Cow<'a, str>, FaultReason> {
    let text = raw.and_then(json::unquote).ok_or(FaultReason::Text(name))?;
    let good = !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control);
    if good { Ok(text) } else { Err(FaultReason::Text(name)) }
}

#[cfg(test)]
mod tests;
