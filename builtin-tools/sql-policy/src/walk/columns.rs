//! Columns, elements of arrays, and collations.

use sqlparser::ast::{AccessExpr, Expr, Ident, ObjectName, Subscript};

use super::{Walk, folded, parts, spoken};
use crate::refusal::{Fault, Rule, Verdict, cut};

/// Words that PostgreSQL takes for a function without parentheses, and sqlparser for a column.
const BARE_FUNCTIONS: &[&str] =
    &["current_catalog", "current_role", "current_schema", "current_user", "session_user", "system_user", "user"];

impl Walk<'_> {
    /// `column`, `table.column`, `schema.table.column`.
    pub(super) fn column(&mut self, names: &[&Ident]) -> Verdict<()> {
        match names {
            [name] if name.quote_style.is_none() && BARE_FUNCTIONS.contains(&folded(name)?.as_str()) => {
                Err(Fault::spanned(Rule::Function(cut(&name.value)), name.span))
            }
            [_] | [_, _] => self.dotted(names),
            [schema, table, _] => {
                self.known_table(schema, table)?;
                self.dotted(names)
            }
            more => {
                let rule = Rule::Name(spoken(more));
                Err(more
                    .first()
                    .map_or_else(|| Fault::from(rule.clone()), |first| Fault::spanned(rule.clone(), first.span)))
            }
        }
    }

    /// `table.*`, `schema.table.*`
    pub(super) fn all_columns_of(&mut self, table: &ObjectName) -> Verdict<()> {
        let names = parts(table)?;
        match names.as_slice() {
            [_] => {}
            [schema, table] => self.known_table(schema, table)?,
            more => return Err(Rule::Name(spoken(more)).into()),
        }
        self.dotted(&names)?;
        self.text.glue(".*");
        Ok(())
    }

    fn dotted(&mut self, names: &[&Ident]) -> Verdict<()> {
        for (index, name) in names.iter().enumerate() {
            if index == 0 {
                self.first_name(name)?;
            } else {
                self.text.glue(".");
                self.name(name)?;
            }
        }
        Ok(())
    }

    /// `column[1]`, `(expression)[1:2]`. A field of a record is no more than a function by another name, and is refused.
    pub(super) fn element(&mut self, root: &Expr, chain: &[AccessExpr]) -> Verdict<()> {
        let mut rest = chain;
        if let Expr::Identifier(first) = root {
            let mut names = vec![first];
            while let [AccessExpr::Dot(Expr::Identifier(name)), more @ ..] = rest {
                names.push(name);
                rest = more;
            }
            self.column(&names)?;
        } else {
            self.expression(root)?;
        }
        rest.iter().try_for_each(|access| match access {
            AccessExpr::Subscript(subscript) => self.subscript(subscript),
            AccessExpr::Dot(_) => Err(Rule::Clause("A field of a record, (…).field,").into()),
        })
    }

    fn subscript(&mut self, subscript: &Subscript) -> Verdict<()> {
        self.text.glue("[");
        match subscript {
            Subscript::Index { index } => self.expression(index)?,
            Subscript::Slice { lower_bound, upper_bound, stride: None } => {
                if let Some(lower) = lower_bound {
                    self.expression(lower)?;
                }
                self.text.word(":");
                if let Some(upper) = upper_bound {
                    self.expression(upper)?;
                }
            }
            Subscript::Slice { lower_bound: _, upper_bound: _, stride: Some(_) } => {
                return Err(Rule::Clause("A slice with steps").into());
            }
        }
        self.text.glue("]");
        Ok(())
    }

    /// `COLLATE "C"`: of pg_catalog, where all that come with PostgreSQL are.
    pub(super) fn collation(&mut self, collation: &ObjectName) -> Verdict<()> {
        let names = parts(collation)?;
        let name = match names.as_slice() {
            [name] => name,
            [schema, name] if folded(schema)? == "pg_catalog" => name,
            more => return Err(Rule::Collation(spoken(more)).into()),
        };
        self.text.word("COLLATE pg_catalog.");
        self.name(name)
    }
}
