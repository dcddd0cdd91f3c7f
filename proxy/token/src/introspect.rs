//! Opaque tokens: what the issuer says of them (RFC 7662). Judging what it says is `issuers`', and so is remembering it. Neither
//! the token nor the gateway's secret is in any error or line of the log.

mod pace;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use patchbay_core::issuer::{ClientAuth, Introspection};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{Semaphore, oneshot},
    time,
};
use tracing::{info, warn};
use url::{Url, form_urlencoded};

use self::pace::Pace;
use crate::{
    Fetch, FetchError,
    keys::{IssuerKeys, Unavailable},
};

/// The most questions to one issuer at once.
const QUESTIONS_MAX: usize = 16;
/// How long a further one waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What one question may take, once it has its turn.
const QUESTION_MAX: Duration = Duration::from_secs(15);

/// What the issuer says of a token: the members of its answer, or `None` when it is not active.
type Answer = Result<Option<Arc<Map<String, Value>>>, Unavailable>;
type Flight = Shared<BoxFuture<'static, Answer>>;
type Digest = [u8; 32];

/// Asks one issuer about opaque tokens.
pub(crate) struct Introspector(Arc<Inner>);

struct Inner {
    spec: Introspection,
    secret: Option<SecretString>,
    issuer: Arc<IssuerKeys>,
    fetch: Arc<dyn Fetch>,
    turns: Semaphore,
    /// The tokens that are asked about, or wait for their turn. What the pace lets in during a turn's wait is the most there is.
    flights: Mutex<HashMap<Digest, Flight>>,
    pace: Mutex<Pace>,
    /// Whether the last question failed, so that the log says it once.
    fails: AtomicBool,
}

impl Introspector {
    pub(crate) fn new(
        spec: Introspection,
        secret: Option<SecretString>,
        issuer: Arc<IssuerKeys>,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        Self(Arc::new(Inner {
            spec,
            secret,
            issuer,
            fetch,
            turns: Semaphore::new(QUESTIONS_MAX),
            flights: Mutex::default(),
            pace: Mutex::default(),
            fails: AtomicBool::new(false),
        }))
    }

    /// What the issuer says of an active token: the members of its answer. `None` for one that is not active. Who asks about
    /// the same token at the same time gets the same answer.
    pub(crate) async fn ask(&self, token: &str) -> Result<Option<Map<String, Value>>, Unavailable> {
        let digest = Sha256::digest(token.as_bytes()).into();
        let (flight, departure) = self.0.board(digest, token)?;
        if let Some(departure) = departure {
            tokio::spawn(departure);
        }
        Ok(flight.await?.map(Arc::unwrap_or_clone))
    }
}

impl Inner {
    /// The flight under way for this token, or a new one with what is to be spawned for it once the lock is let go.
    fn board(
        self: &Arc<Self>,
        digest: Digest,
        token: &str,
    ) -> Result<(Flight, Option<BoxFuture<'static, ()>>), Unavailable> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&digest) {
            return Ok((flight.clone(), None));
        }
        if !self.pace.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Unavailable::new("too many unknown tokens are to be looked up at this issuer"));
        }
        let (tell, told) = oneshot::channel();
        let broken_off = |_| Err(Unavailable::new("the question to the issuer was broken off"));
        let flight = told.map(move |told| told.unwrap_or_else(broken_off)).boxed().shared();
        flights.insert(digest, flight.clone());
        let (inner, token) = (self.clone(), SecretString::from(token));
        let landing = Landing { inner: self.clone(), digest };
        let departure = async move {
            let answer = inner.look_up(&token).await;
            drop(landing);
            inner.tell(answer.as_ref().err());
            // Nobody may be waiting any more.
            let _ = tell.send(answer.map(|active| active.map(Arc::new)));
        };
        Ok((flight, Some(departure.boxed())))
    }

    async fn look_up(self: &Arc<Self>, token: &SecretString) -> Result<Option<Map<String, Value>>, Unavailable> {
        let turn = time::timeout(TURN_MAX, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Unavailable::new("the issuer is slow to look up tokens, and too many wait for it"));
        };
        let late = |_| Err(Unavailable::new(format!("no answer about a token within {} s", QUESTION_MAX.as_secs())));
        time::timeout(QUESTION_MAX, self.question(token)).await.unwrap_or_else(late)
    }

    async fn question(self: &Arc<Self>, token: &SecretString) -> Result<Option<Map<String, Value>>, Unavailable> {
        let url = match &self.spec.url {
            None => self.issuer.introspection_url().await?,
            Some(url) => Url::parse(url).map_err(|error| {
                Unavailable::new(format!("`introspection.url` must be an absolute URL, but it is none: {error}"))
            })?,
        };
        let (authorization, form) = self.shown(token)?;
        let fault = |why: &dyn fmt::Display| Unavailable::new(format!("the introspection endpoint {url}: {why}"));
        let posted = self.fetch.post_form(&url, authorization.as_ref(), form, ANSWER_BYTES_MAX).await;
        let fetched = posted.map_err(|error| fault(&error))?;
        match fetched.status {
            200 if fetched.body.len() > ANSWER_BYTES_MAX => Err(fault(&FetchError::TooLarge(ANSWER_BYTES_MAX))),
            200 => read(&fetched.body).map_err(|why| fault(&why)),
            status @ (401 | 403) => Err(fault(&format_args!(
                "HTTP {status}: it does not take the gateway's client id and secret; correct them in the issuer's configuration"
            ))),
            status => Err(fault(&format_args!("HTTP {status} and not 200"))),
        }
    }

    /// The `Authorization` header, if it takes one, and the form.
    fn shown(&self, token: &SecretString) -> Result<(Option<SecretString>, SecretString), Unavailable> {
        let Some(secret) = &self.secret else {
            return Err(Unavailable::new(
                "the gateway has no secret for the introspection endpoint; give one to the issuer",
            ));
        };
        let (id, secret) = (&*self.spec.client_id, secret.expose_secret());
        let form = |fields: &[(&str, &str)]| {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs([("token", token.expose_secret()), ("token_type_hint", "access_token")]);
            SecretString::from(form.extend_pairs(fields).finish())
        };
        match self.spec.auth {
            ClientAuth::Basic => Ok((Some(basic(id, secret)), form(&[]))),
            ClientAuth::Post => Ok((None, form(&[("client_id", id), ("client_secret", secret)]))),
            ClientAuth::PrivateKeyJwt => Err(Unavailable::new(
                "`private_key_jwt` is not supported at introspection endpoints; use `basic` or `post`",
            )),
        }
    }

    /// Says in the log when questions begin to fail, and when they do no more.
    fn tell(&self, error: Option<&Unavailable>) {
        let failed = self.fails.swap(error.is_some(), Ordering::Relaxed);
        let issuer = self.issuer.issuer();
        match error {
            Some(error) if !failed => {
                warn!(token.issuer = issuer, "opaque tokens cannot be looked up at issuer {issuer}: {error}");
            }
            None if failed => info!(token.issuer = issuer, "opaque tokens can be looked up at issuer {issuer} again"),
            _ => {}
        }
    }
}

/// Ends a flight, also one that is dropped halfway.
struct Landing {
    inner: Arc<Inner>,
    digest: Digest,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

/// `client_secret_basic`: both are encoded as in forms before they are joined (RFC 6749, section 2.3.1).
fn basic(id: &str, secret: &str) -> SecretString {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let joined = SecretString::from(format!("{}:{}", encoded(id), encoded(secret)));
    SecretString::from(format!("Basic {}", STANDARD.encode(joined.expose_secret())))
}

/// The members of an answer about an active token. Anything that does not clearly say whether it is active is no answer.
fn read(body: &[u8]) -> Result<Option<Map<String, Value>>, &'static str> {
    let answer: Map<String, Value> = serde_json::from_slice(body).map_err(|_| "its answer is no JSON object")?;
    match answer.get("active") {
        Some(Value::Bool(true)) => Ok(Some(answer)),
        Some(Value::Bool(false)) => Ok(None),
        _ => Err("its answer does not say whether the token is `active`: true or false is expected"),
    }
}
