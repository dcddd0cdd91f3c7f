//! A filter of the audit as the words of a statement, for both databases.

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::{AUDIT_PAGE_MAX, AuditFilter, COLUMNS, event_floor, facet};
use crate::rows::blob;

/// The statement that gives the rows which the filter lets through, newest first. Times are compared by event ids, which begin
/// with them: so the order, the pages and the times are one range of one index.
pub(crate) fn page<DB>(filter: &AuditFilter, limit: u32) -> QueryBuilder<DB>
where
    DB: Database,
    i64: for<'t> Encode<'t, DB> + Type<DB>,
    String: for<'t> Encode<'t, DB> + Type<DB>,
    Vec<u8>: for<'t> Encode<'t, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM audit WHERE true"));
    match filter.tenant {
        Some(Some(tenant)) => drop(query.push(" AND tenant_id = ").push_bind(blob(tenant.bits()))),
        Some(None) => drop(query.push(" AND tenant_id IS NULL")),
        None => {}
    }
    if let Some(from_ms) = filter.from_ms {
        query.push(" AND event_id >= ").push_bind(blob(event_floor(from_ms)));
    }
    if let Some(end) = filter.to_ms.map(event_floor).into_iter().chain(filter.before).min() {
        query.push(" AND event_id < ").push_bind(blob(end));
    }
    let same = [
        (" AND kind = ", &filter.kind),
        (" AND server = ", &filter.server),
        (" AND name = ", &filter.name),
        (" AND outcome = ", &filter.outcome),
    ];
    for (condition, wanted) in same {
        if let Some(wanted) = wanted {
            query.push(condition).push_bind(facet(wanted).into_owned());
        }
    }
    if let Some(actor) = &filter.actor {
        match actor.strip_suffix('*') {
            None => drop(query.push(" AND actor = ").push_bind(facet(actor).into_owned())),
            Some(start) => begins_with(&mut query, &facet(start)),
        }
    }
    query.push(" ORDER BY event_id DESC LIMIT ").push_bind(i64::from(limit.min(AUDIT_PAGE_MAX)));
    query
}

/// What begins with a text is what lies between it and the next text that does not, so nothing in it has to be escaped.
fn begins_with<DB>(query: &mut QueryBuilder<DB>, start: &str)
where
    DB: Database,
    String: for<'t> Encode<'t, DB> + Type<DB>,
{
    if start.is_empty() {
        return;
    }
    query.push(" AND actor >= ").push_bind(start.to_owned());
    if let Some(end) = after_all(start) {
        query.push(" AND actor < ").push_bind(end);
    }
}

/// The first text, in the order of bytes, behind all that begin with this one; `None` when there is none.
fn after_all(start: &str) -> Option<String> {
    let mut end = start.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_text_ends_before_the_next_one() {
        for (start, end) in [("key:", Some("key;")), ("ä\u{d7ff}", Some("ä\u{e000}")), ("a\u{10ffff}", Some("b"))] {
            assert_eq!(after_all(start).as_deref(), end);
        }
        assert_eq!(after_all("\u{10ffff}"), None);
    }
}
