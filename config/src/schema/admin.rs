//! What `patchbay.yaml` says of those who administer: who they are, and what tenants' own admins may point servers at.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tenant::{ISSUERS_MAX, IssuerFile};

/// Who administers the gateway by its admin API.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminFile {
    /// The first admin key, a platform admin's: `env:NAME` or `file:PATH`; absent: one is made at the first start and shown once.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) bootstrap_key: Option<String>,
    /// The address under which admins reach the API, as in `https://patchbay-admin.example.org`: the audience of their tokens.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) public_url: Option<String>,
    /// Names that a `Host` header may have there, besides those of loopback and of `admin.public_url`; without a port, any port
    /// will do.
    #[schemars(length(max = 256))]
    pub(crate) allowed_hosts: Vec<String>,
    /// Who signs admins in, by their names, as in tenant files; secrets by `${env:NAME}` or `${file:PATH}`, and no `registration`.
    #[schemars(extend("maxProperties" = ISSUERS_MAX))]
    pub(crate) issuers: BTreeMap<String, IssuerFile>,
    /// What the groups of their tokens may do.
    #[schemars(length(max = 1000))]
    pub(crate) grants: Vec<GrantFile>,
}

/// What the people of a group may do.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantFile {
    /// The group, as the claim of the tokens has it.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) group: String,
    /// The issuer whose group it is; absent: that of any issuer of admins.
    #[serde(default)]
    #[schemars(length(min = 1, max = 40))]
    pub(crate) issuer: Option<String>,
    /// What its people may do.
    pub(crate) role: Role,
    /// The tenant that they administer or look at; for the roles of tenants, and only for them.
    #[serde(default)]
    #[schemars(length(min = 1, max = 40))]
    pub(crate) tenant: Option<String>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Everything: all tenants, admin keys, the gateway itself.
    PlatformAdmin,
    /// Everything that belongs to one tenant.
    TenantAdmin,
    /// To look at what belongs to one tenant.
    TenantViewer,
}

/// What tenants' own admins, unlike those of the platform, may point built-in servers at.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TenantAdminsFile {
    /// Hosts of databases, as in `db.example.org` (any port) or `db.example.org:5432`; empty: none.
    #[schemars(length(max = 256))]
    pub(crate) database_hosts: Vec<String>,
    /// Absolute paths of SQLite databases, or of folders of them; empty: none but the sample.
    #[schemars(length(max = 256), inner(length(min = 1, max = 4096)))]
    pub(crate) database_files: Vec<String>,
    /// Whether weather services may be at addresses of their choice.
    pub(crate) allow_custom_weather: bool,
}
