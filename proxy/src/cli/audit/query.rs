//! `audit query`: records by what they are found by, newest first, a page at a time.

use std::collections::HashSet;

use clap::Args;
use patchbay_core::audit::Action;
use patchbay_store::{AuditFilter, AuditRow, Store};
use uuid::Uuid;

use super::{Span, Whose, note, shown_time};
use crate::cli::{complain, say};

/// The most records of one page.
const PAGE_MAX: u32 = 1000;

/// Show records, newest first.
#[derive(Debug, Args)]
pub(in crate::cli) struct Query {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    span: Span,
    /// What was done: `tool.call`, `auth.fail`, `config.update`, …
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Who did it: `key:ID`, `token:ISSUER:SUBJECT`, `operator`, `gateway`, `anonymous` or `unknown`; with a * at its end, all that
    /// begin so.
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
            from_ms: self.span.since.map(|moment| moment.0),
            to_ms: self.span.until.map(|moment| moment.0),
            kind: self.action.clone(),
            actor: self.actor.clone(),
            server: self.server.clone(),
            name: self.name.clone(),
            outcome: self.outcome.clone(),
            before: self.before.as_ref().map(Uuid::as_u128),
        };
        let rows = store.audit_page(&filter, self.limit).await?;
        let replaced = replaced(store, &rows).await?;
        let shown_rows = rows.iter().filter(|row| !replaced.contains(&closing(row)));
        note(store, tenant.flatten(), Action::AuditQuery, &self.asked(shown_rows.clone().count())).await?;
        for row in shown_rows {
            say(&if self.json { row.json.clone() } else { shown(row) });
        }
        if rows.len() == self.limit as usize
            && let Some(last) = rows.last()
        {
            complain(&format!("there may be more: add --before {}", Uuid::from_u128(last.event_id)));
        } else if rows.is_empty() {
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

/// The id of the record that says how the event of this one ended.
const fn closing(row: &AuditRow) -> u128 {
    // A record of an end is replaced by none.
    if row.event_id & 1 == 0 { row.event_id | 1 } else { 0 }
}

/// The records that say how those ended of which only the sending is among these. Such a one is not shown: it says that the
/// outcome is unknown, and it is not.
async fn replaced(store: &dyn Store, rows: &[AuditRow]) -> anyhow::Result<HashSet<u128>> {
    let open = rows.iter().filter(|row| row.facets.outcome == "unknown").map(closing);
    Ok(store.audit_known(&open.collect::<Vec<_>>()).await?)
}

fn shown(row: &AuditRow) -> String {
    let facets = &row.facets;
    let what = facets.name.as_deref().or(facets.server.as_deref()).unwrap_or("-");
    format!("{:<24}  {:<14}  {:<9}  {:<40}  {what}", shown_time(row.at_ms), row.kind, facets.outcome, facets.actor,)
}

#[cfg(test)]
mod tests {
    use patchbay_core::audit::{ChainId, EventId, Facets, Link, WriterId};

    use super::*;

    #[tokio::test]
    async fn a_call_that_has_ended_is_not_shown_as_one_whose_end_nobody_knows() {
        let vault = patchbay_store::Vault::new(1, [7; 32]);
        let store = patchbay_store::open("sqlite::memory:", vault, Default::default()).await.unwrap();
        let row = |event_id, outcome: &str| AuditRow {
            event_id,
            chain: ChainId { tenant: None, writer: WriterId::OPERATOR },
            link: Link::START,
            at_ms: 1,
            kind: "tool.call".to_owned(),
            facets: Facets { outcome: outcome.to_owned(), ..Facets::default() },
            json: "{}".to_owned(),
        };
        let [ended, open] = [1, 2].map(|count| EventId::compose(1, count, 1));
        let rows = [row(ended.bits(), "unknown"), row(ended.closing_bits(), "answered"), row(open.bits(), "unknown")];
        store.audit_append(&rows).await.unwrap();
        for rows in [&rows[..], &[rows[0].clone(), rows[2].clone()]] {
            let replaced = replaced(&*store, rows).await.unwrap();
            let kept: Vec<_> = rows.iter().map(|row| replaced.contains(&closing(row))).collect();
            assert_eq!((kept[0], kept[kept.len() - 1]), (true, false));
        }
    }
}
