//! What a token's claims must be, whoever it is from: their types, its times, its audiences. Strict where a claim is there, and
//! where one must be and is not.

use patchbay_core::issuer::IssuerSpec;
use serde_json::{Map, Value};

use crate::{
    Reason,
    explain::{Failed, list, shown, time},
};

/// How far the clocks of issuers may be off.
const LEEWAY_S: i64 = 30;
/// How long a token may live.
const LIFE_MAX_S: i64 = 24 * 3600;
/// The longest subject, token id or client, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 256;

/// When a token is good, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    exp: Option<i64>,
    nbf: Option<i64>,
    pub(super) iat: Option<i64>,
}

impl Times {
    /// The times, each a number where it is there. Signed tokens must expire.
    pub(super) fn read(claims: &Map<String, Value>, must_expire: bool) -> Result<Self, Failed> {
        let exp = date(claims, "exp")?;
        if exp.is_none() && must_expire {
            return Err(Failed::new(Reason::Claims, "there is no `exp`; expected a time at which the token expires"));
        }
        Ok(Self { exp, nbf: date(claims, "nbf")?, iat: date(claims, "iat")? })
    }

    /// Whether now is within them, and whether they are close enough together.
    pub(super) fn check(&self, now_ms: i64) -> Result<(), Failed> {
        let now = || format!("now is {} and clocks may be {LEEWAY_S} s off", time(now_ms));
        if let Some(exp) = self.exp.filter(|_| now_ms >= self.until_ms()) {
            return Err(Failed::new(Reason::Expired, format!("it expired at {}; {}", time(exp), now())));
        }
        for (name, at) in [("nbf", self.nbf), ("iat", self.iat)] {
            if let Some(at) = at.filter(|at| at.saturating_sub(LEEWAY_S * 1000) > now_ms) {
                let found = format!("`{name}` is {}; {}", time(at), now());
                return Err(Failed::new(Reason::NotYetValid, found));
            }
        }
        let ahead = self.exp.map_or(0, |exp| exp.saturating_sub(now_ms).saturating_sub(LEEWAY_S * 1000));
        let whole = self.exp.zip(self.iat).map_or(0, |(exp, iat)| exp.saturating_sub(iat));
        if ahead.max(whole) > LIFE_MAX_S * 1000 {
            let found = format!("{}; expected a token that lives at most {} h", self.found(), LIFE_MAX_S / 3600);
            return Err(Failed::new(Reason::TooLongLived, found));
        }
        Ok(())
    }

    /// From when on it is refused.
    pub(super) fn until_ms(&self) -> i64 {
        self.exp.map_or(i64::MAX, |exp| exp.saturating_add(LEEWAY_S * 1000))
    }

    /// The times, for operators.
    pub(super) fn found(&self) -> String {
        let told = [("iat", self.iat), ("nbf", self.nbf), ("exp", self.exp)];
        let told: Vec<_> = told.iter().filter_map(|(name, at)| Some(format!("`{name}` {}", time((*at)?)))).collect();
        if told.is_empty() { "it says no times".to_owned() } else { told.join(", ") }
    }
}

/// A NumericDate (RFC 7519 section 2) in milliseconds.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Failed> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().map(|seconds| seconds.saturating_mul(1000));
    // Casts of floats saturate.
    #[expect(clippy::cast_possible_truncation, reason = "parts of a millisecond and times beyond all calendars")]
    let ms = whole.or_else(|| value.as_f64().map(|seconds| (seconds * 1000.0).floor() as i64));
    let found = || format!("`{name}` is {}; expected a number of seconds since 1970", shown(&value.to_string()));
    ms.map(Some).ok_or_else(|| Failed::new(Reason::Claims, found()))
}

/// For whom a token was made: one text or several. There is always at least one.
pub(super) fn audiences(claims: &Map<String, Value>) -> Result<Box<[Box<str>]>, Failed> {
    let wrong = |found: &str| {
        let found = format!("{found}; expected the URL of the toolset, as a text or in a list of texts");
        Failed::new(Reason::Audience, found)
    };
    let list = match claims.get("aud") {
        None => return Err(wrong("there is no `aud`")),
        Some(Value::String(one)) => Some(vec![Box::from(one.as_str())]),
        Some(Value::Array(several)) => several.iter().map(|one| one.as_str().map(Box::from)).collect(),
        Some(_) => None,
    };
    match list {
        Some(list) if !list.is_empty() => Ok(list.into()),
        _ => Err(wrong("`aud` has no text in it, or other things than texts")),
    }
}

/// That none of the audiences is one of ours.
pub(super) fn foreign(audiences: &[Box<str>], spec: &IssuerSpec, resource: &str) -> Failed {
    let ours = list(std::iter::once(resource).chain(spec.audiences.iter().map(String::as_str)));
    let found = format!(
        "`aud` is {}; expected {ours}, exactly. Clients get it by asking for `resource`; a provider that cannot issue it needs audiences \
         set for the issuer",
        list(audiences.iter().map(|audience| &**audience))
    );
    Failed::new(Reason::Audience, found)
}

/// A claim that is a text of a sane length, where it is there.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str, reason: Reason) -> Result<Option<&'a str>, Failed> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if is_plain(text) => Ok(Some(text)),
        Some(Value::String(text)) => {
            let found =
                format!("`{name}` has {} bytes; expected 1 to {TEXT_BYTES_MAX} without control characters", text.len());
            Err(Failed::new(reason, found))
        }
        Some(_) => Err(Failed::new(reason, format!("`{name}` is no text"))),
    }
}

/// Whether a text may name something.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::TokenError;

    const NOW: i64 = 1_760_000_000;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { unreachable!("an object") };
        members
    }

    fn judged(claims: Value) -> Result<(), TokenError> {
        let times = Times::read(&object(claims), true);
        times.and_then(|times| times.check(NOW * 1000)).map_err(|failed| failed.error().clone())
    }

    fn refused(reason: Reason) -> Result<(), TokenError> {
        Err(TokenError::Refused(reason))
    }

    #[test]
    fn clocks_may_be_half_a_minute_off_and_no_more() {
        assert_eq!(judged(json!({ "exp": NOW - 29 })), Ok(()));
        assert_eq!(judged(json!({ "exp": NOW - 30 })), refused(Reason::Expired));
        assert_eq!(judged(json!({ "exp": NOW - 31 })), refused(Reason::Expired));
        assert_eq!(judged(json!({ "exp": NOW - 3600 })), refused(Reason::Expired));
        for name in ["nbf", "iat"] {
            assert_eq!(judged(json!({ "exp": NOW + 60, name: NOW + 29 })), Ok(()), "{name}");
            assert_eq!(judged(json!({ "exp": NOW + 60, name: NOW + 31 })), refused(Reason::NotYetValid), "{name}");
            assert_eq!(judged(json!({ "exp": NOW + 9000, name: NOW + 3600 })), refused(Reason::NotYetValid), "{name}");
        }
    }

    #[test]
    fn a_token_lives_a_day_at_most() {
        let day = 24 * 3600;
        assert_eq!(judged(json!({ "exp": NOW + day })), Ok(()));
        assert_eq!(judged(json!({ "exp": NOW + day + 31 })), refused(Reason::TooLongLived));
        assert_eq!(judged(json!({ "exp": NOW + 60, "iat": NOW + 60 - day })), Ok(()));
        assert_eq!(judged(json!({ "exp": NOW + 60, "iat": NOW + 59 - day })), refused(Reason::TooLongLived));
        assert_eq!(judged(json!({ "exp": 1e300 })), refused(Reason::TooLongLived));
        assert_eq!(judged(json!({ "exp": u64::MAX })), refused(Reason::TooLongLived));
        assert_eq!(judged(json!({ "exp": i64::MIN, "iat": i64::MAX })), refused(Reason::Expired));
    }

    #[test]
    fn times_are_numbers_and_one_of_them_must_be_there() {
        assert_eq!(judged(json!({ "exp": NOW as f64 + 0.5 })), Ok(()));
        assert_eq!(judged(json!({})), refused(Reason::Claims));
        for odd in [json!("9"), json!(null), json!([NOW]), json!({}), json!(true)] {
            for name in ["exp", "nbf", "iat"] {
                let mut claims = object(json!({ "exp": NOW + 60 }));
                claims.insert(name.to_owned(), odd.clone());
                assert_eq!(judged(Value::Object(claims)), refused(Reason::Claims), "{name}: {odd}");
            }
        }
    }

    #[test]
    fn audiences_are_texts_and_never_none() {
        let read = |claims| audiences(&object(claims)).ok().map(|list| list.len());
        assert_eq!(read(json!({ "aud": "a" })), Some(1));
        assert_eq!(read(json!({ "aud": ["a", "b"] })), Some(2));
        for odd in [json!([]), json!(null), json!(1), json!(["a", 1]), json!({ "a": "a" })] {
            assert_eq!(read(json!({ "aud": odd.clone() })), None, "{odd}");
        }
        assert_eq!(read(json!({})), None);
    }
}
