//! Questions to providers, answered from the cache where that is right and by a request where it is not. The providers'
//! files (`nws`, `open_meteo`, `weatherapi`) ask here and know neither HTTP nor the cache.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    cache::{Cache, Clock, Counts},
    error::{WeatherError, Why},
    fetch::{Ask, Document, Fetcher},
    options::Settings,
};

/// Cheap to clone; clones share the cache and the connections.
#[derive(Clone)]
pub(crate) struct Answers {
    fetcher: Arc<Fetcher>,
    cache: Cache,
}

/// An answer in the provider's terms.
pub(crate) struct Known<T> {
    pub(crate) document: Arc<T>,
    pub(crate) age: Age,
}

/// How old an answer is, and whether that is older than it should be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Age {
    age: Duration,
    stale: Option<WeatherError>,
}

impl Age {
    /// How many seconds old the answer is, if it is stale.
    pub(crate) fn stale_seconds(&self) -> Option<u64> {
        self.stale.as_ref().map(|_| self.age.as_secs())
    }

    /// That in words, with the reason.
    pub(crate) fn note(&self) -> Option<String> {
        let why = self.stale.as_ref()?;
        Some(format!("This is not the newest: it is {} old, and no newer answer could be had. {why}", words(self.age)))
    }
}

fn words(age: Duration) -> String {
    match age.as_secs() {
        1 => "1 second".to_owned(),
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7_200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3_600),
    }
}

impl Answers {
    pub(crate) fn new(settings: &Settings, clock: Clock) -> Self {
        let cache = Cache::new(settings.cache_entries_max, settings.stale_max, clock.clone());
        Self { fetcher: Arc::new(Fetcher::new(settings, clock)), cache }
    }

    /// The answer to `ask`, which is read into a `T`.
    pub(crate) async fn get<T: Any + Send + Sync>(
        &self,
        ask: Ask,
        deadline: Instant,
    ) -> Result<Known<T>, WeatherError> {
        let unreadable = ask.provider.unavailable(Why::Unreadable);
        let key = ask.url.as_str().to_owned();
        let fetcher = self.fetcher.clone();
        let request = move || async move { fetcher.fetch(&ask, deadline).await }.boxed();
        let served = self.cache.get(&key, request).await?;
        let document = served.document.downcast::<T>().map_err(|_| unreadable)?;
        Ok(Known { document, age: Age { age: served.age, stale: served.stale } })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.cache.counts()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("cache", &self.counts()).finish_non_exhaustive()
    }
}

/// Reads an answer as it is.
pub(crate) fn read<T: DeserializeOwned + Any + Send + Sync>(body: &[u8]) -> Option<Document> {
    serde_json::from_slice::<T>(body).ok().map(|document| Arc::new(document) as Document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weather::fetch::Provider;

    #[test]
    fn only_a_stale_answer_speaks_of_its_age() {
        assert_eq!(Age { age: Duration::from_secs(60), stale: None }.note(), None);
        let stale = Some(Provider::Nws.unavailable(Why::Status(500)));
        let note = Age { age: Duration::from_secs(750), stale }.note().unwrap();
        let words = "it is 12 minutes old, and no newer answer could be had. National Weather Service answered with the status 500.";
        assert!(note.ends_with(words), "{note}");
    }
}
