//! From the issuers of a tenant file, or of admins, to [`IssuerDoc`]s: who signs people in, with the secrets taken out.
//!
//! Nothing is asked of an issuer here; whether it may be reached is the network policy's to say.

use std::collections::BTreeMap;

use patchbay_core::{
    Slug,
    issuer::{ClaimNames, INTROSPECTION_SECRET, Introspection, IssuerDoc, IssuerSpec, Registration},
};

use super::{
    lower::Lower,
    schema::{ClaimsFile, IntrospectionFile, IssuerFile, RegistrationFile, ScopeList},
    scopes::{
        check_address, check_audience, check_claim, check_client_id, check_issuer, check_scope, check_token_type,
    },
    secrets::{SecretDocs, check_client_secret},
};
use crate::path::FieldPath;

/// Issuers of one tenant that are asked about opaque tokens: such a token does not say whose it is, so all are asked.
const INTROSPECTIONS_MAX: usize = 4;

impl Lower<'_, '_> {
    /// The issuers under `field`.
    pub(crate) fn issuers(
        &mut self,
        field: &FieldPath,
        files: BTreeMap<String, IssuerFile>,
    ) -> BTreeMap<Slug, IssuerDoc> {
        let mut docs = BTreeMap::new();
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let mut introspections = 0;
        for (name, file) in files {
            let field = field.key(&name);
            let slug = self.slug(&field, &name);
            introspections += usize::from(file.introspection.is_some());
            if file.introspection.is_some() && introspections > INTROSPECTIONS_MAX {
                let expected = format!(
                    "expected at most {INTROSPECTIONS_MAX} issuers with `introspection`, since an opaque token is asked of \
                     each of them"
                );
                self.report.meaning(&field.key("introspection"), expected);
            }
            if let Some(other) = owners.insert(file.issuer.clone(), name) {
                let message = format!("`{other}` is this issuer already; expected each issuer once");
                self.report.meaning(&field.key("issuer"), message);
            }
            let doc = self.issuer(&field, file);
            docs.extend(slug.map(|slug| (slug, doc)));
        }
        docs
    }

    fn issuer(&mut self, field: &FieldPath, file: IssuerFile) -> IssuerDoc {
        self.held(&field.key("issuer"), check_issuer(&file.issuer));
        for (name, address) in [("metadata_url", &file.metadata_url), ("jwks_url", &file.jwks_url)] {
            self.held(&field.key(name), address.as_deref().map_or(Ok(()), check_address));
        }
        self.each(&field.key("audiences"), &file.audiences, check_audience);
        self.each(&field.key("token_types"), &file.token_types, check_token_type);
        let names = file.algorithms.iter().enumerate();
        let algorithms =
            names.filter_map(|(at, name)| self.algorithm(&field.key("algorithms").index(at), name)).collect();
        let mut secrets = SecretDocs::new();
        let introspection = file.introspection.map(|introspection| {
            let field = field.key("introspection");
            let secret = self.secret(&field.key("client_secret"), &introspection.client_secret, &check_client_secret);
            secrets.insert(INTROSPECTION_SECRET.to_owned(), secret);
            self.introspection(&field, introspection)
        });
        let spec = IssuerSpec {
            issuer: file.issuer,
            metadata_url: file.metadata_url,
            jwks_url: file.jwks_url,
            audiences: file.audiences,
            algorithms,
            token_types: file.token_types,
            claims: self.claims(&field.key("claims"), file.claims),
            scope_implies: self.implied(&field.key("scope_implies"), file.scope_implies),
            scopes_required: self.scopes(&field.key("scopes_required"), file.scopes_required),
            introspection,
            registration: self.registration(&field.key("registration"), file.registration),
        };
        IssuerDoc { spec, secrets }
    }

    fn each(&mut self, field: &FieldPath, texts: &[String], check: fn(&str) -> Result<(), String>) {
        for (at, text) in texts.iter().enumerate() {
            self.held(&field.index(at), check(text));
        }
    }

    fn claims(&mut self, field: &FieldPath, file: ClaimsFile) -> ClaimNames {
        let ClaimsFile { subject, name, groups } = file;
        for (key, claim) in [("subject", &subject), ("name", &name), ("groups", &groups)] {
            self.held(&field.key(key), check_claim(claim));
        }
        ClaimNames { subject, name, groups }
    }

    fn implied(&mut self, field: &FieldPath, files: BTreeMap<String, ScopeList>) -> BTreeMap<String, Vec<String>> {
        let mut implied = BTreeMap::new();
        for (scope, list) in files {
            let field = field.key(&scope);
            self.held(&field, check_scope(&scope));
            let list = self.scopes(&field, list);
            implied.insert(scope, list);
        }
        implied
    }

    fn introspection(&mut self, field: &FieldPath, file: IntrospectionFile) -> Introspection {
        let IntrospectionFile { url, client_id, client_secret: _, auth, cache_s } = file;
        self.held(&field.key("url"), url.as_deref().map_or(Ok(()), check_address));
        self.held(&field.key("client_id"), check_client_id(&client_id));
        Introspection { url, client_id, auth, cache_s }
    }

    fn registration(&mut self, field: &FieldPath, file: RegistrationFile) -> Registration {
        let RegistrationFile { client_id, callback_port, dynamic, metadata_document } = file;
        self.held(&field.key("client_id"), client_id.as_deref().map_or(Ok(()), check_client_id));
        if callback_port.is_some() && client_id.is_none() {
            self.report.meaning(
                &field.key("callback_port"),
                "expected a `client_id` beside it: it is the port of that client's redirect URI",
            );
        }
        Registration { client_id, callback_port, dynamic, metadata_document }
    }
}
