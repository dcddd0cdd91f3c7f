//! What an operator is told of a token: every check, and what it found. Never the token. [`Walk`] is the one way along the checks
//! for judging and for explaining; the checks themselves are those of [`crate::issuers`] and `jwt`.

use crate::{Reason, TokenError};

/// The longest text of a token that is repeated to operators, in characters; what is longer is cut.
const SHOWN_CHARS_MAX: usize = 160;

/// All checks of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The checks in their order. After one that makes the rest pointless there are no more.
    pub checks: Vec<Check>,
}

impl Explanation {
    /// Whether the token is good.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, as in `signature`.
    pub what: &'static str,
    /// Whether it was as it must be.
    pub passed: bool,
    /// What was found and, if it did not pass, what was expected and what to do. Claims may be named; never the token.
    pub found: String,
}

/// A check that did not pass.
#[derive(Debug)]
pub(crate) struct Failed {
    error: TokenError,
    found: String,
}

impl Failed {
    pub(crate) fn new(reason: Reason, found: impl Into<String>) -> Self {
        Self { error: TokenError::Refused(reason), found: found.into() }
    }

    /// Nobody could say.
    pub(crate) fn unavailable(issuer: &patchbay_core::Slug, found: impl Into<String>) -> Self {
        Self { error: TokenError::Unavailable { issuer: issuer.clone() }, found: found.into() }
    }

    #[cfg(test)]
    pub(crate) fn error(&self) -> &TokenError {
        &self.error
    }
}

/// The way along the checks of one token. A judgement ends at the first that fails; an explanation notes each and ends where
/// nothing more can be said.
pub(crate) struct Walk {
    told: Option<Vec<Check>>,
}

impl Walk {
    /// For a judgement.
    pub(crate) const fn judging() -> Self {
        Self { told: None }
    }

    /// For an explanation.
    pub(crate) const fn explaining() -> Self {
        Self { told: Some(Vec::new()) }
    }

    /// A check that all after it need.
    pub(crate) fn need<T>(
        &mut self,
        what: &'static str,
        outcome: Result<T, Failed>,
        found: impl FnOnce(&T) -> String,
    ) -> Result<T, TokenError> {
        match outcome {
            Ok(value) => {
                self.note(what, || found(&value));
                Ok(value)
            }
            Err(failed) => Err(self.fail(what, failed)),
        }
    }

    /// A check that others can do without: an explanation goes on after it, with `None`.
    pub(crate) fn hold<T>(
        &mut self,
        what: &'static str,
        outcome: Result<T, Failed>,
        found: impl FnOnce(&T) -> String,
    ) -> Result<Option<T>, TokenError> {
        let outcome = self.need(what, outcome, found);
        match outcome {
            Err(_) if self.told.is_some() => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Something worth knowing that nothing depends on.
    pub(crate) fn note(&mut self, what: &'static str, found: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(Check { what, passed: true, found: found() });
        }
    }

    /// A check that did not pass, and that ends all.
    pub(crate) fn fail(&mut self, what: &'static str, failed: Failed) -> TokenError {
        if let Some(told) = &mut self.told {
            told.push(Check { what, passed: false, found: failed.found });
        }
        failed.error
    }

    /// What was told.
    pub(crate) fn into_explanation(self) -> Explanation {
        Explanation { checks: self.told.unwrap_or_default() }
    }
}

/// A text of a token as operators may see it: escaped, and cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let rest = chars.count();
    let head = head.escape_debug();
    if rest == 0 { format!("`{head}`") } else { format!("`{head}…` ({rest} characters more)") }
}

/// Several of them.
pub(crate) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    const LISTED_MAX: usize = 20;
    let mut texts = texts.into_iter();
    let head: Vec<_> = texts.by_ref().take(LISTED_MAX).map(shown).collect();
    match (head.is_empty(), texts.count()) {
        (true, _) => "none".to_owned(),
        (false, 0) => head.join(", "),
        (false, more) => format!("{} and {more} more", head.join(", ")),
    }
}

/// A time, as RFC 3339 writes it.
pub(crate) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "a time beyond the calendar".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong() -> Result<(), Failed> {
        Err(Failed::new(Reason::Expired, "too old"))
    }

    #[test]
    fn a_judgement_ends_at_the_first_failure_and_an_explanation_notes_each() {
        let mut judging = Walk::judging();
        assert_eq!(judging.hold("time", wrong(), |()| String::new()), Err(TokenError::Refused(Reason::Expired)));
        let mut telling = Walk::explaining();
        assert_eq!(telling.need("form", Ok(7), |n| format!("{n} bytes")), Ok(7));
        assert_eq!(telling.hold("time", wrong(), |()| String::new()), Ok(None));
        assert!(telling.need("key", wrong(), |()| String::new()).is_err());
        let told = telling.into_explanation();
        let found: Vec<_> = told.checks.iter().map(|check| (check.what, check.passed, check.found.as_str())).collect();
        assert_eq!(found, [("form", true, "7 bytes"), ("time", false, "too old"), ("key", false, "too old")]);
        assert!(!told.is_good());
    }

    #[test]
    fn texts_of_tokens_are_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[2J"), "`a\\u{1b}[2J`");
        assert!(shown(&"x".repeat(1000)).len() < 200);
        assert_eq!(list([]), "none");
        assert!(list(["x"; 30]).ends_with(" and 10 more"));
    }

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        assert_eq!(time(1_760_000_000_000), "2025-10-09T08:53:20Z");
        assert_eq!(time(i64::MAX), "a time beyond the calendar");
    }
}
