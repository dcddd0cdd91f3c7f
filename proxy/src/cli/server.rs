//! `server health`, `server catalog`, `server refresh`, `server probe`: the servers of a tenant as a running gateway sees them. Only
//! a gateway knows it, so these need `--server`.

use std::path::PathBuf;

use clap::Subcommand;
use patchbay_core::Slug;
use serde_json::Value;

use super::{
    Desk,
    api::{Api, Ask},
    complain, say,
    tenants::Document,
};

/// Servers of a tenant, as a running gateway sees them.
#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    /// Say how servers are: state, last error, next try, and of one server what its child wrote to its standard error.
    Health {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The server. Without: all of the tenant.
        name: Option<Slug>,
        /// Print JSON: one object, or an array of them.
        #[arg(long)]
        json: bool,
    },
    /// Show what a server offers, and under which names it is shown, or why it is not.
    Catalog {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The server.
        name: Slug,
        /// Only these.
        #[arg(long, value_parser = ["tool", "prompt", "resource", "template"])]
        kind: Option<String>,
        /// Only what becomes of them in this toolset.
        #[arg(long)]
        toolset: Option<Slug>,
        /// Only what is left out.
        #[arg(long)]
        dropped: bool,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Have a server asked for its lists now. The exit code is 0 when it answered.
    Refresh {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The server.
        name: Slug,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Connect to a server as it is saved, or with --file as it would be saved, and say what it offers. Nothing is changed. The exit
    /// code is 0 when it can be used.
    Probe {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The server.
        name: Slug,
        /// The tenant file that has it, `-` for standard input.
        #[arg(short = 'f', long = "file", value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl ServerCommand {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        desk.needs_gateway("how servers are")?;
        let api = Api::open(desk).await?;
        let done = match self {
            Self::Health { tenant, name: Some(name), json } => health(&api, &tenant, &name, json).await,
            Self::Health { tenant, name: None, json } => all_health(&api, &tenant, json).await,
            Self::Catalog { tenant, name, kind, toolset, dropped, json } => {
                let path = format!("/tenants/{tenant}/servers/{name}/catalog");
                let ask = || Ask::get(&*path).with("kind", kind.as_ref()).with("toolset", toolset.as_ref());
                let ask = || ask().with("dropped", dropped.then_some(true));
                catalog(&api, &tenant, ask, json).await
            }
            Self::Refresh { tenant, name, json } => refresh(&api, &tenant, &name, json).await,
            Self::Probe { tenant, name, file, json } => probe(&api, &tenant, &name, file, json).await,
        };
        api.close().await;
        done
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

async fn all_health(api: &Api, tenant: &Slug, json: bool) -> anyhow::Result<()> {
    let servers: Vec<Value> = api.all_in_tenant(tenant, || Ask::get(format!("/tenants/{tenant}/health"))).await?;
    if json {
        say(&serde_json::to_string_pretty(&servers)?);
        return Ok(());
    }
    if servers.is_empty() {
        say(&format!("the tenant {tenant} has no servers"));
    }
    servers.iter().for_each(|server| say(&health_line(server)));
    Ok(())
}

fn health_line(server: &Value) -> String {
    let mut line = format!("{:20}  {:8}  {:6}", text(server, "server"), text(server, "kind"), text(server, "state"));
    if let Some(tools) = server["catalog"]["tools"].as_u64() {
        line.push_str(&format!("  {tools} tools"));
    }
    if let Some(error) = server["last_error"].as_str() {
        line.push_str(&format!("  {}", plain(error)));
    }
    if let Some(at) = server["next_retry"].as_str() {
        line.push_str(&format!("  (next try at {at})"));
    }
    line.trim_end().to_owned()
}

async fn health(api: &Api, tenant: &Slug, name: &Slug, json: bool) -> anyhow::Result<()> {
    let ask = Ask::get(format!("/tenants/{tenant}/servers/{name}/health"));
    let server = api.in_tenant(tenant, ask).await.map_err(|error| absent(error, tenant, name))?.json()?;
    if json {
        say(&serde_json::to_string_pretty(&server)?);
        return Ok(());
    }
    say(&health_line(&server));
    let lines = server["stderr_tail"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !lines.is_empty() {
        say("its standard error ends with:");
    }
    lines.iter().filter_map(Value::as_str).for_each(|line| say(&format!("  {}", plain(line))));
    Ok(())
}

async fn catalog(api: &Api, tenant: &Slug, ask: impl Fn() -> Ask, json: bool) -> anyhow::Result<()> {
    let items: Vec<Value> = api.all_in_tenant(tenant, ask).await?;
    if json {
        say(&serde_json::to_string_pretty(&items)?);
        return Ok(());
    }
    if items.is_empty() {
        say("nothing of it is known, or nothing is like that");
    }
    for item in &items {
        say(&format!("{:9} {}", text(item, "kind"), plain(text(item, "native"))));
        if let Some(why) = item["left_out"]["detail"].as_str() {
            say(&format!("          left out: {}", plain(why)));
        }
        for place in item["toolsets"].as_array().into_iter().flatten() {
            let shown = place["name"].as_str().map(|name| format!("as {name}"));
            let why = || format!("left out: {}", text(&place["left_out"], "detail"));
            say(&format!("          {}: {}", text(place, "toolset"), plain(&shown.unwrap_or_else(why))));
        }
    }
    Ok(())
}

async fn refresh(api: &Api, tenant: &Slug, name: &Slug, json: bool) -> anyhow::Result<()> {
    let ask = Ask::act(format!("/tenants/{tenant}/servers/{name}/catalog/refresh"));
    let told = api.in_tenant(tenant, ask).await.map_err(|error| absent(error, tenant, name))?.json()?;
    if json {
        say(&serde_json::to_string_pretty(&told)?);
    }
    if told["answered"] != true {
        anyhow::bail!("{name} did not answer: {}", plain(text(&told, "error")));
    }
    if !json {
        let changed =
            if told["changed"] == true { "its lists are others than before" } else { "its lists are as before" };
        say(&format!("{name} answered: {changed}"));
    }
    Ok(())
}

async fn probe(api: &Api, tenant: &Slug, name: &Slug, file: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let server = match file {
        Some(file) => of_file(&file, tenant, name)?,
        None => {
            let ask = Ask::get(format!("/tenants/{tenant}/servers/{name}"));
            api.in_tenant(tenant, ask).await.map_err(|error| absent(error, tenant, name))?.json()?
        }
    };
    let told = api.in_tenant(tenant, Ask::post(format!("/tenants/{tenant}/probe"), &server)).await?.json()?;
    if json {
        say(&serde_json::to_string_pretty(&told)?);
    } else {
        tell_probed(name, &told);
    }
    anyhow::ensure!(told["reachable"] == true, "{name} cannot be used: {}", plain(text(&told, "error")));
    Ok(())
}

/// The server as a tenant file has it.
fn of_file(file: &std::path::Path, tenant: &Slug, name: &Slug) -> anyhow::Result<Value> {
    let document = Document::read(file)?;
    anyhow::ensure!(document.tenant == *tenant, "{} is about the tenant {}", document.name, document.tenant);
    let mut server = document.json["servers"][name.as_str()].clone();
    anyhow::ensure!(server.is_object(), "{} has no server `{name}`", document.name);
    server["name"] = Value::from(name.as_str());
    Ok(server)
}

fn tell_probed(name: &Slug, told: &Value) {
    for warning in told["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        complain(&format!("warning: {name}: {}", plain(warning)));
    }
    if told["reachable"] != true {
        return;
    }
    let itself = [text(told, "name"), text(told, "version")].join(" ");
    say(&format!("{name} is {}, and speaks {} ({})", plain(itself.trim()), text(told, "revision"), text(told, "era")));
    let count = |what: &str| told["counts"][what].as_u64().unwrap_or(0);
    say(&format!(
        "{} tools, {} prompts, {} resources, {} resource templates",
        count("tools"),
        count("prompts"),
        count("resources"),
        count("templates")
    ));
    for tool in told["tools"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(&format!("  {}", plain(tool)));
    }
}

/// Says it of a server that is not there.
fn absent(error: anyhow::Error, tenant: &Slug, name: &Slug) -> anyhow::Error {
    let is_absent = error.downcast_ref().is_some_and(|trouble: &super::api::Trouble| trouble.is(404));
    if is_absent {
        anyhow::anyhow!("{tenant} has no server `{name}`: `patchbay tenant show {tenant}` lists them")
    } else {
        error
    }
}

/// A text of a server's own, in which nothing can move the cursor of a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}
