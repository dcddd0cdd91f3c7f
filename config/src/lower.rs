//! From what `patchbay.yaml` says to what the gateway may rely on: every value parsed, every contradiction found.
//!
//! All errors are reported before the file is refused. The shape of the document has been checked before.

mod admin;
mod audit;
mod commands;
mod keys;
mod limits;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

pub(crate) use commands::{check_command_name, check_command_path};
use ipnet::IpNet;
pub(crate) use keys::SEALING_KEYS_OLD_MAX;
use patchbay_core::{Slug, model::DEFAULT_TOOLSET};
use secrecy::SecretString;
use url::Url;

use crate::{
    error::Report,
    gateway::{GatewayConfig, HttpConfig, LogConfig, OauthConfig, RedisConfig, StoreTarget},
    path::FieldPath,
    schema::{GatewayFile, RedisFile},
    secret::{Resolve, expand},
};

/// Where the values of a file are looked up and where its errors go.
pub(crate) struct Lower<'a, 'n> {
    pub(crate) report: Report<'n>,
    pub(crate) resolve: &'a Resolve<'a>,
    /// The folder of the file: relative paths of secrets start there.
    pub(crate) folder: &'a Path,
}

impl Lower<'_, '_> {
    /// The configuration; worth something only if the report stays clean.
    pub(crate) fn gateway(&mut self, file: GatewayFile) -> Option<GatewayConfig> {
        let data_dir = PathBuf::from(&file.data_dir);
        let listen_mcp = self.parse(&FieldPath::of(["listen", "mcp"]), &file.listen.mcp, ADDRESS);
        let operations = FieldPath::of(["listen", "operations"]);
        let listen_operations: Option<SocketAddr> = self.parse(&operations, &file.listen.operations, ADDRESS);
        if listen_operations.is_some_and(|address| address.port() != 0 && listen_mcp == Some(address)) {
            self.report.meaning(&operations, "expected another address than listen.mcp, which must never show metrics");
        }
        let others = [("listen.mcp", listen_mcp), ("listen.operations", listen_operations)];
        let listen_admin = self.listen_admin(&file.listen.admin, &others);
        let public_url = file.public_url.as_deref().and_then(|text| self.address(&FieldPath::of(["public_url"]), text));
        let replica_url = file.replica_url.as_deref().and_then(|text| self.replica_url(text));
        let store = self.store(file.store.url.as_deref(), &data_dir);
        let (sealing_key, sealing_keys_old) = self.sealing_keys(file.sealing_key.as_deref(), &file.sealing_keys_old);
        if matches!(store, Some(StoreTarget::Postgres(_))) && file.sealing_key.is_none() {
            self.report.meaning(
                &FieldPath::of(["sealing_key"]),
                "expected env:NAME or file:PATH, found nothing; with Postgres every replica needs the same key",
            );
        }
        let allowed_hosts = self.hosts(&file.allowed_hosts, public_url.as_ref());
        let allowed_origins = self.origins(&file.allowed_origins, public_url.as_ref());
        Some(GatewayConfig {
            admin: self.admin(file.admin),
            tenant_admins: self.tenant_admins(&file.tenant_admins),
            start_without: hours(file.store.start_without_hours),
            trusted_proxies: self.nets(&FieldPath::of(["trusted_proxies"]), &file.trusted_proxies),
            redis: self.redis(file.redis),
            stdio: self.stdio(file.stdio),
            http: HttpConfig {
                allow_private: self.nets(&FieldPath::of(["http", "allow_private"]), &file.http.allow_private),
                allow_http: file.http.allow_http,
            },
            oauth: OauthConfig {
                root_resource: file.oauth.root_resource.as_deref().and_then(|text| self.root_resource(text)),
                authorization_server_redirect: file.oauth.authorization_server_redirect,
            },
            limits: self.limits(file.limits),
            audit: self.audit(file.audit),
            log: LogConfig { format: file.log.format, filter: file.log.filter },
            traces: self.traces(&file.traces),
            metrics_tools_max: size(file.metrics.tools_max),
            listen_mcp: listen_mcp?,
            listen_operations: listen_operations?,
            listen_admin,
            public_url,
            replica_url,
            store: store?,
            data_dir,
            allowed_hosts,
            allowed_origins,
            sealing_key,
            sealing_keys_old,
        })
    }

    fn parse<T: FromStr>(&mut self, field: &FieldPath, text: &str, expected: &str) -> Option<T> {
        let parsed = text.trim().parse().ok();
        if parsed.is_none() {
            self.report.meaning(field, format!("expected {expected}, found {text:?}"));
        }
        parsed
    }

    /// An address under which others reach the gateway.
    fn address(&mut self, field: &FieldPath, text: &str) -> Option<Url> {
        let good = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        let Some(mut url) = Url::parse(text).ok().filter(good) else {
            let message = "expected an address as in https://tools.example.org, without user name, `?` and `#`";
            self.report.meaning(field, message);
            return None;
        };
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Some(url)
    }

    /// The address of this replica for the others. An IPv6 address may stand without its brackets: what Kubernetes says of a pod
    /// has none.
    fn replica_url(&mut self, text: &str) -> Option<String> {
        let field = FieldPath::of(["replica_url"]);
        let text = self.secret(&field, text)?;
        let text = text.trim();
        let bare = text.strip_prefix("http://").and_then(|rest| rest.trim_end_matches('/').rsplit_once(':'));
        let bracketed = bare.filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok());
        let text = bracketed.map_or_else(|| text.to_owned(), |(host, port)| format!("http://[{host}]:{port}"));
        let good = |url: &Url| {
            url.scheme() == "http"
                && url.host_str().is_some_and(|host| host.len() <= HOST_BYTES_MAX)
                && url.username().is_empty()
                && url.password().is_none()
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
        };
        let url = Url::parse(&text).ok().filter(good);
        let address = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
        let Some((host, port)) = address else {
            let message =
                "expected the address of this replica's own listener, as in http://10.0.3.7:8080, without a path";
            self.report.meaning(&field, message);
            return None;
        };
        Some(format!("http://{host}:{port}"))
    }

    fn root_resource(&mut self, text: &str) -> Option<(Slug, Slug)> {
        let (tenant, toolset) = text.split_once('/').unwrap_or((text, DEFAULT_TOOLSET));
        let names = tenant.parse().ok().zip(toolset.parse().ok());
        if names.is_none() {
            self.report.meaning(
                &FieldPath::of(["oauth", "root_resource"]),
                format!("expected the name of a tenant, or of a tenant and a toolset, as in acme or acme/dev, found {text:?}"),
            );
        }
        names
    }

    /// The text with its references replaced.
    fn secret(&mut self, field: &FieldPath, text: &str) -> Option<String> {
        expand(text, self.resolve).map_err(|why| self.report.meaning(field, why)).ok()
    }

    fn store(&mut self, text: Option<&str>, data_dir: &Path) -> Option<StoreTarget> {
        let field = FieldPath::of(["store", "url"]);
        let Some(text) = text else {
            return Some(StoreTarget::Sqlite(data_dir.join("patchbay.db")));
        };
        let text = self.secret(&field, text)?;
        if let Some(path) = text.strip_prefix("sqlite://") {
            if path.is_empty() || path.ends_with('/') || path.contains(['?', '#', '\0']) {
                self.report.meaning(&field, "expected the path of a file after sqlite://, without `?` and `#`");
                return None;
            }
            return Some(StoreTarget::Sqlite(path.into()));
        }
        let postgres = |url: &Url| matches!(url.scheme(), "postgres" | "postgresql");
        if Url::parse(&text).is_ok_and(|url| postgres(&url)) {
            return Some(StoreTarget::Postgres(text.into()));
        }
        self.report.meaning(
            &field,
            "expected sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE (special characters in the password \
             percent-encoded)",
        );
        None
    }

    fn redis(&mut self, file: RedisFile) -> Option<RedisConfig> {
        let plain = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
        if !file.prefix.chars().all(plain) {
            let message = format!("expected characters of A-Z, a-z, 0-9, `:`, `_` and `-`, found {:?}", file.prefix);
            self.report.meaning(&FieldPath::of(["redis", "prefix"]), message);
        }
        let url = self.redis_url(file.url.as_deref()?)?;
        Some(RedisConfig { url, timeout: Duration::from_millis(file.timeout_ms.into()), prefix: file.prefix })
    }

    fn redis_url(&mut self, text: &str) -> Option<SecretString> {
        let field = FieldPath::of(["redis", "url"]);
        let text = self.secret(&field, text)?;
        let good = |url: &Url| matches!(url.scheme(), "redis" | "rediss") && url.has_host();
        if Url::parse(&text).is_ok_and(|url| good(&url)) {
            return Some(text.into());
        }
        self.report.meaning(&field, "expected redis://HOST:PORT/NUMBER, or rediss:// for TLS");
        None
    }

    fn nets(&mut self, field: &FieldPath, texts: &[String]) -> Vec<IpNet> {
        let mut nets = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            match net {
                Ok(net) => nets.push(net.trunc()),
                Err(_) => self.report.meaning(
                    &field.index(at),
                    format!("expected a network or an address, as in 10.0.0.0/8 or ::1, found {text:?}"),
                ),
            }
        }
        nets
    }

    fn hosts(&mut self, texts: &[String], public_url: Option<&Url>) -> Vec<String> {
        let mut hosts = self.authorities(&FieldPath::of(["allowed_hosts"]), texts);
        let public = public_url.and_then(|url| url.host_str().map(str::to_owned));
        hosts.extend(public.filter(|host| !hosts.contains(host)));
        hosts
    }

    /// Hosts with or without a port, in lower case.
    fn authorities(&mut self, field: &FieldPath, texts: &[String]) -> Vec<String> {
        let mut hosts = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            if is_authority(text) {
                hosts.push(text.to_ascii_lowercase());
            } else {
                self.report.meaning(
                    &field.index(at),
                    format!("expected a host name with or without a port, as in tools.example.org, found {text:?}"),
                );
            }
        }
        hosts
    }

    fn origins(&mut self, texts: &[String], public_url: Option<&Url>) -> Vec<String> {
        let mut origins = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let scheme = |scheme: &str| {
                scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            };
            if text.split_once("://").is_some_and(|(before, after)| scheme(before) && is_authority(after)) {
                origins.push(text.to_ascii_lowercase());
            } else {
                self.report.meaning(
                    &FieldPath::of(["allowed_origins"]).index(at),
                    format!("expected an origin, as in https://tools.example.org without a path, found {text:?}"),
                );
            }
        }
        let public = public_url.map(|url| url.origin().ascii_serialization());
        origins.extend(public.filter(|origin| !origins.contains(origin)));
        origins
    }
}

const ADDRESS_OR_OFF: &str = "an address and a port, as in 127.0.0.1:9091 or [::]:9091, or `off`";

/// The longest host name of a replica: handles carry it through clients.
const HOST_BYTES_MAX: usize = 200;

const ADDRESS: &str = "an address and a port, as in 127.0.0.1:8080 or [::]:8080";

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

/// What 0 switches off.
fn hours(count: u32) -> Option<Duration> {
    (count > 0).then(|| seconds(count) * 3600)
}

/// The bounds of the schema fit into every `usize` that this program is built for.
fn size(count: impl TryInto<usize>) -> usize {
    count.try_into().unwrap_or(usize::MAX)
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn is_authority(text: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return false;
        };
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (after.is_empty() || after.strip_prefix(':').is_some_and(port));
    }
    let (name, after) = text.split_once(':').map_or((text, None), |(name, after)| (name, Some(after)));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !name.is_empty() && name.len() <= 253 && name.chars().all(plain) && after.is_none_or(port)
}
