//! Where the gateway is for whoever asks: `public_url`, or what a trusted proxy or the Host header says, where the operator has
//! listed that name. Read by [`super::mcp`] at doors that take tokens and by [`super::metadata`]; a call with a key at a door of
//! keys pays nothing for it.
//!
//! What is found here becomes the audience of tokens, so nothing of it may be the client's own word.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use patchbay_config::GatewayConfig;
use tracing::warn;
use url::Url;

use super::{
    forwarded::FORWARDED,
    origin::{authority_matches, split_port},
};
use crate::auth::site::Site;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// The longest path before all others that a proxy may name, in bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// The addresses of this gateway: the one that the operator gave, or the rules by which it is found out.
#[derive(Debug)]
pub struct Sites {
    public: Option<Arc<Site>>,
    /// The names that the operator has listed one by one; `*` lists none.
    hosts: Vec<String>,
    proxies: Vec<IpNet>,
    /// Whether somebody was told that there is no address.
    told: AtomicBool,
}

impl Sites {
    /// By this configuration.
    pub fn new(config: &GatewayConfig) -> Self {
        Self {
            public: config.public_url.as_ref().map(|url| Arc::new(public(url))),
            hosts: config.allowed_hosts.iter().filter(|host| *host != "*").cloned().collect(),
            proxies: config.trusted_proxies.clone(),
            told: AtomicBool::new(false),
        }
    }

    /// What stands before all paths of `public_url`: empty, or as in `/mcp-gateway`.
    pub(super) fn prefix(&self) -> &str {
        self.public.as_ref().map_or("", |site| &site.prefix)
    }

    /// Whether the address is the same for everybody who asks.
    pub(super) const fn is_fixed(&self) -> bool {
        self.public.is_some()
    }

    /// The address for a request that came over a connection from there. `None` where nobody who may say it does: then OAuth is
    /// not offered.
    pub(super) fn of(&self, sender: IpAddr, headers: &HeaderMap) -> Option<Arc<Site>> {
        self.public.clone().or_else(|| self.told_by(sender, headers).map(Arc::new))
    }

    /// Says once to the operator that people cannot sign in for want of an address.
    pub(super) fn note_missing(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            warn!(
                "a toolset takes tokens, but it is not known under which address clients reach it, so nobody can sign in: set \
                 public_url in patchbay.yaml"
            );
        }
    }

    fn told_by(&self, sender: IpAddr, headers: &HeaderMap) -> Option<Site> {
        let believed = self.proxies.iter().any(|net| net.contains(&sender));
        let said = if believed { Said::read(headers).ok()? } else { Said::default() };
        let host = match said.host {
            Some(host) => host,
            None => only(headers, &header::HOST).ok()??,
        };
        let scheme = said.scheme.unwrap_or("http");
        let authority = authority(host, scheme)?;
        let listed = self.hosts.iter().any(|listed| authority_matches(listed, host));
        listed.then(|| Site { origin: format!("{scheme}://{authority}"), prefix: said.prefix.to_owned() })
    }
}

fn public(url: &Url) -> Site {
    Site { origin: url.origin().ascii_serialization(), prefix: url.path().trim_end_matches('/').to_owned() }
}

/// A header that does not say one thing.
struct Unclear;

/// What a proxy says of the address that it was asked under. One proxy: with a list of several it cannot be told which of them
/// were added by somebody who is trusted.
#[derive(Default)]
struct Said<'a> {
    scheme: Option<&'static str>,
    host: Option<&'a str>,
    prefix: &'a str,
}

impl<'a> Said<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Unclear> {
        let (proto, host) = only(headers, &FORWARDED)?.map_or(Ok((None, None)), forwarded)?;
        let proto = agreed(only(headers, &FORWARDED_PROTO)?, proto)?;
        let scheme = match proto {
            None => None,
            Some(proto) if proto.eq_ignore_ascii_case("https") => Some("https"),
            Some(proto) if proto.eq_ignore_ascii_case("http") => Some("http"),
            Some(_) => return Err(Unclear),
        };
        let host = agreed(only(headers, &FORWARDED_HOST)?, host)?;
        let prefix = only(headers, &FORWARDED_PREFIX)?.map_or(Ok(""), prefix)?;
        Ok(Self { scheme, host, prefix })
    }
}

/// The one value of a header; an empty one says nothing.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    let Some(first) = first else { return Ok(None) };
    let text = first.to_str().map_err(|_| Unclear)?.trim();
    if second.is_some() || text.contains(',') {
        return Err(Unclear);
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn agreed<'a>(one: Option<&'a str>, other: Option<&'a str>) -> Result<Option<&'a str>, Unclear> {
    match (one, other) {
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(other) => Err(Unclear),
        _ => Ok(one.or(other)),
    }
}

/// `proto` and `host` of a `Forwarded` header with one element (RFC 7239).
fn forwarded(element: &str) -> Result<(Option<&str>, Option<&str>), Unclear> {
    let (mut proto, mut host) = (None, None);
    for pair in element.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Unclear)?;
        let place = match name.to_ascii_lowercase().as_str() {
            "proto" => &mut proto,
            "host" => &mut host,
            _ => continue,
        };
        let bare = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').ok_or(Unclear)?,
            None => value,
        };
        if bare.is_empty() || bare.contains(['"', '\\']) || place.replace(bare).is_some() {
            return Err(Unclear);
        }
    }
    Ok((proto, host))
}

/// A path of plain segments, without the slash at its end.
fn prefix(text: &str) -> Result<&str, Unclear> {
    let path = text.trim_end_matches('/');
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let good = path.strip_prefix('/').is_some_and(|segments| segments.split('/').all(plain));
    if (good || path.is_empty()) && text.starts_with('/') && text.len() <= PREFIX_BYTES_MAX {
        Ok(path)
    } else {
        Err(Unclear)
    }
}

/// Host and port as they stand in a URL: in lower case, without the usual port of the scheme.
fn authority(text: &str, scheme: &str) -> Option<String> {
    let (host, port) = split_port(text);
    let host = if let Some(bracketed) = host.strip_prefix('[') {
        format!("[{}]", bracketed.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?)
    } else {
        let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        Some(host.to_ascii_lowercase()).filter(|_| plain && !host.is_empty() && host.len() <= 253)?
    };
    let Some(port) = port else { return Some(host) };
    let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse::<u16>().ok()?;
    let usual = if scheme == "https" { 443 } else { 80 };
    match port {
        0 => None,
        port if port == usual => Some(host),
        port => Some(format!("{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";
    const CLIENT: &str = "192.0.2.1";

    fn sites(public_url: Option<&str>) -> Sites {
        Sites {
            public: public_url.map(|url| Arc::new(public(&Url::parse(url).unwrap()))),
            hosts: ["localhost", "[::1]", "tools.example", "mcp.example:8443"].map(String::from).to_vec(),
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
            told: AtomicBool::new(false),
        }
    }

    /// The resource of a toolset, as somebody sees it who sends these headers.
    fn seen(sites: &Sites, from: &str, sent: &[(&str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let site = sites.of(from.parse().unwrap(), &headers)?;
        Some(site.resource("acme", "default"))
    }

    fn is(expected: &str) -> Option<String> {
        Some(format!("{expected}/t/acme/mcp"))
    }

    #[test]
    fn what_the_operator_gave_wins_over_every_header() {
        for (url, expected) in [
            ("https://Tools.Example", "https://tools.example"),
            ("https://tools.example:443/", "https://tools.example"),
            ("https://tools.example/gw/", "https://tools.example/gw"),
            ("http://tools.example:8080/a/b", "http://tools.example:8080/a/b"),
        ] {
            let forged = [
                ("host", "evil.example"),
                ("x-forwarded-host", "tools.example"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-prefix", "/evil"),
            ];
            for from in [CLIENT, PROXY] {
                assert_eq!(seen(&sites(Some(url)), from, &forged), is(expected), "{url}");
            }
        }
    }

    #[test]
    fn without_it_only_listed_hosts_count_and_a_star_lists_none() {
        for (host, expected) in [
            ("localhost", "http://localhost"),
            ("LOCALHOST:8080", "http://localhost:8080"),
            ("tools.example:80", "http://tools.example"),
            ("mcp.example:8443", "http://mcp.example:8443"),
            ("[::1]:9", "http://[::1]:9"),
        ] {
            assert_eq!(seen(&sites(None), CLIENT, &[("host", host)]), is(expected), "{host}");
        }
        for host in [
            "evil.example",
            "mcp.example",
            "localhost:",
            "localhost:0",
            "localhost:+80",
            "localhost:99999",
            "user@localhost",
            "localhost/x",
            "localhost,evil.example",
            "local host",
            "[::1",
            "",
        ] {
            assert_eq!(seen(&sites(None), CLIENT, &[("host", host)]), None, "{host}");
        }
        assert_eq!(seen(&sites(None), CLIENT, &[("host", "localhost"), ("host", "tools.example")]), None);
        assert_eq!(seen(&sites(None), CLIENT, &[]), None);

        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), "allowed_hosts: [localhost]\n").unwrap();
        let mut config = patchbay_config::load(Some(file.path()), &patchbay_config::Environment::default()).unwrap();
        config.allowed_hosts = vec!["*".into()];
        let any = Sites::new(&config);
        assert_eq!(seen(&any, CLIENT, &[("host", "localhost")]), None);
    }

    #[test]
    fn a_client_that_is_no_listed_proxy_cannot_set_the_resource() {
        let honest = [("host", "localhost:8080")];
        for forged in [
            ("x-forwarded-host", "tools.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "nonsense"),
            ("x-forwarded-prefix", "/evil"),
            ("forwarded", "host=tools.example;proto=https"),
        ] {
            let sent = [honest[0], forged];
            assert_eq!(seen(&sites(None), CLIENT, &sent), is("http://localhost:8080"), "{forged:?}");
        }
    }

    #[test]
    fn a_listed_proxy_says_what_it_was_asked_under() {
        let inside = ("host", "localhost:8080");
        for (sent, expected) in [
            (&[][..], "http://localhost:8080"),
            (&[("x-forwarded-proto", "https")], "https://localhost:8080"),
            (&[("x-forwarded-proto", "HTTPS"), ("x-forwarded-host", "Tools.Example")], "https://tools.example"),
            (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "tools.example:443")], "https://tools.example"),
            (&[("x-forwarded-host", "tools.example"), ("x-forwarded-prefix", "/gw/")], "http://tools.example/gw"),
            (&[("x-forwarded-host", "tools.example"), ("x-forwarded-prefix", "/")], "http://tools.example"),
            (&[("forwarded", "for=192.0.2.1;host=tools.example;proto=https")], "https://tools.example"),
            (&[("forwarded", "For=\"[::2]:1\"; Host=\"mcp.example:8443\"; Proto=https")], "https://mcp.example:8443"),
            (&[("forwarded", "host=tools.example"), ("x-forwarded-proto", "https")], "https://tools.example"),
            (&[("forwarded", "proto=https"), ("x-forwarded-proto", "https")], "https://localhost:8080"),
            (&[("x-forwarded-host", ""), ("x-forwarded-prefix", "")], "http://localhost:8080"),
        ] {
            let all: Vec<_> = [inside].iter().chain(sent).copied().collect();
            assert_eq!(seen(&sites(None), PROXY, &all), is(expected), "{sent:?}");
        }
    }

    #[test]
    fn what_a_proxy_says_is_read_strictly_or_not_at_all() {
        for sent in [
            &[("x-forwarded-host", "evil.example")][..],
            &[("x-forwarded-host", "evil.example, tools.example")],
            &[("x-forwarded-host", "tools.example"), ("x-forwarded-host", "localhost")],
            &[("x-forwarded-host", "tools.example/x")],
            &[("x-forwarded-host", "a\"b")],
            &[("x-forwarded-proto", "https, http")],
            &[("x-forwarded-proto", "ftp")],
            &[("x-forwarded-proto", "https"), ("forwarded", "proto=http")],
            &[("x-forwarded-host", "tools.example"), ("forwarded", "host=localhost")],
            &[("forwarded", "host=tools.example;host=tools.example")],
            &[("forwarded", "host=tools.example, host=localhost")],
            &[("forwarded", "host=\"tools.example")],
            &[("forwarded", "host=\"tools\\.example\"")],
            &[("forwarded", "host")],
            &[("x-forwarded-prefix", "gw")],
            &[("x-forwarded-prefix", "/a//b")],
            &[("x-forwarded-prefix", "/../x")],
            &[("x-forwarded-prefix", "/a?b")],
            &[("x-forwarded-prefix", "/a\"b")],
            &[("x-forwarded-prefix", "/%2e")],
        ] {
            let all: Vec<_> = [("host", "localhost")].iter().chain(sent).copied().collect();
            assert_eq!(seen(&sites(None), PROXY, &all), None, "{sent:?}");
        }
        let long = format!("/{}", "x".repeat(PREFIX_BYTES_MAX));
        assert_eq!(seen(&sites(None), PROXY, &[("host", "localhost"), ("x-forwarded-prefix", &long)]), None);
    }
}
