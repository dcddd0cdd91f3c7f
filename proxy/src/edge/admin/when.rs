//! Moments, as answers show them and bodies give them: RFC 3339. Inside they are milliseconds since 1970.

use jiff::Timestamp;

use super::problem::FieldError;

/// As answers show it.
pub(crate) fn shown(at_ms: i64) -> String {
    // Out of range is nothing that a clock says; then the number says more than nothing.
    Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |at| format!("{at:.3}"))
}

/// A moment in a body, which has to come yet.
///
/// # Errors
/// What is wrong with the field.
pub(crate) fn future(text: &str, pointer: &str, now_ms: i64) -> Result<i64, FieldError> {
    let wrong = |detail: &str| FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() };
    let at: Timestamp =
        text.parse().map_err(|_| wrong("expected a time as in RFC 3339, for example 2030-01-31T12:00:00Z"))?;
    match at.as_millisecond() {
        at_ms if at_ms > now_ms => Ok(at_ms),
        _ => Err(wrong("expected a time to come; this one is over")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_shown_and_only_when_it_is_to_come() {
        let at_ms = 1_800_000_000_123;
        assert_eq!(shown(at_ms), "2027-01-15T08:00:00.123Z");
        assert_eq!(future(&shown(at_ms), "/expires", 0), Ok(at_ms));
        assert_eq!(future("2027-01-15T10:00:00.123+02:00", "/expires", 0), Ok(at_ms));
        for (text, now_ms) in [("tomorrow", 0), ("2027-01-15", 0), ("", 0), ("2027-01-15T08:00:00.123Z", at_ms)] {
            assert_eq!(future(text, "/expires", now_ms).unwrap_err().pointer, "/expires", "{text}");
        }
    }
}
