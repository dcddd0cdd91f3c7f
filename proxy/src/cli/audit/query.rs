//! `audit query`: records by what they are found by, newest first, a page at a time.

use clap::Args;
use patchbay_core::audit::Facets;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Between, Whose, shown_time};
use crate::cli::{
    api::{Api, Ask, Page},
    complain, say, server_name,
};

/// The most records of one page.
const PAGE_MAX: u32 = 1000;
/// Requests for one page: each looks through a month of records at the most.
const REQUESTS_MAX: usize = 100;

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
    /// At which server of the tenant. (A URL names the gateway to ask.)
    #[arg(long, value_name = "NAME", value_parser = server_name)]
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
    /// Go on where the page before ended, as its end says.
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,
    /// Print the records themselves, one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What is read of a record, beside what it is found by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    at_ms: i64,
    action: String,
}

impl Query {
    pub(super) async fn run(self, api: &Api) -> anyhow::Result<()> {
        let (mut found, mut cursor) = (0, self.before.clone());
        for _ in 0..REQUESTS_MAX {
            let answer = self.whose.answer(api, self.ask(self.limit - found, cursor)).await?;
            let Page::<Box<RawValue>> { items, next } = answer.read()?;
            for record in &items {
                say(&if self.json { record.get().to_owned() } else { shown(record.get()) });
            }
            found += u32::try_from(items.len()).unwrap_or(u32::MAX);
            cursor = next;
            if cursor.is_none() || found >= self.limit {
                break;
            }
        }
        if let Some(cursor) = cursor {
            complain(&format!("there may be more: add --before {cursor}"));
        } else if found == 0 {
            complain("no record is like that");
        }
        Ok(())
    }

    fn ask(&self, limit: u32, cursor: Option<String>) -> Ask {
        let ask = self.between.ask(self.whose.ask(Ask::get(self.whose.path(""))));
        ask.with("action", self.action.as_ref())
            .with("actor", self.actor.as_ref())
            .with("server", self.server.as_ref())
            .with("name", self.name.as_ref())
            .with("outcome", self.outcome.as_ref())
            .with("limit", Some(limit))
            .with("cursor", cursor)
    }
}

fn shown(record: &str) -> String {
    let Head { at_ms, action } = serde_json::from_str(record).unwrap_or_default();
    let Facets { actor, server, name, outcome } = Facets::of(record);
    let what = name.as_deref().or(server.as_deref()).unwrap_or("-");
    format!("{:<24}  {action:<14}  {outcome:<9}  {actor:<40}  {what}", shown_time(at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_shown_in_a_line_by_what_it_is_found_by() {
        let record = r#"{"event":"01","at_ms":1000,"action":"tool.call","actor":{"kind":"operator"},"server":"one","exposed":"one_echo","outcome":"answered"}"#;
        assert_eq!(
            shown(record),
            format!("1970-01-01T00:00:01.000Z  tool.call       answered   {:<40}  one_echo", "operator")
        );
        assert!(shown("\"changed\"").ends_with('-'));
    }
}
