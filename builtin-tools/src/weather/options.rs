//! The options of the weather server: read from JSON once, into settings that cannot be wrong. Nothing is asked of a
//! provider here.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use crate::{Given, OptionsError, Reach, SECRET_PREFIX};

/// The longest contact.
const CONTACT_BYTES_MAX: usize = 200;
const NO_CONTACT: &str = "no contact configured";

/// The options of the weather server, one line each.
pub const OPTIONS_HELP: &str = "\
contact: an address or page for the providers' operators, sent in the User-Agent; the National Weather Service asks for one
weatherapi_key: the key of WeatherAPI as `secret:NAME`, with the key itself under `secrets`; with it current conditions come from there, and from Open-Meteo when it fails
nws_url: where the National Weather Service is, default https://api.weather.gov
open_meteo_url: where Open-Meteo's forecasts are, default https://api.open-meteo.com
geocoding_url: where Open-Meteo's geocoding is, default https://geocoding-api.open-meteo.com
weatherapi_url: where WeatherAPI is, default https://api.weatherapi.com
connect_timeout_ms: the most milliseconds until a connection stands, default 3000, from 50 to 30000
read_timeout_ms: the most milliseconds without a byte of an answer, default 5000, from 50 to 60000
deadline_ms: the most milliseconds of one call with all its requests and retries, default 12000, from 100 to 120000
retries_max: how often a request is tried again after 429, 5xx and broken connections, default 2, at most 5
backoff_ms: the pause before the first retry, doubled for each further one, default 300, from 1 to 10000
cache_entries_max: the most answers that are kept, default 256, at most 4096
stale_max_s: how many seconds beyond its freshness an answer may stand in when the provider fails, default 3600, at most 86400";

/// What a weather server is made of.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) contact: Option<String>,
    pub(crate) weatherapi_key: Option<SecretString>,
    pub(crate) urls: Urls,
    pub(crate) patience: Patience,
    pub(crate) cache_entries_max: usize,
    pub(crate) stale_max: Duration,
}

/// Where the providers are.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    pub(crate) nws: Url,
    pub(crate) open_meteo: Url,
    pub(crate) geocoding: Url,
    pub(crate) weatherapi: Url,
}

/// How long providers are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) deadline: Duration,
    pub(crate) retries_max: u32,
    pub(crate) backoff: Duration,
}

impl Settings {
    /// Who asks, as the providers see it.
    pub(crate) fn user_agent(&self) -> String {
        format!("patchbay/{} ({})", env!("CARGO_PKG_VERSION"), self.contact.as_deref().unwrap_or(NO_CONTACT))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    contact: Option<String>,
    weatherapi_key: Option<String>,
    nws_url: Option<String>,
    open_meteo_url: Option<String>,
    geocoding_url: Option<String>,
    weatherapi_url: Option<String>,
    connect_timeout_ms: Option<u64>,
    read_timeout_ms: Option<u64>,
    deadline_ms: Option<u64>,
    retries_max: Option<u64>,
    backoff_ms: Option<u64>,
    cache_entries_max: Option<u64>,
    stale_max_s: Option<u64>,
}

fn read(given: &Given) -> Result<Options, OptionsError> {
    match &given.options {
        Value::Null => Ok(Options::default()),
        options => serde_json::from_value(options.clone()).map_err(|error| OptionsError::Shape(error, OPTIONS_HELP)),
    }
}

/// The addresses that are given instead of the providers' own.
pub(crate) fn reach(given: &Given) -> Result<Reach, OptionsError> {
    let options = read(given)?;
    let urls = [
        ("nws_url", options.nws_url),
        ("open_meteo_url", options.open_meteo_url),
        ("geocoding_url", options.geocoding_url),
        ("weatherapi_url", options.weatherapi_url),
    ];
    let urls = urls.into_iter().filter_map(|(option, url)| Some(base(option, &url?)));
    Ok(Reach { urls: urls.collect::<Result<_, _>>()?, ..Reach::default() })
}

/// Reads the options; none at all are fine.
pub(crate) fn parse(given: &Given) -> Result<Settings, OptionsError> {
    let options = read(given)?;
    Ok(Settings {
        contact: options.contact.as_deref().map(contact).transpose()?,
        weatherapi_key: options.weatherapi_key.map(|text| key(given, &text)).transpose()?,
        urls: Urls {
            nws: base("nws_url", options.nws_url.as_deref().unwrap_or("https://api.weather.gov"))?,
            open_meteo: base(
                "open_meteo_url",
                options.open_meteo_url.as_deref().unwrap_or("https://api.open-meteo.com"),
            )?,
            geocoding: base(
                "geocoding_url",
                options.geocoding_url.as_deref().unwrap_or("https://geocoding-api.open-meteo.com"),
            )?,
            weatherapi: base(
                "weatherapi_url",
                options.weatherapi_url.as_deref().unwrap_or("https://api.weatherapi.com"),
            )?,
        },
        patience: Patience {
            connect: millis("connect_timeout_ms", options.connect_timeout_ms.unwrap_or(3_000), 50, 30_000)?,
            read: millis("read_timeout_ms", options.read_timeout_ms.unwrap_or(5_000), 50, 60_000)?,
            deadline: millis("deadline_ms", options.deadline_ms.unwrap_or(12_000), 100, 120_000)?,
            retries_max: ranged("retries_max", options.retries_max.unwrap_or(2), 0, 5)? as u32,
            backoff: millis("backoff_ms", options.backoff_ms.unwrap_or(300), 1, 10_000)?,
        },
        cache_entries_max: ranged("cache_entries_max", options.cache_entries_max.unwrap_or(256), 0, 4_096)? as usize,
        stale_max: Duration::from_secs(ranged("stale_max_s", options.stale_max_s.unwrap_or(3_600), 0, 86_400)?),
    })
}

fn millis(option: &'static str, given: u64, least: u64, most: u64) -> Result<Duration, OptionsError> {
    ranged(option, given, least, most).map(Duration::from_millis)
}

fn ranged(option: &'static str, given: u64, least: u64, most: u64) -> Result<u64, OptionsError> {
    if (least..=most).contains(&given) { Ok(given) } else { Err(OptionsError::Range { option, given, least, most }) }
}

fn contact(text: &str) -> Result<String, OptionsError> {
    let text = text.trim();
    let fits = (1..=CONTACT_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| (b' '..=b'~').contains(&b) && !matches!(b, b'(' | b')' | b'\\'));
    let why = "it goes into a header; expected 1 to 200 plain characters without brackets, such as ops@example.com";
    if fits { Ok(text.to_owned()) } else { Err(OptionsError::Meaning("contact".into(), why.into())) }
}

/// A key among the options would be shown wherever they are, so it is refused there.
fn key(given: &Given, text: &str) -> Result<SecretString, OptionsError> {
    if !text.starts_with(SECRET_PREFIX) {
        let why = "a key is a secret; put it under `secrets` and name it here as `secret:NAME`";
        return Err(OptionsError::Meaning("weatherapi_key".into(), why.into()));
    }
    given.resolve("weatherapi_key", text)
}

/// Providers are asked over TLS; plain HTTP is for a stand-in or a cache on the same machine. Which addresses the name
/// leads to is not looked at: the operator wrote it, as they write the address of a database.
fn base(option: &'static str, text: &str) -> Result<Url, OptionsError> {
    let wrong = |why: &str| OptionsError::Meaning(option.into(), why.into());
    let url = Url::parse(text).map_err(|_| wrong("it is no URL; expected one such as https://api.example.com"))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err(wrong("expected https:// (plain http:// only for this machine itself)")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("expected scheme, host, port and path only"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(options: Value) -> String {
        parse(&Given::of(options)).unwrap_err().to_string()
    }

    #[test]
    fn key_among_the_options_is_refused_and_not_repeated() {
        let said = refusal(json!({ "weatherapi_key": "0123456789abcdef" }));
        assert!(said.contains("`secrets`") && !said.contains("0123456789"), "{said}");
        assert!(refusal(json!({ "weatherapi_key": "secret:none" })).contains("`none`"));
    }

    #[test]
    fn urls_that_could_carry_something_astray_are_refused() {
        for url in [
            "http://api.weather.gov",
            "ftp://127.0.0.1",
            "https://user:pw@api.weather.gov",
            "https://api.weather.gov/?a=b",
            "https://api.weather.gov/#x",
            "api.weather.gov",
            "http://localhost.example.com",
            "http://10.0.0.1",
        ] {
            assert!(refusal(json!({ "nws_url": url })).contains("`nws_url`"), "{url}");
        }
        for url in
            ["http://127.0.0.1:8080", "http://[::1]:1/nws", "http://localhost", "https://mirror.example.com/nws/"]
        {
            assert!(parse(&Given::of(json!({ "nws_url": url }))).is_ok(), "{url}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (option, value) in [
            ("connect_timeout_ms", 1),
            ("read_timeout_ms", 60_001),
            ("deadline_ms", 0),
            ("retries_max", 6),
            ("backoff_ms", 0),
            ("cache_entries_max", 4_097),
            ("stale_max_s", 86_401),
        ] {
            assert!(refusal(json!({ option: value })).contains(option), "{option}");
        }
        assert!(refusal(json!({ "contact": "a\r\nX-Evil: 1" })).contains("`contact`"));
        assert!(refusal(json!({ "contact": "" })).contains("`contact`"));
        assert!(refusal(json!({ "citiy": 1 })).contains("nws_url"));
    }

    #[test]
    fn reach_names_the_addresses_that_are_given_and_no_others() {
        assert_eq!(reach(&Given::of(json!({ "contact": "a@example.org" }))).unwrap(), Reach::default());
        let found = reach(&Given::of(json!({ "nws_url": "http://127.0.0.1:8080" }))).unwrap();
        assert_eq!(found.urls.iter().map(Url::as_str).collect::<Vec<_>>(), ["http://127.0.0.1:8080/"]);
        assert!(reach(&Given::of(json!({ "nws_url": "x" }))).is_err());
    }

    #[test]
    fn nothing_given_is_enough() {
        for options in [Value::Null, json!({})] {
            let settings = parse(&Given::of(options)).unwrap();
            assert_eq!(settings.urls.nws.as_str(), "https://api.weather.gov/");
            assert!(settings.user_agent().ends_with("(no contact configured)"));
        }
    }
}
