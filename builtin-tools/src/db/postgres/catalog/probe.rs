//! Whether the role may do more than it should: what a least-privilege role has not (docs/databases.md), found in the
//! catalog. Grants are read from the lists in which they stand and not asked for table by table, so that a large catalog
//! costs some milliseconds. Called by the source before the first statement of a caller, and by whoever registers it.

mod queries;
mod words;

use std::collections::BTreeSet;

use tokio_postgres::{Client, Error};

use super::rules::TableRules;
use queries::{ATTRIBUTES, FUNCTIONS, GRANTS};
use words::Grant;

/// The names of all findings, which are what `accepted_risks` accepts.
pub(crate) const FINDINGS: &[&str] = &[
    "superuser",
    "bypass-rls",
    "create-role",
    "create-db",
    "replication",
    "member-of-role",
    "server-file-roles",
    "table-owner",
    "write-right",
    "create-right",
    "temp-right",
    "foreign-server",
    "security-definer-function",
    "reach-function",
];

/// Something that the role may do and should not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// One of [`FINDINGS`].
    pub(crate) name: &'static str,
    /// What it is, and what to run to take it away. For the operator: it names roles and tables.
    pub(crate) sentence: String,
}

/// What is wrong with the role, in the order of [`FINDINGS`]; one finding for each sort. Three queries in one round trip.
pub(crate) async fn probe(client: &Client, rules: &TableRules) -> Result<Vec<Finding>, Error> {
    let (attributes, grants, functions) = tokio::try_join!(
        biased;
        client.query_typed(ATTRIBUTES, &[]),
        client.query_typed(GRANTS, &[]),
        client.query_typed(FUNCTIONS, &[])
    )?;
    let mut found = attributes.iter().map(Grant::of).collect::<Result<Vec<_>, _>>()?;
    // Of a superuser every question has the answer yes, and that it is one says it all.
    if let Some(superuser) = found.iter().position(|grant| grant.finding == "superuser") {
        found = vec![found.swap_remove(superuser)];
    } else {
        let more = grants.iter().chain(&functions).map(Grant::of).collect::<Result<Vec<_>, _>>()?;
        found.extend(more.into_iter().filter_map(|grant| grant.beyond(rules)));
    }
    Ok(FINDINGS.iter().filter_map(|name| words::finding(name, &found)).collect())
}

/// Those that the operator has not accepted by name: with one of them left, the source stays closed.
pub(crate) fn unaccepted(findings: Vec<Finding>, accepted: &BTreeSet<String>) -> Vec<Finding> {
    findings.into_iter().filter(|finding| !accepted.contains(finding.name)).collect()
}
