//! The keys of an issuer: found by its metadata, fetched, remembered. What a key set may hold is [`set`]'s, where metadata is
//! [`metadata`]'s, and how long anything is believed [`remembered`]'s. `issuers`, `jwt` and `introspect` ask here.

mod material;
mod metadata;
mod remembered;
mod set;
#[cfg(test)]
pub(crate) mod tests;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use patchbay_core::issuer::{Algorithm, IssuerSpec};
use tracing::warn;
use url::Url;

pub(crate) use set::{Key, KeySet};

use self::{
    metadata::{Discovery, Metadata},
    remembered::{Fresh, Remembered},
};
use crate::Fetch;

/// The most bytes of a key set.
const KEY_SET_BYTES_MAX: usize = 64 * 1024;
/// The most keys that one line of the log, or one error, says are ignored and why.
const TOLD_MAX: usize = 8;

/// Nobody could say: nothing is remembered, and the issuer cannot be asked. The text is for operators.
#[derive(Debug, Clone)]
pub(crate) struct Unavailable(pub(crate) Arc<str>);

impl Unavailable {
    pub(crate) fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of an issuer's keys, for operators. Nothing here is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeysStatus {
    /// Where the keys came from; `None` when none were had yet.
    pub(crate) source_url: Option<String>,
    /// How long ago.
    pub(crate) fetched: Option<Duration>,
    /// The names of the usable keys.
    pub(crate) kids: Vec<String>,
    /// The others, each with the reason.
    pub(crate) ignored: Vec<String>,
    /// Why the last attempt to get keys failed; `None` when it did not.
    pub(crate) last_error: Option<Arc<str>>,
}

/// What is known of one issuer's endpoints and keys, fetched when needed and remembered.
pub(crate) struct IssuerKeys {
    issuer: String,
    /// The algorithms that the operator allows.
    algorithms: Vec<Algorithm>,
    /// Where the keys are, if the operator says so.
    jwks_url: Option<String>,
    discovery: Discovery,
    fetch: Arc<dyn Fetch>,
    metadata: Arc<Remembered<Metadata>>,
    keys: Arc<Remembered<KeySet>>,
}

impl IssuerKeys {
    /// Nothing is fetched yet.
    pub(crate) fn new(spec: &IssuerSpec, fetch: Arc<dyn Fetch>) -> Arc<Self> {
        let algorithms = match spec.algorithms.is_empty() {
            true => Algorithm::USUAL.to_vec(),
            false => spec.algorithms.clone(),
        };
        let issuer = spec.issuer.clone();
        Arc::new(Self {
            metadata: Remembered::new(format!("the metadata of issuer {issuer}"), |_, _| false),
            keys: Remembered::new(format!("the keys of issuer {issuer}"), KeySet::lacks_any_of),
            issuer,
            algorithms,
            jwks_url: spec.jwks_url.clone(),
            discovery: Discovery::new(spec),
            fetch,
        })
    }

    /// The keys to judge a token with this `kid` by. Asks the issuer when nothing is known, when what is known is too old, and,
    /// at most once in a while, when it has no such `kid`; all who wait share one fetch.
    pub(crate) async fn for_kid(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<KeySet>, Unavailable> {
        let kid = kid.map(str::to_owned);
        let enough = move |set: &KeySet| kid.as_deref().is_none_or(|kid| set.has(kid));
        self.keys.get(false, enough, || self.clone().ask_keys().boxed()).await
    }

    /// Asks for the keys anew in the background when that is due. Costs next to nothing when it is not: for whoever uses
    /// tokens that were verified before, so that a key that is withdrawn is missed without a new token.
    pub(crate) fn touch(self: &Arc<Self>) {
        self.keys.touch(|| self.clone().ask_keys().boxed());
    }

    /// A number that changes when a key was withdrawn or replaced.
    pub(crate) fn version(&self) -> u64 {
        self.keys.version()
    }

    /// The issuer, as the operator writes it.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The introspection endpoint of the metadata.
    pub(crate) async fn introspection_url(self: &Arc<Self>) -> Result<Url, Unavailable> {
        self.metadata(false).await?.introspection.clone()
    }

    /// What is known of the keys now, for operators. Asks nobody.
    pub(crate) fn status(&self) -> KeysStatus {
        let (held, last_error) = self.keys.seen();
        let last_error = last_error.map(|error| error.0);
        let Some((set, age)) = held else {
            return KeysStatus { last_error, ..KeysStatus::default() };
        };
        let kid = |key: &Key| key.kid.as_deref().unwrap_or("(without a kid)").to_owned();
        KeysStatus {
            source_url: Some(set.source.to_string()),
            fetched: Some(age),
            kids: set.keys.iter().map(kid).collect(),
            ignored: set.ignored.clone(),
            last_error,
        }
    }

    async fn metadata(self: &Arc<Self>, insist: bool) -> Result<Arc<Metadata>, Unavailable> {
        let issuer = self.clone();
        let ask = move || async move { issuer.discovery.ask(&*issuer.fetch).await }.boxed();
        self.metadata.get(insist, |_| true, ask).await
    }

    async fn ask_keys(self: Arc<Self>) -> Result<Fresh<KeySet>, Unavailable> {
        let source = self.key_set_url().await?;
        let asked = self.ask_key_set(source).await;
        if asked.is_err() {
            // The keys may have moved: the metadata is asked for again before the keys are.
            self.metadata.doubt();
        }
        asked
    }

    /// Where the keys are. The metadata's own pause after errors does not count: that of the keys does.
    async fn key_set_url(self: &Arc<Self>) -> Result<Url, Unavailable> {
        match &self.jwks_url {
            None => self.metadata(true).await?.jwks.clone(),
            Some(url) => Url::parse(url).map_err(|error| {
                Unavailable::new(format!("`jwks_url` must be an absolute URL, but it is none: {error}"))
            }),
        }
    }

    async fn ask_key_set(&self, source: Url) -> Result<Fresh<KeySet>, Unavailable> {
        let fault = |why: &dyn fmt::Display| Unavailable::new(format!("the key set at {source}: {why}"));
        let fetched = self.fetch.get(&source, KEY_SET_BYTES_MAX).await.map_err(|error| fault(&error))?;
        if fetched.status != 200 {
            return Err(fault(&format_args!("HTTP {} and not 200; redirects are not followed", fetched.status)));
        }
        if fetched.body.len() > KEY_SET_BYTES_MAX {
            return Err(fault(&crate::FetchError::TooLarge(KEY_SET_BYTES_MAX)));
        }
        let set = KeySet::read(source.clone(), &fetched.body, &self.algorithms).map_err(|why| fault(&why))?;
        if set.keys.is_empty() {
            return Err(fault(&format_args!("it has no key that can be used here ({})", told(&set.ignored))));
        }
        self.tell_ignored(&set);
        Ok(Fresh { value: set, max_age: fetched.max_age })
    }

    /// Says which keys are ignored, unless it was said of the set before.
    fn tell_ignored(&self, set: &KeySet) {
        let before = self.keys.seen().0;
        if set.ignored.is_empty() || before.is_some_and(|(before, _)| before.ignored == set.ignored) {
            return;
        }
        let (issuer, count) = (&*self.issuer, set.ignored.len());
        warn!(
            token.issuer = issuer,
            keys.ignored = count,
            "keys of issuer {issuer} are not used: {}",
            told(&set.ignored)
        );
    }
}

/// The first of these, and how many more there are.
fn told(ignored: &[String]) -> String {
    if ignored.is_empty() {
        return "it is empty".to_owned();
    }
    let mut text = ignored.iter().take(TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
    if let Some(more) = ignored.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
