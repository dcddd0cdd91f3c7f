//! What a tenant tells those who have to sign in: made once with its state, so that a flood of strangers costs no look at its
//! issuers. How it is written into a response is the edge's.

use std::{collections::BTreeSet, fmt::Write};

use patchbay_core::{
    Slug,
    issuer::{IssuerRow, IssuerSpec, Registration},
    snapshot::View,
};

use super::{challenge::Challenge, site::Site};

/// What is known of a tenant's issuers without asking any of them.
#[derive(Debug, Default)]
pub struct SignIn {
    issuers: Box<[(Slug, IssuerSpec)]>,
    hint: String,
}

impl SignIn {
    /// What is said of these issuers.
    pub fn of(rows: &[IssuerRow]) -> Self {
        Self { issuers: rows.iter().map(|row| (row.slug.clone(), row.spec.clone())).collect(), hint: hint(rows) }
    }

    /// Whether nobody signs in here.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// The issuers, in the order of their names.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerSpec> {
        self.issuers.iter().map(|(_, spec)| spec)
    }

    /// What every token of that issuer needs, besides what a toolset wants.
    pub fn scopes_of(&self, issuer: &Slug) -> &[String] {
        self.issuers.iter().find(|(known, _)| known == issuer).map_or(&[], |(_, spec)| &spec.scopes_required)
    }

    /// How somebody comes in of whom nothing is known: with the fewest scopes that will do. What one of several issuers wants
    /// of its own tokens is not asked of all.
    pub(crate) fn challenge(&self, tenant: &Slug, view: &View, site: &Site) -> Box<Challenge> {
        let own: &[String] = match &*self.issuers {
            [(_, only)] => &only.scopes_required,
            _ => &[],
        };
        self.naming(tenant, view, site, view.rules.scopes.enter.iter().chain(own).map(String::as_str))
    }

    /// The same, naming these scopes.
    pub(crate) fn naming<'a>(
        &self,
        tenant: &Slug,
        view: &View,
        site: &Site,
        scopes: impl Iterator<Item = &'a str>,
    ) -> Box<Challenge> {
        let scopes: BTreeSet<&str> = scopes.collect();
        Box::new(Challenge {
            metadata_url: site.metadata_url(tenant.as_str(), view.toolset.as_str()),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            hint: self.hint.clone(),
        })
    }
}

fn hint(rows: &[IssuerRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let begin = if text.is_empty() { "Sign in at" } else { " Or sign in at" };
        let _ = write!(text, "{begin} {}: {}.", row.spec.issuer, client_id(&row.spec.registration));
    }
    text
}

/// The ways to a client id, for people.
fn client_id(registration: &Registration) -> String {
    let mut ways = Vec::new();
    if let Some(id) = &registration.client_id {
        let port = registration.callback_port;
        let port = port.map_or_else(String::new, |port| format!(", with a callback on port {port} of this machine"));
        ways.push(format!("use the client id `{id}`{port}"));
    }
    if registration.dynamic {
        ways.push("clients may register themselves".to_owned());
    }
    if registration.metadata_document {
        ways.push("a client id may be the URL of the client's metadata document".to_owned());
    }
    if ways.is_empty() {
        return "ask whoever runs this gateway for a client id".to_owned();
    }
    ways.join("; or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(slug: &str, edit: impl FnOnce(&mut IssuerSpec)) -> IssuerRow {
        let spec = serde_json::json!({ "issuer": format!("https://{slug}.example") });
        let mut row = IssuerRow {
            slug: slug.parse().unwrap(),
            spec: serde_json::from_value(spec).unwrap(),
            secrets: patchbay_core::model::Secrets::default(),
        };
        edit(&mut row.spec);
        row
    }

    #[test]
    fn people_are_told_every_way_to_a_client_id() {
        let corp = row("corp", |spec| {
            spec.registration = Registration {
                client_id: Some("ide".into()),
                callback_port: Some(3118),
                dynamic: true,
                metadata_document: true,
            };
        });
        assert_eq!(
            SignIn::of(&[corp, row("lab", |_| ())]).hint,
            "Sign in at https://corp.example: use the client id `ide`, with a callback on port 3118 of this machine; or \
             clients may register themselves; or a client id may be the URL of the client's metadata document. Or sign in \
             at https://lab.example: ask whoever runs this gateway for a client id."
        );
    }

    #[test]
    fn an_issuer_that_is_not_there_asks_for_nothing() {
        let known = SignIn::of(&[row("corp", |spec| spec.scopes_required = vec!["base".into()])]);
        assert_eq!(known.scopes_of(&"corp".parse().unwrap()), ["base"]);
        assert!(known.scopes_of(&"gone".parse().unwrap()).is_empty());
        assert!(!known.is_empty() && SignIn::default().is_empty());
    }
}
