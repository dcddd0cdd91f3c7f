//! The weather server: alerts and forecasts for the US, and the weather now anywhere. This file has its state and says whom
//! to ask; the providers have files of their own, what is asked twice is kept by `cache`, and `handler` speaks MCP.

mod answer;
mod answers;
mod cache;
mod error;
mod fetch;
mod handler;
mod nws;
mod open_meteo;
mod options;
mod resources;
mod states;
mod tools;
mod wanted;
mod weatherapi;

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use tokio::time::Instant;

pub use options::OPTIONS_HELP;
pub(crate) use options::reach;

use crate::{Given, OptionsError};
use answer::{AlertsAnswer, CurrentAnswer, ForecastAnswer};
use answers::Answers;
use cache::Clock;
use error::{WeatherError, Why};
use nws::{Nws, joined};
use open_meteo::OpenMeteo;
use options::Settings;
use states::Area;
use wanted::Wanted;
use weatherapi::WeatherApi;

/// How long a check waits for an answer; those who check have more patience than that.
const CHECK_MAX: Duration = Duration::from_secs(5);

/// The weather by its providers. Cloning is cheap and shares the cache, the connections and the bounds.
#[derive(Debug, Clone)]
pub struct Weather {
    settings: Arc<Settings>,
    answers: Answers,
}

/// Makes a weather server of options (see [`OPTIONS_HELP`]). Nobody is asked anything before the first call.
pub fn weather(given: &Given) -> Result<Weather, OptionsError> {
    let settings = options::parse(given)?;
    let answers = Answers::new(&settings, Clock::monotonic());
    Ok(Weather { settings: Arc::new(settings), answers })
}

impl Weather {
    /// Says, in a sentence for the operator, why the server cannot be used as it is configured: when WeatherAPI refuses the
    /// key. A provider that is away is no reason, as it comes back. Without a key nobody is asked, and nothing is loaded that
    /// a gateway whose weather nobody wants would carry along.
    pub async fn check(&self) -> Result<(), String> {
        let deadline = Instant::now() + self.settings.patience.deadline.min(CHECK_MAX);
        let Some(api) = self.weatherapi(deadline) else { return Ok(()) };
        let anywhere = Wanted::parse("London", None).map_err(|error| error.to_text())?;
        match api.current(&anywhere).await {
            Err(error @ WeatherError::Key { .. }) => Err(format!("The option `weatherapi_key`: {error}")),
            Err(error @ WeatherError::Unavailable { why: Why::Tls, .. }) => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// The active alerts of an area.
    async fn alerts(&self, area: &'static Area) -> Result<AlertsAnswer, WeatherError> {
        self.nws().alerts(area).await
    }

    /// The forecast for a point in the US.
    async fn forecast(&self, latitude: f64, longitude: f64) -> Result<ForecastAnswer, WeatherError> {
        within("latitude", latitude, -90.0..=90.0)?;
        within("longitude", longitude, -180.0..=180.0)?;
        self.nws().forecast(latitude, longitude).await
    }

    /// The weather now: by WeatherAPI where there is a key for it, and by Open-Meteo where there is none, and when WeatherAPI
    /// fails or has nothing new. The answer says who gave it.
    async fn current(&self, wanted: &Wanted) -> Result<CurrentAnswer, WeatherError> {
        let deadline = self.deadline();
        let open_meteo = OpenMeteo { answers: &self.answers, urls: &self.settings.urls, deadline };
        // The first provider may not use up the time of the second.
        let Some(api) = self.weatherapi(Instant::now() + self.settings.patience.deadline / 2) else {
            return open_meteo.current(wanted).await;
        };
        let (reserve, failure) = match api.current(wanted).await {
            Ok(answer) if answer.stale_seconds.is_none() => return Ok(answer),
            Ok(stale) => (Some(stale), None),
            Err(error) => (None, Some(error)),
        };
        let mut answer = match (open_meteo.current(wanted).await, reserve) {
            (Err(_), Some(reserve)) => return Ok(reserve),
            (answer, _) => answer?,
        };
        let why = failure.map(|error| format!("WeatherAPI was asked first and could not help: {error}"));
        answer.note = joined([why, answer.note]);
        Ok(answer)
    }

    fn nws(&self) -> Nws<'_> {
        Nws { answers: &self.answers, base: &self.settings.urls.nws, deadline: self.deadline() }
    }

    fn weatherapi(&self, deadline: Instant) -> Option<WeatherApi<'_>> {
        let key = self.settings.weatherapi_key.as_ref()?;
        Some(WeatherApi { answers: &self.answers, base: &self.settings.urls.weatherapi, key, deadline })
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.patience.deadline
    }
}

/// Also refuses what is no number, which is in no range.
fn within(argument: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), WeatherError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(WeatherError::Arguments(format!("`{argument}` is {value}; expected degrees from {least} to {most}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_in_no_range() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 90.000_1] {
            assert_eq!(within("latitude", value, -90.0..=90.0).unwrap_err().code(), "INVALID_ARGUMENTS");
        }
        assert!(within("latitude", -90.0, -90.0..=90.0).is_ok());
    }
}
