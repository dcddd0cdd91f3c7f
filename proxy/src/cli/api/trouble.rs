//! What a command says when a request came to nothing: the problem details of the API as sentences, field by field.

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

/// The most fields that are told; whoever has more mends these first.
const FIELDS_SHOWN: usize = 50;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Trouble {
    /// The API said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Nobody said anything that can be understood.
    #[error("{0}")]
    Other(String),
}

/// The API's no.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Refusal {
    pub(in crate::cli) status: u16,
    pub(in crate::cli) detail: String,
    /// What is wrong, field by field.
    #[serde(default)]
    pub(in crate::cli) errors: Vec<Field>,
    /// After how many seconds it may be tried again.
    #[serde(skip)]
    retry_after: Option<String>,
}

/// What is wrong with a field.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Field {
    pub(in crate::cli) pointer: String,
    pub(in crate::cli) detail: String,
}

impl Trouble {
    /// Whether it is a no with this status.
    pub(in crate::cli) fn is(&self, status: u16) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == status)
    }

    /// The no, if it is one.
    pub(in crate::cli) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Other(_) => None,
        }
    }

    /// Whether a field at this pointer, or below it, is what is wrong.
    pub(in crate::cli) fn is_at(&self, pointer: &str) -> bool {
        let at = |field: &Field| {
            field.pointer.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.refusal().is_some_and(|refusal| refusal.errors.iter().any(at))
    }
}

impl Refusal {
    /// Reads problem details; `None` for what is something else.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        text(header::CONTENT_TYPE).filter(|kind| kind.starts_with("application/problem+json"))?;
        let read: Self = serde_json::from_slice(body).ok()?;
        let retry_after = text(header::RETRY_AFTER).map(str::to_owned);
        Some(Self { status: status.as_u16(), retry_after, ..read })
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.errors[..] {
            [] => f.write_str(&self.detail)?,
            [only] => f.write_str(&only.words())?,
            several => {
                f.write_str(&self.detail)?;
                for field in several.iter().take(FIELDS_SHOWN) {
                    write!(f, "\n  {}", field.words())?;
                }
                if let Some(more) = several.len().checked_sub(FIELDS_SHOWN).filter(|more| *more > 0) {
                    write!(f, "\n  and {more} more")?;
                }
            }
        }
        match &self.retry_after {
            Some(seconds) if self.status == 429 => write!(f, " (after {seconds} s)"),
            _ => Ok(()),
        }
    }
}

impl Field {
    fn words(&self) -> String {
        match &*self.pointer {
            "" => self.detail.clone(),
            pointer => format!("{}: {}", dotted(pointer), self.detail),
        }
    }
}

/// A JSON pointer as files and messages write a field: `servers.git.url`.
fn dotted(pointer: &str) -> String {
    let steps = pointer.trim_start_matches('/').split('/');
    steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: u16, problem: &serde_json::Value, more: &[(header::HeaderName, &'static str)]) -> Option<Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/problem+json".parse().unwrap());
        more.iter().for_each(|(name, value)| drop(headers.insert(name, value.parse().unwrap())));
        Refusal::read(StatusCode::from_u16(status).unwrap(), &headers, problem.to_string().as_bytes())
    }

    #[test]
    fn every_field_that_is_wrong_has_its_line() {
        let field = |pointer: &str| json!({ "pointer": pointer, "detail": "expected a text" });
        let problem =
            json!({ "status": 422, "detail": "2 fields are not as expected", "errors": [field("/a/b~1c"), field("")] });
        let told = read(422, &problem, &[]).unwrap().to_string();
        assert_eq!(told, "2 fields are not as expected\n  a.b/c: expected a text\n  expected a text");
        let one = json!({ "status": 422, "detail": "one field is not as expected", "errors": [field("/label")] });
        assert_eq!(read(422, &one, &[]).unwrap().to_string(), "label: expected a text");
        let many: Vec<_> = (0..60).map(|number| field(&format!("/{number}"))).collect();
        let told = read(422, &json!({ "status": 422, "detail": "x", "errors": many }), &[]).unwrap().to_string();
        assert!(told.ends_with("\n  and 10 more") && told.lines().count() == 52, "{told}");
    }

    #[test]
    fn a_no_says_when_to_come_back() {
        let problem = json!({ "status": 429, "detail": "too many" });
        let told = read(429, &problem, &[(header::RETRY_AFTER, "7")]).unwrap().to_string();
        assert_eq!(told, "too many (after 7 s)");
    }

    #[test]
    fn what_is_no_problem_of_the_api_is_none() {
        assert!(read(404, &json!({ "detail": "x" }), &[(header::CONTENT_TYPE, "text/html")]).is_none());
        assert!(read(404, &json!("x"), &[]).is_none());
    }

    #[test]
    fn a_field_below_another_is_found_at_it() {
        let problem = json!({ "status": 422, "detail": "x", "errors": [{ "pointer": "/toolsets/0", "detail": "y" }] });
        let trouble = Trouble::Refused(Box::new(read(422, &problem, &[]).unwrap()));
        assert!(trouble.is(422) && trouble.is_at("/toolsets") && trouble.is_at("/toolsets/0"));
        assert!(!trouble.is_at("/tool") && !Trouble::Other(String::new()).is_at(""));
    }
}
