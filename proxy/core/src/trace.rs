//! W3C Trace Context: `traceparent` and `tracestate` read from what a caller sent, and written for a server. Strict and bounded:
//! what is not to the letter is `None`, never an error. Whose context counts, and what is recorded, is the gateway's `telemetry`.
//!
//! (W3C Trace Context Level 2; MCP 2026-07-28, basic: the two names stand unprefixed in `_meta`.)

use std::{fmt, sync::Arc};

use crate::json;

/// The name of the header and of the member of `_meta`.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header and of the member of `_meta`.
pub const TRACESTATE: &str = "tracestate";
/// The length of a `traceparent` as it is written here, in bytes.
pub const TRACEPARENT_BYTES: usize = 55;
/// The longest `tracestate` that is passed on, in bytes.
pub const TRACESTATE_BYTES_MAX: usize = 512;
/// The most members of a `tracestate`.
pub const TRACESTATE_MEMBERS_MAX: usize = 32;
/// The longest key of a member of a `tracestate`, and the longest value, in bytes.
pub const TRACESTATE_WORD_BYTES_MAX: usize = 256;

const SAMPLED: u8 = 0b01;
/// The flags that mean something: sampled, and that the trace id was drawn at random.
const KNOWN_FLAGS: u8 = 0b11;

/// Declares an id of so many bytes that is never all zero.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $bytes:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The id with these bytes; all zero is none.
            pub fn new(bytes: [u8; $bytes]) -> Option<Self> {
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }

            /// Its bytes.
            pub const fn bytes(self) -> [u8; $bytes] {
                self.0
            }

            fn parse(text: &[u8]) -> Option<Self> {
                Self::new(unhex(text)?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

ids! {
    /// Which trace.
    TraceId = 16,
    /// Which span of it.
    SpanId = 8,
}

/// Where in a trace somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span that is the parent of whatever the receiver does.
    pub span: SpanId,
    flags: u8,
}

impl TraceParent {
    /// The beginning of a trace.
    pub const fn root(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        Self { trace, span, flags: sampled as u8 }
    }

    /// A span below this one.
    #[must_use]
    pub const fn child(self, span: SpanId, sampled: bool) -> Self {
        Self { span, flags: self.flags & !SAMPLED | sampled as u8, ..self }
    }

    /// Whether the trace is recorded.
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags, as they are written.
    pub const fn flags(self) -> u8 {
        self.flags
    }

    /// Reads a `traceparent`. Versions that are not known yet are read as far as version 00 goes.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let (head, more) = text.split_at_checked(TRACEPARENT_BYTES)?;
        let [version] = unhex(&head[..2])?;
        let ends = match version {
            0x00 => more.is_empty(),
            0xff => false,
            _ => more.first().is_none_or(|byte| *byte == b'-'),
        };
        if !ends || [head[2], head[35], head[52]] != [b'-'; 3] {
            return None;
        }
        let [flags] = unhex(&head[53..])?;
        Some(Self {
            trace: TraceId::parse(&head[3..35])?,
            span: SpanId::parse(&head[36..52])?,
            flags: flags & KNOWN_FLAGS,
        })
    }

    /// Writes it, in version 00. The bytes are ASCII.
    pub fn write(self) -> [u8; TRACEPARENT_BYTES] {
        let mut out = [b'-'; TRACEPARENT_BYTES];
        hex(&[0], &mut out[..2]);
        hex(&self.trace.0, &mut out[3..35]);
        hex(&self.span.0, &mut out[36..52]);
        hex(&[self.flags], &mut out[53..]);
        out
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// What tracing systems say of a trace to each other: well-formed, printable ASCII, at most [`TRACESTATE_BYTES_MAX`] long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceState(Arc<str>);

impl TraceState {
    /// Reads a `tracestate`; an empty one is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        if text.is_empty() || text.len() > TRACESTATE_BYTES_MAX {
            return None;
        }
        let mut keys = [""; TRACESTATE_MEMBERS_MAX];
        let mut count = 0;
        for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty())
        {
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || keys[..count].contains(&key) {
                return None;
            }
            *keys.get_mut(count)? = key;
            count += 1;
        }
        (count > 0).then(|| Self(text.into()))
    }

    /// It as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_key(key: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let further = |byte: u8| first(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= TRACESTATE_WORD_BYTES_MAX && key.bytes().next().is_some_and(first) && key.bytes().skip(1).all(further)
}

fn is_value(value: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=' && byte != b',';
    !value.is_empty() && value.len() <= TRACESTATE_WORD_BYTES_MAX && value.bytes().all(fits)
}

/// What is handed on from a caller to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The parent.
    pub parent: TraceParent,
    /// What came with it.
    pub state: Option<TraceState>,
}

impl TraceContext {
    /// Reads the two texts. A state without a parent, or one that is not well-formed, is dropped.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        Some(Self { parent: TraceParent::parse(parent)?, state: state.and_then(TraceState::parse) })
    }

    /// Reads the members of a raw `_meta` object. A member that stands twice says nothing.
    pub fn of_meta(meta: &str) -> Option<Self> {
        // Most have none. A name in escapes is one that nobody writes; it is passed over here.
        memchr::memmem::find(meta.as_bytes(), TRACEPARENT.as_bytes())?;
        let parent = json::unique(meta, TRACEPARENT).ok()?.and_then(json::unquote)?;
        let state = json::unique(meta, TRACESTATE).ok().flatten().and_then(json::unquote);
        Self::parse(&parent, state.as_deref())
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex(bytes: &[u8], out: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
    }
}

/// Lower case alone, as the standard wants it.
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (text.len() == 2 * N).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_not_to_the_letter_is_no_traceparent() {
        for text in [
            "",
            "00",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let known = TraceParent::parse(GOOD).expect("a parent");
        assert!(known.is_sampled());
        let later = GOOD.replacen("00", "cc", 1).replace("-01", "-09-what-comes-after");
        assert_eq!(TraceParent::parse(&later), Some(known), "unknown flags are dropped");
        assert_eq!(known.to_string(), GOOD);
        assert_eq!(known.write(), GOOD.as_bytes());
    }

    #[test]
    fn a_child_stays_in_its_trace_and_keeps_what_is_known_of_its_id() {
        let random = TraceParent::parse(&GOOD.replace("-01", "-03")).expect("a parent");
        let child = random.child(SpanId::new([1; 8]).expect("not zero"), false);
        assert_eq!(child.to_string(), "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-02");
    }

    #[test]
    fn a_state_is_taken_whole_or_not_at_all() {
        for good in ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1", "1a@b/c*_-=x y\"\\", "a=1, b=2 ,,c=3"] {
            assert_eq!(TraceState::parse(good).expect(good).as_str(), good);
        }
        let many: Vec<_> = (0..33).map(|number| format!("k{number}=v")).collect();
        let long = format!("a={},b={}", "x".repeat(255), "y".repeat(255));
        for bad in
            ["", " ", ",", "a", "A=1", "a=", "a=1,a=2", "a=b=c", "a=\u{e9}", "a=1\r\nb=2", &many.join(","), &long]
        {
            assert_eq!(TraceState::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_state_does_not_cost_the_parent() {
        let context = TraceContext::parse(GOOD, Some("not a state")).expect("a context");
        assert_eq!((context.parent.to_string().as_str(), context.state), (GOOD, None));
        assert_eq!(TraceContext::parse("garbage", Some("a=1")), None);
    }

    #[test]
    fn meta_is_read_and_what_it_says_twice_is_not_believed() {
        let meta = format!(r#"{{"x":1,"traceparent":"{GOOD}","tracestate":"a=\u0031"}}"#);
        let context = TraceContext::of_meta(&meta).expect("a context");
        assert_eq!(context.state.expect("a state").as_str(), "a=1");
        for none in [
            "{}",
            r#"{"traceparent":1}"#,
            r#"{"x":{"traceparent":"y"}}"#,
            r#"{"traceparent":null,"tracestate":"a=1"}"#,
            "[]",
            "",
            "\"traceparent\"",
        ] {
            assert_eq!(TraceContext::of_meta(none), None, "{none}");
        }
        let twice = format!(r#"{{"traceparent":"{GOOD}","traceparent":"{GOOD}"}}"#);
        assert_eq!(TraceContext::of_meta(&twice), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace: [u8; 16], span: [u8; 8], sampled: bool) {
            if let (Some(trace), Some(span)) = (TraceId::new(trace), SpanId::new(span)) {
                let parent = TraceParent::root(trace, span, sampled);
                prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
                prop_assert_eq!(parent.write().to_vec(), parent.to_string().into_bytes());
            }
        }

        #[test]
        fn any_text_is_taken_or_left_and_what_is_taken_is_plain(text in "\\PC{0,80}", state in "[ -~\u{9}é]{0,600}") {
            if let Some(parent) = TraceParent::parse(&text) {
                prop_assert!(TraceParent::parse(&parent.to_string()) == Some(parent));
            }
            if let Some(state) = TraceState::parse(&state) {
                prop_assert!(state.as_str().len() <= TRACESTATE_BYTES_MAX && state.as_str().is_ascii());
                prop_assert!(!state.as_str().contains(['\r', '\n']));
            }
        }

        #[test]
        fn one_changed_byte_is_another_context_or_none(at in 0..TRACEPARENT_BYTES, byte in 0x20..0x7f_u8) {
            let mut text = GOOD.as_bytes().to_vec();
            if text[at] != byte {
                text[at] = byte;
                let text = String::from_utf8(text).expect("ASCII");
                let known = TraceParent::parse(GOOD);
                // Only what a later version or an unknown flag says may be passed over.
                prop_assert!(TraceParent::parse(&text) != known || !(2..53).contains(&at));
            }
        }
    }
}
