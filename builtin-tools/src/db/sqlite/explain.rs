//! How SQLite would run a query: its own plan, drawn as a tree. The query passes the same fence as one that runs.

use std::collections::HashMap;

use rusqlite::Statement;

use super::{fence::Session, query};
use crate::db::{answer::Plan, error::QueryError, source::Query};

/// The most steps of a plan that are shown.
const STEPS_MAX: usize = 300;
const STEP_CHARS_MAX: usize = 300;

/// The plan of the query, which is not run.
pub(crate) fn run(session: Session, query: &Query) -> Result<Plan, QueryError> {
    let fenced = session.fence()?;
    let asked = fenced.prepare(&query.sql)?;
    let mut statement = match asked.is_explain() {
        0 => fenced.prepare(&format!("EXPLAIN QUERY PLAN {}", query.sql))?,
        _ => asked,
    };
    // Values are not needed for a plan; where they are given, SQLite may look at them.
    if !query.params.is_empty() {
        query::bind(&mut statement, &query.params, &fenced)?;
    }
    plan(&mut statement).map_err(|error| fenced.explain(&error))
}

fn plan(statement: &mut Statement<'_>) -> rusqlite::Result<Plan> {
    let (mut lines, mut depths, mut truncated) = (Vec::new(), HashMap::new(), false);
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if lines.len() == STEPS_MAX {
            truncated = true;
            break;
        }
        let (id, parent, step): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let depth = depths.get(&parent).map_or(0, |depth| depth + 1);
        depths.insert(id, depth);
        let step: String = step.chars().take(STEP_CHARS_MAX).collect();
        lines.push(format!("{}{step}", "  ".repeat(depth)));
    }
    // SQLite tells neither rows nor cost.
    Ok(Plan { plan: lines, rows_estimated: None, cost_estimated: None, truncated })
}
