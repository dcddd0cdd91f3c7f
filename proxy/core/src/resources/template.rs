//! URI templates (RFC 6570) read backwards: does a template make this URI? Only as much as routing needs, so the variables'
//! values are not taken apart. [`super::UriMap`] asks; the time is bounded by the lengths of the URI and the template.

use std::cmp::{Ordering, Reverse};

use crate::item::URI_BYTES_MAX;

/// How many literals and expressions one template may have.
pub const PARTS_MAX: usize = 64;

/// A template that can be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    parts: Box<[Part]>,
    literal_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// `{a}`: at least one character, none of `/?#`.
    Segment,
    /// `{+a}`: at least one character, any.
    Anything,
    /// `{?a}` and the like: nothing, or this character and more.
    After(u8),
}

impl Template {
    /// Reads a template; `None` when its braces make no sense or it has too many parts.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let open = rest.find(['{', '}']).unwrap_or(rest.len());
            if open > 0 {
                parts.push(Part::Literal(rest[..open].into()));
            }
            rest = &rest[open..];
            if let Some(expression) = rest.strip_prefix('{') {
                let (expression, after) = expression.split_once('}')?;
                parts.push(Part::of(expression)?);
                rest = after;
            } else if !rest.is_empty() {
                return None;
            }
        }
        let literal_bytes = parts.iter().map(|part| if let Part::Literal(text) = part { text.len() } else { 0 }).sum();
        let good = (1..=PARTS_MAX).contains(&parts.len()) && text.len() <= URI_BYTES_MAX;
        good.then(|| Self { text: text.into(), parts: parts.into(), literal_bytes })
    }

    /// Which of two templates is asked first: the one with more literal characters, then by their texts.
    pub fn precedence(&self, other: &Self) -> Ordering {
        (Reverse(self.literal_bytes), &self.text).cmp(&(Reverse(other.literal_bytes), &other.text))
    }

    /// Whether the template makes this URI.
    pub fn matches(&self, uri: &str) -> bool {
        if uri.len() > URI_BYTES_MAX || !self.ends_fit(uri) {
            return false;
        }
        let uri = uri.as_bytes();
        // `reached[i]`: the parts so far can end before byte `i`. Each part moves all ends at once, so there is no
        // backtracking that a hostile template could blow up.
        let mut reached = vec![false; uri.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            reached = part.advance(uri, &reached);
        }
        reached[uri.len()]
    }

    /// The cheap look that spares most URIs the full one.
    fn ends_fit(&self, uri: &str) -> bool {
        let fits = |part: Option<&Part>, fit: fn(&str, &str) -> bool| match part {
            Some(Part::Literal(text)) => fit(uri, text),
            _ => true,
        };
        fits(self.parts.first(), |uri, text| uri.starts_with(text))
            && fits(self.parts.last(), |uri, text| uri.ends_with(text))
    }
}

impl Part {
    fn of(expression: &str) -> Option<Self> {
        let (part, names) = match expression.as_bytes().first()? {
            b'+' => (Self::Anything, &expression[1..]),
            operator @ (b'#' | b'.' | b'/' | b';' | b'?' | b'&') => (Self::After(*operator), &expression[1..]),
            _ => (Self::Segment, expression),
        };
        (!names.is_empty() && !names.contains('{')).then_some(part)
    }

    fn advance(&self, uri: &[u8], reached: &[bool]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        match self {
            Self::Literal(text) => {
                let text = text.as_bytes();
                let starts = reached.iter().enumerate().filter(|(_, reached)| **reached);
                for (at, _) in starts.filter(|(at, _)| uri[*at..].starts_with(text)) {
                    next[at + text.len()] = true;
                }
            }
            Self::Segment => stretch(uri, reached, &mut next, |byte| !b"/?#".contains(&byte)),
            Self::Anything => stretch(uri, reached, &mut next, |_| true),
            Self::After(operator) => {
                next.copy_from_slice(reached);
                let mut begun = vec![false; reached.len()];
                for at in (0..uri.len()).filter(|&at| reached[at] && uri[at] == *operator) {
                    begun[at + 1] = true;
                    next[at + 1] = true;
                }
                let stop: &[u8] = match operator {
                    b'#' => b"",
                    b'?' | b'&' => b"#",
                    b'.' => b"/?#",
                    _ => b"?#",
                };
                stretch(uri, &begun, &mut next, |byte| !stop.contains(&byte));
            }
        }
        next
    }
}

/// Marks every end of a run of one or more allowed bytes that begins where `starts` says.
fn stretch(uri: &[u8], starts: &[bool], ends: &mut [bool], allowed: impl Fn(u8) -> bool) {
    let mut open = false;
    for (at, &byte) in uri.iter().enumerate() {
        open = (open || starts[at]) && allowed(byte);
        ends[at + 1] |= open;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(template: &str, uri: &str) -> bool {
        Template::parse(template).expect("a template").matches(uri)
    }

    #[test]
    fn templates_match_what_they_make() {
        for (template, uri) in [
            ("file:///{name}", "file:///a.txt"),
            ("file:///{+path}", "file:///a/b/c.txt"),
            ("db://{db}/{table}/rows", "db://main/users/rows"),
            ("x://a{?q,page}", "x://a"),
            ("x://a{?q,page}", "x://a?q=1&page=2"),
            ("x://a?z=1{&q*}", "x://a?z=1&q=2"),
            ("x://a{/id:3}{#part}", "x://a/abc/d#p/q"),
            ("x://a{.ext}{;v}", "x://a.tar.gz;v=1"),
            ("{+any}", "whatever://x"),
            ("a{x}a{y}a", "abaca"),
            ("plain://x", "plain://x"),
        ] {
            assert!(matches(template, uri), "{template} should make {uri}");
        }
    }

    #[test]
    fn templates_do_not_match_other_uris() {
        for (template, uri) in [
            ("file:///{name}", "file:///"),
            ("file:///{name}", "file:///a/b"),
            ("file:///{name}", "file:///a?b"),
            ("file:///{name}", "File:///a"),
            ("x://a{?q}", "x://ab"),
            ("x://a{?q}", "x://a?q#f"),
            ("x://{a}.json", "x://a.jso"),
            ("plain://x", "plain://xy"),
            ("a{x}a", "aa"),
        ] {
            assert!(!matches(template, uri), "{template} should not make {uri}");
        }
    }

    #[test]
    fn braces_that_make_no_sense_are_refused() {
        for text in ["", "a{", "a}", "a{}", "a{+}", "a{b{c}d}", "a}b{c", &"{a}".repeat(PARTS_MAX + 1)] {
            assert!(Template::parse(text).is_none(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_hostile_template_takes_bounded_time() {
        let template = Template::parse(&format!("{}z", "{+a}a".repeat(31))).expect("a template");
        let uri = "a".repeat(URI_BYTES_MAX - 1) + "z";
        assert!(template.matches(&uri));
        assert!(!template.matches(&uri.replace('z', "zy")));
    }

    proptest! {
        #[test]
        fn filled_in_templates_match(
            parts in prop::collection::vec(("[a-z/:.?]{0,5}", "[a-z0-9%]{1,6}"), 1..6),
        ) {
            let text: String = parts.iter().map(|(literal, _)| format!("{literal}{{v}}")).collect();
            let uri: String = parts.iter().map(|(literal, value)| format!("{literal}{value}")).collect();
            prop_assert!(matches(&text, &uri));
        }

        #[test]
        fn no_text_makes_it_panic(template in "\\PC*", uri in "\\PC*") {
            if let Some(template) = Template::parse(&template) {
                template.matches(&uri);
            }
        }
    }
}
