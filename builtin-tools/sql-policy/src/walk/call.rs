//! Calls of functions, wherever they stand: only those on the list, written with pg_catalog before them.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Value,
};

use super::{Walk, absent, folded, literal::string_of, parts, spoken};
use crate::{
    functions::{self, Form},
    refusal::{Fault, Rule, Verdict},
};

impl Walk<'_> {
    pub(super) fn function(&mut self, function: &Function) -> Verdict<()> {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } =
            function;
        absent(!uses_odbc_syntax && matches!(parameters, FunctionArguments::None), "A call in this form")?;
        absent(null_treatment.is_none(), "IGNORE NULLS or RESPECT NULLS")?;
        let called = Called::of(name)?;
        match args {
            FunctionArguments::List(list) => self.called_with(&called, list)?,
            FunctionArguments::None => match called.form {
                Form::Moment(word) => self.text.word(word),
                _ => return Err(called.refused()),
            },
            FunctionArguments::Subquery(query) if called.is_array() => {
                self.text.word("ARRAY");
                self.subquery(query)?;
            }
            FunctionArguments::Subquery(_) => return Err(called.refused()),
        }
        if !within_group.is_empty() {
            self.text.word("WITHIN GROUP");
            self.parens(|walk| walk.order_keys(within_group))?;
        }
        if let Some(condition) = filter {
            self.text.word("FILTER (WHERE");
            self.expression(condition)?;
            self.text.glue(")");
        }
        match over {
            Some(over) => self.over(over),
            None => Ok(()),
        }
    }

    /// A function in FROM, which sqlparser takes for a table with arguments.
    pub(super) fn function_in_from(&mut self, name: &ObjectName, args: &[FunctionArg]) -> Verdict<()> {
        let called = Called::of(name)?;
        if !matches!(called.form, Form::Plain | Form::Format) {
            return Err(called.refused());
        }
        self.check_format(&called, args)?;
        // Several arrays side by side are a construct of the grammar that goes by the bare name.
        let side_by_side = called.name == "unnest" && args.len() > 1;
        let written = if side_by_side { "unnest".to_owned() } else { called.written() };
        self.construct(&written, |walk| walk.list(args, |walk, arg| walk.argument(&called, arg)))
    }

    fn called_with(&mut self, called: &Called<'_>, list: &FunctionArgumentList) -> Verdict<()> {
        let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
        match called.form {
            Form::Moment(_) => return self.moment(called, list),
            Form::Construct("ARRAY") => return Err(called.refused()),
            Form::Construct(_) => {
                absent(duplicate_treatment.is_none() && clauses.is_empty(), "DISTINCT or ORDER BY here")?
            }
            Form::Plain | Form::Format => self.check_format(called, args)?,
        }
        self.construct(&called.written(), |walk| {
            match duplicate_treatment {
                None => {}
                Some(DuplicateTreatment::Distinct) => walk.text.word("DISTINCT"),
                Some(DuplicateTreatment::All) => walk.text.word("ALL"),
            }
            walk.list(args, |walk, arg| walk.argument(called, arg))?;
            clauses.iter().try_for_each(|clause| match clause {
                FunctionArgumentClause::OrderBy(keys) => walk.order_keys(keys),
                _ => Err(Rule::Clause("What follows the arguments of this function").into()),
            })
        })
    }

    /// `CURRENT_TIME(3)`
    fn moment(&mut self, called: &Called<'_>, list: &FunctionArgumentList) -> Verdict<()> {
        let FunctionArgumentList { duplicate_treatment: None, args, clauses } = list else {
            return Err(called.refused());
        };
        match args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(precision @ Expr::Value(value)))]
                if clauses.is_empty() && matches!(value.value, Value::Number(..)) =>
            {
                self.construct(&called.written(), |walk| walk.expression(precision))
            }
            _ => Err(called.refused()),
        }
    }

    fn argument(&mut self, called: &Called<'_>, arg: &FunctionArg) -> Verdict<()> {
        match arg {
            FunctionArg::Unnamed(value) => self.argument_value(called, value),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, operator: FunctionArgOperator::RightArrow } => {
                self.name(name)?;
                self.text.word("=>");
                self.argument_value(called, arg)
            }
            FunctionArg::ExprNamed { .. } | FunctionArg::Named { .. } => {
                Err(Rule::Clause("An argument with a name, other than name => value,").into())
            }
        }
    }

    fn argument_value(&mut self, called: &Called<'_>, value: &FunctionArgExpr) -> Verdict<()> {
        match value {
            FunctionArgExpr::Expr(expression) => self.expression(expression),
            FunctionArgExpr::QualifiedWildcard(table) => self.all_columns_of(table),
            FunctionArgExpr::Wildcard if called.name == "count" => {
                self.text.word("*");
                Ok(())
            }
            FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_) => {
                Err(Rule::Clause("* in a function other than count").into())
            }
        }
    }

    /// `format` with a pattern that asks for no width.
    fn check_format(&self, called: &Called<'_>, args: &[FunctionArg]) -> Verdict<()> {
        if called.form != Form::Format {
            return Ok(());
        }
        match args {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(pattern)), ..]
                if string_of(pattern).is_some_and(functions::is_harmless_format) =>
            {
                Ok(())
            }
            _ => Err(Fault::spanned(
                Rule::Function("format with a pattern that is no literal or has widths".to_owned()),
                called.first.span,
            )),
        }
    }
}

/// A function that may be called.
struct Called<'a> {
    name: String,
    form: Form,
    first: &'a Ident,
    spoken: String,
}

impl<'a> Called<'a> {
    fn of(name: &'a ObjectName) -> Verdict<Self> {
        let parts = parts(name)?;
        let spoken = spoken(&parts);
        let found = match parts.as_slice() {
            [bare] => {
                let folded = folded(bare)?;
                let construct = bare.quote_style.is_none().then(|| construct(&folded)).flatten();
                construct.or_else(|| functions::plain(&folded)).map(|form| (folded, form))
            }
            [schema, name] if folded(schema)? == "pg_catalog" => {
                let folded = folded(name)?;
                functions::plain(&folded).map(|form| (folded, form))
            }
            _ => None,
        };
        match (found, parts.first()) {
            (Some((name, form)), Some(first)) => Ok(Self { name, form, first, spoken }),
            (None, Some(first)) => Err(Fault::spanned(Rule::Function(spoken), first.span)),
            (_, None) => Err(Rule::Function(spoken).into()),
        }
    }

    fn written(&self) -> String {
        match self.form {
            Form::Plain | Form::Format => format!("pg_catalog.\"{}\"", self.name),
            Form::Construct(word) | Form::Moment(word) => word.to_owned(),
        }
    }

    fn is_array(&self) -> bool {
        self.form == Form::Construct("ARRAY")
    }

    fn refused(&self) -> Fault {
        Fault::spanned(Rule::Function(self.spoken.clone()), self.first.span)
    }
}

/// A construct of the grammar. `ARRAY(SELECT …)` comes as a call, too.
fn construct(name: &str) -> Option<Form> {
    if name == "array" { Some(Form::Construct("ARRAY")) } else { functions::construct(name) }
}
