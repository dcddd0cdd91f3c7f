//! The documents of the National Weather Service, as far as they are used: GeoJSON with most of it left out. One odd alert
//! does not spoil a list; a document without its list is no document.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::kept;
use crate::weather::{
    answer::{Alert, Period, clean},
    fetch::Document,
};

/// How much of a provider's text is passed on, in characters.
const LINE_CHARS_MAX: usize = 400;
const TEXT_CHARS_MAX: usize = 1_500;
/// The most periods of a forecast; fourteen are usual.
const PERIODS_MAX: usize = 32;

/// Active alerts.
#[derive(Debug)]
pub(crate) struct Alerts {
    pub(crate) alerts: Vec<Alert>,
    /// Alerts that were listed and could not be read.
    pub(crate) unreadable: usize,
    pub(crate) updated_at: Option<String>,
}

#[derive(Deserialize)]
struct AlertsDocument {
    features: Vec<Box<RawValue>>,
    updated: Option<String>,
}

#[derive(Deserialize)]
struct Feature<T> {
    properties: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertDocument {
    event: String,
    status: Option<String>,
    severity: Option<String>,
    urgency: Option<String>,
    certainty: Option<String>,
    area_desc: Option<String>,
    headline: Option<String>,
    effective: Option<String>,
    onset: Option<String>,
    ends: Option<String>,
    expires: Option<String>,
    sender_name: Option<String>,
    description: Option<String>,
    instruction: Option<String>,
}

impl Alerts {
    pub(crate) fn read(body: &[u8]) -> Option<Document> {
        let document: AlertsDocument = serde_json::from_slice(body).ok()?;
        let listed = document.features.len();
        let read = |raw: &RawValue| serde_json::from_str::<Feature<AlertDocument>>(raw.get()).ok();
        let readable: Vec<_> = document.features.iter().filter_map(|raw| read(raw)).collect();
        let unreadable = listed - readable.len();
        let actual = |alert: &AlertDocument| alert.status.as_deref().is_none_or(|status| status == "Actual");
        let alerts = readable.into_iter().map(|feature| feature.properties).filter(actual).map(Alert::from).collect();
        Some(kept(Self { alerts, unreadable, updated_at: line(document.updated) }))
    }
}

impl From<AlertDocument> for Alert {
    fn from(document: AlertDocument) -> Self {
        let known = |text| line(text).unwrap_or_else(|| "Unknown".to_owned());
        Self {
            event: known(Some(document.event)),
            severity: known(document.severity),
            urgency: known(document.urgency),
            certainty: known(document.certainty),
            areas: document.area_desc.and_then(|areas| clean(&areas, TEXT_CHARS_MAX)).unwrap_or_default(),
            headline: line(document.headline),
            onset_at: line(document.onset.or(document.effective)),
            ends_at: line(document.ends),
            expires_at: line(document.expires),
            sender: line(document.sender_name),
            description: document.description.and_then(|text| clean(&text, TEXT_CHARS_MAX)),
            instruction: document.instruction.and_then(|text| clean(&text, TEXT_CHARS_MAX)),
        }
    }
}

fn line(text: Option<String>) -> Option<String> {
    text.and_then(|text| clean(&text.replace('\n', " "), LINE_CHARS_MAX))
}

/// Which cell of the grid a point is in.
#[derive(Debug, Deserialize)]
pub(crate) struct Point {
    properties: PointProperties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PointProperties {
    forecast: Option<String>,
    time_zone: Option<String>,
    relative_location: Option<RelativeLocation>,
}

#[derive(Debug, Deserialize)]
struct RelativeLocation {
    properties: Option<Town>,
}

#[derive(Debug, Deserialize)]
struct Town {
    city: Option<String>,
    state: Option<String>,
}

impl Point {
    /// Where the forecast is; points at sea have none.
    pub(crate) fn forecast(&self) -> Option<&str> {
        self.properties.forecast.as_deref()
    }

    pub(crate) fn time_zone(&self) -> Option<String> {
        line(self.properties.time_zone.clone())
    }

    pub(crate) fn place(&self) -> Option<String> {
        let town = self.properties.relative_location.as_ref()?.properties.as_ref()?;
        let parts: Vec<_> = [&town.city, &town.state].into_iter().flatten().map(String::as_str).collect();
        line(Some(parts.join(", ")))
    }
}

/// A forecast.
#[derive(Debug)]
pub(crate) struct Forecast {
    pub(crate) issued_at: Option<String>,
    pub(crate) periods: Vec<Period>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForecastProperties {
    update_time: Option<String>,
    updated: Option<String>,
    periods: Vec<PeriodDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeriodDocument {
    name: Option<String>,
    start_time: String,
    end_time: String,
    is_daytime: bool,
    temperature: Option<Amount>,
    temperature_unit: Option<String>,
    probability_of_precipitation: Option<Amount>,
    wind_speed: Option<Amount>,
    wind_direction: Option<String>,
    short_forecast: Option<String>,
    detailed_forecast: Option<String>,
}

/// The provider is on its way from plain numbers and texts to amounts with units; both come.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Number(f64),
    Text(String),
    #[serde(rename_all = "camelCase")]
    Quantity {
        unit_code: Option<String>,
        value: Option<f64>,
        min_value: Option<f64>,
        max_value: Option<f64>,
    },
}

impl Forecast {
    pub(crate) fn read(body: &[u8]) -> Option<Document> {
        let document: Feature<ForecastProperties> = serde_json::from_slice(body).ok()?;
        let ForecastProperties { update_time, updated, periods } = document.properties;
        let periods: Vec<_> = periods.into_iter().take(PERIODS_MAX).map(Period::from).collect();
        (!periods.is_empty()).then(|| kept(Self { issued_at: line(update_time.or(updated)), periods }))
    }
}

impl From<PeriodDocument> for Period {
    fn from(document: PeriodDocument) -> Self {
        let unit = document.temperature.as_ref().and_then(Amount::unit).or(document.temperature_unit.as_deref());
        let celsius = unit.is_some_and(|unit| unit.ends_with('C'));
        Self {
            name: line(document.name).unwrap_or_else(|| document.start_time.clone()),
            starts_at: document.start_time,
            ends_at: document.end_time,
            is_daytime: document.is_daytime,
            temperature_unit: if celsius { "C" } else { "F" },
            temperature: document.temperature.as_ref().and_then(Amount::number),
            precipitation_probability_percent: document.probability_of_precipitation.as_ref().and_then(Amount::number),
            wind_speed: line(document.wind_speed.and_then(Amount::words)),
            wind_direction: line(document.wind_direction),
            summary: line(document.short_forecast).unwrap_or_else(|| "no summary".to_owned()),
            detail: document.detailed_forecast.and_then(|text| clean(&text, TEXT_CHARS_MAX)),
        }
    }
}

impl Amount {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Quantity { value, .. } => *value,
        }
    }

    fn unit(&self) -> Option<&str> {
        match self {
            Self::Quantity { unit_code, .. } => unit_code.as_deref(),
            _ => None,
        }
    }

    /// A wind as words. Amounts come in kilometres per hour (`wmoUnit:km_h-1`).
    fn words(self) -> Option<String> {
        let unit = match self.unit() {
            Some("wmoUnit:km_h-1") => "km/h".to_owned(),
            Some(unit) => unit.trim_start_matches("wmoUnit:").to_owned(),
            None => String::new(),
        };
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text),
            Self::Quantity { min_value: Some(least), max_value: Some(most), .. } => {
                Some(format!("{least} to {most} {unit}"))
            }
            Self::Quantity { value, .. } => value.map(|value| format!("{value} {unit}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alerts(document: &serde_json::Value) -> Option<std::sync::Arc<Alerts>> {
        Alerts::read(document.to_string().as_bytes()).map(|document| document.downcast().unwrap())
    }

    #[test]
    fn odd_alert_is_counted_and_does_not_spoil_the_list() {
        let read = alerts(&json!({ "features": [
            { "properties": { "event": 7 } },
            "not an alert",
            { "properties": { "event": "Flood Warning", "status": "Actual", "geometry": null } },
            { "properties": { "event": "Test Message", "status": "Test" } }
        ] }));
        let read = read.unwrap();
        assert_eq!((read.alerts.len(), read.unreadable), (1, 2));
        assert_eq!((read.alerts[0].event.as_str(), read.alerts[0].severity.as_str()), ("Flood Warning", "Unknown"));
    }

    #[test]
    fn document_without_its_list_is_no_document() {
        assert!(alerts(&json!({})).is_none());
        assert!(alerts(&json!({ "features": {} })).is_none());
        assert!(Forecast::read(br#"{"properties":{"periods":[]}}"#).is_none());
        assert!(Forecast::read(br#"{"properties":{}}"#).is_none());
    }

    #[test]
    fn amounts_are_read_in_all_their_spellings() {
        let period = |members: serde_json::Value| {
            let mut whole = json!({ "startTime": "a", "endTime": "b", "isDaytime": true });
            whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let read = Forecast::read(json!({ "properties": { "periods": [whole] } }).to_string().as_bytes()).unwrap();
            read.downcast::<Forecast>().unwrap().periods[0].clone()
        };
        let plain = period(json!({ "temperature": 61, "temperatureUnit": "F", "windSpeed": "5 to 10 mph",
            "probabilityOfPrecipitation": { "unitCode": "wmoUnit:percent", "value": null } }));
        assert_eq!((plain.temperature, plain.temperature_unit), (Some(61.0), "F"));
        assert_eq!((plain.wind_speed.as_deref(), plain.precipitation_probability_percent), (Some("5 to 10 mph"), None));
        let amounts = period(json!({ "temperature": { "unitCode": "wmoUnit:degC", "value": 16.1 },
            "windSpeed": { "unitCode": "wmoUnit:km_h-1", "minValue": 8, "maxValue": 16 },
            "probabilityOfPrecipitation": { "unitCode": "wmoUnit:percent", "value": 30 } }));
        assert_eq!((amounts.temperature, amounts.temperature_unit), (Some(16.1), "C"));
        assert_eq!(amounts.wind_speed.as_deref(), Some("8 to 16 km/h"));
        assert_eq!(amounts.precipitation_probability_percent, Some(30.0));
    }
}
