//! How a limit stands, as headers: `RateLimit-Policy` and `RateLimit` in the form of draft-ietf-httpapi-ratelimit-headers-10. There
//! only with `limits.headers`, since the draft may still change. What is told is admission's to say.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::admission::told::{Policy, Told};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Adds what is told, if anything is.
pub(super) fn add(told: Option<&Told>, headers: &mut HeaderMap) {
    let Some(told) = told else { return };
    let (policy, standing) = (policy(told), standing(told));
    // Names of limits have only letters that a header may have.
    if let (Ok(policy), Ok(standing)) = (HeaderValue::try_from(policy), HeaderValue::try_from(standing)) {
        headers.insert(POLICY, policy);
        headers.insert(STANDING, standing);
    }
}

/// Whole seconds, rounded up, so that nobody comes too early.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn policy(told: &Told) -> String {
    match told.policy {
        Policy::Rate { count, period } => format!("\"{}\";q={count};w={}", told.limit, seconds(period)),
        Policy::Concurrent(max) => format!("\"{}\";q={max};qu=\"concurrent-requests\"", told.limit),
    }
}

fn standing(told: &Told) -> String {
    format!("\"{}\";r={};t={}", told.limit, told.left, seconds(told.after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(policy: Policy, left: u32, after: Duration) -> (String, String) {
        let told = Told { limit: "paid_tools".into(), policy, left, after };
        let mut headers = HeaderMap::new();
        add(Some(&told), &mut headers);
        let text = |name| headers[name].to_str().unwrap().to_owned();
        (text(&POLICY), text(&STANDING))
    }

    #[test]
    fn a_rate_is_told_by_its_count_and_period_and_times_are_rounded_up() {
        let policy = Policy::Rate { count: 100, period: Duration::from_secs(60) };
        let (says, stands) = headers(policy, 42, Duration::from_millis(34_001));
        assert_eq!((&*says, &*stands), (r#""paid_tools";q=100;w=60"#, r#""paid_tools";r=42;t=35"#));
        let (_, stands) = headers(policy, 100, Duration::ZERO);
        assert_eq!(stands, r#""paid_tools";r=100;t=0"#);
        let (_, stands) = headers(policy, 0, Duration::from_nanos(1));
        assert_eq!(stands, r#""paid_tools";r=0;t=1"#);
    }

    #[test]
    fn a_cap_has_no_window() {
        let (says, stands) = headers(Policy::Concurrent(4), 0, Duration::from_millis(200));
        assert_eq!(says, r#""paid_tools";q=4;qu="concurrent-requests""#);
        assert_eq!(stands, r#""paid_tools";r=0;t=1"#);
    }

    #[test]
    fn nothing_is_told_where_nothing_was_left() {
        let mut headers = HeaderMap::new();
        add(None, &mut headers);
        assert!(headers.is_empty());
    }
}
