//! Who is really at the other end, when a reverse proxy is in between. Only proxies on the operator's list are believed; of a
//! chain of addresses the last one that is no such proxy counts, since everything before it is whatever the client wrote.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::auth::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The header of RFC 7239.
pub(super) const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// The peer behind the proxies. A request that was forwarded by anybody is not one from this machine, believed or not: else a
/// proxy beside the gateway would open to the world what is meant for loopback.
pub(super) fn behind(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Peer {
    if !headers.contains_key(&FORWARDED_FOR) && !headers.contains_key(&FORWARDED) {
        return peer;
    }
    let is_proxy = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let mut ip = peer.ip;
    let chain = headers.get_all(&FORWARDED_FOR).iter().rev().filter_map(|value| value.to_str().ok());
    for hop in chain.flat_map(|value| value.rsplit(',')) {
        if !is_proxy(&ip) {
            break;
        }
        let Some(before) = address(hop.trim()) else { break };
        ip = before.to_canonical();
    }
    Peer { ip, loopback: false }
}

/// An address, also as some proxies write it: with a port, or in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(from: &str, forwarded: &[&'static str]) -> Peer {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let peer = Peer { ip: from.parse().unwrap(), loopback: true };
        behind(peer, &headers, &["10.0.0.0/8".parse().unwrap()])
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        assert_eq!(seen("192.0.2.1", &["1.1.1.1"]).ip.to_string(), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"]).ip.to_string(), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6", "1.1.1.1"]).ip.to_string(), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["nonsense"]).ip.to_string(), "10.0.0.1");
    }

    #[test]
    fn a_proxy_that_writes_ports_does_not_make_all_its_clients_one() {
        for hop in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:50123"] {
            assert_eq!(seen("10.0.0.1", &[hop]).ip.to_string(), "2001:db8::1", "{hop}");
        }
        assert_eq!(seen("10.0.0.1", &["6.6.6.6:1, 1.1.1.1:50123, 10.0.0.2:80"]).ip.to_string(), "1.1.1.1");
    }

    #[test]
    fn a_forwarded_request_is_never_one_of_this_machine() {
        assert!(seen("127.0.0.1", &[]).loopback);
        assert!(!seen("127.0.0.1", &["127.0.0.1"]).loopback);
    }
}
