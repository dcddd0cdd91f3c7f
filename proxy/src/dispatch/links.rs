//! URIs in results: where a server's own URI stands in a place that a client will read it from, it is put in the client's
//! words. Texts and blobs are not touched. Needed only for servers of which some URI is mapped.

use std::borrow::Cow;

use bytes::Bytes;
use patchbay_core::json;

/// An edit: these bytes of the message are replaced.
pub(super) type Edit = (std::ops::Range<usize>, String);

/// Maps the URIs of a whole response message: see [`of_result`].
pub fn map<'u>(message: &Bytes, to_exposed: impl Fn(&str) -> Cow<'_, str> + 'u) -> Bytes {
    let Ok(text) = std::str::from_utf8(message) else { return message.clone() };
    let Some(result) = json::at_path(text, &["result"]) else { return message.clone() };
    let mut edits = Vec::new();
    of_result(text, result, &to_exposed, &mut edits);
    if edits.is_empty() { message.clone() } else { apply(text, edits) }
}

/// What changes in a result that stands in `text`: `contents[].uri`, `resource_link` and embedded `resource` blocks in
/// `content[]` and `messages[].content`.
pub(super) fn of_result(text: &str, result: &str, to_exposed: &dyn Fn(&str) -> Cow<'_, str>, edits: &mut Vec<Edit>) {
    let mut edit = |object: &str| uri(text, object, to_exposed, edits);
    for content in elements(result, "contents") {
        edit(content);
    }
    for block in elements(result, "content") {
        block_uri(block, &mut edit);
    }
    for message in elements(result, "messages") {
        if let Some(content) = json::at_path(message, &["content"]) {
            match json::elements(content) {
                Ok(blocks) => blocks.into_iter().for_each(|block| block_uri(block, &mut edit)),
                Err(_) => block_uri(content, &mut edit),
            }
        }
    }
}

/// What changes when the `uri` of an object that stands in `text` is mapped.
pub(super) fn uri(text: &str, object: &str, to_exposed: &dyn Fn(&str) -> Cow<'_, str>, edits: &mut Vec<Edit>) {
    let Some(raw) = json::at_path(object, &["uri"]) else { return };
    let Some(native) = json::unquote(raw) else { return };
    let exposed = to_exposed(&native);
    if *exposed != *native {
        edits.push(instead(text, raw, json::quote(&exposed)));
    }
}

/// The edit that puts something in the place of a part of `text`.
pub(super) fn instead(text: &str, part: &str, replacement: String) -> Edit {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    (start..start + part.len(), replacement)
}

pub(super) fn elements<'a>(object: &'a str, name: &str) -> Vec<&'a str> {
    json::at_path(object, &[name]).and_then(|array| json::elements(array).ok()).unwrap_or_default()
}

fn block_uri(block: &str, edit: &mut impl FnMut(&str)) {
    match json::at_path(block, &["type"]) {
        Some("\"resource_link\"") => edit(block),
        Some("\"resource\"") => {
            if let Some(resource) = json::at_path(block, &["resource"]) {
                edit(resource);
            }
        }
        _ => {}
    }
}

/// The text with these edits, which do not overlap.
pub(super) fn apply(text: &str, mut edits: Vec<Edit>) -> Bytes {
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len() + edits.len() * 32);
    let mut at = 0;
    for (range, replacement) in edits {
        out.push_str(&text[at..range.start]);
        out.push_str(&replacement);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_a_client_reads_a_uri_from_is_mapped_and_no_text_is() {
        let message = Bytes::from_static(
            br#"{"id":1,"result":{"contents":[{"uri":"a:1","text":"a:1"}],"content":[{"type":"text","text":"{\"uri\":\"a:1\"}"},{"type":"resource_link","uri":"a:1"},{"type":"resource","resource":{"text":"x","uri":"a:1"}}],"messages":[{"content":{"type":"resource_link","uri":"a:1"}}],"uri":"a:1"}}"#,
        );
        let mapped = map(&message, |uri| Cow::Owned(uri.replace("a:", "b:")));
        let expected = String::from_utf8_lossy(&message).replace(r#""uri":"a:1""#, r#""uri":"b:1""#);
        let expected = expected.replace(r#"],"uri":"b:1"}}"#, r#"],"uri":"a:1"}}"#);
        assert_eq!(mapped, expected.replace(r#"{\"uri\":\"b:1\"}"#, r#"{\"uri\":\"a:1\"}"#));
    }
}
