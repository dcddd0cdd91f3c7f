//! Queries: WITH and what it brings into sight, set operations, VALUES, and what comes after them. SELECT itself is in
//! `select`.

use sqlparser::ast::{
    Cte, CteAsMaterialized, Expr, Fetch, LimitClause, Offset, OffsetRows, Query, SetExpr, SetOperator, SetQuantifier,
    TableAlias, Value, Values, With,
};

use super::{Walk, absent, folded};
use crate::refusal::{Fault, Rule, Verdict, cut};

impl Walk<'_> {
    /// A query with all that belongs to it; its names are out of sight behind it.
    pub(super) fn query(&mut self, query: &Query) -> Verdict<()> {
        let mark = self.scope.mark();
        let done = self.deeper(|walk| walk.whole_query(query));
        self.scope.leave(mark);
        done
    }

    fn whole_query(&mut self, query: &Query) -> Verdict<()> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        absent(locks.is_empty(), "Locking of rows (FOR UPDATE, FOR SHARE)")?;
        absent(for_clause.is_none(), "FOR XML or FOR JSON")?;
        absent(settings.is_none() && format_clause.is_none() && pipe_operators.is_empty(), "SETTINGS, FORMAT or |>")?;
        if let Some(with) = with {
            self.with(with)?;
        }
        self.set_expression(body)?;
        if let Some(order_by) = order_by {
            self.order_by(order_by)?;
        }
        if let Some(limit) = limit_clause {
            self.limit(limit)?;
        }
        match fetch {
            Some(fetch) => self.fetch(fetch),
            None => Ok(()),
        }
    }

    /// A query in parentheses.
    pub(super) fn subquery(&mut self, query: &Query) -> Verdict<()> {
        self.parens(|walk| walk.query(query))
    }

    fn with(&mut self, with: &With) -> Verdict<()> {
        let With { with_token: _, recursive, cte_tables } = with;
        self.text.word("WITH");
        if *recursive {
            self.text.word("RECURSIVE");
            // All of them see each other and themselves.
            for Cte { alias, .. } in cte_tables {
                self.scope.enter(folded(&alias.name)?);
            }
        }
        self.list(cte_tables, |walk, cte| walk.cte(cte, *recursive))
    }

    fn cte(&mut self, cte: &Cte, recursive: bool) -> Verdict<()> {
        let Cte { alias, query, from, materialized, closing_paren_token: _ } = cte;
        let TableAlias { explicit: _, name, columns, at } = alias;
        absent(from.is_none() && at.is_none(), "FROM after a query of WITH")?;
        let folded = folded(name)?;
        if folded.starts_with("pg_") {
            // Were it ever out of sight where we think it is in sight, it would be a table of the catalog.
            return Err(Fault::spanned(Rule::Name(cut(&name.value)), name.span));
        }
        self.text.name(&folded);
        self.alias_columns(columns, false)?;
        self.text.word("AS");
        match materialized {
            Some(CteAsMaterialized::Materialized) => self.text.word("MATERIALIZED"),
            Some(CteAsMaterialized::NotMaterialized) => self.text.word("NOT MATERIALIZED"),
            None => {}
        }
        self.subquery(query)?;
        if !recursive {
            // Only what comes behind it sees it.
            self.scope.enter(folded);
        }
        Ok(())
    }

    /// Set operations lean to the left, as deep as they are many; the left side is followed without recursion.
    fn set_expression(&mut self, expression: &SetExpr) -> Verdict<()> {
        let mut operations = Vec::new();
        let mut first = expression;
        while let SetExpr::SetOperation { op, set_quantifier, left, right } = first {
            operations.push((op, set_quantifier, right));
            first = left;
        }
        self.set_operand(first)?;
        for (op, quantifier, right) in operations.into_iter().rev() {
            self.text.word(match op {
                SetOperator::Union => "UNION",
                SetOperator::Except => "EXCEPT",
                SetOperator::Intersect => "INTERSECT",
                SetOperator::Minus => return Err(Rule::Clause("MINUS").into()),
            });
            match quantifier {
                SetQuantifier::None => {}
                SetQuantifier::All => self.text.word("ALL"),
                SetQuantifier::Distinct => self.text.word("DISTINCT"),
                SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                    return Err(Rule::Clause("BY NAME").into());
                }
            }
            self.deeper(|walk| walk.set_expression(right))?;
        }
        Ok(())
    }

    fn set_operand(&mut self, operand: &SetExpr) -> Verdict<()> {
        match operand {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.subquery(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { .. } => self.deeper(|walk| walk.set_expression(operand)),
            SetExpr::Insert(_) => Err(Rule::Clause("INSERT inside of a query").into()),
            SetExpr::Update(_) => Err(Rule::Clause("UPDATE inside of a query").into()),
            SetExpr::Delete(_) => Err(Rule::Clause("DELETE inside of a query").into()),
            SetExpr::Merge(_) => Err(Rule::Clause("MERGE inside of a query").into()),
            // `TABLE x` became a SELECT before the parser saw it.
            SetExpr::Table(_) => Err(Rule::Clause("TABLE in this place").into()),
        }
    }

    fn values(&mut self, values: &Values) -> Verdict<()> {
        let Values { explicit_row, value_keyword, rows } = values;
        absent(!explicit_row && !value_keyword, "VALUE or ROW in VALUES")?;
        self.text.word("VALUES");
        self.list(rows, |walk, row| walk.parens(|walk| walk.expressions(&row.content)))
    }

    fn limit(&mut self, limit: &LimitClause) -> Verdict<()> {
        let LimitClause::LimitOffset { limit, offset, limit_by } = limit else {
            return Err(Rule::Clause("LIMIT with a comma").into());
        };
        absent(limit_by.is_empty(), "LIMIT … BY")?;
        if let Some(limit) = limit {
            self.text.word("LIMIT");
            self.expression(limit)?;
        }
        if let Some(Offset { value, rows: OffsetRows::None | OffsetRows::Row | OffsetRows::Rows }) = offset {
            self.text.word("OFFSET");
            self.expression(value)?;
        }
        Ok(())
    }

    fn fetch(&mut self, fetch: &Fetch) -> Verdict<()> {
        let Fetch { with_ties, percent, quantity } = fetch;
        absent(!percent, "FETCH … PERCENT")?;
        self.text.word("FETCH FIRST");
        match quantity {
            None => {}
            Some(count) if is_count(count) => self.expression(count)?,
            Some(_) => return Err(Rule::Clause("FETCH with other than a number or a parameter").into()),
        }
        self.text.word(if *with_ties { "ROWS WITH TIES" } else { "ROWS ONLY" });
        Ok(())
    }
}

fn is_count(expression: &Expr) -> bool {
    matches!(expression, Expr::Value(value) if matches!(value.value, Value::Number(..) | Value::Placeholder(_)))
}
