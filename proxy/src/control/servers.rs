//! From a server's row to its connection: the one place that names the transports. What is wrong with a row makes the server
//! [`Unusable`], with the reason, and harms nobody else.

use std::{path::PathBuf, sync::Arc};

use http::{HeaderName, HeaderValue};
use patchbay_builtin_tools::ToolServer;
use patchbay_config::{GatewayConfig, StdioCommand};
use patchbay_core::{
    TenantId,
    model::{EraPin, ServerOauth, ServerRow, Transport},
};
use patchbay_downstream::{
    Downstream, Hello,
    builtin::BuiltinDownstream,
    gate::{GateOptions, Gated},
    http::{HttpDownstream, HttpOptions, SseDownstream, oauth::OauthOptions},
    stdio::{ChildBudget, StdioDownstream, StdioOptions},
};
use tokio::runtime::Handle;

use super::{builtins, unusable::Unusable, vault::StoreVault};
use crate::{app::App, outbound::net_policy};

/// The children that one tenant may have.
pub(super) type Children = ChildBudget;

/// A tenant's budget of children.
pub(super) fn children(config: &GatewayConfig) -> Children {
    ChildBudget::new(config.stdio.children_per_tenant_max)
}

/// Whose servers are opened, and with what.
pub(super) struct Place<'a> {
    pub app: &'a App,
    pub tenant: TenantId,
    /// Where connections do their work.
    pub runtime: Handle,
    pub children: &'a Children,
    /// Whether the server is one that the store has, so that the gateway's tokens there are shared with all replicas.
    pub is_stored: bool,
}

/// A connection as it was opened.
pub(super) struct Opened {
    pub downstream: Arc<dyn Downstream>,
    /// Why it is none and only says so, when there is something wrong with the row.
    pub problem: Option<String>,
    /// What a built-in server is made of, and where it works: it can be asked whether it has what it needs.
    pub builtin: Option<(ToolServer, Handle)>,
}

/// Opens the connection that a row describes. Nothing is connected or started before it is asked for something.
pub(super) fn open(place: &Place<'_>, row: &ServerRow, remembered: Option<Hello>) -> Opened {
    let (inner, builtin) = match connect(place, row, remembered) {
        Ok(connected) => connected,
        Err(why) => return Opened { downstream: Unusable::new(why.clone()), problem: Some(why), builtin: None },
    };
    let limits = &place.app.config.limits;
    let concurrency_max = row.spec.concurrency_max.map_or(limits.concurrency_per_server, |max| max as usize);
    let options = GateOptions { concurrency_max, waiting_max: limits.queue_per_server, ..GateOptions::default() };
    Opened { downstream: Gated::new(inner, &options), problem: None, builtin }
}

/// The connection; of a built-in server also what it is made of, and where it works.
type Connected = (Arc<dyn Downstream>, Option<(ToolServer, Handle)>);

fn connect(place: &Place<'_>, row: &ServerRow, remembered: Option<Hello>) -> Result<Connected, String> {
    let Place { app, runtime, children, .. } = place;
    let config = &app.config;
    match &row.spec.transport {
        Transport::Builtin { name, options, secrets } => {
            let secrets = builtins::secrets(secrets, |name| row.secrets.0.get(name).cloned());
            let server = builtins::build(config, name, options, secrets)?;
            let made = server.clone();
            let downstream = BuiltinDownstream::of(row.slug.as_str(), move || made.handler(), runtime.clone());
            Ok((downstream, Some((server, runtime.clone()))))
        }
        Transport::Stdio { command, args, env, cwd, sharing, era } => {
            let listed = listed(config, command).ok_or_else(|| {
                format!(
                    "the command `{command}` is not on the operator's list: add it under stdio.commands in patchbay.yaml, or \
                     import the server with --trust-commands"
                )
            })?;
            let search = std::env::var_os("PATH");
            let program = listed.find(search.as_deref()).map_err(|missing| missing.to_string())?;
            let mut options = StdioOptions::new(row.slug.as_str(), program, (*children).clone(), runtime.clone());
            options.args = listed.args_prefix.iter().chain(args).cloned().collect();
            options.env = env
                .iter()
                .filter_map(|name| Some((name.clone(), row.secrets.0.get(&format!("env:{name}"))?.clone())))
                .collect();
            options.cwd = cwd.as_ref().map(PathBuf::from);
            options.sharing = *sharing;
            options.era = *era;
            options.remembered = remembered.map(Arc::new);
            options.start_timeout = config.stdio.start_timeout;
            options.idle_stop = config.stdio.idle_stop;
            options.children_max = config.stdio.children_per_tenant_max;
            Ok((StdioDownstream::new(options), None))
        }
        Transport::Http { url, headers, oauth, era, .. } => {
            let url = url.parse().map_err(|error| format!("the url is not one: {error}"))?;
            let mut options = HttpOptions::new(url);
            options.headers = headers.iter().map(|name| header(row, name)).collect::<Result<_, _>>()?;
            options.era = *era;
            options.remembered = remembered;
            options.net = net_policy(config);
            options.oauth = oauth.as_ref().map(|spec| identity(place, row, spec));
            options.response_bytes_max = config.limits.response_bytes_max as u64;
            if *era == EraPin::Sse {
                let downstream = SseDownstream::new(row.slug.as_str(), options, runtime.clone());
                return Ok((downstream.map_err(|error| error.to_string())?, None));
            }
            let downstream = HttpDownstream::new(options).map_err(|error| error.to_string())?;
            Ok((downstream, None))
        }
    }
}

/// Whether the operator lists the command.
pub(crate) fn is_listed(config: &GatewayConfig, command: &str) -> bool {
    listed(config, command).is_some()
}

/// The command as the operator lists it: in the configuration, or among those that were trusted since the start.
fn listed(config: &GatewayConfig, command: &str) -> Option<StdioCommand> {
    if let Some(listed) = config.stdio.commands.get(command) {
        return Some(listed.clone());
    }
    match patchbay_config::trusted_commands(&config.trusted_commands_path()) {
        Ok(mut trusted) => trusted.remove(command),
        Err(error) => {
            tracing::warn!(%error, "the list of trusted commands cannot be read");
            None
        }
    }
}

/// The gateway's own identity at a server, its tokens shared by all replicas.
fn identity(place: &Place<'_>, row: &ServerRow, spec: &ServerOauth) -> OauthOptions {
    OauthOptions {
        spec: spec.clone(),
        client_secret: row.secrets.0.get(ServerOauth::SECRET).cloned(),
        private_key: row.secrets.0.get(ServerOauth::PRIVATE_KEY).cloned(),
        vault: place.is_stored.then(|| StoreVault::new(place.app.store.clone(), place.tenant, row.id) as Arc<_>),
    }
}

fn header(row: &ServerRow, name: &str) -> Result<(HeaderName, HeaderValue), String> {
    let value = row.secrets.reveal(&format!("header:{name}")).unwrap_or_default();
    let parsed = name.parse().ok().zip(HeaderValue::from_str(value).ok());
    let (name, mut value) = parsed.ok_or_else(|| format!("the header {name} has a value that no header can have"))?;
    value.set_sensitive(true);
    Ok((name, value))
}
