//! What was found, in sentences for the operator: what the role may do, and what to run so that it may not.

use patchbay_sql_policy::TableName;
use tokio_postgres::{Error, Row};

use super::Finding;
use crate::db::postgres::catalog::rules::TableRules;

/// The most examples that one finding names.
const EXAMPLES_MAX: usize = 5;

/// One right that was found.
pub(super) struct Grant {
    pub(super) finding: String,
    rights: Vec<String>,
    /// The object, as people call it.
    called: String,
    /// The object in SQL.
    object: String,
    /// In SQL: a role, `PUBLIC`, or nothing where the right is the role's own.
    grantee: String,
    /// The table that the object is or belongs to.
    table: Option<TableName>,
}

impl Grant {
    pub(super) fn of(row: &Row) -> Result<Self, Error> {
        let (schema, name): (Option<String>, Option<String>) = (row.try_get(5)?, row.try_get(6)?);
        Ok(Self {
            finding: row.try_get(0)?,
            rights: row.try_get(1)?,
            called: row.try_get(2)?,
            object: row.try_get(3)?,
            grantee: row.try_get(4)?,
            table: schema.zip(name).map(|(schema, name)| TableName { schema, name }),
        })
    }

    /// What of it the rules do not open: INSERT on a table that takes rows, and USAGE of the sequence that numbers them.
    pub(super) fn beyond(mut self, rules: &TableRules) -> Option<Self> {
        if self.table.as_ref().is_some_and(|table| rules.opens(table)) {
            let opened = if self.object.starts_with("SEQUENCE") { "USAGE" } else { "INSERT" };
            self.rights.retain(|right| right != opened);
        }
        (!self.rights.is_empty()).then_some(self)
    }

    /// What is to be run.
    fn undo(&self) -> String {
        let Self { rights, object, grantee, .. } = self;
        let rights = rights.join(", ");
        match (self.finding.as_str(), rights.as_str()) {
            ("member-of-role" | "server-file-roles", _) => format!("REVOKE {object} FROM {grantee};"),
            (_, "OWNER") => format!("ALTER {object} OWNER TO another_role;"),
            (_, undo) if grantee.is_empty() => format!("ALTER ROLE {object} {undo};"),
            _ => format!("REVOKE {rights} ON {object} FROM {grantee};"),
        }
    }

    /// What it is about, with the rights where they differ.
    fn example(&self) -> String {
        match self.finding.as_str() {
            "write-right" => format!("{} on {}", self.rights.join(", "), self.called),
            _ => self.called.clone(),
        }
    }
}

/// The finding of that name, if any of the grants makes it.
pub(super) fn finding(name: &'static str, grants: &[Grant]) -> Option<Finding> {
    let of_it: Vec<_> = grants.iter().filter(|grant| grant.finding == name).collect();
    if of_it.is_empty() {
        return None;
    }
    let shown = || of_it.iter().take(EXAMPLES_MAX);
    let examples = shown().map(|grant| grant.example()).collect::<Vec<_>>().join(", ");
    let undo = shown().map(|grant| grant.undo()).collect::<Vec<_>>().join(" ");
    let more = match of_it.len() - shown().count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let sentence = format!("The role {}: {examples}{more}. Run, as whoever may: {undo}{}", meaning(name), advice(name));
    Some(Finding { name, sentence })
}

/// What it means that the role has it, before the examples.
fn meaning(name: &str) -> &'static str {
    match name {
        "superuser" => "is a superuser and may do anything, also on the server's disk",
        "bypass-rls" => "sees rows that row security keeps from others",
        "create-role" => "may make and change roles",
        "create-db" => "may make databases",
        "replication" => "may copy the whole server",
        "member-of-role" => "may act as other roles",
        "server-file-roles" => "may, as a member, reach the server's files, programs, settings or other sessions",
        "table-owner" => "owns what it should only read, and may change or drop it",
        "write-right" => "may change data or hang triggers on it",
        "create-right" => "may make tables and functions",
        "temp-right" => "may make temporary tables",
        "foreign-server" => "may use other servers or files through foreign tables of its own",
        "security-definer-function" => "may call functions that act with their owner's rights",
        _ => "may call functions that reach out of the database",
    }
}

/// What else is good to know, after the commands.
fn advice(name: &str) -> &'static str {
    match name {
        "superuser" => " Better: make a role of its own for this source.",
        "temp-right" => {
            " PostgreSQL grants this to everybody in a new database. Roles of yours that need it get it back with \
             GRANT TEMPORARY ON DATABASE … TO …;"
        }
        "security-definer-function" | "reach-function" => {
            " Roles of yours that need them get them back with GRANT EXECUTE ON ROUTINE … TO …;"
        }
        _ => "",
    }
}
