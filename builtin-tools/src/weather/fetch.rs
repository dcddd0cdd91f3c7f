//! One question to a provider: asked again after passing failures, within the deadline of the call, and with pauses that
//! providers ask for. `once` is a single attempt, `headers` reads what a provider says about time. `answers` calls it.

mod client;
mod headers;
mod once;

use std::{
    any::Any,
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use secrecy::SecretString;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{self, Instant as Moment},
};
use url::Url;

use super::{
    cache::Clock,
    error::{WeatherError, Why},
    options::{Patience, Settings},
};
pub(crate) use once::problem;

/// The most requests to one provider at once; further ones wait, each until its own deadline.
const REQUESTS_MAX: usize = 8;
/// The longest pause that is told and kept to, whatever a provider asks for.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// What a caller is told when a provider wants a pause and does not say how long.
const PAUSE_UNSAID: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Provider {
    Nws,
    OpenMeteo,
    Geocoding,
    WeatherApi,
}

impl Provider {
    /// All of them, in the order of their slots.
    pub(crate) const ALL: [Self; 4] = [Self::Nws, Self::OpenMeteo, Self::Geocoding, Self::WeatherApi];

    /// Its name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nws => "National Weather Service",
            Self::OpenMeteo => "Open-Meteo",
            Self::Geocoding => "Open-Meteo Geocoding",
            Self::WeatherApi => "WeatherAPI",
        }
    }

    const fn accept(self) -> &'static str {
        match self {
            Self::Nws => "application/geo+json",
            _ => "application/json",
        }
    }

    /// The error of a provider that did not answer.
    pub(crate) const fn unavailable(self, why: Why) -> WeatherError {
        WeatherError::Unavailable { provider: self.name(), why }
    }
}

/// What of a provider's answer is kept: its members that we know.
pub(crate) type Document = Arc<dyn Any + Send + Sync>;

/// A question to a provider.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) provider: Provider,
    /// The question, without a secret; equal ones have equal answers.
    pub(crate) url: Url,
    /// The parameter of the query that carries a key.
    pub(crate) key: Option<(&'static str, SecretString)>,
    /// Reads the answer; `None` when it is not what the provider documents.
    pub(crate) read: fn(&[u8]) -> Option<Document>,
    /// What a status of 400 to 499 with that body means; `None` for nothing in particular.
    pub(crate) refusal: fn(u16, &[u8]) -> Option<WeatherError>,
    /// How long an answer is fresh when the provider does not say.
    pub(crate) fresh_default: Duration,
    /// How long it is fresh at most, whatever the provider says.
    pub(crate) fresh_max: Duration,
}

/// An answer.
#[derive(Clone)]
pub(crate) struct Fetched {
    pub(crate) document: Document,
    /// How long it may be given out without asking again.
    pub(crate) fresh_for: Duration,
    /// Whether it may be kept at all.
    pub(crate) keep: bool,
    /// How old it was when it came.
    pub(crate) age: Duration,
    /// The bytes of its body.
    pub(crate) weight: usize,
}

/// Why an attempt failed, and when another one has a chance.
#[derive(Debug)]
struct Failure {
    error: WeatherError,
    again: Again,
}

#[derive(Debug, Clone, Copy)]
enum Again {
    /// Not with this question.
    Never,
    /// After a pause of our own choice.
    Soon,
    /// After the pause that the provider named.
    After(Duration),
}

/// Asks providers. The HTTP client is made for the first question, since reading the machine's certificates takes a while.
#[derive(Debug)]
pub(crate) struct Fetcher {
    user_agent: String,
    patience: Patience,
    client: OnceCell<reqwest::Client>,
    slots: [Semaphore; Provider::ALL.len()],
    /// Until when a provider does not want to be asked.
    pauses: Mutex<BTreeMap<Provider, Instant>>,
    clock: Clock,
}

impl Fetcher {
    pub(crate) fn new(settings: &Settings, clock: Clock) -> Self {
        Self {
            user_agent: settings.user_agent(),
            patience: settings.patience,
            client: OnceCell::new(),
            slots: std::array::from_fn(|_| Semaphore::new(REQUESTS_MAX)),
            pauses: Mutex::default(),
            clock,
        }
    }

    /// Makes the HTTP client, or says that this machine cannot.
    async fn client(&self) -> Result<&reqwest::Client, Why> {
        self.client.get_or_try_init(|| client::build(&self.user_agent, self.patience.connect)).await
    }

    /// Asks until there is an answer, a refusal, or no time or retry left.
    pub(crate) async fn fetch(&self, ask: &Ask, deadline: Moment) -> Result<Fetched, WeatherError> {
        let provider = ask.provider;
        self.look_for_pause(provider)?;
        let slot = time::timeout_at(deadline, self.slots[provider as usize].acquire()).await;
        let _slot = slot.map_err(|_| WeatherError::Crowded)?.map_err(|_| WeatherError::Crowded)?;
        let mut last = provider.unavailable(Why::Slow);
        for attempt in 0..=self.patience.retries_max {
            let Ok(outcome) = time::timeout_at(deadline, self.once(ask)).await else { break };
            let failure = match outcome {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            tracing::debug!(provider = provider.name(), attempt, error = %failure.error, "a provider did not answer");
            last = failure.error;
            let Some(pause) = self.pause(failure.again, attempt) else { break };
            if attempt == self.patience.retries_max || Moment::now() + pause >= deadline {
                self.remember_pause(provider, failure.again);
                break;
            }
            time::sleep(pause).await;
        }
        Err(last)
    }

    fn pause(&self, again: Again, attempt: u32) -> Option<Duration> {
        let own = jittered(self.patience.backoff.saturating_mul(1 << attempt));
        match again {
            Again::Never => None,
            Again::Soon => Some(own),
            Again::After(named) => Some(named.max(own)),
        }
    }

    fn look_for_pause(&self, provider: Provider) -> Result<(), WeatherError> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let left = pauses.get(&provider).and_then(|until| until.checked_duration_since(self.clock.now()));
        match left {
            Some(left) if !left.is_zero() => Err(limited(provider, left)),
            _ => Ok(()),
        }
    }

    fn remember_pause(&self, provider: Provider, again: Again) {
        let Again::After(named) = again else { return };
        let until = self.clock.now() + named;
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, until);
    }
}

fn limited(provider: Provider, left: Duration) -> WeatherError {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    WeatherError::Limited { provider: provider.name(), seconds }
}

/// Between a half and all of the pause, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    // A new RandomState has new keys, which is as much chance as is needed here.
    let chance = RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + pause.mul_f64(chance as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_a_half_and_the_whole() {
        let pause = Duration::from_millis(800);
        let all: Vec<_> = (0..200).map(|_| jittered(pause)).collect();
        assert!(all.iter().all(|wait| (pause / 2..=pause).contains(wait)));
        assert!(all.iter().any(|wait| *wait != all[0]));
    }

    #[test]
    fn seconds_of_a_pause_are_rounded_up() {
        let error = limited(Provider::Nws, Duration::from_millis(1_001));
        assert_eq!(error, WeatherError::Limited { provider: Provider::Nws.name(), seconds: 2 });
    }
}
