//! What is said to clients about a view: a few words of our own, then the words of servers where the operator lets them
//! through, each under its server's name and cut short. Those words come from servers, so they are never mixed with ours.

use std::fmt::Write;

use super::offered::Offered;

/// How much of one server's words passes.
const SERVER_BYTES_MAX: usize = 2 * 1024;
/// How long all of it may be.
const ALL_BYTES_MAX: usize = 8 * 1024;
/// How many servers are named.
const NAMED_MAX: usize = 64;

/// What the words are about.
pub(super) struct Said<'s, 'a> {
    pub(super) servers: &'s [&'s Offered<'a>],
    pub(super) prefixed: bool,
    pub(super) shown: usize,
    pub(super) dropped: usize,
}

/// The instructions; `None` when there is nothing to say.
pub(super) fn compose(said: &Said<'_, '_>) -> Option<String> {
    if said.servers.is_empty() {
        return None;
    }
    let mut text = ours(said);
    for server in said.servers.iter().filter(|server| server.row.spec.instructions) {
        let words = server.part.and_then(|part| part.instructions.as_deref()).unwrap_or_default().trim();
        if words.is_empty() {
            continue;
        }
        let paragraph = format!("\n\nServer `{}` says:\n{}", server.row.slug, clipped(words, SERVER_BYTES_MAX));
        if text.len() + paragraph.len() > ALL_BYTES_MAX {
            break;
        }
        text.push_str(&paragraph);
    }
    Some(text)
}

fn ours(said: &Said<'_, '_>) -> String {
    let mut text = String::from("Patchbay joins the tools of these servers: ");
    for (index, server) in said.servers.iter().take(NAMED_MAX).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}{}", server.row.slug);
        if said.prefixed {
            let _ = write!(text, " (`{}_`)", server.prefix);
        }
    }
    if said.servers.len() > NAMED_MAX {
        let _ = write!(text, " and {} more", said.servers.len() - NAMED_MAX);
    }
    text.push('.');
    if said.prefixed {
        text.push_str(" The name of a tool begins with its server's word in brackets.");
    }
    if said.dropped > 0 {
        let (shown, all) = (said.shown, said.shown + said.dropped);
        let _ = write!(text, " Only {shown} of {all} tools are shown here; an administrator can choose which.");
    }
    text
}

fn clipped(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes_max - "…".len())])
}
