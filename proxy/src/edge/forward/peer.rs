//! What one replica says to another of a request that it hands on: from where it came. It is sealed, so no client can say it, and
//! it counts at the replica that it is for and for a short time. A request that carries it is never handed on again.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use patchbay_core::seal::Purpose;

use crate::{app::App, auth::Peer, replica::home::ID_BYTES};

/// The header that says it.
pub(in crate::edge) const HEADER: HeaderName = HeaderName::from_static("x-patchbay-peer");
/// How long it counts, in milliseconds: for the way, and for clocks that differ a little.
const LIFE_MS: i64 = 60_000;
/// The longest value that is looked at.
const VALUE_BYTES_MAX: usize = 1024;
/// Expiry, sender, whether it was one of this machine, address.
const PLAIN_BYTES: usize = 8 + ID_BYTES + 1 + 16;

/// A request that another replica has handed on.
#[derive(Debug, Clone, Copy)]
pub(in crate::edge) struct Handed {
    /// The other end of the connection there; `None` when the word is too old, or was for another replica.
    pub(in crate::edge) from: Option<Peer>,
}

/// The word for the replica at `url` of a request that came from there.
pub(super) fn said(app: &App, from: Peer, url: &str, now_ms: i64) -> Option<HeaderValue> {
    let ip = match from.ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut plain = Vec::with_capacity(PLAIN_BYTES + url.len());
    plain.extend_from_slice(&(now_ms + LIFE_MS).to_be_bytes());
    plain.extend_from_slice(&app.replica.home.id());
    plain.push(u8::from(from.loopback));
    plain.extend_from_slice(&ip.octets());
    plain.extend_from_slice(url.as_bytes());
    HeaderValue::try_from(app.sealer.seal(Purpose::Peer, &[], &plain)).ok()
}

/// Whether a request was handed on by another replica. What no gateway with our sealing key has made counts for nothing.
pub(in crate::edge) fn handed(app: &App, headers: &HeaderMap, now_ms: i64) -> Option<Handed> {
    let mut values = headers.get_all(HEADER).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let value = value.to_str().ok().filter(|value| value.len() <= VALUE_BYTES_MAX)?;
    let plain = app.sealer.open(Purpose::Peer, &[], value)?;
    let (plain, url) = plain.split_first_chunk::<PLAIN_BYTES>()?;
    let expires_ms = i64::from_be_bytes(*plain.first_chunk()?);
    let ip = Ipv6Addr::from(*plain.last_chunk::<16>()?);
    let is_for_us = app.replica.home.url().is_some_and(|own| own.as_bytes() == url);
    let counts = is_for_us && now_ms < expires_ms && expires_ms <= now_ms + 2 * LIFE_MS;
    let from = Peer { ip: IpAddr::V6(ip).to_canonical(), loopback: plain[8 + ID_BYTES] == 1 };
    Some(Handed { from: counts.then_some(from) })
}
