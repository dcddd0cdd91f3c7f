//! Patchbay's files: `patchbay.yaml`, tenant files, and the `mcpServers` files of IDEs.
//!
//! A text becomes a tree that knows its lines (`node`), is held against the JSON schema of its wire type (`check`),
//! and is lowered to values that cannot be wrong ([`GatewayConfig`], [`patchbay_core::model::TenantDoc`]). Errors name
//! file, line, column, field and what was expected, all of them at once. No network, no store and no command line here.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

mod check;
mod environment;
mod error;
mod gateway;
mod import;
mod load;
mod lower;
mod node;
mod path;
mod rule;
mod schema;
mod secret;
mod suggest;
mod tenant;
mod trust;
mod words;

pub use environment::{Environment, NOT_SETTINGS, NOT_SETTINGS_PREFIXES};
pub use error::{ConfigError, ConfigErrors, Place};
pub use gateway::{
    AdminConfig, AuditConfig, CommandMissing, GatewayConfig, GroupGrant, HttpConfig, LimitsConfig, LogConfig,
    LogFormat, OauthConfig, RedisConfig, SealingKey, SinkConfig, SinkKind, StdioCommand, StdioConfig, StoreTarget,
    TenantAdminsConfig, TracesConfig,
};
pub use import::{Imported, import_mcp_servers};
pub use load::{DEFAULTS_YAML, json_schema, load};
pub use secret::{Resolve, SecretRef, refuse_references, resolver};
pub use tenant::{
    ISSUERS_MAX, SEALED, SERVERS_MAX, TOOLSETS_MAX, diff, part_schemas, server_document, tenant_document,
    tenant_from_json, tenant_from_yaml, tenant_json_schema, tenant_to_json, tenant_to_yaml,
};
pub use trust::{TrustError, trust_commands, trusted_commands};
