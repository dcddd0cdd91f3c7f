//! What will not work in a tenant as it stands, although the store may have it: told by the commands and by the admin API, so that
//! nobody has to find it out by a call. Nothing here refuses anything: the gateway may run elsewhere, or be configured otherwise
//! later.

use std::net::{IpAddr, Ipv4Addr};

use patchbay_builtin_tools::ToolServer;
use patchbay_config::GatewayConfig;
use patchbay_core::{
    Slug,
    limits::LimitPlan,
    model::{Access, ServerDoc, TenantDoc, TenantRow, Transport},
};
use secrecy::SecretString;
use url::{Host, Url};

use super::builtins;
use crate::outbound;

/// Something that will not work.
#[derive(Debug)]
pub(crate) struct Doubt {
    /// What it is about.
    pub(crate) about: About,
    /// The command that is not on the operator's list, if that is what it is about.
    pub(crate) command: Option<String>,
    /// A whole sentence.
    pub(crate) text: String,
}

/// What a doubt is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// The tenant as a whole.
    Tenant,
    /// Its limits.
    Limits,
    /// One of its servers.
    Server(Slug),
    /// One of its toolsets.
    Toolset(Slug),
    /// One of its issuers.
    Issuer(Slug),
}

impl Doubt {
    pub(crate) fn new(about: About, text: String) -> Self {
        Self { about, command: None, text }
    }

    /// The server that it is about.
    pub(crate) fn server(&self) -> Option<&Slug> {
        match &self.about {
            About::Server(name) => Some(name),
            _ => None,
        }
    }
}

/// What can be said of a tenant without asking anybody.
pub(crate) struct Seen {
    /// Servers that nobody will reach, and toolsets that nobody may enter.
    pub(crate) doubts: Vec<Doubt>,
    /// The built-in servers, to be asked by [`ask`].
    pub(crate) builtins: Vec<(Slug, ToolServer)>,
}

/// Looks at the tenant that `doc` describes; a secret that it keeps as it is stands in `held`, what the store has.
pub(crate) fn look(config: &GatewayConfig, doc: &TenantDoc, held: Option<&TenantRow>) -> Seen {
    let mut seen = Seen { doubts: Vec::new(), builtins: Vec::new() };
    for (name, server) in &doc.servers {
        let (doubt, builtin) = at_server(config, name, server, held);
        seen.doubts.extend(doubt);
        seen.builtins.extend(builtin.map(|built| (name.clone(), built)));
    }
    seen.doubts.extend(beside_servers(config, doc));
    seen
}

/// Looks at one server; one that is switched off is in no doubt. A built-in one that can be made can then be asked.
pub(crate) fn at_server(
    config: &GatewayConfig,
    name: &Slug,
    server: &ServerDoc,
    held: Option<&TenantRow>,
) -> (Option<Doubt>, Option<ToolServer>) {
    if !server.spec.enabled {
        return (None, None);
    }
    let doubt = match &server.spec.transport {
        Transport::Builtin { .. } => match builtin(config, name, server, held) {
            Some(Ok(built)) => return (None, Some(built)),
            Some(Err(why)) => Some((None, format!("cannot be used: {why}"))),
            None => None,
        },
        Transport::Stdio { command, .. } => stdio(config, command),
        Transport::Http { url, .. } => http(config, url).map(|why| (None, why)),
    };
    let doubt = doubt.map(|(command, why)| Doubt {
        about: About::Server(name.clone()),
        command,
        text: format!("the server `{name}` {why}"),
    });
    (doubt, None)
}

/// Looks at everything but the servers.
pub(crate) fn beside_servers(config: &GatewayConfig, doc: &TenantDoc) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    doubts.extend(limits(config, doc));
    doubts.extend(closed_toolsets(config, doc));
    doubts.extend(issuers(config, doc));
    doubts.extend(nameless_toolsets(config, doc));
    doubts
}

/// Asks the built-in servers of some tenants whether they can be used: takes ten seconds at the most, and changes nothing.
pub(crate) async fn ask<T>(servers: Vec<((T, Slug), ToolServer)>) -> Vec<(T, Doubt)> {
    let doubt = |((of, name), why): ((T, Slug), String)| {
        let text = format!("the server `{name}` cannot be used as it stands: {why}");
        (of, Doubt::new(About::Server(name), text))
    };
    builtins::check_all(servers).await.into_iter().map(doubt).collect()
}

/// Limits that make no plan together with the operator's.
fn limits(config: &GatewayConfig, doc: &TenantDoc) -> Option<Doubt> {
    let why = LimitPlan::build(&config.limits.tenants, &doc.limits).err()?;
    let text = format!(
        "its limits cannot be put in force beside those of the gateway, so the last good configuration stays in force: {why}"
    );
    Some(Doubt::new(About::Limits, text))
}

fn closed_toolsets(config: &GatewayConfig, doc: &TenantDoc) -> Vec<Doubt> {
    let is_local = config.listen_mcp.ip().is_loopback();
    let open = doc.toolsets.iter().filter(|(_, toolset)| toolset.access == Access::Anonymous && !is_local);
    let toolsets = open.map(|(name, _)| {
        let listens = config.listen_mcp;
        let text = format!(
            "the toolset `{name}` is open to everybody (access: anonymous), but only callers of this machine may do without a \
             key, and listen.mcp is {listens}"
        );
        Doubt::new(About::Toolset(name.clone()), text)
    });
    toolsets.collect()
}

/// Issuers that will not be asked, so that nobody's token can be judged.
fn issuers(config: &GatewayConfig, doc: &TenantDoc) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for (name, issuer) in &doc.issuers {
        let spec = &issuer.spec;
        let introspection = spec.introspection.as_ref().and_then(|introspection| introspection.url.as_ref());
        let asked = [Some(&spec.issuer), spec.metadata_url.as_ref(), spec.jwks_url.as_ref(), introspection];
        let why = asked.into_iter().flatten().find_map(|url| http(config, url));
        doubts.extend(why.map(|why| Doubt::new(About::Issuer(name.clone()), format!("the issuer `{name}` {why}"))));
    }
    doubts
}

/// Toolsets that take tokens while nothing says under which address: tokens are made for an address.
fn nameless_toolsets(config: &GatewayConfig, doc: &TenantDoc) -> Vec<Doubt> {
    if config.public_url.is_some() || config.listen_mcp.ip().is_loopback() {
        return Vec::new();
    }
    let open = doc.toolsets.iter().filter(|(_, toolset)| toolset.access.takes_tokens());
    let doubt = |name: &Slug| {
        let text = format!(
            "the toolset `{name}` takes tokens, which are made for its address, and public_url in patchbay.yaml does not say which \
             one that is: set it to the address that clients use"
        );
        Doubt::new(About::Toolset(name.clone()), text)
    };
    open.map(|(name, _)| doubt(name)).collect()
}

/// The built-in server, or why there is none. `None` when one of its secrets is nowhere to be seen: then nothing is known.
fn builtin(
    config: &GatewayConfig,
    name: &Slug,
    server: &ServerDoc,
    held: Option<&TenantRow>,
) -> Option<Result<ToolServer, String>> {
    let Transport::Builtin { name: kind, options, secrets: names } = &server.spec.transport else { return None };
    let value = |secret: &str| -> Option<SecretString> {
        if let Some(given) = server.secrets.get(secret)? {
            return Some(given.clone());
        }
        let row = held?.servers.iter().find(|row| row.slug == *name)?;
        row.secrets.0.get(secret).cloned()
    };
    let secrets = builtins::secrets(names, value);
    (secrets.len() == names.len()).then(|| builtins::build(config, kind, options, secrets))
}

fn stdio(config: &GatewayConfig, command: &str) -> Option<(Option<String>, String)> {
    let Some(listed) = config.stdio.commands.get(command) else {
        let why = format!(
            "runs `{command}`, which is not on the operator's list, so it answers nobody yet: add it under stdio.commands in \
             patchbay.yaml and start the gateway again"
        );
        return Some((Some(command.to_owned()), why));
    };
    let missing = listed.find(std::env::var_os("PATH").as_deref()).err()?;
    Some((None, format!("cannot be started: {missing}")))
}

/// Only addresses that stand in the URL itself are judged: what a name leads to is found out when it is called.
fn http(config: &GatewayConfig, url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let net = outbound::net_policy(config);
    let address: Option<IpAddr> = match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(name) => (name == "localhost").then_some(Ipv4Addr::LOCALHOST.into()),
    };
    if let Some(address) = address.filter(|address| !net.allows(*address)) {
        return Some(format!(
            "is at {address}, which is no address of the open internet, so it is not connected to: add it under \
             http.allow_private in patchbay.yaml and start the gateway again"
        ));
    }
    (url.scheme() == "http" && !net.allow_plain_http).then(|| {
        "has an address without TLS (http://), so it is not connected to: give it https://, or set http.allow_http in \
         patchbay.yaml and start the gateway again"
            .to_owned()
    })
}
