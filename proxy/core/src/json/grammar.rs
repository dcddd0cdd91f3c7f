//! Whether bytes are JSON to the bottom: UTF-8 and the grammar of RFC 8259, in one pass that keeps nothing. Asked of every
//! message before anything in it is believed; what stands in it is found by the parent module. Says what `serde_json` would
//! say, in a fraction of its time for long strings, which are most of what passes.

use super::skip_space;

/// The nesting that is followed here: one bit of a `u128` for each open bracket. What is deeper is rare and left to `serde_json`.
const DEPTH_MAX: u32 = 128;
/// So many bytes of a string are looked at in one step; the compiler makes vector instructions of it.
const STRIDE: usize = 32;

/// The bytes as text, when they are one JSON value in UTF-8.
pub fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_json = match walk(bytes) {
        Walk::Whole => true,
        Walk::Broken => false,
        Walk::Deep => serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok(),
    };
    is_json.then_some(text)
}

enum Walk {
    Whole,
    Broken,
    Deep,
}

/// The brackets that are open.
#[derive(Default)]
struct Open {
    /// The innermost is the lowest bit: 1 for an object, 0 for an array.
    kinds: u128,
    depth: u32,
}

impl Open {
    const fn enter(&mut self, is_object: bool) {
        self.kinds = self.kinds << 1 | is_object as u128;
        self.depth += 1;
    }

    const fn leave(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    const fn in_object(&self) -> bool {
        self.kinds & 1 == 1
    }
}

fn walk(bytes: &[u8]) -> Walk {
    let mut open = Open::default();
    let mut at = skip_space(bytes, 0);
    loop {
        let Some(byte) = bytes.get(at) else { return Walk::Broken };
        let went_on = match byte {
            b'{' | b'[' if open.depth == DEPTH_MAX => return Walk::Deep,
            b'{' | b'[' => enter(bytes, at, &mut open),
            _ => scalar(bytes, at).and_then(|end| after(bytes, end, &mut open)),
        };
        match went_on {
            Some(Next::Value(next)) => at = next,
            Some(Next::End) => return Walk::Whole,
            None => return Walk::Broken,
        }
    }
}

/// What comes after something that was in its place.
enum Next {
    /// A value, here.
    Value(usize),
    /// Nothing more.
    End,
}

/// Into the object or array that begins here.
fn enter(bytes: &[u8], at: usize, open: &mut Open) -> Option<Next> {
    open.enter(bytes[at] == b'{');
    let first = skip_space(bytes, at + 1);
    match (bytes.get(first)?, open.in_object()) {
        (b'}', true) | (b']', false) => after(bytes, first, open),
        (_, true) => key(bytes, first).map(Next::Value),
        (_, false) => Some(Next::Value(first)),
    }
}

/// After a value, or before the end of an empty object or array: closes brackets, up to the next value.
fn after(bytes: &[u8], mut at: usize, open: &mut Open) -> Option<Next> {
    loop {
        at = skip_space(bytes, at);
        if open.depth == 0 {
            return (at == bytes.len()).then_some(Next::End);
        }
        match (bytes.get(at)?, open.in_object()) {
            (b'}', true) | (b']', false) => open.leave(),
            (b',', true) => return key(bytes, skip_space(bytes, at + 1)).map(Next::Value),
            (b',', false) => return Some(Next::Value(skip_space(bytes, at + 1))),
            _ => return None,
        }
        at += 1;
    }
}

/// The position of the value after the key that starts here.
fn key(bytes: &[u8], at: usize) -> Option<usize> {
    let colon = skip_space(bytes, string(bytes, at)?);
    (bytes.get(colon) == Some(&b':')).then(|| skip_space(bytes, colon + 1))
}

/// The position after the string, number or word that starts here.
fn scalar(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string(bytes, at),
        b't' => word(bytes, at, b"true"),
        b'f' => word(bytes, at, b"false"),
        b'n' => word(bytes, at, b"null"),
        _ => number(bytes, at),
    }
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then_some(at + word.len())
}

fn string(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at += plain(&bytes[at..]);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match bytes.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            // A control character has to be escaped.
            _ => return None,
        }
    }
}

/// How many bytes from here on stand for themselves in a string.
fn plain(bytes: &[u8]) -> usize {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let mut at = 0;
    for stride in bytes.chunks_exact(STRIDE) {
        // Without early exit, so that a stride is a few vector instructions.
        if stride.iter().fold(false, |any, byte| any | special(*byte)) {
            break;
        }
        at += STRIDE;
    }
    at + bytes[at..].iter().take_while(|byte| !special(**byte)).count()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let first = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut at = match bytes.get(first)? {
        b'0' => first + 1,
        _ => digits(bytes, first)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(bytes, at + 1 + sign)?;
    }
    Some(at)
}

/// The position after at least one digit.
fn digits(bytes: &[u8], at: usize) -> Option<usize> {
    let count = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn serde_says(bytes: &[u8]) -> bool {
        serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok()
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let broken = [
            "",
            " ",
            "{",
            "[",
            "}",
            "]",
            "{]",
            "[}",
            "{,}",
            "[,]",
            "[1,]",
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            r#"{"a":}"#,
            "{1:2}",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "tru",
            "nul",
            "truex",
            "\"",
            r#""\""#,
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u12"#,
            "\"\n\"",
            "1 2",
            "[1 2]",
            r#"{"a":1 "b":2}"#,
            "[1]]",
            "\u{feff}1",
            "\u{a0}1",
            "NaN",
        ];
        for text in broken {
            assert!(super::text(text.as_bytes()).is_none(), "{text:?} was taken");
            assert!(!serde_says(text.as_bytes()), "{text:?} is taken by serde_json");
        }
        assert!(text(b"\"\xff\"").is_none());
    }

    #[test]
    fn what_is_json_is_taken() {
        let whole = [
            "0",
            "-0",
            "1e5",
            "-1.5E-7",
            " [ ] ",
            "{ }",
            "[{}]",
            "{\"a\" : [1, true ,null,\"x\"] }\n",
            r#""\ud800""#,
            "\"\u{7f}ü\"",
            r#""\u00e9\/\\""#,
        ];
        for text in whole {
            assert_eq!(super::text(text.as_bytes()), Some(text));
            assert!(serde_says(text.as_bytes()), "{text:?} is not taken by serde_json");
        }
    }

    #[test]
    fn any_depth_is_followed() {
        for depth in [127, 128, 129, 1000] {
            let nested = "[".repeat(depth) + &"]".repeat(depth);
            assert!(text(nested.as_bytes()).is_some(), "{depth} levels were refused");
            assert!(text(&nested.as_bytes()[1..]).is_none(), "{depth} levels with one bracket less were taken");
        }
    }

    #[test]
    fn a_special_character_is_found_wherever_it_stands_in_a_stride() {
        for place in 0..3 * STRIDE {
            let string = |special: &str| format!("\"{}{special}{}\"", "a".repeat(place), "b".repeat(2 * STRIDE));
            assert!(text(string("\\n").as_bytes()).is_some());
            assert!(text(string("\n").as_bytes()).is_none());
            assert!(text(string("\"").as_bytes()).is_none());
        }
    }

    proptest! {
        #[test]
        fn it_says_what_serde_json_says(bytes in r#"[ \[\]{},:"\\a0-9eE.+ntrufls\n\x00-]{0,24}"#) {
            prop_assert_eq!(text(bytes.as_bytes()).is_some(), serde_says(bytes.as_bytes()));
        }
    }
}
