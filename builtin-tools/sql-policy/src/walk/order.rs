//! Orders, groups and windows.

use sqlparser::ast::{
    Expr, NamedWindowDefinition, NamedWindowExpr, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, OrderBySort,
    WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::{Walk, absent};
use crate::refusal::{Rule, Verdict};

impl Walk<'_> {
    pub(super) fn order_by(&mut self, order_by: &OrderBy) -> Verdict<()> {
        let OrderBy { kind, interpolate } = order_by;
        absent(interpolate.is_none(), "INTERPOLATE")?;
        match kind {
            OrderByKind::Expressions(keys) => self.order_keys(keys),
            OrderByKind::All(_) => Err(Rule::Clause("ORDER BY ALL").into()),
        }
    }

    /// `ORDER BY …`, of a query, an aggregate, a window or a group.
    pub(super) fn order_keys(&mut self, keys: &[OrderByExpr]) -> Verdict<()> {
        self.text.word("ORDER BY");
        self.list(keys, |walk, key| {
            let OrderByExpr { expr, options, with_fill } = key;
            let OrderByOptions { sort, nulls_first } = options;
            absent(with_fill.is_none(), "WITH FILL")?;
            walk.expression(expr)?;
            match sort {
                None => {}
                Some(OrderBySort::Asc) => walk.text.word("ASC"),
                Some(OrderBySort::Desc) => walk.text.word("DESC"),
                Some(OrderBySort::Using(_)) => return Err(Rule::Clause("ORDER BY … USING").into()),
            }
            match nulls_first {
                None => {}
                Some(true) => walk.text.word("NULLS FIRST"),
                Some(false) => walk.text.word("NULLS LAST"),
            }
            Ok(())
        })
    }

    /// A key of GROUP BY: an expression, or sets of them.
    pub(super) fn grouping_key(&mut self, key: &Expr) -> Verdict<()> {
        let (word, sets) = match key {
            Expr::GroupingSets(sets) => ("GROUPING SETS", sets),
            Expr::Cube(sets) => ("CUBE", sets),
            Expr::Rollup(sets) => ("ROLLUP", sets),
            Expr::Tuple(keys) if keys.is_empty() => {
                self.text.word("()");
                return Ok(());
            }
            other => return self.expression(other),
        };
        self.text.word(word);
        self.parens(|walk| walk.list(sets, |walk, set| walk.parens(|walk| walk.expressions(set))))
    }

    pub(super) fn named_windows(&mut self, windows: &[NamedWindowDefinition]) -> Verdict<()> {
        if windows.is_empty() {
            return Ok(());
        }
        self.text.word("WINDOW");
        self.list(windows, |walk, window| {
            let NamedWindowDefinition(name, definition) = window;
            walk.name(name)?;
            walk.text.word("AS");
            match definition {
                NamedWindowExpr::WindowSpec(spec) => walk.window(spec),
                NamedWindowExpr::NamedWindow(_) => Err(Rule::Clause("A window that is only another's name").into()),
            }
        })
    }

    pub(super) fn over(&mut self, over: &WindowType) -> Verdict<()> {
        self.text.word("OVER");
        match over {
            WindowType::WindowSpec(spec) => self.window(spec),
            WindowType::NamedWindow(name) => self.name(name),
        }
    }

    fn window(&mut self, spec: &WindowSpec) -> Verdict<()> {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        self.parens(|walk| {
            if let Some(name) = window_name {
                walk.name(name)?;
            }
            if !partition_by.is_empty() {
                walk.text.word("PARTITION BY");
                walk.expressions(partition_by)?;
            }
            if !order_by.is_empty() {
                walk.order_keys(order_by)?;
            }
            match window_frame {
                Some(frame) => walk.frame(frame),
                None => Ok(()),
            }
        })
    }

    fn frame(&mut self, frame: &WindowFrame) -> Verdict<()> {
        let WindowFrame { units, start_bound, end_bound } = frame;
        self.text.word(match units {
            WindowFrameUnits::Rows => "ROWS",
            WindowFrameUnits::Range => "RANGE",
            WindowFrameUnits::Groups => "GROUPS",
        });
        match end_bound {
            None => self.bound(start_bound),
            Some(end) => {
                self.text.word("BETWEEN");
                self.bound(start_bound)?;
                self.text.word("AND");
                self.bound(end)
            }
        }
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Verdict<()> {
        let (distance, direction) = match bound {
            WindowFrameBound::CurrentRow => {
                self.text.word("CURRENT ROW");
                return Ok(());
            }
            WindowFrameBound::Preceding(distance) => (distance, "PRECEDING"),
            WindowFrameBound::Following(distance) => (distance, "FOLLOWING"),
        };
        match distance {
            None => self.text.word("UNBOUNDED"),
            Some(distance) => self.expression(distance)?,
        }
        self.text.word(direction);
        Ok(())
    }
}
