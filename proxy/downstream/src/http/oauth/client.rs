//! How the gateway proves to an authorization server which client it is: by its secret in a header or in the form, or by an
//! assertion that it signs with its private key (RFC 7523 section 2.2). The secrets never leave this file but in requests.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderValue;
use jsonwebtoken::{EncodingKey, Header};
use patchbay_core::{
    issuer::{Algorithm, ClientAuth},
    model::ServerOauth,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::OauthOptions;

/// How long an assertion may be shown.
const ASSERTION_LIFE_S: u64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The gateway as a client of an authorization server.
pub(super) struct Client {
    pub(super) id: String,
    proof: Proof,
}

enum Proof {
    Basic(SecretString),
    Post(SecretString),
    Key(Box<(EncodingKey, Header)>),
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
}

impl Client {
    /// The client that the options describe; an error in words when they do not make one.
    pub(super) fn new(options: &OauthOptions) -> Result<Self, String> {
        let spec = &options.spec;
        if spec.client_id.is_empty() {
            return Err("it has no client id".to_owned());
        }
        let secret = || options.client_secret.clone().ok_or(format!("the secret {} is missing", ServerOauth::SECRET));
        let proof = match spec.auth {
            ClientAuth::Basic => Proof::Basic(secret()?),
            ClientAuth::Post => Proof::Post(secret()?),
            ClientAuth::PrivateKeyJwt => {
                let pem = options.private_key.as_ref();
                let pem = pem.ok_or(format!("the secret {} is missing", ServerOauth::PRIVATE_KEY))?;
                let (key, algorithm) = key(pem, spec.algorithm)?;
                let mut header = Header::new(algorithm);
                header.kid.clone_from(&spec.key_id);
                let client = Self { id: spec.client_id.clone(), proof: Proof::Key(Box::new((key, header))) };
                // Signing shows whether the key fits the algorithm.
                client.assertion("patchbay")?;
                return Ok(client);
            }
        };
        Ok(Self { id: spec.client_id.clone(), proof })
    }

    /// Whether it proves itself by assertions, which name an audience.
    pub(super) const fn asserts(&self) -> bool {
        matches!(self.proof, Proof::Key(_))
    }

    /// The name of the method in metadata.
    pub(super) const fn method(&self) -> &'static str {
        match self.proof {
            Proof::Basic(_) => "client_secret_basic",
            Proof::Post(_) => "client_secret_post",
            Proof::Key(_) => "private_key_jwt",
        }
    }

    /// Proves itself within a token request; the header when that is where the proof stands.
    pub(super) fn prove(
        &self,
        form: &mut Serializer<'_, String>,
        audience: &str,
    ) -> Result<Option<HeaderValue>, String> {
        match &self.proof {
            Proof::Basic(secret) => return self.basic(secret).map(Some),
            Proof::Post(secret) => {
                form.append_pair("client_id", &self.id).append_pair("client_secret", secret.expose_secret());
            }
            Proof::Key(_) => {
                form.append_pair("client_id", &self.id)
                    .append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", self.assertion(audience)?.expose_secret());
            }
        }
        Ok(None)
    }

    /// Id and secret are form-encoded before they are joined (RFC 6749 section 2.3.1).
    fn basic(&self, secret: &SecretString) -> Result<HeaderValue, String> {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&self.id), encoded(secret.expose_secret()));
        let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
            .map_err(|_| "the client's secret cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn assertion(&self, audience: &str) -> Result<SecretString, String> {
        let Proof::Key(signer) = &self.proof else {
            return Err("the client has no private key".to_owned());
        };
        let (key, header) = &**signer;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: &self.id,
            sub: &self.id,
            aud: audience,
            iat: now,
            exp: now + ASSERTION_LIFE_S,
            jti: BASE64_URL_SAFE_NO_PAD.encode(patchbay_core::random_bytes::<16>()),
        };
        let signed = jsonwebtoken::encode(header, &claims, key);
        signed.map(SecretString::from).map_err(|_| unusable_key(Some(header.alg)))
    }

    /// What must not be read in anybody's words.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        match &self.proof {
            Proof::Basic(secret) | Proof::Post(secret) => Some(secret),
            Proof::Key(_) => None,
        }
        .into_iter()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("method", &self.method()).finish_non_exhaustive()
    }
}

/// The key, and the algorithm that it signs with: the one that is wanted, else the usual one of its kind.
fn key(pem: &SecretString, wanted: Option<Algorithm>) -> Result<(EncodingKey, jsonwebtoken::Algorithm), String> {
    use jsonwebtoken::Algorithm as Jwt;
    let pem = pem.expose_secret().as_bytes();
    let (rsa, ec, ed) = (EncodingKey::from_rsa_pem, EncodingKey::from_ec_pem, EncodingKey::from_ed_pem);
    let (made, algorithm) = match wanted {
        Some(Algorithm::RS256) => (rsa(pem), Jwt::RS256),
        Some(Algorithm::RS384) => (rsa(pem), Jwt::RS384),
        Some(Algorithm::RS512) => (rsa(pem), Jwt::RS512),
        Some(Algorithm::PS256) => (rsa(pem), Jwt::PS256),
        Some(Algorithm::PS384) => (rsa(pem), Jwt::PS384),
        Some(Algorithm::PS512) => (rsa(pem), Jwt::PS512),
        Some(Algorithm::ES256) => (ec(pem), Jwt::ES256),
        Some(Algorithm::ES384) => (ec(pem), Jwt::ES384),
        Some(Algorithm::EdDSA) => (ed(pem), Jwt::EdDSA),
        None => {
            let usual = [(ec(pem), Jwt::ES256), (rsa(pem), Jwt::RS256), (ed(pem), Jwt::EdDSA)];
            let found = usual.into_iter().find_map(|(made, algorithm)| made.ok().map(|key| (key, algorithm)));
            return found.ok_or_else(|| unusable_key(None));
        }
    };
    made.map(|key| (key, algorithm)).map_err(|_| unusable_key(Some(algorithm)))
}

fn unusable_key(algorithm: Option<jsonwebtoken::Algorithm>) -> String {
    let fitting = algorithm.map_or(String::new(), |algorithm| format!(" that fits {algorithm:?}"));
    format!("the secret {} is no private key{fitting}; expected PEM (PKCS #8)", ServerOauth::PRIVATE_KEY)
}
