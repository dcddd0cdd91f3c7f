//! The first minute with Patchbay: without a configuration, the first start makes a tenant with something to try and one key,
//! and says how to reach it. Later starts find what is there. `serve` calls `prepare` before and `greet` after the gateway is up.

use std::{
    fs::{File, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use patchbay_builtin_tools::db::create_sample_shop;
use patchbay_config::{GatewayConfig, StoreTarget};
use patchbay_core::{
    Generation, Slug,
    model::{DEFAULT_TOOLSET, ServerDoc, ServerSpec, TenantDoc, TenantLimits, ToolRules, ToolsetSpec, Transport},
};
use patchbay_store::{Store, StoreError, TenantSummary};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    complain,
    connect::{Client, Credential, Target, base_of, name_of, quoted, texts, url_of},
    note, say,
};
use crate::{
    app::App,
    audit,
    auth::{NewKey, bootstrap},
    control::builtins::SAMPLE_FILE,
    run::Addresses,
};

const TENANT: &str = "demo";
const SHOP: &str = "shop";
const WEATHER: &str = "weather";
const KEY_LABEL: &str = "quickstart";
/// How long a start waits for another one that prepares the same data, and how often it looks.
const TURN_PATIENCE: Duration = Duration::from_secs(20);
const TURN_LOOK: Duration = Duration::from_millis(20);
/// The clients whose blocks are shown at once.
const CLIENTS: [Client; 4] = [Client::Cursor, Client::VsCode, Client::ClaudeCode, Client::Codex];

/// The tenant to try Patchbay with.
#[derive(Debug)]
pub(super) struct First {
    tenant: Slug,
    /// The key, at the start that made it and never again.
    key: Option<SecretString>,
    /// The first admin key, likewise.
    admin: Option<SecretString>,
}

/// Makes the tenant to try, if the store has no tenant at all. `None` when there is nothing to try: a store that is shared, or
/// one that was filled by other means.
pub(super) async fn prepare(app: &App) -> anyhow::Result<Option<First>> {
    let mut first = prepare_in(&*app.store, &app.config).await?;
    if let Some(first) = &mut first {
        first.admin = bootstrap::bootstrap(&*app.store, &app.config).await?;
    }
    Ok(first)
}

async fn prepare_in(store: &dyn Store, config: &GatewayConfig) -> anyhow::Result<Option<First>> {
    let StoreTarget::Sqlite(path) = &config.store else { return Ok(None) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let turn = take_turn(folder).await?;
    let first = prepare_alone(store, config).await;
    drop(turn);
    first
}

/// Waits until no other start prepares the data of this folder. The turn ends with the file, also when the process is killed.
async fn take_turn(folder: &Path) -> anyhow::Result<File> {
    let file = File::open(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    let deadline = tokio::time::Instant::now() + TURN_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(TURN_LOOK).await
            }
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another Patchbay holds the folder {} since {} s: wait until it is done, or end it",
                folder.display(),
                TURN_PATIENCE.as_secs()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("the folder {} cannot be locked", folder.display()));
            }
        }
    }
}

async fn prepare_alone(store: &dyn Store, config: &GatewayConfig) -> anyhow::Result<Option<First>> {
    let slug: Slug = TENANT.parse()?;
    let database = std::path::absolute(config.data_dir.join(SAMPLE_FILE))?;
    if store.tenant_list().await?.is_empty() {
        make(store, &slug, &database).await?;
    }
    let tenants = store.tenant_list().await?;
    let Some(tenant) = tenants.into_iter().find(|tenant| tenant.slug == slug) else { return Ok(None) };
    let key = if is_without_key(store, &tenant, &database).await? {
        let key = NewKey::generate(tenant.id, KEY_LABEL.to_owned(), None, audit::now_ms(), None);
        let note = note(format!("made the key {} ({}) at the first start", key.row.id, key.row.shown));
        store.key_create(&key.row, &note).await?;
        Some(key.secret)
    } else {
        None
    };
    Ok(Some(First { tenant: slug, key, admin: None }))
}

async fn make(store: &dyn Store, slug: &Slug, database: &Path) -> anyhow::Result<()> {
    let path = database.to_owned();
    tokio::task::spawn_blocking(move || create_sample_shop(&path)).await?.context("the sample shop cannot be made")?;
    match store.tenant_apply(&sample(slug, database)?, Some(Generation(0)), &note("made the sample tenant")).await {
        // Somebody applied a tenant of this name just now; theirs it is.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn sample(slug: &Slug, database: &Path) -> anyhow::Result<TenantDoc> {
    let servers = [
        (SHOP.parse()?, builtin("db", json!({ "database": database }))),
        (WEATHER.parse()?, builtin("weather", json!({}))),
    ];
    Ok(TenantDoc {
        slug: slug.clone(),
        title: Some("Patchbay's sample shop, and the weather".to_owned()),
        enabled: true,
        servers: servers.into(),
        toolsets: [(DEFAULT_TOOLSET.parse()?, ToolsetSpec::default())].into(),
        issuers: [].into(),
        limits: TenantLimits::default(),
        audit: Default::default(),
    })
}

fn builtin(kind: &str, options: Value) -> ServerDoc {
    let spec = ServerSpec {
        classes: Default::default(),
        transport: Transport::Builtin { name: kind.to_owned(), options, secrets: Vec::new() },
        enabled: true,
        prefix: None,
        tools: ToolRules::default(),
        call_timeout_s: None,
        concurrency_max: None,
        idempotent_tools: Vec::new(),
        instructions: true,
        asks: Default::default(),
    };
    ServerDoc { spec, secrets: [].into() }
}

/// Whether this is our sample and no key was ever made for it: a first start that was broken off in between.
async fn is_without_key(store: &dyn Store, tenant: &TenantSummary, database: &Path) -> anyhow::Result<bool> {
    if !store.key_list(tenant.id).await?.is_empty() {
        return Ok(false);
    }
    let row = store.tenant_load(&tenant.slug).await?;
    let ours = |transport: &Transport| match transport {
        Transport::Builtin { options, .. } => options["database"] == json!(database),
        Transport::Stdio { .. } | Transport::Http { .. } => false,
    };
    Ok(row.is_some_and(|row| {
        row.servers.iter().any(|server| server.slug.as_str() == SHOP && ours(&server.spec.transport))
    }))
}

/// Says on standard output that the gateway is up and how to reach it.
pub(super) async fn greet(app: &App, at: Addresses, first: Option<&First>) {
    let base = base_of(&app.config, at.public);
    if let Some(first) = first {
        let data = std::path::absolute(&app.config.data_dir).unwrap_or_else(|_| app.config.data_dir.clone());
        return say(&welcome(&base, &data, first, at.admin, &program()));
    }
    let admins = at.admin.map(|at| format!(", and on http://{at} for admins")).unwrap_or_default();
    let and = if admins.is_empty() { " and" } else { "," };
    say(&format!(
        "Patchbay listens on http://{} for clients{and} on http://{} for operators{admins}.",
        at.public, at.operations
    ));
    match app.store.tenant_list().await.map(|tenants| tenants.len()) {
        Ok(0) => say(
            "There are no tenants yet: make one with `patchbay apply -f FILE` or `patchbay import FILE --tenant NAME`.",
        ),
        Ok(1) => say(&format!("One tenant is served under {base}/t/.")),
        Ok(count) => say(&format!("{count} tenants are served under {base}/t/.")),
        Err(error) => complain(&format!("the tenants cannot be counted: {error}")),
    }
}

/// How this program was called, so that what we print can be typed again.
fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from);
    quoted(&called.map_or_else(|| "patchbay".to_owned(), |path| path.display().to_string()))
}

fn welcome(base: &str, data: &Path, first: &First, admins: Option<SocketAddr>, program: &str) -> String {
    let First { tenant, key, admin } = first;
    let toolset = DEFAULT_TOOLSET.parse().expect("the name of the default toolset is a slug");
    let target = Target {
        name: name_of(tenant, &toolset),
        url: url_of(base, tenant, &toolset),
        credential: key.clone().map_or(Credential::Reference, Credential::Key),
    };
    let key = match key {
        Some(key) => format!("{}   (shown this once, and kept nowhere)", key.expose_secret()),
        None => format!("was shown at the first start; another: {program} key create --tenant {tenant} --label NAME"),
    };
    let admin = admin.as_ref().zip(admins).map_or_else(String::new, |(admin, at)| {
        format!("\n  admin {}   (shown this once too, for http://{at}/admin/v1)", admin.expose_secret())
    });
    let blocks: Vec<_> = CLIENTS.iter().flat_map(|client| client.blocks(&target)).collect();
    format!(
        "Patchbay is up, with a sample shop and the weather to ask about.\n\n  URL   {url}\n  key   {key}{admin}\n  data  {data}\n\nPaste one of these \
         into your client.\n{blocks}\n\n\
         Claude Desktop, Windsurf and Gemini CLI: {program} connect --tenant {tenant}\n\
         The servers that you have already:       {program} import ~/.cursor/mcp.json --tenant {tenant}\n\
         Stop with Ctrl-C.",
        url = target.url,
        data = data.display(),
        blocks = texts(&blocks),
    )
}

#[cfg(test)]
mod tests;
