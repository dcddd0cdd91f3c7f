//! The National Weather Service: active alerts of an area, and the forecast for a point, which takes two questions: which
//! cell of its grid the point is in, and what the weather there will be. `weather` asks here.

mod documents;

use std::{any::Any, sync::Arc, time::Duration};

use tokio::time::Instant;
use url::Url;

use super::{
    answer::{AlertsAnswer, ForecastAnswer},
    answers::{Answers, read},
    error::{WeatherError, Why},
    fetch::{Ask, Document, Provider, problem},
    states::Area,
};
use documents::{Alerts, Forecast, Point};

/// Where the links in its answers lead.
const REAL_ORIGIN: &str = "https://api.weather.gov";
/// The only place that a forecast is taken from.
const FORECASTS: &str = "gridpoints/";

/// The National Weather Service at some address.
#[derive(Debug)]
pub(crate) struct Nws<'a> {
    pub(crate) answers: &'a Answers,
    pub(crate) base: &'a Url,
    pub(crate) deadline: Instant,
}

impl Nws<'_> {
    /// The active alerts of an area.
    pub(crate) async fn alerts(&self, area: &'static Area) -> Result<AlertsAnswer, WeatherError> {
        let mut url = under(self.base, "alerts/active");
        url.query_pairs_mut().append_pair("area", area.code).append_pair("status", "actual");
        let known = self.answers.get::<Alerts>(ask(url, Alerts::read, 60, 300), self.deadline).await?;
        let Alerts { alerts, unreadable, updated_at } = &*known.document;
        let (shown, truncated, note) = AlertsAnswer::shown(alerts.clone(), *unreadable);
        Ok(AlertsAnswer {
            provider: Provider::Nws.name(),
            area: area.code,
            area_name: area.name,
            updated_at: updated_at.clone(),
            count: alerts.len() + unreadable,
            alerts: shown,
            truncated,
            stale_seconds: known.age.stale_seconds(),
            note: joined([known.age.note(), note]),
        })
    }

    /// The forecast for a point.
    pub(crate) async fn forecast(&self, latitude: f64, longitude: f64) -> Result<ForecastAnswer, WeatherError> {
        let path = format!("points/{},{}", degrees(latitude), degrees(longitude));
        let url = under(self.base, &path);
        let point = self.answers.get::<Point>(ask(url, read::<Point>, 3_600, 86_400), self.deadline).await?.document;
        let link = point.forecast().ok_or(WeatherError::NotCovered)?;
        let url = self.forecast_url(link).ok_or(Provider::Nws.unavailable(Why::Redirect))?;
        let known = self.answers.get::<Forecast>(ask(url, Forecast::read, 600, 3_600), self.deadline).await?;
        let Forecast { issued_at, periods } = &*known.document;
        Ok(ForecastAnswer {
            provider: Provider::Nws.name(),
            latitude,
            longitude,
            place: point.place(),
            time_zone: point.time_zone(),
            issued_at: issued_at.clone(),
            periods: periods.clone(),
            stale_seconds: known.age.stale_seconds(),
            note: known.age.note(),
        })
    }

    /// Where the forecast is by the provider's own word, which is followed only to the configured address. A stand-in passes
    /// on documents that name the real one; for those the path counts.
    fn forecast_url(&self, link: &str) -> Option<Url> {
        let link = Url::parse(link).ok()?;
        let path = if link.origin() == self.base.origin() {
            link.path().strip_prefix(self.base.path().trim_end_matches('/'))?
        } else if link.origin().ascii_serialization() == REAL_ORIGIN {
            link.path()
        } else {
            return None;
        };
        let path = path.strip_prefix('/')?;
        // Parsed URLs have no dot segments; an encoded slash would be one name for us and two for somebody else.
        let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b',' | b'-'));
        if plain && path.starts_with(FORECASTS) { Some(under(self.base, path)) } else { None }
    }
}

fn ask(url: Url, read: fn(&[u8]) -> Option<Document>, fresh_s: u64, fresh_max_s: u64) -> Ask {
    Ask {
        provider: Provider::Nws,
        url,
        key: None,
        read,
        refusal,
        fresh_default: Duration::from_secs(fresh_s),
        fresh_max: Duration::from_secs(fresh_max_s),
    }
}

/// Unknown points are told by their own kind of problem; any other 404 is one of ours or theirs.
fn refusal(status: u16, body: &[u8]) -> Option<WeatherError> {
    let problem = problem(body);
    let unknown =
        status == 404 && ["InvalidPoint", "MarineForecastNotSupported"].iter().any(|kind| problem.kind.ends_with(kind));
    unknown.then_some(WeatherError::NotCovered)
}

/// A path below a base that may have one itself.
pub(super) fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// The notes that there are, as one.
pub(super) fn joined<const N: usize>(notes: [Option<String>; N]) -> Option<String> {
    let notes: Vec<_> = notes.into_iter().flatten().collect();
    (!notes.is_empty()).then(|| notes.join(" "))
}

/// A parsed document as the cache keeps it.
fn kept<T: Any + Send + Sync>(document: T) -> Document {
    Arc::new(document)
}

/// As the points' addresses are written: four decimals at most, no zeros at the end. Others are redirected to these.
pub(super) fn degrees(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Given,
        weather::{cache::Clock, options},
    };

    fn forecast_url(base: &str, link: &str) -> Option<String> {
        let settings = options::parse(&Given::default()).unwrap();
        let answers = Answers::new(&settings, Clock::monotonic());
        let base = Url::parse(base).unwrap();
        Nws { answers: &answers, base: &base, deadline: Instant::now() }.forecast_url(link).map(String::from)
    }

    #[test]
    fn link_that_leads_elsewhere_is_not_followed() {
        for link in [
            "https://evil.example/gridpoints/MTR/85,105/forecast",
            "http://api.weather.gov/gridpoints/MTR/85,105/forecast",
            "https://api.weather.gov:444/gridpoints/MTR/85,105/forecast",
            "https://api.weather.gov.evil.example/gridpoints/MTR/85,105/forecast",
            "https://api.weather.gov/gridpoints/../admin",
            "https://api.weather.gov/gridpoints/%2e%2e%2fadmin",
            "https://api.weather.gov/alerts/active",
            "https://127.0.0.1/gridpoints/MTR/85,105/forecast",
            "file:///gridpoints/MTR/85,105/forecast",
            "/gridpoints/MTR/85,105/forecast",
            "",
        ] {
            assert_eq!(forecast_url("https://api.weather.gov", link), None, "{link}");
        }
    }

    #[test]
    fn link_leads_below_the_configured_address() {
        let real = "https://api.weather.gov/gridpoints/MTR/85,105/forecast?units=si";
        let here = forecast_url("http://127.0.0.1:9/nws/", real).unwrap();
        assert_eq!(here, "http://127.0.0.1:9/nws/gridpoints/MTR/85,105/forecast");
        assert_eq!(forecast_url("http://127.0.0.1:9/nws", &here), Some(here.clone()));
        assert_eq!(
            forecast_url("https://mirror.example", "https://mirror.example/gridpoints/A/1,2/forecast").unwrap(),
            "https://mirror.example/gridpoints/A/1,2/forecast"
        );
    }

    #[test]
    fn degrees_are_written_as_the_provider_writes_them() {
        for (value, text) in [
            (37.774_929, "37.7749"),
            (-122.419_4, "-122.4194"),
            (40.0, "40"),
            (-0.000_01, "0"),
            (100.5, "100.5"),
            (0.0, "0"),
        ] {
            assert_eq!(degrees(value), text);
        }
    }
}
