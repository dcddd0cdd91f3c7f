//! Open-Meteo: which place a name means, and the weather there now. It needs no key. `weather` asks here.

mod codes;

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::{
    answer::{Conditions, CurrentAnswer, Place, clean},
    answers::{Answers, read},
    error::WeatherError,
    fetch::{Ask, Document, Provider},
    nws::{degrees, under},
    options::Urls,
    wanted::{Region, Wanted},
};

/// How many places of a name are asked for, so that a region can pick among them.
const PLACES_MAX: &str = "50";
/// How many of the places that were not picked are named.
const ALTERNATIVES_MAX: usize = 4;
const NAME_CHARS_MAX: usize = 100;
const CURRENT: &str = "temperature_2m,relative_humidity_2m,apparent_temperature,is_day,precipitation,weather_code,\
                       cloud_cover,pressure_msl,wind_speed_10m,wind_direction_10m,wind_gusts_10m";

/// Open-Meteo at some addresses.
#[derive(Debug)]
pub(crate) struct OpenMeteo<'a> {
    pub(crate) answers: &'a Answers,
    pub(crate) urls: &'a Urls,
    pub(crate) deadline: Instant,
}

#[derive(Debug, Deserialize)]
struct Places {
    /// Absent where there is none.
    #[serde(default)]
    results: Vec<PlaceDocument>,
}

#[derive(Debug, Clone, Deserialize)]
struct PlaceDocument {
    name: String,
    latitude: f64,
    longitude: f64,
    country_code: Option<String>,
    country: Option<String>,
    admin1: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Forecast {
    #[serde(default)]
    utc_offset_seconds: i32,
    current: Current,
}

#[derive(Debug, Deserialize)]
struct Current {
    time: String,
    temperature_2m: Option<f64>,
    relative_humidity_2m: Option<f64>,
    apparent_temperature: Option<f64>,
    is_day: Option<u8>,
    precipitation: Option<f64>,
    weather_code: Option<u16>,
    cloud_cover: Option<f64>,
    pressure_msl: Option<f64>,
    wind_speed_10m: Option<f64>,
    wind_direction_10m: Option<f64>,
    wind_gusts_10m: Option<f64>,
}

impl OpenMeteo<'_> {
    /// The weather now in the place that is wanted.
    pub(crate) async fn current(&self, wanted: &Wanted) -> Result<CurrentAnswer, WeatherError> {
        let (place, alternatives) = self.place(wanted).await?;
        let mut url = under(&self.urls.open_meteo, "v1/forecast");
        url.query_pairs_mut()
            .append_pair("latitude", &degrees(place.latitude))
            .append_pair("longitude", &degrees(place.longitude))
            .append_pair("current", CURRENT)
            .append_pair("timezone", "auto");
        let ask = ask(Provider::OpenMeteo, url, read::<Forecast>, 300, 900);
        let known = self.answers.get::<Forecast>(ask, self.deadline).await?;
        Ok(CurrentAnswer {
            provider: Provider::OpenMeteo.name(),
            place,
            alternatives,
            conditions: Conditions::from(&*known.document),
            stale_seconds: known.age.stale_seconds(),
            note: known.age.note(),
        })
    }

    /// The first place, in the provider's order, that is in every region named; and some others of that name.
    async fn place(&self, wanted: &Wanted) -> Result<(Place, Vec<Place>), WeatherError> {
        let mut url = under(&self.urls.geocoding, "v1/search");
        url.query_pairs_mut()
            .append_pair("name", wanted.city())
            .append_pair("count", PLACES_MAX)
            .append_pair("language", "en")
            .append_pair("format", "json");
        let ask = ask(Provider::Geocoding, url, read::<Places>, 86_400, 604_800);
        let places = self.answers.get::<Places>(ask, self.deadline).await?.document;
        let on_earth = |place: &&PlaceDocument| {
            (-90.0..=90.0).contains(&place.latitude) && (-180.0..=180.0).contains(&place.longitude)
        };
        let all: Vec<_> = places.results.iter().filter(on_earth).collect();
        let picked = all.iter().position(|place| wanted.is_in(&place.region()));
        let others = |but: Option<usize>| {
            let others =
                all.iter().enumerate().filter(move |(at, _)| Some(*at) != but).map(|(_, place)| Place::from(*place));
            others.take(ALTERNATIVES_MAX).collect::<Vec<_>>()
        };
        let Some(at) = picked else { return Err(WeatherError::NoSuchPlace(unknown(wanted, &others(None)))) };
        Ok((Place::from(all[at]), others(Some(at))))
    }
}

fn unknown(wanted: &Wanted, others: &[Place]) -> String {
    let others: Vec<_> = others.iter().map(Place::label).collect();
    match others.is_empty() {
        true => format!("No place is known by the name {:?}.", wanted.city()),
        false => format!("No place {} is known; there are: {}.", wanted.label(), others.join("; ")),
    }
}

fn ask(provider: Provider, url: Url, read: fn(&[u8]) -> Option<Document>, fresh_s: u64, fresh_max_s: u64) -> Ask {
    let (fresh_default, fresh_max) = (Duration::from_secs(fresh_s), Duration::from_secs(fresh_max_s));
    Ask { provider, url, key: None, read, refusal: |_, _| None, fresh_default, fresh_max }
}

impl PlaceDocument {
    fn region(&self) -> Region<'_> {
        Region {
            country_code: self.country_code.as_deref().unwrap_or_default(),
            country: self.country.as_deref().unwrap_or_default(),
            region: self.admin1.as_deref().unwrap_or_default(),
        }
    }
}

impl From<&PlaceDocument> for Place {
    fn from(place: &PlaceDocument) -> Self {
        let named = |text: &Option<String>| text.as_ref().and_then(|text| clean(text, NAME_CHARS_MAX));
        Self {
            name: clean(&place.name, NAME_CHARS_MAX).unwrap_or_default(),
            region: named(&place.admin1),
            country: named(&place.country),
            latitude: place.latitude,
            longitude: place.longitude,
        }
    }
}

impl From<&Forecast> for Conditions {
    fn from(forecast: &Forecast) -> Self {
        let Forecast { utc_offset_seconds, current } = forecast;
        Self {
            observed_at: with_offset(&current.time, *utc_offset_seconds),
            description: codes::words(current.weather_code).to_owned(),
            is_day: current.is_day.map(|is| is == 1),
            temperature_celsius: current.temperature_2m,
            apparent_temperature_celsius: current.apparent_temperature,
            humidity_percent: current.relative_humidity_2m,
            precipitation_mm: current.precipitation,
            cloud_cover_percent: current.cloud_cover,
            pressure_hpa: current.pressure_msl,
            wind_speed_kmh: current.wind_speed_10m,
            wind_gusts_kmh: current.wind_gusts_10m,
            wind_direction_degrees: current.wind_direction_10m,
        }
    }
}

/// The provider's local time, which has neither seconds nor an offset, by RFC 3339.
fn with_offset(local: &str, offset_seconds: i32) -> String {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let minutes = offset_seconds.unsigned_abs() / 60;
    let seconds = if local.len() == "2026-01-01T00:00".len() { ":00" } else { "" };
    let local = clean(local, 32).unwrap_or_default();
    format!("{local}{seconds}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_get_their_offset() {
        assert_eq!(with_offset("2026-11-21T10:15", 3_600), "2026-11-21T10:15:00+01:00");
        assert_eq!(with_offset("2026-11-21T10:15", -12_600), "2026-11-21T10:15:00-03:30");
        assert_eq!(with_offset("2026-11-21T10:15:30", 0), "2026-11-21T10:15:30+00:00");
    }
}
