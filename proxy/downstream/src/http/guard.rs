//! Which addresses a server may have: the open internet, and the private networks that the operator named. Pure
//! classification of addresses; resolving and connecting are in `connect`, which asks here for every address that a name
//! leads to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What the operator allows servers to be.
#[derive(Debug, Clone, Default)]
pub struct NetPolicy {
    /// Networks that are not the open internet and may be connected to all the same.
    pub allow_private: Vec<IpNet>,
    /// Whether `http://` may be used, without TLS.
    pub allow_plain_http: bool,
}

impl NetPolicy {
    /// Whether this address may be connected to. An IPv4 address inside of an IPv6 one is judged as the IPv4 address that
    /// the packets would reach.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow_private.iter().any(|net| net.contains(&address))
            || match address {
                IpAddr::V4(v4) => is_global_v4(v4),
                IpAddr::V6(v6) => match wrapped_v4(v6) {
                    Some(v4) => self.allows(v4.into()),
                    None => is_global_v6(v6),
                },
            }
    }
}

/// IPv4 networks that are not the open internet (IANA special-purpose registry, multicast, class E).
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// Networks inside of 2000::/3 that are not the open internet: protocol assignments (Teredo among them), documentation.
const SPECIAL_V6: [Ipv6Net; 3] = [v6([0x2001, 0, 0], 23), v6([0x2001, 0xdb8, 0], 32), v6([0x3fff, 0, 0], 20)];

/// The only block that global unicast addresses are given out from. Everything outside of it — loopback, unspecified, ULA,
/// link-local, site-local, multicast, IPv4-compatible, local NAT64 — is no address of a server on the internet.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 16);

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]), prefix)
}

const fn v6(first: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first[0], first[1], first[2], 0, 0, 0, 0, 0), prefix)
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|net| net.contains(&address))
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|net| net.contains(&address))
}

/// The IPv4 address that a NAT64 or 6to4 address leads to.
fn wrapped_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let o = address.octets();
    if NAT64.contains(&address) {
        Some(Ipv4Addr::new(o[12], o[13], o[14], o[15]))
    } else if SIX_TO_FOUR.contains(&address) {
        Some(Ipv4Addr::new(o[2], o[3], o[4], o[5]))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use url::{Host, Url};

    use super::*;

    /// The address that the URL parser makes of a literal, odd spellings included.
    fn literal(host: &str) -> IpAddr {
        match Url::parse(&format!("http://{host}/")).expect("a URL").host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            other => panic!("{host} is no literal but {other:?}"),
        }
    }

    #[test]
    fn addresses_that_are_not_the_open_internet_are_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::7f00:1]",
            "[::ffff:7f00:1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2002:a00:1::]",
            "[2001::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[100::1]",
        ] {
            assert!(!NetPolicy::default().allows(literal(host)), "{host} was allowed");
        }
    }

    #[test]
    fn addresses_of_the_open_internet_are_allowed() {
        for host in [
            "1.1.1.1",
            "93.184.216.34",
            "[2606:4700::1111]",
            "[::ffff:1.1.1.1]",
            "[64:ff9b::101:101]",
            "[2002:101:101::]",
        ] {
            assert!(NetPolicy::default().allows(literal(host)), "{host} was refused");
        }
    }

    #[test]
    fn a_private_network_that_the_operator_named_is_allowed_and_no_other() {
        let policy =
            NetPolicy { allow_private: vec!["10.0.0.0/8".parse().expect("a network")], allow_plain_http: true };
        assert!(policy.allows(literal("10.9.8.7")) && policy.allows(literal("[::ffff:10.9.8.7]")));
        assert!(!policy.allows(literal("127.0.0.1")) && !policy.allows(literal("[::1]")));
    }
}
