//! `limits show`: what somebody has left, as the running gateway counts it: the one with `--server`, or else the one of the
//! configuration, by its operations listener. Takes nothing from anybody.

use anyhow::Context;
use clap::{Args, Subcommand};
use patchbay_core::{
    Slug,
    limits::{Dimension, WhenAway},
    model::DEFAULT_TOOLSET,
};

use super::{
    Desk,
    api::{Api, Ask},
    ask::ask,
    say, server_name,
};
use crate::admission::look::{Amount, Report, Row};

/// Limits.
#[derive(Debug, Subcommand)]
pub(super) enum Limits {
    /// Show what a principal has left of each limit, as the running gateway counts it. Nothing is taken.
    Show(Show),
}

/// Show what a principal has left of each limit.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Whose.
    #[arg(long)]
    tenant: Slug,
    /// Through which toolset.
    #[arg(long, default_value = DEFAULT_TOOLSET)]
    toolset: Slug,
    /// Who: the id of an API key, or a person as ISSUER:SUBJECT with the issuer's name in the tenant.
    #[arg(long, value_name = "KEY_ID|ISSUER:SUBJECT")]
    principal: Option<String>,
    /// A server, for limits that are counted by servers. (A URL names the gateway to ask.)
    #[arg(long, value_name = "NAME", conflicts_with = "tool", value_parser = server_name)]
    server: Option<String>,
    /// A tool, for limits that are counted by tools: the server's name and the tool's own.
    #[arg(long, value_name = "SERVER/TOOL")]
    tool: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Limits {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let Self::Show(show) = self;
        let told = if desk.server.is_some() { show.at_server(desk).await? } else { show.here(desk).await? };
        if show.json {
            say(told.trim_end());
            return Ok(());
        }
        let report =
            serde_json::from_str(&told).context("the gateway's answer cannot be read: is it of this version?")?;
        table(&report).iter().for_each(|line| say(line));
        Ok(())
    }
}

impl Show {
    /// What a gateway's admin API says.
    async fn at_server(&self, desk: &Desk) -> anyhow::Result<String> {
        let api = Api::open(desk).await?;
        let mut ask = Ask::get(format!("/tenants/{}/limits/standing", self.tenant));
        for (name, value) in self.question() {
            ask = ask.with(name, value);
        }
        Ok(api.in_tenant(&self.tenant, ask).await?.text().to_owned())
    }

    /// What the operations listener of the configured gateway says.
    async fn here(&self, desk: &Desk) -> anyhow::Result<String> {
        let answer = ask(&desk.config()?, &self.path()).await?;
        if answer.status != 200 {
            let said = serde_json::from_str::<serde_json::Value>(&answer.body).ok();
            let said = said.as_ref().and_then(|said| said["error"].as_str());
            anyhow::bail!("{}", said.unwrap_or("the gateway does not say how limits stand: is it of this version?"));
        }
        Ok(answer.body)
    }

    /// What is asked, beside the tenant.
    fn question(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("toolset", Some(self.toolset.as_str())),
            ("principal", self.principal.as_deref()),
            ("server", self.server.as_deref()),
            ("tool", self.tool.as_deref()),
        ]
    }

    fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new("/limits?".to_owned());
        for (name, value) in [("tenant", Some(self.tenant.as_str()))].into_iter().chain(self.question()) {
            value.map(|value| query.append_pair(name, value));
        }
        query.finish()
    }
}

const HEAD: [&str; 7] = ["limit", "by", "lets through", "left", "whole in", "while away", "dry run"];

/// The report in lines, for people.
fn table(report: &Report) -> Vec<String> {
    let who = report.principal.as_deref().map_or_else(String::new, |who| format!(", {}", who.escape_debug()));
    let counted = match &*report.mode {
        "shared" => "counted over all replicas",
        "away" => "not counted over all replicas now, since Redis does not answer: each limit falls back as it says",
        _ => "counted by this process alone",
    };
    let rows: Vec<_> = report.limits.iter().map(cells).collect();
    let wide = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([HEAD[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; HEAD.len()] = std::array::from_fn(wide);
    let line = |cells: &[String; HEAD.len()]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![format!("{} / {}{who}: {counted}", report.tenant, report.toolset)];
    lines.push(line(&HEAD.map(str::to_owned)));
    lines.extend(rows.iter().map(line));
    lines
}

fn cells(row: &Row) -> [String; HEAD.len()] {
    let by: Vec<_> = row.by.iter().map(|by| by.as_str()).collect();
    let left = match (row.left, row.needs) {
        (Some(left), _) => left.to_string(),
        (None, Some(needs)) => format!("counted by {}: {}", needs.as_str(), how_to_name(needs)),
        // People with tokens, where API keys are counted.
        (None, None) => "not met".to_owned(),
    };
    [
        row.name.clone(),
        if by.is_empty() { Dimension::Tenant.as_str().to_owned() } else { by.join(", ") },
        match row.amount {
            Amount::Rate { count, per_s: 1, burst } => format!("{count} in a second, {burst} at once"),
            Amount::Rate { count, per_s, burst } => format!("{count} in {per_s} s, {burst} at once"),
            Amount::Concurrent { concurrent } => format!("{concurrent} calls that run"),
        },
        left,
        row.full_in_ms.map_or_else(String::new, time),
        match row.away {
            WhenAway::Local => "local",
            WhenAway::Closed => "closed",
            WhenAway::Open => "open",
        }
        .to_owned(),
        if row.dry_run { "yes" } else { "no" }.to_owned(),
    ]
}

const fn how_to_name(what: Dimension) -> &'static str {
    match what {
        Dimension::Tenant | Dimension::Toolset => "",
        Dimension::Principal => "name one with --principal",
        Dimension::Key => "name one with --principal KEY_ID",
        Dimension::Server => "name one with --server",
        Dimension::Tool => "name one with --tool",
    }
}

fn time(ms: u64) -> String {
    match ms {
        0 => "now".to_owned(),
        1..1000 => format!("{ms} ms"),
        _ => format!("{} s", ms.div_ceil(1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        serde_json::from_value(serde_json::json!({
            "tenant": "acme", "toolset": "default", "principal": "corp:ann", "mode": "shared",
            "limits": [
                { "name": "principal", "by": ["principal"], "count": 200, "per_s": 1, "burst": 400,
                  "left": 399, "full_in_ms": 5, "away": "local", "dry_run": false },
                { "name": "principal_concurrency", "by": ["principal"], "concurrent": 64, "left": 64,
                  "away": "local", "dry_run": false },
                { "name": "paid", "by": [], "count": 100, "per_s": 3600, "burst": 100,
                  "left": 0, "full_in_ms": 3_599_001, "away": "closed", "dry_run": true },
                { "name": "each_tool", "by": ["principal", "tool"], "count": 5, "per_s": 60, "burst": 5,
                  "needs": "tool", "away": "open", "dry_run": false },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_table_says_for_each_limit_what_is_left_or_what_has_to_be_named() {
        assert_eq!(
            table(&report()),
            [
                "acme / default, corp:ann: counted over all replicas",
                "limit                  by               lets through                  left                                   whole in  while away  dry run",
                "principal              principal        200 in a second, 400 at once  399                                    5 ms      local       no",
                "principal_concurrency  principal        64 calls that run             64                                               local       no",
                "paid                   tenant           100 in 3600 s, 100 at once    0                                      3600 s    closed      yes",
                "each_tool              principal, tool  5 in 60 s, 5 at once          counted by tool: name one with --tool            open        no",
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn what_is_asked_survives_its_way_through_the_url() {
        let show = Show {
            tenant: "acme".parse().unwrap(),
            toolset: "default".parse().unwrap(),
            principal: Some("corp:a&b=c d/ü".to_owned()),
            server: None,
            tool: Some("shop/get".to_owned()),
            json: false,
        };
        let path = show.path();
        let query = path.strip_prefix("/limits?").unwrap();
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
        let read: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let expected =
            [("tenant", "acme"), ("toolset", "default"), ("principal", "corp:a&b=c d/ü"), ("tool", "shop/get")];
        assert_eq!(read.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>(), expected);
    }
}
