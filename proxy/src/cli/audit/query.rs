//! `audit query`: records by what they are found by, newest first, a page at a time.

use clap::Args;
use patchbay_core::audit::Action;
use patchbay_store::{AuditFilter, AuditRow, Store};
use uuid::Uuid;

use super::{Between, Whose, note, shown_time};
use crate::{
    cli::{complain, say},
    ledger::query::unreplaced,
};

/// The most records of one page.
const PAGE_MAX: u32 = 1000;

/// Show records, newest first.
#[derive(Debug, Args)]
pub(in crate::cli) struct Query {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    between: Between,
    /// What was done: `tool.call`, `auth.fail`, `config.update`, …
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Who did it: `key:ID`, `token:ISSUER:SUBJECT`, `admin_key:ID`, `operator`, `gateway`, `anonymous` or `unknown`; with a * at
    /// its end, all that begin so.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// At which server.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Which tool, prompt or URI, by the name that the client used.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How it ended.
    #[arg(long, value_parser = ["answered", "refused", "cancelled", "broken", "failed", "unknown"])]
    outcome: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_MAX)))]
    limit: u32,
    /// Go on after this record, as the end of the page before says.
    #[arg(long, value_name = "EVENT")]
    before: Option<Uuid>,
    /// Print the records themselves, one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Query {
    pub(super) async fn run(self, store: &dyn Store) -> anyhow::Result<()> {
        let tenant = self.whose.tenant(store).await?;
        let filter = AuditFilter {
            tenant,
            from_ms: self.between.since,
            to_ms: self.between.until,
            kind: self.action.clone(),
            actor: self.actor.clone(),
            server: self.server.clone(),
            name: self.name.clone(),
            outcome: self.outcome.clone(),
            before: self.before.as_ref().map(Uuid::as_u128),
        };
        let rows = store.audit_page(&filter, self.limit).await?;
        let (found, last) = (rows.len(), rows.last().map(|last| last.event_id));
        let rows = unreplaced(store, rows).await?;
        note(store, tenant.flatten(), Action::AuditQuery, &self.asked(rows.len())).await?;
        for row in &rows {
            say(&if self.json { row.json.clone() } else { shown(row) });
        }
        if let Some(last) = last.filter(|_| found == self.limit as usize) {
            complain(&format!("there may be more: add --before {}", Uuid::from_u128(last)));
        } else if found == 0 {
            complain("no record is like that");
        }
        Ok(())
    }

    /// What was asked for, in a few words.
    fn asked(&self, found: usize) -> String {
        let texts = [
            ("action", &self.action),
            ("actor", &self.actor),
            ("server", &self.server),
            ("name", &self.name),
            ("outcome", &self.outcome),
        ];
        let mut words = format!("read {found} records of the audit");
        for (name, text) in texts {
            if let Some(text) = text {
                words.push_str(&format!(", {name} {text}"));
            }
        }
        words
    }
}

fn shown(row: &AuditRow) -> String {
    let facets = &row.facets;
    let what = facets.name.as_deref().or(facets.server.as_deref()).unwrap_or("-");
    format!("{:<24}  {:<14}  {:<9}  {:<40}  {what}", shown_time(row.at_ms), row.kind, facets.outcome, facets.actor,)
}
