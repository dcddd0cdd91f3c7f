//! `import`: takes the servers of an IDE's `mcp.json` into a tenant. What the tenant has stays; commands run only when the
//! operator says so.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use patchbay_config::{
    GatewayConfig, Imported, SERVERS_MAX, StdioCommand, import_mcp_servers, tenant_from_yaml, tenant_to_yaml,
    trust_commands,
};
use patchbay_core::{
    Generation, ServerId, Slug, TenantId,
    issuer::{IssuerDoc, IssuerRow},
    model::{DEFAULT_TOOLSET, Secrets, ServerDoc, ServerRow, TenantDoc, TenantLimits, TenantRow, ToolsetSpec},
};
use patchbay_store::Store;
use serde_json::json;

use super::{Desk, Outcome, Source, complain, kept_as_it_is, put, say};

/// Take the servers of an existing mcp.json into a tenant.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The file of Cursor, VS Code, Claude, Windsurf or Gemini CLI; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The tenant; it is made if there is none of that name.
    #[arg(long)]
    pub(super) tenant: Slug,
    /// Put the commands that the file runs on the operator's list. Then every tenant may run them, with any arguments.
    #[arg(long)]
    pub(super) trust_commands: bool,
    /// Replace servers that the tenant has under the same names. Without: those stay as they are.
    #[arg(long)]
    pub(super) replace: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// What an import did.
#[derive(Debug)]
pub(super) struct Report {
    outcome: Outcome,
    /// Names of the servers that came.
    pub(super) taken: Vec<Slug>,
    /// Names of the servers that stayed as they were.
    pub(super) kept: Vec<Slug>,
    /// Commands that came on the operator's list now.
    pub(super) trusted: BTreeSet<String>,
    /// Commands that are not on it.
    pub(super) untrusted: BTreeSet<String>,
    /// What else has to be said.
    pub(super) notes: Vec<String>,
}

impl Import {
    pub(in crate::cli) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let config = desk.config()?;
        let imported = Source::read(&self.file)?.with(import_mcp_servers)?;
        let store = desk.store().await?;
        let report = self.take(&*store, &config, imported).await;
        store.close().await;
        self.tell(&config, &report?);
        Ok(())
    }

    pub(super) async fn take(
        &self,
        store: &dyn Store,
        config: &GatewayConfig,
        imported: Imported,
    ) -> anyhow::Result<Report> {
        let row = store.tenant_load(&self.tenant).await?;
        let expected = row.as_ref().map_or(Generation(0), |row| row.generation);
        let mut doc = row.as_ref().map_or_else(|| new_tenant(self.tenant.clone()), kept_as_it_is);
        let (mut taken, mut kept, mut notes) = (Vec::new(), Vec::new(), imported.notes);
        for (name, mut server) in imported.servers {
            if doc.servers.contains_key(&name) && !self.replace {
                kept.push(name);
                continue;
            }
            give_missing_values(row.as_ref(), &name, &mut server, &mut notes);
            doc.servers.insert(name.clone(), server);
            taken.push(name);
        }
        notes.extend(unseen(&doc, &taken));
        check(&doc)?;
        let mut outcome = put(store, config, &doc, Some(expected), false).await?;
        // After the tenant, so that nothing is trusted for servers that were refused.
        let known = |command: &String| config.stdio.commands.contains_key(command);
        let unknown: BTreeSet<_> = imported.commands.into_iter().filter(|command| !known(command)).collect();
        let (trusted, untrusted) = if self.trust_commands && !unknown.is_empty() {
            trust_commands(&config.trusted_commands_path(), &unknown)?;
            (unknown, BTreeSet::new())
        } else {
            (BTreeSet::new(), unknown)
        };
        notes.extend(trusted.iter().filter_map(|command| not_installed(command)));
        // Commands are told once for all servers, and what the tenant had before is not this import's business.
        outcome
            .doubts
            .retain(|doubt| doubt.command.is_none() && doubt.server().is_none_or(|server| taken.contains(server)));
        Ok(Report { outcome, taken, kept, trusted, untrusted, notes })
    }

    fn tell(&self, config: &GatewayConfig, report: &Report) {
        let Report { outcome, taken, kept, trusted, untrusted, notes } = report;
        if self.json {
            let mut object = outcome.json();
            object["taken"] = json!(taken);
            object["kept"] = json!(kept);
            object["commands_trusted"] = json!(trusted);
            object["commands_untrusted"] = json!(untrusted);
            object["notes"] = json!(notes);
            return say(&object.to_string());
        }
        outcome.tell(false);
        if !kept.is_empty() {
            let again = "give --replace to take them from the file";
            say(&format!("kept as they were: {} ({again})", joined(kept)));
        }
        for note in notes {
            complain(&format!("note: {note}"));
        }
        let restart = "A gateway that runs already sees the list within a minute.";
        if !trusted.is_empty() {
            let path = config.trusted_commands_path();
            say(&format!("now on the operator's list ({}): {}. {restart}", path.display(), joined(trusted)));
        }
        if !untrusted.is_empty() {
            complain(&format!(
                "warning: these commands are not on the operator's list, so the servers that need them answer nobody yet: {}. To \
                 allow every tenant to run them, repeat this with --trust-commands, or add them under stdio.commands in \
                 patchbay.yaml. {restart}",
                joined(untrusted)
            ));
        }
    }
}

/// Says so when a command that was just trusted is not there.
fn not_installed(command: &str) -> Option<String> {
    let listed = StdioCommand { path: command.into(), args_prefix: Vec::new(), description: None };
    let missing = listed.find(std::env::var_os("PATH").as_deref()).err()?;
    Some(format!("{command}: {missing}."))
}

fn joined<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

fn default_toolset() -> Slug {
    DEFAULT_TOOLSET.parse().expect("the name of the default toolset is a slug")
}

fn new_tenant(slug: Slug) -> TenantDoc {
    TenantDoc {
        slug,
        title: None,
        enabled: true,
        servers: [].into(),
        toolsets: [(default_toolset(), ToolsetSpec::default())].into(),
        issuers: [].into(),
        limits: TenantLimits::default(),
        audit: Default::default(),
    }
}

/// A server whose secrets have no value here, and none in the store, comes switched off with empty ones: so it is not lost, and
/// does not call anybody without them.
fn give_missing_values(row: Option<&TenantRow>, name: &Slug, server: &mut ServerDoc, notes: &mut Vec<String>) {
    let held = row.and_then(|row| row.servers.iter().find(|held| held.slug == *name));
    let is_held = |secret: &String| held.is_some_and(|held| held.secrets.0.contains_key(secret));
    let mut missing = Vec::new();
    for (secret, value) in &mut server.secrets {
        if value.is_none() && !is_held(secret) {
            *value = Some(String::new().into());
            missing.push(secret.clone());
        }
    }
    if !missing.is_empty() {
        server.spec.enabled = false;
        notes.push(format!(
            "{name}: taken over switched off, since it has no value for {}. Give it in the tenant file (`patchbay export`, then \
             `patchbay apply -f`) and take `enabled: false` out there.",
            missing.join(", ")
        ));
    }
}

/// Says so when the default toolset does not show what came.
fn unseen(doc: &TenantDoc, taken: &[Slug]) -> Option<String> {
    let shown = doc.toolsets.get(DEFAULT_TOOLSET)?.servers.as_ref()?;
    let unseen: Vec<_> = taken.iter().filter(|name| !shown.contains(name)).collect();
    (!unseen.is_empty()).then(|| {
        format!(
            "the default toolset of {} names its servers, and these are not among them: {}. Add them there to offer them.",
            doc.slug,
            joined(unseen)
        )
    })
}

/// Holds the tenant against the rules of tenant files, so that what is exported later can be applied again.
fn check(doc: &TenantDoc) -> anyhow::Result<()> {
    let count = doc.servers.len();
    if count > SERVERS_MAX {
        anyhow::bail!("{} would have {count} servers; expected at most {SERVERS_MAX}", doc.slug);
    }
    let bare = |(name, server): (&Slug, &ServerDoc)| ServerRow {
        id: ServerId::from_bits(0),
        slug: name.clone(),
        spec: server.spec.clone(),
        secrets: Secrets::default(),
    };
    let bare_issuer = |(name, issuer): (&Slug, &IssuerDoc)| IssuerRow {
        slug: name.clone(),
        spec: issuer.spec.clone(),
        secrets: Secrets::default(),
    };
    let row = TenantRow {
        id: TenantId::from_bits(0),
        slug: doc.slug.clone(),
        title: doc.title.clone(),
        enabled: doc.enabled,
        generation: Generation(0),
        limits: doc.limits.clone(),
        audit: doc.audit.clone(),
        servers: doc.servers.iter().map(bare).collect(),
        toolsets: doc.toolsets.clone().into_iter().collect(),
        issuers: doc.issuers.iter().map(bare_issuer).collect(),
    };
    let nothing = |_: &patchbay_config::SecretRef| Err(String::new());
    tenant_from_yaml(&tenant_to_yaml(&row), "the tenant with what was imported", &nothing)?;
    Ok(())
}
