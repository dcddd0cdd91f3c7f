//! Pages of lists: by the key of the last item (keyset), so that a page never repeats or skips what was there all the time.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

/// Items of a page when nobody says how many.
const PAGE_ITEMS: u16 = 100;
/// The most items of a page.
pub(crate) const PAGE_ITEMS_MAX: u16 = 1000;

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items, in the order of their keys.
    pub(crate) items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl PageQuery {
    /// The page that a query names.
    pub(crate) fn of(limit: Option<u16>, cursor: Option<&String>) -> Self {
        Self { limit, cursor: cursor.cloned() }
    }

    /// How many items.
    ///
    /// # Errors
    /// 400 when the number is out of range.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(PAGE_ITEMS) {
            limit @ 1..=PAGE_ITEMS_MAX => Ok(limit.into()),
            other => Err(Problem::bad_request(format!("limit: expected 1 to {PAGE_ITEMS_MAX}, found {other}"))),
        }
    }

    /// The key after which the page begins.
    ///
    /// # Errors
    /// 400 when the cursor is none of ours.
    pub(crate) fn after(&self) -> Result<Option<String>, Problem> {
        let Some(text) = &self.cursor else { return Ok(None) };
        let read = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        read.map(Some).ok_or_else(|| Problem::bad_request("cursor: expected `next` of an earlier page, unchanged"))
    }

    /// The page of a list that is in memory, sorted by `key`.
    ///
    /// # Errors
    /// As [`Self::limit`] and [`Self::after`].
    pub(crate) fn cut<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> Result<Page<T>, Problem> {
        let (limit, after) = (self.limit()?, self.after()?);
        let rest = items.into_iter().skip_while(|item| after.as_ref().is_some_and(|after| key(item) <= *after));
        let mut items: Vec<T> = rest.take(limit + 1).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| cursor(&key(last)));
        Ok(Page { items, next })
    }
}

/// The cursor that stands after this key.
pub(crate) fn cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}
