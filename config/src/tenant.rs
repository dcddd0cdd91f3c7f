//! Tenant files: what one tenant shall be, as YAML; read, written back, and compared with what the store has.
//!
//! `tenant_from_yaml` is called by `apply`, `tenant_to_yaml` by `export`, `diff` by `apply --dry-run`; the same tenants as JSON
//! (`document`) are what the admin API takes and gives. Every value of a
//! header, of an environment variable, under `secrets`, of `client_secret` and of `private_key` is a secret: it leaves a file
//! and never comes back into one.

mod diff;
mod document;
mod export;
mod issuer;
mod limits;
mod lower;
mod names;
mod parts;
mod schema;
mod scopes;
mod secrets;
mod server;
mod toolset;

pub use diff::diff;
pub use document::{server_document, tenant_document, tenant_from_json};
pub use export::{tenant_to_json, tenant_to_yaml};
pub(crate) use names::{check_env_name, check_header_name, check_secret_text, check_toolset_glob, check_url, slugify};
pub use parts::part_schemas;

use std::{collections::BTreeMap, sync::LazyLock};

use patchbay_core::{Slug, issuer::IssuerDoc, model::TenantDoc};
pub(crate) use schema::{IssuerFile, RegistrationFile};
use serde_json::Value as Json;

use crate::{
    check::check,
    error::{ConfigErrors, Report},
    node::Node,
    path::FieldPath,
    secret::Resolve,
};

/// Stands for a secret that the store has and the file does not show.
pub const SEALED: &str = "${sealed}";

/// Servers that one tenant may have.
pub const SERVERS_MAX: usize = 200;

/// Toolsets that one tenant may have.
pub const TOOLSETS_MAX: usize = 64;

/// Issuers that one tenant may have.
pub const ISSUERS_MAX: usize = 16;

/// The schema, once for all documents that come by.
static SCHEMA: LazyLock<Json> = LazyLock::new(|| schemars::schema_for!(schema::TenantFile).to_value());

/// The JSON schema of tenant files.
pub fn tenant_json_schema() -> Json {
    SCHEMA.clone()
}

/// The tenant that `text` describes; `file_name` stands for the file in messages and `resolve` looks up `${env:NAME}`
/// and `${file:PATH}`, see [`crate::resolver`].
pub fn tenant_from_yaml(text: &str, file_name: &str, resolve: &Resolve<'_>) -> Result<TenantDoc, ConfigErrors> {
    let root = Node::parse(text, file_name)?.bounded(file_name)?;
    let mut report = Report::new(file_name, &root);
    let json = check(&root, &SCHEMA, &mut report);
    lowered(json, report, resolve)
}

/// The tenant of a document whose shape was checked.
fn lowered(json: Json, mut report: Report<'_>, resolve: &Resolve<'_>) -> Result<TenantDoc, ConfigErrors> {
    let file = serde_json::from_value(json).ok();
    let mut lower = lower::Lower { report: &mut report, resolve };
    let doc = file.and_then(|file| lower.tenant(file));
    report.finish(doc)
}

/// Issuers that stand elsewhere than in a tenant file, by the same rules.
pub(crate) fn lower_issuers(
    report: &mut Report<'_>,
    resolve: &Resolve<'_>,
    field: &FieldPath,
    files: BTreeMap<String, IssuerFile>,
) -> BTreeMap<Slug, IssuerDoc> {
    lower::Lower { report, resolve }.issuers(field, files)
}

#[cfg(test)]
mod tests;
