//! Answers that were had before, within bounds, and questions that are under way: equal ones share one request. A request
//! lives as long as anybody waits for it; who gives up takes nothing from the others. `answers` calls it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};

use super::{
    error::WeatherError,
    fetch::{Document, Fetched},
};

/// The most bytes of bodies whose answers are kept.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most different questions under way.
const FLIGHTS_MAX: usize = 128;
/// How long a lasting refusal, such as that of a point in the sea, is believed.
const REFUSAL_FRESH: Duration = Duration::from_secs(300);
/// How long after a failure a stale answer is given out without asking again, so that not every caller waits in vain.
const FAILURE_PAUSE: Duration = Duration::from_secs(15);

/// The monotonic time, or what a test says it is.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Instant + Send + Sync>);

impl Clock {
    pub(crate) fn monotonic() -> Self {
        Self(Arc::new(Instant::now))
    }

    /// A clock that stands until the returned hand moves it.
    #[cfg(test)]
    pub(crate) fn standing() -> (Self, Arc<Mutex<Duration>>) {
        let (start, hand) = (Instant::now(), Arc::new(Mutex::new(Duration::ZERO)));
        let read = hand.clone();
        (Self(Arc::new(move || start + *read.lock().unwrap())), hand)
    }

    pub(crate) fn now(&self) -> Instant {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

type Outcome = Result<Fetched, WeatherError>;
type Flight = BoxFuture<'static, Outcome>;

/// An answer as it is given out.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) document: Document,
    /// How old it is.
    pub(crate) age: Duration,
    /// Why no newer one could be had, if it is beyond its freshness.
    pub(crate) stale: Option<WeatherError>,
}

/// The numbers of a cache.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Counts {
    pub(crate) entries: usize,
    pub(crate) entries_max: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_max: usize,
    /// Calls answered from here.
    pub(crate) hits: u64,
    /// Calls that led to a request.
    pub(crate) misses: u64,
    /// Calls that joined a request under way.
    pub(crate) joined: u64,
    /// Calls answered with something stale, since the provider failed.
    pub(crate) stale_served: u64,
}

/// Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Cache {
    shelf: Arc<Mutex<Shelf>>,
    clock: Clock,
}

struct Shelf {
    entries: HashMap<String, Entry>,
    flights: HashMap<String, WeakShared<Flight>>,
    bytes: usize,
    uses: u64,
    entries_max: usize,
    stale_max: Duration,
    counts: Counts,
}

struct Entry {
    /// A document, or a refusal that lasts.
    answer: Result<Document, WeatherError>,
    born: Instant,
    fresh_until: Instant,
    /// The last failure to renew it, and until when nobody tries again.
    failed: Option<(WeatherError, Instant)>,
    weight: usize,
    used: u64,
}

impl Cache {
    pub(crate) fn new(entries_max: usize, stale_max: Duration, clock: Clock) -> Self {
        let shelf = Shelf {
            entries: HashMap::new(),
            flights: HashMap::new(),
            bytes: 0,
            uses: 0,
            entries_max,
            stale_max,
            counts: Counts::default(),
        };
        Self { shelf: Arc::new(Mutex::new(shelf)), clock }
    }

    /// The fresh answer to the question `key`; else that of the request under way, or of a new one; else a stale answer.
    pub(crate) async fn get(
        &self,
        key: &str,
        request: impl FnOnce() -> BoxFuture<'static, Outcome>,
    ) -> Result<Served, WeatherError> {
        let flight = {
            let now = self.clock.now();
            let mut shelf = self.shelf();
            if let Some(found) = shelf.fresh(key, now).or_else(|| shelf.failed_lately(key, now)) {
                return found;
            }
            match shelf.join(key) {
                Some(flight) => flight,
                None => shelf.depart(key, self.settling(key.to_owned(), request()))?,
            }
        };
        match flight.await {
            Ok(fetched) => Ok(Served { document: fetched.document, age: fetched.age, stale: None }),
            Err(error) if error.is_passing() => self.shelf().stale(key, self.clock.now(), error),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let shelf = self.shelf();
        let Counts { hits, misses, joined, stale_served, .. } = shelf.counts;
        let (entries, entries_max, bytes) = (shelf.entries.len(), shelf.entries_max, shelf.bytes);
        Counts { entries, entries_max, bytes, bytes_max: BYTES_MAX, hits, misses, joined, stale_served }
    }

    /// The request, and then its answer on the shelf, whoever still waits.
    fn settling(&self, key: String, request: BoxFuture<'static, Outcome>) -> Shared<Flight> {
        let cache = self.clone();
        let settled = async move {
            let outcome = request.await;
            cache.shelf().land(key, &outcome, cache.clock.now());
            outcome
        };
        settled.boxed().shared()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn fresh(&mut self, key: &str, now: Instant) -> Option<Result<Served, WeatherError>> {
        self.uses += 1;
        let entry = self.entries.get_mut(key).filter(|entry| now < entry.fresh_until)?;
        entry.used = self.uses;
        self.counts.hits += 1;
        Some(entry.served(now, None))
    }

    fn failed_lately(&mut self, key: &str, now: Instant) -> Option<Result<Served, WeatherError>> {
        let (error, until) = self.entries.get(key)?.failed.clone()?;
        (now < until).then(|| self.stale(key, now, error)).filter(Result::is_ok)
    }

    fn stale(&mut self, key: &str, now: Instant, error: WeatherError) -> Result<Served, WeatherError> {
        match self.entries.get(key) {
            Some(entry) if entry.answer.is_ok() && now < entry.fresh_until + self.stale_max => {
                self.counts.stale_served += 1;
                entry.served(now, Some(error))
            }
            _ => Err(error),
        }
    }

    fn join(&mut self, key: &str) -> Option<Shared<Flight>> {
        let flight = self.flights.get(key)?.upgrade()?;
        self.counts.joined += 1;
        Some(flight)
    }

    fn depart(&mut self, key: &str, flight: Shared<Flight>) -> Result<Shared<Flight>, WeatherError> {
        self.flights.retain(|_, flight| flight.upgrade().is_some());
        if self.flights.len() >= FLIGHTS_MAX {
            return Err(WeatherError::Crowded);
        }
        self.counts.misses += 1;
        if let Some(weak) = flight.downgrade() {
            self.flights.insert(key.to_owned(), weak);
        }
        Ok(flight)
    }

    fn land(&mut self, key: String, outcome: &Outcome, now: Instant) {
        self.flights.remove(&key);
        let (answer, born, fresh_for, weight) = match outcome {
            Ok(fetched) if fetched.keep => {
                let born = now.checked_sub(fetched.age).unwrap_or(now);
                (Ok(fetched.document.clone()), born, fetched.fresh_for, fetched.weight)
            }
            Ok(_) => return self.remove(&key),
            Err(error) if error.is_lasting() => (Err(error.clone()), now, REFUSAL_FRESH, 0),
            Err(error) => {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.failed = Some((error.clone(), now + FAILURE_PAUSE));
                }
                return;
            }
        };
        self.remove(&key);
        let weight = weight + key.len();
        self.make_room(weight, now);
        if self.entries_max > 0 && weight <= BYTES_MAX {
            self.bytes += weight;
            let entry = Entry { answer, born, fresh_until: now + fresh_for, failed: None, weight, used: self.uses };
            self.entries.insert(key, entry);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.weight;
        }
    }

    /// What is of no use any more goes first, then what was not used for longest.
    fn make_room(&mut self, weight: usize, now: Instant) {
        let full = |shelf: &Self| shelf.entries.len() >= shelf.entries_max || shelf.bytes + weight > BYTES_MAX;
        if full(self) {
            let stale_max = self.stale_max;
            self.entries.retain(|_, entry| now < entry.fresh_until + stale_max);
            self.bytes = self.entries.values().map(|entry| entry.weight).sum();
        }
        while full(self) {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())
            else {
                return;
            };
            self.remove(&oldest);
        }
    }
}

impl Entry {
    fn served(&self, now: Instant, stale: Option<WeatherError>) -> Result<Served, WeatherError> {
        let document = self.answer.clone()?;
        Ok(Served { document, age: now.saturating_duration_since(self.born), stale })
    }
}

#[cfg(test)]
mod tests;
