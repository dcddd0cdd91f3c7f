//! `patchbay-tools weather`: the weather server.

use clap::Args;
use patchbay_builtin_tools::{Given, SECRET_PREFIX};
use serde_json::{Map, Value};

use super::serve::serve;

/// Where the key is put.
const VARIABLE: &str = "WEATHERAPI_KEY";
/// The name of the only secret.
const KEY: &str = "weatherapi_key";

/// Serve the weather on stdin and stdout, as an MCP server
///
/// Alerts and forecasts for the US come from the National Weather Service, the weather now in any city from Open-Meteo, or
/// from WeatherAPI when its key is in the environment variable WEATHERAPI_KEY. It is not taken from the command line, which
/// everybody on this machine can read.
#[derive(Debug, Args)]
pub(crate) struct Weather {
    /// An address or page for the providers' operators, sent with each request; the National Weather Service asks for one
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
    /// The most milliseconds of one call with all its requests and retries [default: 12000]
    #[arg(long, value_name = "MS")]
    deadline_ms: Option<u64>,
    #[arg(
        help = "Where the National Weather Service is [default: https://api.weather.gov]",
        long,
        value_name = "URL",
        help_heading = "Providers"
    )]
    nws_url: Option<String>,
    #[arg(
        help = "Where Open-Meteo's forecasts are [default: https://api.open-meteo.com]",
        long,
        value_name = "URL",
        help_heading = "Providers"
    )]
    open_meteo_url: Option<String>,
    #[arg(
        help = "Where Open-Meteo's geocoding is [default: https://geocoding-api.open-meteo.com]",
        long,
        value_name = "URL",
        help_heading = "Providers"
    )]
    geocoding_url: Option<String>,
    #[arg(
        help = "Where WeatherAPI is [default: https://api.weatherapi.com]",
        long,
        value_name = "URL",
        help_heading = "Providers"
    )]
    weatherapi_url: Option<String>,
}

impl Weather {
    /// Serves until the client closes.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        // A variable that is set to nothing is not set.
        let key = std::env::var(VARIABLE).ok().filter(|key| !key.is_empty());
        let options: [(&str, Option<Value>); 7] = [
            ("contact", self.contact.map(Value::from)),
            ("deadline_ms", self.deadline_ms.map(Value::from)),
            ("nws_url", self.nws_url.map(Value::from)),
            ("open_meteo_url", self.open_meteo_url.map(Value::from)),
            ("geocoding_url", self.geocoding_url.map(Value::from)),
            ("weatherapi_url", self.weatherapi_url.map(Value::from)),
            (KEY, key.as_ref().map(|_| format!("{SECRET_PREFIX}{KEY}").into())),
        ];
        let options: Map<String, Value> =
            options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let secrets = key.into_iter().map(|key| (KEY.to_owned(), key.into())).collect();
        serve("weather", &Given { secrets, ..Given::of(Value::Object(options)) }).await
    }
}
