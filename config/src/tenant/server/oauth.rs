//! The gateway's own sign-in at a remote server: from the file to [`ServerOauth`], with its secret taken out.

use patchbay_core::{issuer::ClientAuth, model::ServerOauth};

use crate::{
    path::FieldPath,
    tenant::{
        lower::Lower,
        schema::ServerOauthFile,
        scopes::{check_address, check_client_id, check_issuer},
        secrets::{SecretDocs, check_client_secret, check_private_key},
    },
};

impl Lower<'_, '_> {
    pub(super) fn oauth(&mut self, field: &FieldPath, file: ServerOauthFile, secrets: &mut SecretDocs) -> ServerOauth {
        self.held(&field.key("client_id"), check_client_id(&file.client_id));
        self.held(&field.key("issuer"), file.issuer.as_deref().map_or(Ok(()), check_issuer));
        self.held(&field.key("resource"), file.resource.as_deref().map_or(Ok(()), check_address));
        self.held(&field.key("key_id"), file.key_id.as_deref().map_or(Ok(()), check_client_id));
        self.refuse_other_proof(field, &file);
        let algorithm = file.algorithm.as_deref().and_then(|name| self.algorithm(&field.key("algorithm"), name));
        if let Some(text) = &file.client_secret {
            let secret = self.secret(&field.key("client_secret"), text, &check_client_secret);
            secrets.insert(ServerOauth::SECRET.to_owned(), secret);
        }
        if let Some(text) = &file.private_key {
            let key = self.secret(&field.key("private_key"), text, &check_private_key);
            secrets.insert(ServerOauth::PRIVATE_KEY.to_owned(), key);
        }
        ServerOauth {
            client_id: file.client_id,
            auth: file.auth,
            algorithm,
            key_id: file.key_id,
            issuer: file.issuer,
            resource: file.resource,
            scopes: self.scopes(&field.key("scopes"), file.scopes),
        }
    }

    /// Each way to prove who one is needs its own fields, and has no use for those of another.
    fn refuse_other_proof(&mut self, field: &FieldPath, file: &ServerOauthFile) {
        let by_key = file.auth == ClientAuth::PrivateKeyJwt;
        let word = match file.auth {
            ClientAuth::Basic => "basic",
            ClientAuth::Post => "post",
            ClientAuth::PrivateKeyJwt => "private_key_jwt",
        };
        let needed = [
            ("client_secret", file.client_secret.is_some(), !by_key, "`auth: basic` or `auth: post`"),
            ("private_key", file.private_key.is_some(), by_key, "`auth: private_key_jwt`"),
            ("algorithm", file.algorithm.is_some(), by_key, "`auth: private_key_jwt`"),
        ];
        for (name, given, wanted, owner) in needed {
            match (given, wanted) {
                (true, false) => self.report.meaning(&field.key(name), format!("belongs to {owner}")),
                (false, true) => {
                    let message = format!("expected `{name}` beside `auth: {word}`, found nothing");
                    self.report.meaning(&field.key(name), message);
                }
                _ => {}
            }
        }
        if file.key_id.is_some() && !by_key {
            self.report.meaning(&field.key("key_id"), "belongs to `auth: private_key_jwt`");
        }
    }
}
