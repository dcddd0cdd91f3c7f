//! Secrets that a document keeps as they are (`${sealed}`): whether they are there, and where in a document they stand.

use std::collections::BTreeMap;

use patchbay_core::{
    Slug,
    model::{Secrets, TenantDoc, TenantRow},
};
use secrecy::SecretString;

use crate::edge::admin::problem::FieldError;

/// The field of a secret below the server or the issuer that has it, by the name that the store has for it.
pub(crate) fn pointer(owner: &str, name: &str) -> String {
    let (family, key) = name.split_once(':').unwrap_or(("", name));
    let field = match family {
        "header" => "headers",
        "secret" => "secrets",
        other => other,
    };
    format!("{owner}/{field}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The secrets of the server of that name, as the store has them.
pub(crate) fn of_server<'a>(held: Option<&'a TenantRow>, name: &Slug) -> Option<&'a Secrets> {
    held?.servers.iter().find(|row| row.slug == *name).map(|row| &row.secrets)
}

/// The secrets of the issuer of that name, as the store has them.
pub(crate) fn of_issuer<'a>(held: Option<&'a TenantRow>, name: &Slug) -> Option<&'a Secrets> {
    held?.issuers.iter().find(|row| row.slug == *name).map(|row| &row.secrets)
}

/// All secrets that are to be kept and are not there.
pub(super) fn absent(doc: &TenantDoc, held: Option<&TenantRow>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, server) in &doc.servers {
        missing(&format!("/servers/{name}"), &server.secrets, of_server(held, name), &mut errors);
    }
    for (name, issuer) in &doc.issuers {
        missing(&format!("/issuers/{name}"), &issuer.secrets, of_issuer(held, name), &mut errors);
    }
    errors
}

fn missing(
    owner: &str,
    wanted: &BTreeMap<String, Option<SecretString>>,
    held: Option<&Secrets>,
    errors: &mut Vec<FieldError>,
) {
    let kept = wanted.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name);
    let gone = kept.filter(|name| held.is_none_or(|held| !held.0.contains_key(*name)));
    errors.extend(gone.map(|name| FieldError {
        pointer: pointer(owner, name),
        detail: "expected a value: `${sealed}` keeps the one that is stored, and none is".to_owned(),
    }));
}
