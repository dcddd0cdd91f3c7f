//! FROM: tables under their full names, queries, functions, and how they are joined.

use sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableAliasColumnDef, TableFactor,
    TableFunctionArgs, TableSample, TableSampleKind, TableSampleMethod, TableSampleModifier, TableSampleQuantity,
    TableSampleSeed, TableSampleSeedModifier, TableWithJoins, Value,
};

use super::{Walk, absent, folded, parts, refuse_reserved, spoken};
use crate::{
    refusal::{Fault, Rule, Verdict},
    types,
};

impl Walk<'_> {
    pub(super) fn table_with_joins(&mut self, tables: &TableWithJoins) -> Verdict<()> {
        let TableWithJoins { relation, joins } = tables;
        self.table_factor(relation)?;
        joins.iter().try_for_each(|join| self.join(join))
    }

    fn join(&mut self, join: &Join) -> Verdict<()> {
        let Join { relation, global, join_operator } = join;
        absent(!global, "GLOBAL JOIN")?;
        let (words, constraint) = match join_operator {
            JoinOperator::Join(constraint) => ("JOIN", constraint),
            JoinOperator::Inner(constraint) => ("INNER JOIN", constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => ("LEFT JOIN", constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => ("RIGHT JOIN", constraint),
            JoinOperator::FullOuter(constraint) => ("FULL JOIN", constraint),
            JoinOperator::CrossJoin(JoinConstraint::None) => {
                self.text.word("CROSS JOIN");
                return self.table_factor(relation);
            }
            _ => return Err(Rule::Clause("This kind of JOIN").into()),
        };
        if *constraint == JoinConstraint::Natural {
            self.text.word("NATURAL");
        }
        self.text.word(words);
        self.table_factor(relation)?;
        match constraint {
            JoinConstraint::On(condition) => {
                self.text.word("ON");
                self.expression(condition)
            }
            JoinConstraint::Using(columns) => {
                self.text.word("USING");
                self.parens(|walk| walk.list(columns, Self::using_column))
            }
            JoinConstraint::Natural => Ok(()),
            JoinConstraint::None => Err(Rule::Syntax("a JOIN has no ON and no USING".to_owned()).into()),
        }
    }

    fn using_column(&mut self, column: &ObjectName) -> Verdict<()> {
        match parts(column)?.as_slice() {
            [column] => self.name(column),
            more => Err(Rule::Name(spoken(more)).into()),
        }
    }

    fn table_factor(&mut self, factor: &TableFactor) -> Verdict<()> {
        self.deeper(|walk| match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                absent(with_hints.is_empty() && index_hints.is_empty(), "A hint on a table")?;
                absent(
                    version.is_none() && partitions.is_empty() && json_path.is_none(),
                    "A version or a part of a table",
                )?;
                match args {
                    Some(TableFunctionArgs { args, settings: None }) if sample.is_none() => {
                        walk.function_in_from(name, args)?;
                        walk.with_ordinality(*with_ordinality);
                        walk.alias(alias.as_ref(), true)
                    }
                    None if !with_ordinality => walk.table(name, alias.as_ref(), sample.as_ref()),
                    _ => Err(Rule::Clause("What follows this table or function").into()),
                }
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                absent(sample.is_none(), "TABLESAMPLE of a query")?;
                walk.lateral(*lateral);
                walk.subquery(subquery)?;
                walk.alias(alias.as_ref(), false)
            }
            TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
                walk.lateral(*lateral);
                walk.function_in_from(name, args)?;
                walk.with_ordinality(*with_ordinality);
                walk.alias(alias.as_ref(), true)
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                absent(!with_offset && with_offset_alias.is_none(), "WITH OFFSET")?;
                // Several arrays side by side are a construct of the grammar that goes by the bare name.
                walk.text.word(if array_exprs.len() > 1 { "unnest(" } else { "pg_catalog.\"unnest\"(" });
                walk.expressions(array_exprs)?;
                walk.text.glue(")");
                walk.with_ordinality(*with_ordinality);
                walk.alias(alias.as_ref(), false)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                walk.parens(|walk| walk.table_with_joins(table_with_joins))?;
                walk.alias(alias.as_ref(), false)
            }
            _ => Err(Rule::Clause("What stands in FROM").into()),
        })
    }

    /// A query of WITH by its name, or a table by its full name.
    fn table(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        sample: Option<&TableSampleKind>,
    ) -> Verdict<()> {
        let parts = parts(name)?;
        parts.first().map_or(Ok(()), |first| refuse_reserved(first))?;
        let (schema, table) = match parts.as_slice() {
            [table] => (None, folded(table)?),
            [schema, table] => (Some(folded(schema)?), folded(table)?),
            _ => return Err(refused_table(&parts)),
        };
        if schema.is_none() && self.scope.holds(&table) {
            absent(sample.is_none(), "TABLESAMPLE of a query")?;
            self.text.name(&table);
            return self.alias(alias, false);
        }
        let found = self.tables.resolve(schema.as_deref(), &table).ok_or_else(|| refused_table(&parts))?;
        self.text.name(&found.schema);
        self.text.glue(".");
        self.text.name(&found.name);
        if alias.is_some() {
            self.alias(alias, false)?;
        } else if found.name != table {
            // Columns are written with the name that the caller knows.
            self.text.word("AS");
            self.text.name(&table);
        }
        self.read.insert(found);
        sample.map_or(Ok(()), |sample| self.sample(sample))
    }

    /// Whether `schema.table` may be read; a column may be written with both.
    pub(super) fn known_table(&self, schema: &Ident, table: &Ident) -> Verdict<()> {
        match self.tables.resolve(Some(&folded(schema)?), &folded(table)?) {
            Some(_) => Ok(()),
            None => Err(refused_table(&[schema, table])),
        }
    }

    fn lateral(&mut self, lateral: bool) {
        if lateral {
            self.text.word("LATERAL");
        }
    }

    fn with_ordinality(&mut self, with_ordinality: bool) {
        if with_ordinality {
            self.text.word("WITH ORDINALITY");
        }
    }

    fn alias(&mut self, alias: Option<&TableAlias>, typed: bool) -> Verdict<()> {
        let Some(TableAlias { explicit: _, name, columns, at }) = alias else { return Ok(()) };
        absent(at.is_none(), "AT after a table")?;
        self.text.word("AS");
        self.first_name(name)?;
        self.alias_columns(columns, typed)
    }

    /// `("a", "b")`, with types where a function gives records.
    pub(super) fn alias_columns(&mut self, columns: &[TableAliasColumnDef], typed: bool) -> Verdict<()> {
        if columns.is_empty() {
            return Ok(());
        }
        self.parens(|walk| {
            walk.list(columns, |walk, column| {
                let TableAliasColumnDef { name, data_type } = column;
                walk.name(name)?;
                match data_type {
                    None => Ok(()),
                    Some(data_type) if typed => {
                        walk.text.word(&types::written(data_type)?);
                        Ok(())
                    }
                    Some(_) => Err(Rule::Clause("A type in the names of columns").into()),
                }
            })
        })
    }

    /// `TABLESAMPLE SYSTEM (10) REPEATABLE (1)`
    fn sample(&mut self, sample: &TableSampleKind) -> Verdict<()> {
        let refused = || Fault::from(Rule::Clause("TABLESAMPLE other than BERNOULLI (n) and SYSTEM (n)"));
        let TableSampleKind::AfterTableAlias(sample) = sample else { return Err(refused()) };
        let TableSample {
            modifier: TableSampleModifier::TableSample,
            name,
            quantity,
            seed,
            bucket: None,
            offset: None,
        } = sample.as_ref()
        else {
            return Err(refused());
        };
        let method = match name {
            Some(TableSampleMethod::Bernoulli) => "TABLESAMPLE BERNOULLI",
            Some(TableSampleMethod::System) => "TABLESAMPLE SYSTEM",
            Some(TableSampleMethod::Row | TableSampleMethod::Block) | None => return Err(refused()),
        };
        let Some(TableSampleQuantity { parenthesized: true, value: Expr::Value(value), unit: None }) = quantity else {
            return Err(refused());
        };
        let Value::Number(number, _) = &value.value else { return Err(refused()) };
        self.text.word(method);
        self.text.word("(");
        self.text.number(number);
        self.text.glue(")");
        match seed {
            None => Ok(()),
            Some(TableSampleSeed { modifier: TableSampleSeedModifier::Repeatable, value }) => {
                let Value::Number(number, _) = &value.value else { return Err(refused()) };
                self.text.word("REPEATABLE (");
                self.text.number(number);
                self.text.glue(")");
                Ok(())
            }
            Some(TableSampleSeed { modifier: TableSampleSeedModifier::Seed, value: _ }) => Err(refused()),
        }
    }
}

fn refused_table(parts: &[&Ident]) -> Fault {
    let rule = Rule::Table(spoken(parts));
    parts.first().map_or_else(|| Fault::from(rule.clone()), |first| Fault::spanned(rule.clone(), first.span))
}
