//! Text as HTML: escaped, with the little of Markdown that our descriptions use. Nothing of the document gets onto the page but
//! through here.

use std::borrow::Cow;

/// The text with what means something in HTML, also in quoted attributes, taken the meaning of.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'');
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// A sentence or more: what stands between backticks is code.
pub(super) fn prose(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut html = String::with_capacity(text.len() + 32);
    for (place, piece) in text.split('`').enumerate() {
        if place % 2 == 1 {
            html.push_str(&format!("<code>{}</code>", escape(piece)));
        } else {
            html.push_str(&escape(piece));
        }
    }
    html
}

/// What stands before the first heading, and what stands under each: headings and HTML.
pub(super) fn chapters(markdown: &str) -> (String, Vec<(&str, String)>) {
    let mut parts = markdown.split("## ");
    let paragraphs = |text: &str| -> String {
        let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
        blocks.map(|block| format!("<p>{}</p>", prose(block))).collect()
    };
    let lead = paragraphs(parts.next().unwrap_or_default());
    let chapters = parts.map(|part| {
        let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
        (heading.trim(), paragraphs(text))
    });
    (lead, chapters.collect())
}

/// A text as the name of a place on the page.
pub(super) fn anchor(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(plain).collect()
}
