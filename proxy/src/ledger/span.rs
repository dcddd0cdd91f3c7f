//! A span of time, as those who look into the audit name it: by moments or by ages. Read here for the command line and for the
//! admin API; what is looked up is others' affair.

use jiff::{SignedDuration, Timestamp};

/// Since when and until when, in milliseconds since 1970; what is absent is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// At this time or later.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
}

impl Span {
    /// Whether it has all times.
    pub(crate) const fn is_all(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// Whether it has this one.
    pub(crate) fn has(&self, at_ms: i64) -> bool {
        self.since.is_none_or(|since| at_ms >= since) && self.until.is_none_or(|until| at_ms < until)
    }
}

/// Reads a time, or an age before now, as milliseconds since 1970.
///
/// # Errors
/// With what was expected.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let expected =
        || format!("expected a time such as 2026-11-21T10:00:00Z, or an age such as 90m, 24h or 7d, found {text:?}");
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(expected()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    let age = SignedDuration::from_secs(i64::from(count) * seconds);
    let at = Timestamp::now().checked_sub(age).map_err(|_| expected())?;
    Ok(at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::now_ms, ledger::keeping::DAY_MS};

    #[test]
    fn a_time_is_read_as_a_moment_or_as_an_age() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1000));
        let day = now_ms() - moment("1d").unwrap();
        assert!((DAY_MS - 1000..DAY_MS + 10_000).contains(&day), "{day}");
        for wrong in ["", "d", "7", "-3d", "7w", "yesterday", "99999999999d", "é"] {
            assert!(moment(wrong).unwrap_err().starts_with("expected a time"), "{wrong}");
        }
    }

    #[test]
    fn a_span_has_its_beginning_and_not_its_end() {
        let span = Span { since: Some(10), until: Some(20) };
        assert_eq!([9, 10, 19, 20].map(|at_ms| span.has(at_ms)), [false, true, true, false]);
        assert!(Span::default().has(i64::MIN) && Span::default().is_all() && !span.is_all());
    }
}
