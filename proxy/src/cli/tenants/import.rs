//! `import`: takes the servers of an IDE's `mcp.json` into a tenant. What the tenant has stays; commands run only when the
//! operator says so.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use patchbay_config::{
    GatewayConfig, Imported, StdioCommand, import_mcp_servers, refuse_references, server_document, tenant_from_json,
    trust_commands,
};
use patchbay_core::{
    Slug,
    model::{DEFAULT_TOOLSET, ServerDoc, TenantDoc},
};
use serde_json::{Value as Json, json};

use super::{About, Desk, Document, If, Outcome, Source, complain, is, put, say};
use crate::cli::api::{Api, Ask, described};

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

/// The tenant with what comes to it.
struct Merged {
    document: Document,
    taken: Vec<Slug>,
    kept: Vec<Slug>,
    notes: Vec<String>,
}

impl Import {
    pub(in crate::cli) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        if desk.server.is_some() && self.trust_commands {
            anyhow::bail!(
                "--trust-commands writes the operator's list, which is on the machine of the gateway: repeat this there, without \
                 --server, or add the commands under stdio.commands in patchbay.yaml"
            );
        }
        // What is wrong with the configuration is said before anything is read.
        let _ = if desk.server.is_none() { Some(desk.config()?) } else { None };
        let imported = Source::read(&self.file)?.with(import_mcp_servers)?;
        let api = Api::open(desk).await?;
        let report = self.take(&api, imported).await;
        if let Ok(report) = &report {
            self.tell(api.config(), report);
        }
        api.close().await;
        report.map(drop)
    }

    pub(super) async fn take(&self, api: &Api, mut imported: Imported) -> anyhow::Result<Report> {
        let commands = std::mem::take(&mut imported.commands);
        let (held, condition) = self.held(api).await?;
        let Merged { document, taken, kept, mut notes } = self.merge(held, imported)?;
        let outcome = put(api, &document, condition, false).await;
        let mut outcome = outcome.map_err(|error| if is(&error, 412) { self.overtaken() } else { error })?;
        // After the tenant, so that nothing is trusted for servers that were refused.
        let (trusted, untrusted) = self.trust(api.config(), commands, &outcome)?;
        notes.extend(trusted.iter().filter_map(|command| not_installed(command)));
        outcome.keep_about(&taken);
        Ok(Report { outcome, taken, kept, trusted, untrusted, notes })
    }

    /// The tenant's document, of a new tenant where there is none, and what must be there when it is put back.
    async fn held(&self, api: &Api) -> anyhow::Result<(Json, If)> {
        match api.ask(Ask::get(format!("/tenants/{}/document", self.tenant))).await {
            Ok(answer) => Ok((answer.json()?, If::State(answer.tag()))),
            Err(trouble) if trouble.is(404) => {
                Ok((json!({ "tenant": self.tenant, "toolsets": { DEFAULT_TOOLSET: {} } }), If::Nothing))
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    fn overtaken(&self) -> anyhow::Error {
        anyhow::anyhow!("somebody else has changed {} meanwhile, so nothing was written: repeat this", self.tenant)
    }

    fn merge(&self, mut json: Json, imported: Imported) -> anyhow::Result<Merged> {
        let held = described(&json)?;
        let (mut taken, mut kept, mut notes) = (Vec::new(), Vec::new(), imported.notes);
        for (name, mut server) in imported.servers {
            if held.servers.contains_key(&name) && !self.replace {
                kept.push(name);
                continue;
            }
            give_missing_values(held.servers.get(&name), &name, &mut server, &mut notes);
            json["servers"][name.as_str()] = server_document(&server);
            taken.push(name);
        }
        // By the rules of tenant files, so that what is exported later can be applied again.
        let doc = tenant_from_json(&json, "the tenant with what was imported", &refuse_references())?;
        notes.extend(unseen(&doc, &taken));
        let document = Document { name: self.file.display().to_string(), tenant: self.tenant.clone(), json };
        Ok(Merged { document, taken, kept, notes })
    }

    /// Commands that came on the operator's list now, and those that are not on it.
    fn trust(
        &self,
        config: Option<&GatewayConfig>,
        commands: BTreeSet<String>,
        outcome: &Outcome,
    ) -> anyhow::Result<(BTreeSet<String>, BTreeSet<String>)> {
        let Some(config) = config else {
            let doubted: BTreeSet<_> = outcome.told.about.iter().filter_map(|about| about.command.as_ref()).collect();
            return Ok((BTreeSet::new(), commands.into_iter().filter(|command| doubted.contains(command)).collect()));
        };
        let known = |command: &String| config.stdio.commands.contains_key(command);
        let unknown: BTreeSet<_> = commands.into_iter().filter(|command| !known(command)).collect();
        if !self.trust_commands || unknown.is_empty() {
            return Ok((BTreeSet::new(), unknown));
        }
        trust_commands(&config.trusted_commands_path(), &unknown)?;
        Ok((unknown, BTreeSet::new()))
    }

    fn tell(&self, config: Option<&GatewayConfig>, report: &Report) {
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
        if let Some(config) = config.filter(|_| !trusted.is_empty()) {
            let path = config.trusted_commands_path();
            say(&format!("now on the operator's list ({}): {}. {restart}", path.display(), joined(trusted)));
        }
        if !untrusted.is_empty() {
            let how = match config {
                Some(_) => "repeat this with --trust-commands, or add them under stdio.commands in patchbay.yaml",
                None => "the operator of the gateway adds them under stdio.commands in its patchbay.yaml",
            };
            complain(&format!(
                "warning: these commands are not on the operator's list, so the servers that need them answer nobody yet: {}. To \
                 allow every tenant to run them, {how}. {restart}",
                joined(untrusted)
            ));
        }
    }
}

impl Outcome {
    /// Forgets warnings that are told otherwise: commands are told once for all servers, and what the tenant had before is not
    /// this import's business.
    fn keep_about(&mut self, taken: &[Slug]) {
        let of = |about: &About| {
            let is_taken = |server: &String| taken.iter().any(|name| name.as_str() == server);
            about.command.is_none() && about.server.as_ref().is_none_or(is_taken)
        };
        let mut about = std::mem::take(&mut self.told.about).into_iter();
        self.told.warnings.retain(|_| about.next().is_none_or(|about| of(&about)));
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

/// A server whose secrets have no value here, and none in the store, comes switched off with empty ones: so it is not lost, and
/// does not call anybody without them.
fn give_missing_values(held: Option<&ServerDoc>, name: &Slug, server: &mut ServerDoc, notes: &mut Vec<String>) {
    let is_held = |secret: &String| held.is_some_and(|held| held.secrets.contains_key(secret));
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
