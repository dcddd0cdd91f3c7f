//! The answers of the weather tools: structured contents, so the doc comments are what a model reads. `text` says the same
//! for people; `alerts` has its own room, since alerts are what must not be lost.

mod alerts;
mod text;

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use alerts::{Alert, AlertsAnswer};
pub(crate) use text::{Readable, clean};

/// A forecast for a point in the US.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ForecastAnswer {
    /// Who made the forecast.
    pub(crate) provider: &'static str,
    /// The point, in degrees north.
    pub(crate) latitude: f64,
    /// The point, in degrees east.
    pub(crate) longitude: f64,
    /// The next place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// The time zone of the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_zone: Option<String>,
    /// When the forecast was made (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_at: Option<String>,
    /// Days and nights in their order, for about seven days.
    pub(crate) periods: Vec<Period>,
    /// How many seconds old the answer is; only there when no newer one could be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale_seconds: Option<u64>,
    /// What else is to be known about this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// A day or a night of a forecast.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Period {
    /// Such as `Tonight` or `Wednesday`.
    pub(crate) name: String,
    /// When it begins (RFC 3339).
    pub(crate) starts_at: String,
    /// When it ends (RFC 3339).
    pub(crate) ends_at: String,
    /// Whether it is a day.
    pub(crate) is_daytime: bool,
    /// The highest temperature of a day, the lowest of a night.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    /// `F` or `C`.
    pub(crate) temperature_unit: &'static str,
    /// The probability of precipitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) precipitation_probability_percent: Option<f64>,
    /// With its unit, such as `5 to 10 mph`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wind_speed: Option<String>,
    /// Where the wind comes from, such as `NW`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wind_direction: Option<String>,
    /// In a few words.
    pub(crate) summary: String,
    /// In some sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// The weather now in a city.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CurrentAnswer {
    /// Who says so.
    pub(crate) provider: &'static str,
    /// The place that was picked.
    pub(crate) place: Place,
    /// Other places of that name; name the region or country if one of them is meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) alternatives: Vec<Place>,
    /// What is measured or computed for that place.
    pub(crate) conditions: Conditions,
    /// How many seconds old the answer is; only there when no newer one could be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale_seconds: Option<u64>,
    /// What else is to be known about this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// A place.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: String,
    /// The state, province or the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// The country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
    /// In degrees north.
    pub(crate) latitude: f64,
    /// In degrees east.
    pub(crate) longitude: f64,
}

/// The weather at one time. What the provider does not tell is absent.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Conditions {
    /// When (RFC 3339).
    pub(crate) observed_at: String,
    /// In words.
    pub(crate) description: String,
    /// Whether the sun is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_day: Option<bool>,
    /// The temperature of the air.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature_celsius: Option<f64>,
    /// The temperature that it feels like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apparent_temperature_celsius: Option<f64>,
    /// The relative humidity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) humidity_percent: Option<f64>,
    /// Rain and melted snow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) precipitation_mm: Option<f64>,
    /// How much of the sky is covered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cloud_cover_percent: Option<f64>,
    /// The pressure of the air at sea level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pressure_hpa: Option<f64>,
    /// The mean wind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wind_speed_kmh: Option<f64>,
    /// The strongest gusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wind_gusts_kmh: Option<f64>,
    /// Where the wind comes from: 0 is north, 90 is east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wind_direction_degrees: Option<f64>,
}
