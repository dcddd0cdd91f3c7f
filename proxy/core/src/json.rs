//! A shallow look into JSON text: where the members of one object begin and end, nothing below them. What is not looked at
//! stays the bytes it was. No tree is built here and nothing is written; see [`crate::envelope`] and [`crate::rewrite`].

pub mod grammar;

use std::borrow::Cow;

use memchr::memchr2;

/// Text that does not hold together as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The text is not an object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// The text is broken at about this byte.
    #[error("malformed JSON near byte {0}")]
    Malformed(usize),
    /// A member that must be unique stands twice.
    #[error("a member of the object stands twice")]
    Duplicate,
}

/// One member of an object, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key with its quotes and escapes.
    pub key: &'a str,
    /// The value.
    pub value: &'a str,
    /// Key, colon and value as they stand.
    pub whole: &'a str,
}

impl<'a> Member<'a> {
    /// The key without quotes, escapes resolved.
    pub fn name(&self) -> Cow<'a, str> {
        unquote(self.key).unwrap_or(Cow::Borrowed(""))
    }

    /// Whether the key is this name, however it is escaped.
    pub fn is(&self, name: &str) -> bool {
        let inner = &self.key[1..self.key.len() - 1];
        if inner.contains('\\') { self.name() == name } else { inner == name }
    }
}

/// The members of an object in their order. Checks the structure only as far as it has to look.
///
/// After the first error the iterator ends.
pub fn members(text: &str) -> Members<'_> {
    Members { text, at: 0, state: State::Start }
}

/// See [`members`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Between,
    Done,
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let found = self.advance();
        if !matches!(found, Ok(Some(_))) {
            self.state = State::Done;
        }
        found.transpose()
    }
}

impl<'a> Members<'a> {
    fn advance(&mut self) -> Result<Option<Member<'a>>, ScanError> {
        let bytes = self.text.as_bytes();
        self.at = skip_space(bytes, self.at);
        if self.state == State::Start {
            if bytes.get(self.at) != Some(&b'{') {
                return Err(ScanError::NotAnObject);
            }
            self.at = skip_space(bytes, self.at + 1);
            if bytes.get(self.at) == Some(&b'}') {
                return self.finish();
            }
        } else {
            match bytes.get(self.at) {
                Some(b',') => self.at = skip_space(bytes, self.at + 1),
                Some(b'}') => return self.finish(),
                _ => return Err(ScanError::Malformed(self.at)),
            }
        }
        self.state = State::Between;
        self.member().map(Some)
    }

    fn member(&mut self) -> Result<Member<'a>, ScanError> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let key_end = end_of_string(bytes, start)?;
        let colon = skip_space(bytes, key_end);
        if bytes.get(colon) != Some(&b':') {
            return Err(ScanError::Malformed(colon));
        }
        let value_start = skip_space(bytes, colon + 1);
        let value_end = end_of_value(bytes, value_start)?;
        self.at = value_end;
        Ok(Member {
            key: &self.text[start..key_end],
            value: &self.text[value_start..value_end],
            whole: &self.text[start..value_end],
        })
    }

    fn finish(&mut self) -> Result<Option<Member<'a>>, ScanError> {
        let rest = skip_space(self.text.as_bytes(), self.at + 1);
        if rest == self.text.len() { Ok(None) } else { Err(ScanError::Malformed(rest)) }
    }
}

/// The value of the only member of that name; an error when it stands twice.
pub fn unique<'a>(text: &'a str, name: &str) -> Result<Option<&'a str>, ScanError> {
    let mut found = None;
    for member in members(text) {
        let member = member?;
        if member.is(name) && found.replace(member.value).is_some() {
            return Err(ScanError::Duplicate);
        }
    }
    Ok(found)
}

/// The first value at this path of object keys; `None` when there is none or the text is broken before it.
pub fn at_path<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(text, |text, name| members(text).flatten().find(|member| member.is(name)).map(|m| m.value))
}

/// The elements of an array, as they are written.
pub fn elements(text: &str) -> Result<Vec<&str>, ScanError> {
    let bytes = text.as_bytes();
    let mut at = skip_space(bytes, 0);
    if bytes.get(at) != Some(&b'[') {
        return Err(ScanError::Malformed(at));
    }
    let mut found = Vec::new();
    at = skip_space(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Ok(found);
    }
    loop {
        let end = end_of_value(bytes, at)?;
        found.push(&text[at..end]);
        at = skip_space(bytes, end);
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(b']') => return Ok(found),
            _ => return Err(ScanError::Malformed(at)),
        }
    }
}

/// A JSON string without quotes, escapes resolved; `None` when it is no string.
pub fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr2(b'\\', b'"', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// A text as a JSON string, with quotes.
pub fn quote(text: &str) -> String {
    if text.bytes().all(|byte| byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        return ["\"", text, "\""].concat();
    }
    serde_json::Value::from(text).to_string()
}

/// Whether the nesting of arrays and objects is deeper than this.
pub fn deeper_than(bytes: &[u8], depth_max: usize) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => match end_of_string(bytes, at) {
                Ok(end) => {
                    at = end;
                    continue;
                }
                Err(_) => return false,
            },
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// The position after any white space.
pub fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position after the string that starts here.
pub fn end_of_string(bytes: &[u8], start: usize) -> Result<usize, ScanError> {
    if bytes.get(start) != Some(&b'"') {
        return Err(ScanError::Malformed(start));
    }
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
    Err(ScanError::Malformed(bytes.len()))
}

/// The position after the value that starts here. Nested values are skipped by counting brackets.
pub fn end_of_value(bytes: &[u8], start: usize) -> Result<usize, ScanError> {
    match bytes.get(start) {
        Some(b'"') => end_of_string(bytes, start),
        Some(b'{' | b'[') => end_of_nested(bytes, start),
        Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            let plain = |b: &u8| matches!(b, b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E');
            Ok(start + bytes[start..].iter().take_while(|b| plain(b)).count())
        }
        _ => Err(ScanError::Malformed(start)),
    }
}

fn end_of_nested(bytes: &[u8], start: usize) -> Result<usize, ScanError> {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(ScanError::Malformed(bytes.len()))
}

/// The head of a JSON-RPC message: its own members, as they are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageHead<'a> {
    /// The id, raw.
    pub id: Option<&'a str>,
    /// The method, raw with its quotes.
    pub method: Option<&'a str>,
    /// The params.
    pub params: Option<&'a str>,
    /// The result.
    pub result: Option<&'a str>,
    /// The error.
    pub error: Option<&'a str>,
}

impl<'a> MessageHead<'a> {
    /// Reads the head of a message that a server sent. Broken text and known members that stand twice are errors; what lies
    /// below the members is not looked at.
    pub fn read(text: &'a str) -> Result<Self, ScanError> {
        let mut head = Self::default();
        for member in members(text) {
            let member = member?;
            let slot = match &*member.name() {
                "id" => &mut head.id,
                "method" => &mut head.method,
                "params" => &mut head.params,
                "result" => &mut head.result,
                "error" => &mut head.error,
                _ => continue,
            };
            if slot.replace(member.value).is_some() {
                return Err(ScanError::Duplicate);
            }
        }
        Ok(head)
    }

    /// The method's name.
    pub fn method_name(&self) -> Option<Cow<'a, str>> {
        self.method.and_then(unquote)
    }

    /// Whether it is a response.
    pub const fn is_response(&self) -> bool {
        self.method.is_none() && (self.result.is_some() || self.error.is_some())
    }

    /// Whether it is a notification.
    pub const fn is_notification(&self) -> bool {
        self.method.is_some() && self.id.is_none()
    }

    /// Whether it is a request.
    pub const fn is_request(&self) -> bool {
        self.method.is_some() && self.id.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_come_as_they_are_written() {
        let text = " { \"a\" : 1e400 , \"b\\u0041\":[{\"}\":\"]\\\"\"}] ,\"c\":null}\n";
        let found: Vec<_> = members(text).map(|m| m.expect("well formed")).collect();
        assert_eq!(found.iter().map(|m| m.value).collect::<Vec<_>>(), ["1e400", "[{\"}\":\"]\\\"\"}]", "null"]);
        assert_eq!(found[1].name(), "bA");
        assert!(found[1].is("bA") && found[0].whole == "\"a\" : 1e400");
    }

    #[test]
    fn broken_objects_are_errors_not_panics() {
        for text in ["", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1}x", "{\"a\":1 \"b\":2}", "{\"a\":\"\\"]
        {
            assert!(members(text).any(|m| m.is_err()), "{text:?} was taken");
        }
        assert_eq!(members("{}").count(), 0);
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_however_it_is_escaped() {
        assert_eq!(unique("{\"a\":1,\"\\u0061\":2}", "a"), Err(ScanError::Duplicate));
        assert_eq!(MessageHead::read("{\"id\":1,\"id\":2}"), Err(ScanError::Duplicate));
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert!(deeper_than(b"[[[]]]", 2) && !deeper_than(b"[[[]]]", 3));
        assert!(!deeper_than(b"[\"[[[[\\\"[[[\"]", 1));
    }

    proptest! {
        #[test]
        fn any_object_splits_into_the_members_that_serde_sees(map in prop::collection::btree_map(".*", any::<f64>(), 0..6)) {
            let text = serde_json::to_string(&map).expect("a map of numbers");
            let seen: Vec<String> = members(&text).map(|m| m.expect("well formed").name().into_owned()).collect();
            prop_assert_eq!(seen, map.into_keys().collect::<Vec<_>>());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            members(&text).for_each(drop);
            let _ = MessageHead::read(&text);
            let _ = elements(&text);
        }
    }
}
