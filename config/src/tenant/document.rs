//! A tenant as JSON, which is how the admin API takes and gives it: read by the same rules as a file, to the letter; and made of a
//! file, for the command line to send away with its references replaced.
//!
//! In such a document a text in the place of a secret is the secret itself, `$${` standing for `${`, or `${sealed}`.

use patchbay_core::model::{ServerDoc, ServerOauth, TenantDoc};
use secrecy::ExposeSecret;
use serde_json::Value as Json;

use super::{SCHEMA, SEALED, export::server_file, lowered, secrets::mentions_sealed};
use crate::{
    check::{check, check_exact, each_secret},
    error::{ConfigErrors, Report},
    node::Node,
    secret::{Resolve, escape, expand, refuse_references},
};

/// The tenant that this tree of JSON describes, by the rules for a file, but as programs write: a number is no text, and `null`
/// stands only where the schema takes it. `name` stands for the document in messages; each error has a
/// [pointer](crate::ConfigError::pointer). Give [`refuse_references`] for documents that come from elsewhere.
pub fn tenant_from_json(json: &Json, name: &str, resolve: &Resolve<'_>) -> Result<TenantDoc, ConfigErrors> {
    let root = Node::of_json(json).bounded(name)?;
    let mut report = Report::new(name, &root);
    let json = check_exact(&root, &SCHEMA, &mut report);
    lowered(json, report, resolve)
}

/// The tenant file `text` as the JSON to send to an admin API: checked as [`crate::tenant_from_yaml`] does, every reference
/// replaced by what `resolve` finds. It holds the tenant's secrets in the clear.
pub fn tenant_document(text: &str, file_name: &str, resolve: &Resolve<'_>) -> Result<Json, ConfigErrors> {
    let root = Node::parse(text, file_name)?.bounded(file_name)?;
    let mut report = Report::new(file_name, &root);
    let mut json = check(&root, &SCHEMA, &mut report);
    each_secret(&mut json, &SCHEMA, &mut |field, text| {
        // What is said of `${sealed}` in the midst of other text is said below.
        if mentions_sealed(text) {
            return;
        }
        *text = expand(text, resolve).map(|value| escape(&value)).unwrap_or_else(|why| {
            report.meaning(field, why);
            SEALED.to_owned()
        });
    });
    lowered(json.clone(), report, &refuse_references())?;
    Ok(json)
}

/// The server as the JSON to send to an admin API, its secrets in the clear. A secret without a value becomes `${sealed}`.
pub fn server_document(doc: &ServerDoc) -> Json {
    let mut file = server_file(&doc.spec);
    let value = |name: &str| match doc.secrets.get(name) {
        Some(Some(secret)) => escape(secret.expose_secret()),
        _ => SEALED.to_owned(),
    };
    for (family, values) in [("header", &mut file.headers), ("env", &mut file.env), ("secret", &mut file.secrets)] {
        for (name, text) in values {
            *text = value(&format!("{family}:{name}"));
        }
    }
    if let Some(oauth) = &mut file.oauth {
        oauth.client_secret = oauth.client_secret.take().map(|_| value(ServerOauth::SECRET));
        oauth.private_key = oauth.private_key.take().map(|_| value(ServerOauth::PRIVATE_KEY));
    }
    serde_json::to_value(file).expect("texts, numbers and mappings of them are always JSON")
}
