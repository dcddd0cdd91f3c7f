//! What stands in the token of a stream: where it lives, which it is, until when, and which request it answers. So a client that
//! comes back to a stream that is gone can still be told that its answer is lost.

use std::time::Duration;

use bytes::Bytes;
use patchbay_core::seal::{Purpose, Sealer};

/// The longest id of a request that is kept in its stream's token. One that is longer is told nothing when its answer is lost.
const REQUEST_BYTES_MAX: usize = 256;
/// The longest name of a replica.
const HOME_BYTES_MAX: usize = 255;
/// How long a token is good beyond the longest call.
const GRACE_S: u64 = 3600;
/// The form of what is sealed.
const FORM: u8 = 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handle {
    /// The replica that has the stream.
    pub(super) home: String,
    pub(super) stream: [u8; 16],
    pub(super) expires_s: u32,
    /// The request's id, as it was written; empty when it is too long.
    pub(super) request: Bytes,
}

/// After which event a client wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    After(u64),
    /// The last of all.
    End,
}

/// The token and the point that an event's id names.
pub(super) fn parse(last_event_id: &str) -> Option<(&str, Point)> {
    let (token, point) = last_event_id.strip_prefix('p')?.rsplit_once('.')?;
    let point = match point {
        "end" => Point::End,
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => Point::After(number.parse().ok()?),
        _ => return None,
    };
    Some((token, point))
}

/// Until when the token of a stream is good that is opened now.
pub(super) fn expiry(now_ms: i64, longest: Duration) -> u32 {
    let now_s = u64::try_from(now_ms / 1000).unwrap_or(0);
    u32::try_from(now_s.saturating_add(longest.as_secs()).saturating_add(GRACE_S)).unwrap_or(u32::MAX)
}

impl Handle {
    /// The token.
    pub(super) fn seal(&self, sealer: &Sealer, bound: &[u8]) -> Box<str> {
        let home = &self.home.as_bytes()[..self.home.len().min(HOME_BYTES_MAX)];
        let request: &[u8] = if self.request.len() > REQUEST_BYTES_MAX { &[] } else { &self.request };
        let mut plain = Vec::with_capacity(22 + home.len() + request.len());
        plain.push(FORM);
        plain.extend_from_slice(&self.expires_s.to_be_bytes());
        plain.extend_from_slice(&self.stream);
        plain.push(home.len() as u8);
        plain.extend_from_slice(home);
        plain.extend_from_slice(request);
        sealer.seal(Purpose::Stream, &[bound], &plain).into()
    }

    /// What a token says to whom it was made for.
    pub(super) fn open(sealer: &Sealer, bound: &[u8], token: &str) -> Option<Self> {
        let plain = Bytes::from(sealer.open(Purpose::Stream, &[bound], token)?);
        let (head, rest) = plain.split_first_chunk::<22>()?;
        let [FORM, ..] = head else { return None };
        let (home, _) = rest.split_at_checked(usize::from(head[21]))?;
        Some(Self {
            home: std::str::from_utf8(home).ok()?.to_owned(),
            stream: head[5..21].try_into().ok()?,
            expires_s: u32::from_be_bytes(head[1..5].try_into().ok()?),
            request: plain.slice(22 + home.len()..),
        })
    }

    /// Whether it has expired.
    pub(super) fn is_over(&self, now_ms: i64) -> bool {
        now_ms / 1000 >= i64::from(self.expires_s)
    }
}
