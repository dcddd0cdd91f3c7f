//! What the headers of an answer say about time: how long it is fresh, and when to come again. Pure; `now` is the wall
//! clock, for the headers that name a date.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName, RETRY_AFTER};

/// What a provider says about keeping its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    /// How long it is still fresh; `None` when nothing is said.
    pub(super) fresh_for: Option<Duration>,
    /// Whether it may be kept.
    pub(super) keep: bool,
    /// How old it is already, by the word of a cache on the way.
    pub(super) age: Duration,
}

/// RFC 9111, as far as it is about time: `s-maxage` before `max-age` before `Expires`, less the `Age`.
pub(super) fn freshness(headers: &HeaderMap, now: Timestamp) -> Freshness {
    let age = seconds(text(headers, AGE)).unwrap_or_default();
    let controls: Vec<&str> = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).collect();
    let controls: Vec<&str> = controls.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    let has = |name: &str| controls.iter().any(|control| control.eq_ignore_ascii_case(name));
    let value = |name: &str| controls.iter().find_map(|control| seconds(after(control, name)));
    let lifetime = if has("no-cache") {
        Some(Duration::ZERO)
    } else {
        value("s-maxage").or_else(|| value("max-age")).or_else(|| expires(headers, now))
    };
    Freshness { fresh_for: lifetime.map(|life| life.saturating_sub(age)), keep: !has("no-store"), age }
}

fn after<'a>(control: &'a str, name: &str) -> Option<&'a str> {
    let (given, value) = control.split_once('=')?;
    given.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
}

/// Against the provider's own clock where it tells the time. A date that cannot be read is in the past, says the RFC.
fn expires(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let expires = text(headers, EXPIRES)?;
    let now = text(headers, DATE).and_then(date).unwrap_or(now);
    Some(date(expires).map_or(Duration::ZERO, |expires| until(expires, now)))
}

/// When to come again: in seconds, or at a date. What is neither says nothing.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let said = text(headers, RETRY_AFTER)?;
    seconds(Some(said)).or_else(|| {
        let now = text(headers, DATE).and_then(date).unwrap_or(now);
        date(said).map(|at| until(at, now))
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Whole seconds; a number beyond all sense is a very long time, not an error.
fn seconds(text: Option<&str>) -> Option<Duration> {
    let text = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))?;
    Some(Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()))
}

fn date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    fn fresh(pairs: &[(&str, &str)]) -> Option<u64> {
        freshness(&headers(pairs), date(NOW).unwrap()).fresh_for.map(|fresh| fresh.as_secs())
    }

    fn again(said: &str) -> Option<u64> {
        retry_after(&headers(&[("retry-after", said)]), date(NOW).unwrap()).map(|wait| wait.as_secs())
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for odd in ["", "soon", "-5", "1.5", "Sat, 99 Nov 2026 12:00:00 GMT"] {
            assert_eq!(again(odd), None, "{odd:?}");
        }
        assert_eq!(fresh(&[]), None);
        assert_eq!(fresh(&[("cache-control", "max-age=soon, public")]), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(again("7"), Some(7));
        assert_eq!(again("99999999999999999999"), Some(u64::from(u32::MAX)));
        assert_eq!(again("Sat, 21 Nov 2026 12:01:30 GMT"), Some(90));
        assert_eq!(again("Sat, 21 Nov 2026 11:00:00 GMT"), Some(0));
    }

    #[test]
    fn freshness_is_what_the_most_particular_word_says_less_the_age() {
        assert_eq!(fresh(&[("cache-control", "public, max-age=3600, s-maxage=\"120\"")]), Some(120));
        assert_eq!(fresh(&[("cache-control", "public, MAX-AGE=60"), ("age", "45"), ("expires", "0")]), Some(15));
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("age", "75")]), Some(0));
        assert_eq!(fresh(&[("expires", "Sat, 21 Nov 2026 12:00:30 GMT")]), Some(30));
        let on_their_clock = [("expires", "Sat, 21 Nov 2026 13:00:30 GMT"), ("date", "Sat, 21 Nov 2026 13:00:00 GMT")];
        assert_eq!(fresh(&on_their_clock), Some(30));
        assert_eq!(fresh(&[("expires", "0")]), Some(0));
        assert_eq!(fresh(&[("cache-control", "no-cache, max-age=60")]), Some(0));
    }

    #[test]
    fn what_must_not_be_stored_is_not_kept() {
        assert!(!freshness(&headers(&[("cache-control", "No-Store")]), date(NOW).unwrap()).keep);
        assert!(freshness(&headers(&[("cache-control", "no-cache")]), date(NOW).unwrap()).keep);
    }
}
