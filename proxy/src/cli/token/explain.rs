//! Why a token is let in or not: the checks of `patchbay-token` on the token itself, then what the toolset asks of whoever it is.

use std::{io::Read, sync::Arc};

use anyhow::Context;
use patchbay_config::GatewayConfig;
use patchbay_core::{
    access::{self, AccessRules},
    model::{Access, TenantRow, ToolsetSpec},
};
use patchbay_store::Store;
use patchbay_token::{Check, Issuers, Verified, Wanted};
use serde_json::json;

use super::Explain;
use crate::{
    audit,
    cli::{
        connect::{base_of, url_of},
        keys, say,
    },
    outbound::Outbound,
};

/// What is read of a file or of standard input.
const TOKEN_INPUT_BYTES_MAX: u64 = 64 * 1024;

impl Explain {
    pub(super) async fn run(self, store: &dyn Store, config: &GatewayConfig) -> anyhow::Result<()> {
        let row = keys::tenant(store, &self.tenant).await?;
        let toolset = self.toolset_of(&row)?;
        let token = self.read()?;
        let resource = match &self.resource {
            Some(resource) => resource.clone(),
            None => url_of(&base_of(config, config.listen_mcp), &row.slug, &self.toolset),
        };
        let now_ms = audit::now_ms();
        let revoked = store.revocation_list(row.id, now_ms).await?;
        let issuers = Issuers::new(&row.issuers, &revoked, None, Arc::new(Outbound::new(config)));
        let wanted = Wanted { resource: &resource };
        let mut checks = vec![door(toolset)];
        checks.extend(issuers.explain(&token, wanted, now_ms).await.checks);
        if checks.iter().all(|check| check.passed)
            && let Ok(verified) = issuers.verify(&token, wanted, now_ms).await
        {
            checks.extend(entry(&toolset.rules, issuers.required_scopes(&verified.who.issuer), &verified));
        }
        self.tell(&resource, &checks)
    }

    fn toolset_of<'a>(&self, row: &'a TenantRow) -> anyhow::Result<&'a ToolsetSpec> {
        let found = row.toolsets.iter().find(|(name, _)| *name == self.toolset);
        found.map(|(_, spec)| spec).with_context(|| {
            let known: Vec<_> = row.toolsets.iter().map(|(name, _)| name.as_str()).collect();
            format!("{} has no toolset `{}`; there are: {}", self.tenant, self.toolset, known.join(", "))
        })
    }

    /// The token, from where it was said to be; `Bearer` before it does no harm.
    fn read(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        match &self.file {
            Some(path) => {
                let file = std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
                file.take(TOKEN_INPUT_BYTES_MAX).read_to_string(&mut text)
            }
            None => std::io::stdin().lock().take(TOKEN_INPUT_BYTES_MAX).read_to_string(&mut text),
        }
        .context("the token cannot be read: expected one line of text")?;
        let text = text.trim();
        let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
        if token.is_empty() {
            anyhow::bail!("there is no token: write it into a file and name it with --file, or pipe it in");
        }
        Ok(token.to_owned())
    }

    fn tell(&self, resource: &str, checks: &[Check]) -> anyhow::Result<()> {
        let accepted = checks.iter().all(|check| check.passed);
        if self.json {
            let checks: Vec<_> = checks
                .iter()
                .map(|check| json!({ "check": check.what, "passed": check.passed, "found": check.found }))
                .collect();
            say(&serde_json::to_string_pretty(
                &json!({ "resource": resource, "accepted": accepted, "checks": checks }),
            )?);
        } else {
            say(&format!("at {resource}"));
            for check in checks {
                say(&format!("  {}  {:<14} {}", if check.passed { "ok  " } else { "FAIL" }, check.what, check.found));
            }
        }
        if !accepted {
            anyhow::bail!("the token is refused");
        }
        if !self.json {
            say("the token is accepted");
        }
        Ok(())
    }
}

/// Whether the toolset takes tokens at all.
fn door(toolset: &ToolsetSpec) -> Check {
    let passed = toolset.access.takes_tokens();
    let found = match toolset.access {
        Access::Oauth => "the toolset takes tokens",
        Access::Both => "the toolset takes tokens and keys",
        Access::Key | Access::Anonymous => {
            "the toolset takes no tokens: set access to `oauth` or `both` in the tenant file"
        }
    };
    Check { what: "access", passed, found: found.to_owned() }
}

/// What the toolset asks of whoever it is.
fn entry(rules: &AccessRules, required: &[String], verified: &Verified) -> Vec<Check> {
    let groups = list(verified.groups.iter().map(|group| &**group));
    let in_group = access::in_any(&rules.groups, &verified.groups);
    let mut checks = vec![Check {
        what: "groups",
        passed: in_group,
        found: match (rules.groups.is_empty(), in_group) {
            (true, _) => format!("{groups}; the toolset asks for none"),
            (false, true) => format!("{groups}; one of {} is enough", list(rules.groups.iter().map(String::as_str))),
            (false, false) => format!(
                "{groups}; expected one of {}, else the toolset is not there for them (404)",
                list(rules.groups.iter().map(String::as_str))
            ),
        },
    }];
    let needed: Vec<&str> = rules.scopes.enter.iter().chain(required).map(String::as_str).collect();
    let covered = verified.scopes.cover(needed.iter().copied());
    let scopes = list(verified.scopes.iter());
    let wanted = if needed.is_empty() {
        "none is needed to come in".to_owned()
    } else {
        format!("to come in: {}", list(needed))
    };
    checks.push(Check { what: "scopes", passed: covered, found: format!("{scopes}; {wanted}") });
    checks.push(Check { what: "tools", passed: true, found: tools(rules, verified) });
    checks
}

/// What they could do inside. Says something, and decides nothing.
fn tools(rules: &AccessRules, verified: &Verified) -> String {
    let sees_writes = access::in_any(&rules.write_groups, &verified.groups);
    let may = |scopes: &[String]| {
        let missing: Vec<_> = scopes.iter().map(String::as_str).filter(|scope| !verified.scopes.has(scope)).collect();
        if missing.is_empty() { "may be called".to_owned() } else { format!("need also {}", list(missing)) }
    };
    let read = may(&rules.scopes.read);
    let write = if sees_writes {
        may(&rules.scopes.write)
    } else {
        format!("are hidden, for want of one of the groups {}", list(rules.write_groups.iter().map(String::as_str)))
    };
    format!("those that only read {read}; the others {write}")
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{}`", word.escape_debug())).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use patchbay_core::{
        access::{ScopeRules, Scopes},
        audit::TokenActor,
    };

    use super::*;

    fn somebody(groups: &[&str], scopes: &[&str]) -> Verified {
        Verified {
            who: Arc::new(TokenActor {
                issuer: "corp".parse().unwrap(),
                iss: "https://login.example".into(),
                subject: "alice".into(),
                name: None,
                client: None,
            }),
            jti: None,
            groups: groups.iter().map(|group| Box::from(*group)).collect(),
            scopes: Scopes::granted(scopes.iter().copied(), &BTreeMap::new()),
            audiences: [].into(),
            issued_ms: None,
            until_ms: i64::MAX,
            digest: [0; 16],
        }
    }

    fn rules() -> AccessRules {
        AccessRules {
            groups: vec!["dev".into()],
            write_groups: vec!["ops".into()],
            scopes: ScopeRules { enter: vec!["mcp".into()], write: vec!["mcp:write".into()], ..ScopeRules::default() },
        }
    }

    #[test]
    fn each_thing_that_keeps_somebody_out_is_named_with_what_was_expected() {
        let passed = |groups: &[&str], scopes: &[&str]| {
            let checks = entry(&rules(), &["base".to_owned()], &somebody(groups, scopes));
            checks.into_iter().map(|check| (check.what, check.passed)).collect::<Vec<_>>()
        };
        assert_eq!(passed(&["dev"], &["mcp", "base"]), [("groups", true), ("scopes", true), ("tools", true)]);
        assert_eq!(passed(&[], &["mcp"]), [("groups", false), ("scopes", false), ("tools", true)]);
    }

    #[test]
    fn what_is_hidden_and_what_a_scope_is_missing_for_are_told_apart() {
        let hidden = tools(&rules(), &somebody(&["dev"], &["mcp"]));
        assert!(hidden.contains("hidden") && hidden.contains("`ops`"), "{hidden}");
        let short = tools(&rules(), &somebody(&["dev", "ops"], &["mcp"]));
        assert!(short.ends_with("the others need also `mcp:write`"), "{short}");
    }
}
