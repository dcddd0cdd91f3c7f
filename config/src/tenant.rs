//! Tenant files: what one tenant shall be, as YAML; read, written back, and compared with what the store has.
//!
//! `tenant_from_yaml` is called by `apply`, `tenant_to_yaml` by `export`, `diff` by `apply --dry-run`. Every value of a
//! header, of an environment variable, under `secrets`, of `client_secret` and of `private_key` is a secret: it leaves a file
//! and never comes back into one.

mod diff;
mod export;
mod issuer;
mod limits;
mod lower;
mod names;
mod schema;
mod scopes;
mod secrets;
mod server;
mod toolset;

pub use diff::diff;
pub use export::{tenant_to_json, tenant_to_yaml};
pub(crate) use names::{check_env_name, check_header_name, check_secret_text, check_toolset_glob, check_url, slugify};

use patchbay_core::model::TenantDoc;
use serde_json::Value as Json;

use crate::{
    check::check,
    error::{ConfigErrors, Report},
    node::Node,
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

/// The JSON schema of tenant files.
pub fn tenant_json_schema() -> Json {
    schemars::schema_for!(schema::TenantFile).to_value()
}

/// The tenant that `text` describes; `file_name` stands for the file in messages and `resolve` looks up `${env:NAME}`
/// and `${file:PATH}`, see [`crate::resolver`].
pub fn tenant_from_yaml(text: &str, file_name: &str, resolve: &Resolve<'_>) -> Result<TenantDoc, ConfigErrors> {
    let root = Node::parse(text, file_name)?;
    let mut report = Report::new(file_name, &root);
    let json = check(&root, &tenant_json_schema(), &mut report);
    let file = serde_json::from_value(json).ok();
    let mut lower = lower::Lower { report, resolve };
    let doc = file.and_then(|file| lower.tenant(file));
    lower.report.finish(doc)
}

/// The tenant that this tree of JSON describes, by the same rules as a file. `file_name` stands for it in messages.
pub fn tenant_from_json(json: &Json, file_name: &str, resolve: &Resolve<'_>) -> Result<TenantDoc, ConfigErrors> {
    tenant_from_yaml(&json.to_string(), file_name, resolve)
}

#[cfg(test)]
mod tests;
