//! The parts of a tenant's document that requests are about, and what is wrong with them by pointers into the request's body.

use patchbay_core::Slug;

use crate::edge::admin::problem::{FieldError, Problem};

/// The part of the document that a request's body stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// All of it.
    Whole,
    /// What is said of the tenant itself.
    Head,
    /// One member: `limits`, `audit`.
    Member(&'static str),
    /// One of several of a sort, by the name of the sort (`servers`) and its own.
    Named(&'static str, &'a Slug),
}

/// The members that [`Part::Head`] has.
pub(super) const HEAD: [&str; 2] = ["title", "enabled"];

impl Part<'_> {
    /// The problem that says which fields are wrong; `is_of_role` when another role could set them so.
    pub(crate) fn refuse(&self, errors: Vec<FieldError>, is_of_role: bool) -> Problem {
        let count = errors.len();
        let mut elsewhere = 0;
        let errors = errors.into_iter().map(|error| match self.inside(&error.pointer) {
            Some(pointer) => FieldError { pointer, ..error },
            None => {
                elsewhere += 1;
                let detail =
                    format!("{} (this is elsewhere in the tenant's document, and not in what was sent)", error.detail);
                FieldError { detail, ..error }
            }
        });
        let errors = errors.collect();
        if is_of_role {
            Problem::fenced(errors)
        } else if elsewhere == count {
            Problem::unfit(errors)
        } else {
            Problem::invalid(errors)
        }
    }

    /// The pointer into the request's body for a pointer into the document.
    fn inside(&self, pointer: &str) -> Option<String> {
        let prefix = match self {
            Self::Whole => return Some(pointer.to_owned()),
            Self::Head => {
                let member = pointer.strip_prefix('/')?.split('/').next()?;
                return HEAD.contains(&member).then(|| pointer.to_owned());
            }
            Self::Member(member) => format!("/{member}"),
            Self::Named(sort, name) => format!("/{sort}/{name}"),
        };
        let rest = pointer.strip_prefix(&prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_into_the_body_or_say_that_they_do_not() {
        let name: Slug = "git".parse().unwrap();
        let part = Part::Named("servers", &name);
        for (pointer, inside) in [
            ("/servers/git/url", Some("/url")),
            ("/servers/git", Some("")),
            ("/servers/git-2/url", None),
            ("/toolsets/git/url", None),
        ] {
            assert_eq!(part.inside(pointer).as_deref(), inside, "{pointer}");
        }
        assert_eq!(Part::Head.inside("/title").as_deref(), Some("/title"));
        assert_eq!(Part::Head.inside("/servers/git/title"), None);
        assert_eq!(Part::Member("limits").inside("/limits/rules/x").as_deref(), Some("/rules/x"));
        assert_eq!(Part::Whole.inside("/servers/git").as_deref(), Some("/servers/git"));
    }
}
