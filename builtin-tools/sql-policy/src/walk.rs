//! Goes over the tree with a list of what is allowed and writes the text that may run. Every node is taken apart down to
//! its last field, so that a field that a new parser brings does not compile until somebody has thought about it; what has
//! no branch here is refused. Every name is written in quotes and every word otherwise is one of ours, so that the text has
//! no keyword that the caller chose.

mod call;
mod columns;
mod expression;
mod from;
mod literal;
mod order;
mod query;
mod select;
mod special;
mod writer;

use std::collections::BTreeSet;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query};

use self::writer::Writer;
use crate::{
    Judged, Kind, TableName, Tables,
    parse::reserved,
    refusal::{Fault, Rule, Verdict, cut},
    scope::{Scope, fold},
};

/// How often the walk may enter itself: more than the parser's bound lets a tree be deep, were it not for both.
const DEPTH_MAX: usize = 1_000;

/// The query as it may run, behind `explain`.
pub(crate) fn statement(explain: Option<String>, query: &Query, tables: &dyn Tables) -> Verdict<Judged> {
    let mut walk =
        Walk { tables, text: Writer::default(), scope: Scope::default(), read: BTreeSet::new(), params: 0, depth: 0 };
    let kind = if explain.is_some() { Kind::Explain } else { Kind::Query };
    if let Some(explain) = explain {
        walk.text.word(&explain);
    }
    walk.query(query)?;
    Ok(Judged { sql: walk.text.finish(), kind, params: walk.params, tables: walk.read })
}

struct Walk<'a> {
    tables: &'a dyn Tables,
    text: Writer,
    scope: Scope,
    read: BTreeSet<TableName>,
    params: usize,
    depth: usize,
}

impl Walk<'_> {
    /// One level deeper, if there is one.
    fn deeper(&mut self, inside: impl FnOnce(&mut Self) -> Verdict<()>) -> Verdict<()> {
        if self.depth == DEPTH_MAX {
            return Err(Rule::TooDeep.into());
        }
        self.depth += 1;
        let done = inside(self);
        self.depth -= 1;
        done
    }

    /// `first, second, …`
    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T) -> Verdict<()>) -> Verdict<()> {
        for (index, one) in items.iter().enumerate() {
            if index > 0 {
                self.text.glue(",");
            }
            item(self, one)?;
        }
        Ok(())
    }

    /// `(…)` with a blank before it.
    fn parens(&mut self, inside: impl FnOnce(&mut Self) -> Verdict<()>) -> Verdict<()> {
        self.text.word("(");
        inside(self)?;
        self.text.glue(")");
        Ok(())
    }

    /// A name that begins something: a reserved word is none unless it is quoted.
    fn first_name(&mut self, name: &Ident) -> Verdict<()> {
        refuse_reserved(name)?;
        self.name(name)
    }

    fn name(&mut self, name: &Ident) -> Verdict<()> {
        let folded = folded(name)?;
        self.text.name(&folded);
        Ok(())
    }
}

/// A name as PostgreSQL has it. The lexer knows only two kinds, but the parser takes a string for a name in places.
fn folded(name: &Ident) -> Verdict<String> {
    match name.quote_style {
        None | Some('"') => Ok(fold(name)),
        Some(_) => {
            let said = format!(
                "'{}' stands where a name is expected; names are quoted as \"…\", and a value of a type is written '…'::type",
                cut(&name.value)
            );
            Err(Fault::spanned(Rule::Syntax(said), name.span))
        }
    }
}

fn refuse_reserved(name: &Ident) -> Verdict<()> {
    if name.quote_style.is_some() || !reserved::is_reserved(&fold(name)) {
        return Ok(());
    }
    let said = format!("{} is a word of SQL; as a name it is written in quotes", cut(&name.value));
    Err(Fault::spanned(Rule::Syntax(said), name.span))
}

/// The parts of a name.
fn parts(name: &ObjectName) -> Verdict<Vec<&Ident>> {
    let ObjectName(parts) = name;
    parts
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(ident),
            ObjectNamePart::Function(function) => {
                Err(Fault::spanned(Rule::Function(cut(&function.name.value)), function.name.span))
            }
        })
        .collect()
}

/// A name with its parts, for a sentence.
fn spoken(parts: &[&Ident]) -> String {
    cut(parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join("."))
}

/// A clause that may not be there.
fn absent(is_absent: bool, clause: &'static str) -> Verdict<()> {
    if is_absent { Ok(()) } else { Err(Rule::Clause(clause).into()) }
}
