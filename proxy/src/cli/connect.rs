//! `connect`: what to paste into an IDE to reach a toolset. Here are the command, the address and the key; how each client
//! wants to be told is in `clients`. The quickstart prints the same blocks.

mod clients;

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use patchbay_config::GatewayConfig;
use patchbay_core::{
    Slug,
    model::{Access, DEFAULT_TOOLSET, TenantDoc},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{Desk, api::Api, complain, say};
use crate::auth::api_key::PREFIX;

pub(super) use clients::quoted;
pub use clients::{Block, Client, Format};

/// The environment variable that blocks without a key refer to.
pub const KEY_VARIABLE: &str = "PATCHBAY_KEY";
/// Stands for the key where a client cannot read the environment.
pub const KEY_PLACEHOLDER: &str = "pb_YOUR_KEY";
/// The longest name in a client's file. Claude Code offers a tool to its model as `mcp__{name}__{tool}`; with our 40
/// characters for the tool this stays within the 64 that model providers allow.
const NAME_CHARS_MAX: usize = 17;

/// Print what to paste into an IDE to reach a tenant.
#[derive(Debug, Args)]
pub struct Connect {
    /// The tenant.
    #[arg(long)]
    tenant: Slug,
    /// The toolset.
    #[arg(long, default_value = DEFAULT_TOOLSET)]
    toolset: Slug,
    /// The client; give it several times for several. Without: all of them.
    #[arg(long = "client", value_name = "CLIENT", value_enum)]
    clients: Vec<Client>,
    /// The API key to write into the blocks. Without: they refer to the environment variable PATCHBAY_KEY, or say pb_YOUR_KEY.
    #[arg(long, value_name = "KEY")]
    key: Option<SecretString>,
    /// What the client shall call it.
    #[arg(long, value_name = "NAME")]
    name: Option<Slug>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Connect {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        if let Some(key) = &self.key {
            check_key(key.expose_secret())?;
        }
        let api = Api::open(desk).await?;
        let done = self.print(&api).await;
        api.close().await;
        done
    }

    async fn print(&self, api: &Api) -> anyhow::Result<()> {
        let doc = api.tenant_doc(&self.tenant).await?;
        let target = self.target(&api.base().await?, &doc)?;
        let clients = if self.clients.is_empty() { Client::ALL } else { &self.clients };
        let blocks: Vec<_> = clients.iter().flat_map(|client| client.blocks(&target)).collect();
        if self.json {
            say(&serde_json::to_string_pretty(&shown(&target, &blocks))?);
            return Ok(());
        }
        for remark in remarks(api.config(), &target) {
            complain(&remark);
        }
        say(&format!("{}\n{}", target.url, texts(&blocks)));
        Ok(())
    }

    fn target(&self, base: &str, doc: &TenantDoc) -> anyhow::Result<Target> {
        let Some(toolset) = doc.toolsets.get(&self.toolset) else {
            let known: Vec<_> = doc.toolsets.keys().map(Slug::as_str).collect();
            anyhow::bail!("{} has no toolset `{}`; there are: {}", self.tenant, self.toolset, known.join(", "));
        };
        let credential = match (toolset.access, &self.key) {
            (Access::Anonymous, None) => Credential::None,
            (Access::Key, None) => Credential::Reference,
            (Access::Oauth | Access::Both, None) => Credential::SignIn(SignIn::of(doc)),
            (Access::Oauth, Some(_)) => anyhow::bail!(
                "the toolset `{}` takes no keys (access: oauth): leave --key out, and the client signs in by itself",
                self.toolset
            ),
            (_, Some(key)) => Credential::Key(key.clone()),
        };
        let name = self.name.as_ref().map_or_else(|| name_of(&self.tenant, &self.toolset), ToString::to_string);
        let url = url_of(base, &self.tenant, &self.toolset);
        Ok(Target { name, url, credential })
    }
}

/// What a client is to connect to.
#[derive(Debug, Clone)]
pub struct Target {
    /// What the client calls it: letters, digits and dashes.
    pub name: String,
    /// The toolset's address.
    pub url: String,
    /// What the client shows at the door.
    pub credential: Credential,
}

/// What a client shows at the door.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nothing: the toolset is open.
    None,
    /// The key behind [`KEY_VARIABLE`], or [`KEY_PLACEHOLDER`] where a client cannot read the environment.
    Reference,
    /// This key.
    Key(SecretString),
    /// A token that the client gets by itself.
    SignIn(SignIn),
}

/// How a client comes to the client id that it signs in with.
#[derive(Debug, Clone, Default)]
pub struct SignIn {
    /// A public client id that was registered beforehand.
    pub client_id: Option<String>,
    /// The port of the registered redirect URI.
    pub callback_port: Option<u16>,
    /// Whether clients come to one by themselves.
    pub by_itself: bool,
}

impl SignIn {
    /// As the first issuer has it, at which clients begin.
    fn of(doc: &TenantDoc) -> Self {
        let Some(registration) = doc.issuers.values().next().map(|issuer| &issuer.spec.registration) else {
            return Self::default();
        };
        Self {
            client_id: registration.client_id.clone(),
            callback_port: registration.callback_port,
            by_itself: registration.dynamic || registration.metadata_document,
        }
    }
}

/// The gateway's address for clients, without a slash at its end; `listens` is where it listens, for want of a public URL.
pub fn base_of(config: &GatewayConfig, listens: SocketAddr) -> String {
    if let Some(url) = &config.public_url {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("http://127.0.0.1:{}", listens.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("http://localhost:{}", listens.port()),
        _ => format!("http://{listens}"),
    }
}

/// The address of a toolset under the gateway's.
pub fn url_of(base: &str, tenant: &Slug, toolset: &Slug) -> String {
    match toolset.as_str() {
        DEFAULT_TOOLSET => format!("{base}/t/{tenant}/mcp"),
        _ => format!("{base}/t/{tenant}/{toolset}/mcp"),
    }
}

/// What a client calls a toolset when nobody says so: short, and another one for each toolset.
pub fn name_of(tenant: &Slug, toolset: &Slug) -> String {
    let whole = match toolset.as_str() {
        DEFAULT_TOOLSET => tenant.to_string(),
        _ => format!("{tenant}-{toolset}"),
    };
    if whole.len() <= NAME_CHARS_MAX {
        return whole;
    }
    let [first, second, ..]: [u8; 32] = Sha256::digest(&whole).into();
    let stem = whole[..NAME_CHARS_MAX - 5].trim_end_matches('-');
    format!("{stem}-{first:02x}{second:02x}")
}

/// The blocks as a person reads them, each under the place that it goes to.
pub(super) fn texts(blocks: &[Block]) -> String {
    let text: Vec<_> =
        blocks.iter().map(|block| format!("\n# {}: {}\n{}", block.client.title(), block.place, block.text)).collect();
    text.join("\n")
}

fn shown(target: &Target, blocks: &[Block]) -> serde_json::Value {
    let blocks: Vec<_> = blocks
        .iter()
        .map(|block| {
            serde_json::json!({
                "client": block.client.name(), "title": block.client.title(), "place": block.place,
                "format": block.format, "text": block.text,
            })
        })
        .collect();
    serde_json::json!({ "name": target.name, "url": target.url, "blocks": blocks })
}

/// What has to be said beside the blocks. A gateway elsewhere knows its own address.
fn remarks(config: Option<&GatewayConfig>, target: &Target) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(config.and_then(address_remark).map(str::to_owned));
    if matches!(target.credential, Credential::Reference) {
        remarks.push(format!(
            "note: the key is read from the environment variable {KEY_VARIABLE} of the client where it can do that; elsewhere put \
             it in the place of {KEY_PLACEHOLDER}, or repeat this with --key. `patchbay key create` makes one"
        ));
    }
    if let Credential::SignIn(sign_in) = &target.credential {
        remarks.push(sign_in_remark(sign_in));
    }
    remarks
}

fn address_remark(config: &GatewayConfig) -> Option<&'static str> {
    let listens = config.listen_mcp;
    if config.public_url.is_some() {
        None
    } else if listens.port() == 0 {
        Some(
            "note: listen.mcp leaves the port to the system, so the one in the address is not right: take it from what the \
             gateway prints when it starts, or set a port",
        )
    } else if !listens.ip().is_loopback() {
        Some(
            "note: public_url is not set, so the address is that of the listener: set public_url in patchbay.yaml to the one \
             that other machines use",
        )
    } else {
        None
    }
}

fn sign_in_remark(sign_in: &SignIn) -> String {
    match (&sign_in.client_id, sign_in.by_itself) {
        (Some(id), _) => format!(
            "note: the client opens a browser to sign in; its client id is `{id}`. Where a block has no place for it, the client asks, \
             or registers by itself"
        ),
        (None, true) => "note: the client opens a browser to sign in, and comes to a client id by itself".to_owned(),
        (None, false) => {
            "note: the client opens a browser to sign in. The tenant's issuer says nothing of how clients come to a \
                          client id (registration in the tenant file): register one there if the client asks for it"
                .to_owned()
        }
    }
}

/// A key as we make them: then it can stand in any file and behind any quotes.
fn check_key(key: &str) -> anyhow::Result<()> {
    let rest = key.strip_prefix(PREFIX).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if rest.is_empty() || rest.len() > 200 || !rest.bytes().all(plain) {
        anyhow::bail!(
            "what follows --key is no API key of Patchbay: expected `{PREFIX}` and letters, digits, `-` or `_`, as `patchbay key \
             create` shows it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
