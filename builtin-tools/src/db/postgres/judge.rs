//! Has a caller's statement judged, on a thread with the stack that the judge needs and within a time that a statement of any
//! sense stays under.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use patchbay_sql_policy::{Judged, Refusal, STACK_BYTES, TableName, Tables, judge};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use crate::db::error::QueryError;

/// Statements that are judged at once, in the whole process; the work is all computing.
const JUDGING_MAX: usize = 4;
/// How long judging one may take, waiting for a place included.
const TIME_MAX: Duration = Duration::from_secs(1);

static PLACES: Semaphore = Semaphore::const_new(JUDGING_MAX);

/// What came out.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The statement that may run, or why it may not.
    pub(crate) outcome: Result<Judged, Refusal>,
    /// Whether a table was asked for that is not known; it may be new.
    pub(crate) missed: bool,
}

/// Judges `sql` by these tables.
pub(crate) async fn verdict<T>(sql: String, tables: Arc<T>) -> Result<Verdict, QueryError>
where
    T: Tables + Send + Sync + 'static,
{
    let judging = async {
        let place = PLACES.acquire().await.map_err(|_| QueryError::Unavailable)?;
        let (sender, receiver) = oneshot::channel();
        thread::Builder::new()
            .name("sql-judge".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _place = place;
                let tables = Asked { tables: &*tables, missed: AtomicBool::new(false) };
                let outcome = judge(&sql, &tables);
                // Nobody listens any more when it took too long.
                let _ = sender.send(Verdict { outcome, missed: tables.missed.into_inner() });
            })
            .map_err(|_| QueryError::Crowded)?;
        // A judge that panicked sends nothing, and its statement does not run.
        receiver.await.map_err(|_| QueryError::Unavailable)
    };
    timeout(TIME_MAX, judging).await.map_err(|_| QueryError::Crowded)?
}

/// Tables that remember whether one was missed.
struct Asked<'a, T> {
    tables: &'a T,
    missed: AtomicBool,
}

impl<T: Tables> Tables for Asked<'_, T> {
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName> {
        let found = self.tables.resolve(schema, name);
        self.missed.fetch_or(found.is_none(), Ordering::Relaxed);
        found
    }
}
