//! WeatherAPI: the weather now in a place, for those who have a key. The key goes into the query, where the provider wants
//! it, and so it is added where the request is sent and nowhere else. `weather` asks here.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::{
    answer::{Conditions, CurrentAnswer, Place, clean},
    answers::{Answers, read},
    error::WeatherError,
    fetch::{Ask, Provider},
    nws::under,
    wanted::Wanted,
};

const NAME_CHARS_MAX: usize = 100;
/// How long an answer is fresh when nothing is said, and at most; the provider measures every quarter of an hour.
const FRESH: Duration = Duration::from_secs(300);
const FRESH_MAX: Duration = Duration::from_secs(900);

/// WeatherAPI at some address.
#[derive(Debug)]
pub(crate) struct WeatherApi<'a> {
    pub(crate) answers: &'a Answers,
    pub(crate) base: &'a Url,
    pub(crate) key: &'a SecretString,
    pub(crate) deadline: Instant,
}

#[derive(Debug, Deserialize)]
struct Document {
    location: Location,
    current: Current,
}

#[derive(Debug, Deserialize)]
struct Location {
    name: String,
    region: Option<String>,
    country: Option<String>,
    lat: f64,
    lon: f64,
}

#[derive(Debug, Deserialize)]
struct Current {
    last_updated_epoch: i64,
    temp_c: Option<f64>,
    is_day: Option<u8>,
    condition: Option<Condition>,
    wind_kph: Option<f64>,
    wind_degree: Option<f64>,
    pressure_mb: Option<f64>,
    precip_mm: Option<f64>,
    humidity: Option<f64>,
    cloud: Option<f64>,
    feelslike_c: Option<f64>,
    gust_kph: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    text: String,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Debug, Deserialize)]
struct RefusalError {
    code: u32,
}

impl WeatherApi<'_> {
    /// The weather now in the place that is wanted.
    pub(crate) async fn current(&self, wanted: &Wanted) -> Result<CurrentAnswer, WeatherError> {
        let mut url = under(self.base, "v1/current.json");
        url.query_pairs_mut().append_pair("q", &wanted.label()).append_pair("aqi", "no");
        let ask = Ask {
            provider: Provider::WeatherApi,
            url,
            key: Some(("key", self.key.clone())),
            read: read::<Document>,
            refusal,
            fresh_default: FRESH,
            fresh_max: FRESH_MAX,
        };
        let known = self.answers.get::<Document>(ask, self.deadline).await?;
        Ok(CurrentAnswer {
            provider: Provider::WeatherApi.name(),
            place: Place::from(&known.document.location),
            alternatives: Vec::new(),
            conditions: Conditions::from(&known.document.current),
            stale_seconds: known.age.stale_seconds(),
            note: known.age.note(),
        })
    }
}

/// By the provider's own numbers: 1006 is a place that is not known, 1002 and 2006 to 2009 are about the key and its plan.
fn refusal(status: u16, body: &[u8]) -> Option<WeatherError> {
    let code = serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error.code);
    match (code, status) {
        (Some(1006), _) => Some(WeatherError::NoSuchPlace("WeatherAPI knows no such place.".to_owned())),
        (Some(1002 | 2006..=2009), _) | (_, 401 | 403) => {
            Some(WeatherError::Key { provider: Provider::WeatherApi.name() })
        }
        _ => None,
    }
}

impl From<&Location> for Place {
    fn from(location: &Location) -> Self {
        let named = |text: &Option<String>| text.as_ref().and_then(|text| clean(text, NAME_CHARS_MAX));
        Self {
            name: clean(&location.name, NAME_CHARS_MAX).unwrap_or_default(),
            region: named(&location.region),
            country: named(&location.country),
            latitude: location.lat,
            longitude: location.lon,
        }
    }
}

impl From<&Current> for Conditions {
    fn from(current: &Current) -> Self {
        let description = current.condition.as_ref().and_then(|condition| clean(&condition.text, NAME_CHARS_MAX));
        Self {
            observed_at: Timestamp::from_second(current.last_updated_epoch).unwrap_or_default().to_string(),
            description: description.unwrap_or_else(|| "no description".to_owned()),
            is_day: current.is_day.map(|is| is == 1),
            temperature_celsius: current.temp_c,
            apparent_temperature_celsius: current.feelslike_c,
            humidity_percent: current.humidity,
            precipitation_mm: current.precip_mm,
            cloud_cover_percent: current.cloud,
            pressure_hpa: current.pressure_mb,
            wind_speed_kmh: current.wind_kph,
            wind_gusts_kmh: current.gust_kph,
            wind_direction_degrees: current.wind_degree,
        }
    }
}
