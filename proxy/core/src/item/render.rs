//! An item written again with only its name, its links and an operator's description changed; everything else stays as it is
//! written. What an item is made of is read by [`super`]; [`crate::snapshot`] calls both.

use crate::json::{self, Member};

/// What is written differently; all other members stay as they are, in their order.
pub struct Edits<'e> {
    /// The member that names the item (`name`, `uri`, `uriTemplate`), and its new value.
    pub name: (&'static str, &'e str),
    /// The description instead of the server's.
    pub description: Option<&'e str>,
    /// Leaves `outputSchema` out.
    pub drop_output: bool,
    /// What becomes of links in `_meta`; `None` when none differs.
    pub link: Option<&'e Link<'e>>,
}

/// Gives the exposed form of a link where it differs.
pub type Link<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// Writes an item that was read before. The text is one line: line breaks between its tokens become spaces, so that a list
/// fits into one `data:` field.
pub fn render(raw: &str, edits: &Edits<'_>, out: &mut String) {
    let mut described = edits.description.is_none();
    out.push('{');
    let start = out.len();
    for member in json::members(raw).flatten() {
        if edits.drop_output && member.is("outputSchema") {
            continue;
        }
        if out.len() > start {
            out.push(',');
        }
        if member.is(edits.name.0) {
            replace(&member, &json::quote(edits.name.1), out);
        } else if let Some(text) = edits.description.filter(|_| member.is("description")) {
            replace(&member, &json::quote(text), out);
            described = true;
        } else if let Some(link) = edits.link.filter(|_| member.is("_meta")) {
            push_line(member.key, out);
            out.push(':');
            render_meta(member.value, link, out);
        } else {
            push_line(member.whole, out);
        }
    }
    if let Some(text) = edits.description.filter(|_| !described) {
        out.push_str(",\"description\":");
        out.push_str(&json::quote(text));
    }
    out.push('}');
}

/// Writes a skill that was read before with the URIs that clients know it and its files by; nothing else of it changes, least
/// of all digests and sizes.
pub fn render_skill(raw: &str, link: &Link<'_>, out: &mut String) {
    members_with(raw, out, |member, out| {
        if member.is("resources") && member.value.starts_with('[') {
            push_line(member.key, out);
            out.push_str(":[");
            for (index, file) in json::elements(member.value).unwrap_or_default().into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                members_with(file, out, |member, out| member.is("uri") && relink(member, link, out));
            }
            out.push(']');
            return true;
        }
        member.is("uri") && relink(member, link, out)
    });
}

fn render_meta(meta: &str, link: &Link<'_>, out: &mut String) {
    members_with(meta, out, |member, out| {
        if member.is("ui") && member.value.starts_with('{') {
            push_line(member.key, out);
            out.push(':');
            members_with(member.value, out, |member, out| member.is("resourceUri") && relink(member, link, out));
            return true;
        }
        member.is("ui/resourceUri") && relink(member, link, out)
    });
}

/// Copies an object member by member; `write` says whether it wrote one itself.
fn members_with(object: &str, out: &mut String, write: impl Fn(&Member<'_>, &mut String) -> bool) {
    if !object.starts_with('{') {
        return push_line(object, out);
    }
    out.push('{');
    for (index, member) in json::members(object).flatten().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if !write(&member, out) {
            push_line(member.whole, out);
        }
    }
    out.push('}');
}

fn relink(member: &Member<'_>, link: &Link<'_>, out: &mut String) -> bool {
    let exposed = json::unquote(member.value).and_then(|uri| link(&uri));
    if let Some(uri) = &exposed {
        replace(member, &json::quote(uri), out);
    }
    exposed.is_some()
}

fn replace(member: &Member<'_>, value: &str, out: &mut String) {
    out.push_str(member.key);
    out.push(':');
    out.push_str(value);
}

/// Line breaks in well-formed JSON only ever stand between tokens.
fn push_line(text: &str, out: &mut String) {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        out.push_str(text);
    } else {
        out.extend(text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
    }
}
