//! What will not work in a tenant as it stands, although the store may have it: told by `apply` and `import`, so that nobody
//! has to find it out by a call. Nothing here refuses anything: the gateway may run elsewhere, or be configured otherwise later.

use std::net::{IpAddr, Ipv4Addr};

use patchbay_builtin_tools::{BUILTINS, Builtin};
use patchbay_config::GatewayConfig;
use patchbay_core::{
    Slug,
    model::{Access, TenantDoc, Transport},
};
use patchbay_downstream::http::NetPolicy;
use url::{Host, Url};

/// Something that will not work.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The server that it is about; `None` when it is about a toolset.
    pub(super) server: Option<Slug>,
    /// The command that is not on the operator's list, if that is what it is about.
    pub(super) command: Option<String>,
    /// A whole sentence.
    pub(super) text: String,
}

/// Doubts about servers that nobody will reach, and toolsets that nobody may enter.
pub(super) fn doubts(config: &GatewayConfig, doc: &TenantDoc) -> Vec<Doubt> {
    let on = doc.servers.iter().filter(|(_, server)| server.spec.enabled);
    let servers = on.filter_map(|(name, server)| {
        let (command, why) = match &server.spec.transport {
            Transport::Builtin { name: kind, options } => (None, builtin(kind, options)?),
            Transport::Stdio { command, .. } => stdio(config, command)?,
            Transport::Http { url, .. } => (None, http(config, url)?),
        };
        Some(Doubt { server: Some(name.clone()), command, text: format!("the server `{name}` {why}") })
    });
    let is_local = config.listen_mcp.ip().is_loopback();
    let open = doc.toolsets.iter().filter(|(_, toolset)| toolset.access == Access::Anonymous && !is_local);
    let toolsets = open.map(|(name, _)| {
        let listens = config.listen_mcp;
        let text = format!(
            "the toolset `{name}` is open to everybody (access: anonymous), but only callers of this machine may do without a \
             key, and listen.mcp is {listens}"
        );
        Doubt { server: None, command: None, text }
    });
    servers.chain(toolsets).collect()
}

fn builtin(kind: &str, options: &serde_json::Value) -> Option<String> {
    let Some(builtin) = Builtin::find(kind) else {
        let known: Vec<_> = BUILTINS.iter().map(|builtin| builtin.name).collect();
        return Some(format!("names `{kind}`, which is no built-in server; there are: {}", known.join(", ")));
    };
    let why = builtin.build(options.clone(), &[]).err()?;
    Some(format!("cannot be used: {why}"))
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
    let net = NetPolicy { allow_private: config.http.allow_private.clone(), allow_plain_http: config.http.allow_http };
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
