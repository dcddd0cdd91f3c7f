//! Who am I, and what may I do: what the API knows of whoever asks. Everybody with a role may ask it.

use axum::Json;
use patchbay_core::{admin::Grant, audit::Actor};
use serde::Serialize;
use utoipa::ToSchema;

use super::{admin_keys::Role, who::Admin};

/// Whoever asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// By what they signed in: `admin_key`, `token`, or `operator` at the command line.
    kind: &'static str,
    /// The admin key, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The issuer of their token, by its name in `admin.issuers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Who they are to that issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Their name for people, if their token says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What they may do.
    grants: Vec<Given>,
}

/// A role that somebody has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GivenRole)]
pub(crate) struct Given {
    /// The role.
    role: Role,
    /// The tenant that it is about; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
}

impl Given {
    fn of(grant: &Grant) -> Self {
        Self { role: Role::of(grant), tenant: grant.tenant().map(ToString::to_string) }
    }
}

impl Me {
    fn of(admin: &Admin) -> Self {
        let grants = admin.grants().iter().map(Given::of).collect();
        let me = Self { kind: "operator", key: None, issuer: None, subject: None, name: None, grants };
        match admin.actor() {
            Actor::AdminKey(key) => Self { kind: "admin_key", key: Some(key.to_string()), ..me },
            Actor::Token(token) => Self {
                kind: "token",
                issuer: Some(token.issuer.to_string()),
                subject: Some(token.subject.to_string()),
                name: token.name.as_deref().map(str::to_owned),
                ..me
            },
            _ => me,
        }
    }
}

/// Who you are, and what you may do.
#[utoipa::path(get, path = "/me", operation_id = "show_me", tag = "me", responses((status = 200, description = "You.", body = Me)))]
pub(super) async fn show(admin: Admin) -> Json<Me> {
    Json(Me::of(&admin))
}
