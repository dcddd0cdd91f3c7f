//! Records by what they are found by, newest first, a page at a time. Who may ask, and what of a record is shown, is the command
//! line's and the admin API's.

use std::collections::HashSet;

use patchbay_store::{AuditFilter, AuditRow, Store, StoreError};

use super::keeping::DAY_MS;

/// Days that one page looks through: a filter that few records pass would else read all there are.
const PAGE_DAYS_MAX: i64 = 31;

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// The records, newest first; maybe none although there are older ones.
    pub rows: Vec<AuditRow>,
    /// [`AuditFilter::before`] of the next page.
    pub next: Option<u128>,
}

/// The newest records that the filter lets through. A page ends when it is full, and when it has looked through so many days.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn page(store: &dyn Store, filter: &AuditFilter, limit: u32, now_ms: i64) -> Result<Page, StoreError> {
    let ends = [filter.to_ms, filter.before.map(time_of)];
    let end_ms = ends.into_iter().flatten().min().unwrap_or(now_ms);
    let floor_ms = end_ms.saturating_sub(PAGE_DAYS_MAX * DAY_MS);
    let from_ms = filter.from_ms.map_or(floor_ms, |from_ms| from_ms.max(floor_ms));
    let rows = store.audit_page(&AuditFilter { from_ms: Some(from_ms), ..filter.clone() }, limit).await?;
    let next = if rows.len() == limit as usize {
        rows.last().map(|last| last.event_id)
    } else if filter.from_ms.is_none_or(|wanted_ms| wanted_ms < from_ms) {
        older(store, filter, from_ms).await?
    } else {
        None
    };
    Ok(Page { rows: unreplaced(store, rows).await?, next })
}

/// Where the next older record is, whichever it may be, so that a page never looks through days without any.
async fn older(store: &dyn Store, filter: &AuditFilter, before_ms: i64) -> Result<Option<u128>, StoreError> {
    let AuditFilter { tenant, from_ms, before, .. } = *filter;
    let any = AuditFilter { tenant, from_ms, to_ms: Some(before_ms), before, ..AuditFilter::default() };
    let found = store.audit_page(&any, 1).await?;
    Ok(found.first().map(|row| row.event_id + 1))
}

/// The first millisecond after that of an event.
fn time_of(event_id: u128) -> i64 {
    i64::try_from(event_id >> 80).map_or(i64::MAX, |at_ms| at_ms + 1)
}

/// The id of the record that says how the event of this one ended.
const fn closing(row: &AuditRow) -> u128 {
    // A record of an end is replaced by none.
    if row.event_id & 1 == 0 { row.event_id | 1 } else { 0 }
}

/// Without those records of which only the sending is among these, and whose end another one tells. Such a one says that the
/// outcome is unknown, and it is not.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn unreplaced(store: &dyn Store, mut rows: Vec<AuditRow>) -> Result<Vec<AuditRow>, StoreError> {
    let open: Vec<_> = rows.iter().filter(|row| row.facets.outcome == "unknown").map(closing).collect();
    let replaced: HashSet<u128> = store.audit_known(&open).await?;
    rows.retain(|row| !replaced.contains(&closing(row)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use patchbay_core::audit::{ChainId, EventId, Facets, Link, WriterId};

    use super::*;

    fn row(event_id: u128, outcome: &str) -> AuditRow {
        AuditRow {
            event_id,
            chain: ChainId { tenant: None, writer: WriterId::OPERATOR },
            link: Link::START,
            at_ms: 1,
            kind: "tool.call".to_owned(),
            facets: Facets { outcome: outcome.to_owned(), ..Facets::default() },
            json: "{}".to_owned(),
        }
    }

    async fn store(rows: &[AuditRow]) -> std::sync::Arc<dyn Store> {
        let vault = patchbay_store::Vault::new(1, [7; 32]);
        let store = patchbay_store::open("sqlite::memory:", vault, Default::default()).await.unwrap();
        store.audit_append(rows).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_call_that_has_ended_is_not_shown_as_one_whose_end_nobody_knows() {
        let [ended, open] = [1, 2].map(|count| EventId::compose(1, count, 1));
        let rows = [row(ended.bits(), "unknown"), row(ended.closing_bits(), "answered"), row(open.bits(), "unknown")];
        let store = store(&rows).await;
        let kept = unreplaced(&*store, rows.to_vec()).await.unwrap();
        assert_eq!(kept, rows[1..]);
        let kept = unreplaced(&*store, vec![rows[0].clone(), rows[2].clone()]).await.unwrap();
        assert_eq!(kept, rows[2..]);
    }

    #[tokio::test]
    async fn a_rare_record_of_long_ago_is_found_in_a_few_pages_that_each_look_through_a_month() {
        let day = |day: i64, count| EventId::compose(day * DAY_MS, count, 1).bits();
        let (rare, now_ms) = (day(10, 1), 1000 * DAY_MS);
        let mut rows = vec![row(rare, "broken")];
        rows.extend([11, 500, 520, 990, 999].map(|at| row(day(at, 2), "answered")));
        let store = store(&rows).await;
        let wanted =
            |since| AuditFilter { outcome: Some("broken".to_owned()), from_ms: since, ..AuditFilter::default() };
        let (mut filter, mut found, mut pages) = (wanted(None), Vec::new(), 0);
        loop {
            let page = page(&*store, &filter, 10, now_ms).await.unwrap();
            found.extend(page.rows);
            pages += 1;
            let Some(next) = page.next else { break };
            assert!(filter.before.is_none_or(|before| next < before), "it goes back in time");
            filter.before = Some(next);
        }
        assert_eq!((&found[..], pages), (&rows[..1], 3));
        let since = page(&*store, &wanted(Some(980 * DAY_MS)), 10, now_ms).await.unwrap();
        assert_eq!(since, Page { rows: Vec::new(), next: None });
    }
}
