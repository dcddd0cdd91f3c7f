//! `serve`, `check` and `health`.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::Context;
use patchbay_config::{GatewayConfig, LogFormat};
use secrecy::ExposeSecret;
use tokio::sync::oneshot;
use tracing_subscriber::{EnvFilter, fmt};

use super::{
    ask::{ask, ask_at},
    complain, config_path, load_config, quickstart, say, tenants,
};
use crate::{
    app::{Keys, open_store},
    auth::bootstrap,
    run::{self, Gateway, Stop},
    telemetry::{Telemetry, log::WithIds},
};

/// Runs the gateway until it is told to stop.
pub(super) async fn serve(given: Option<PathBuf>) -> anyhow::Result<()> {
    let config = load_config(given.as_deref())?;
    start_log(&config)?;
    raise_open_files();
    let is_trial = config_path(given.as_deref()).is_none();
    let gateway = Gateway::open(config).await?;
    let first = if is_trial { quickstart::prepare(gateway.app()).await? } else { None };
    let at = gateway.addresses()?;
    let stop = Stop::default();
    run::stop_at_signal(stop.clone())?;
    let (told, up) = oneshot::channel();
    let app = gateway.app().clone();
    // Told also when serving ends without having been asked to.
    let over = stop.clone();
    let serving = async move {
        let served = gateway.serve(stop.clone(), told).await;
        stop.ask();
        served
    };
    let greeting = async move {
        if up.await.is_ok() {
            quickstart::greet(&app, at, first.as_ref()).await;
        }
        if let Some(key) = bootstrap::when_possible(&app, over.asked()).await {
            say(&format!("admin key (shown once): {}", key.expose_secret()));
        }
    };
    let (served, ()) = tokio::join!(serving, greeting);
    served
}

/// Checks everything that can be checked without serving.
pub(super) async fn check(given: Option<PathBuf>) -> anyhow::Result<()> {
    let config = load_config(given.as_deref())?;
    say("configuration: ok");
    let keys = Keys::of(&config)?;
    say("sealing key: ok");
    if let Some(traces) = &config.traces {
        Telemetry::new(traces)?;
        say("traces: ok");
    }
    let store = open_store(&config, &keys).await?;
    let listed = store.tenant_list().await?;
    say(&format!("store: ok, {} tenants", listed.len()));
    let (mut problems, mut rows) = (0, Vec::new());
    for tenant in &listed {
        match store.tenant_load(&tenant.slug).await {
            Ok(row) => rows.extend(row),
            Err(error) => {
                complain(&format!("tenant {}: {error}", tenant.slug));
                problems += 1;
            }
        }
    }
    let search = std::env::var_os("PATH");
    for (name, command) in &config.stdio.commands {
        if let Err(missing) = command.find(search.as_deref()) {
            complain(&format!("stdio.commands.{name}: {missing}"));
            problems += 1;
        }
    }
    store.close().await;
    // What is wrong with tenants' servers is theirs to change and harms nobody else, so it does not fail the check.
    let warnings = tenants::warnings(&config, &rows).await;
    warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
    if problems > 0 {
        anyhow::bail!("{problems} problems were found");
    }
    say(if warnings.is_empty() { "all is well" } else { "all is well but for the warnings" });
    Ok(())
}

/// Asks the operations listener of a running gateway: that of the configuration, or the one at `HOST:PORT`, for which no
/// configuration is read.
pub(super) async fn health(given: Option<PathBuf>, address: Option<String>) -> anyhow::Result<()> {
    let (address, answer) = match address {
        Some(address) => (address.clone(), ask_at(&address, "/readyz").await?),
        None => {
            let config = load_config(given.as_deref())?;
            (config.listen_operations.to_string(), ask(&config, "/readyz").await?)
        }
    };
    if answer.status != 200 {
        anyhow::bail!("the gateway on {address} is not ready: {}", answer.body.trim_end());
    }
    say("ok");
    Ok(())
}

fn start_log(config: &GatewayConfig) -> anyhow::Result<()> {
    // The SDK under the built-in servers logs whole messages at info; they may hold what tools say.
    let filter = if config.log.filter.contains("rmcp") {
        config.log.filter.clone()
    } else {
        format!("{},rmcp=warn", config.log.filter)
    };
    let filter = EnvFilter::try_new(filter)
        .context("log.filter cannot be read: expected for example `info` or `info,patchbay=debug`")?;
    let ansi = std::io::stderr().is_terminal();
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    match config.log.format {
        LogFormat::Json => builder.json().flatten_event(true).map_event_format(WithIds::json).init(),
        LogFormat::Text => {
            let builder = builder.with_target(false).compact();
            builder.map_event_format(|format| WithIds::text(format.with_ansi(ansi))).init();
        }
    }
    Ok(())
}

/// Takes all the file descriptors that the system gives: each connection needs one.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
