//! SELECT: its list, and its clauses in their order.

use sqlparser::ast::{
    Distinct, GroupByExpr, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use super::{Walk, absent, folded};
use crate::{
    parse::labels,
    refusal::{Fault, Rule, Verdict, cut},
};

impl Walk<'_> {
    pub(super) fn select(&mut self, select: &Select) -> Verdict<()> {
        let Select {
            select_token,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        if into.is_some() {
            return Err(Fault::spanned(Rule::Clause("SELECT INTO"), select_token.0.span));
        }
        absent(optimizer_hints.is_empty() && select_modifiers.is_none(), "A hint to the optimizer")?;
        absent(top.is_none() && exclude.is_none() && qualify.is_none(), "TOP, EXCLUDE or QUALIFY")?;
        absent(
            lateral_views.is_empty() && prewhere.is_none() && connect_by.is_empty(),
            "A clause of another database",
        )?;
        absent(
            cluster_by.is_empty() && distribute_by.is_empty() && sort_by.is_empty(),
            "A clause of another database",
        )?;
        absent(value_table_mode.is_none() && matches!(flavor, SelectFlavor::Standard), "A clause of another database")?;
        self.text.word("SELECT");
        match distinct {
            None => {}
            Some(Distinct::All) => self.text.word("ALL"),
            Some(Distinct::Distinct) => self.text.word("DISTINCT"),
            Some(Distinct::On(keys)) => {
                self.text.word("DISTINCT ON");
                self.parens(|walk| walk.expressions(keys))?;
            }
        }
        self.list(projection, Self::select_item)?;
        if !from.is_empty() {
            self.text.word("FROM");
            self.list(from, Self::table_with_joins)?;
        }
        if let Some(condition) = selection {
            self.text.word("WHERE");
            self.expression(condition)?;
        }
        self.group_by(group_by)?;
        if let Some(condition) = having {
            self.text.word("HAVING");
            self.expression(condition)?;
        }
        self.named_windows(named_window)
    }

    fn select_item(&mut self, item: &SelectItem) -> Verdict<()> {
        match item {
            SelectItem::UnnamedExpr(expression) => self.expression(expression),
            SelectItem::ExprWithAlias { expr, alias } => {
                self.expression(expr)?;
                if alias.quote_style.is_none() && labels::wants_as(&folded(alias)?) {
                    // To PostgreSQL it is no alias without AS, but the beginning of something else.
                    let said = format!("{} stands where AS {0} or nothing is expected", cut(&alias.value));
                    return Err(Fault::spanned(Rule::Syntax(said), alias.span));
                }
                self.text.word("AS");
                self.name(alias)
            }
            SelectItem::ExprWithAliases { expr: _, aliases: _ } => {
                Err(Rule::Clause("Several names for a column").into())
            }
            SelectItem::Wildcard(options) => {
                plain_wildcard(options)?;
                self.text.word("*");
                Ok(())
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options) => {
                plain_wildcard(options)?;
                self.all_columns_of(table)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _) => {
                Err(Rule::Clause("(…).*").into())
            }
        }
    }

    fn group_by(&mut self, group_by: &GroupByExpr) -> Verdict<()> {
        let GroupByExpr::Expressions(keys, modifiers) = group_by else {
            return Err(Rule::Clause("GROUP BY ALL").into());
        };
        absent(modifiers.is_empty(), "GROUP BY … WITH")?;
        if keys.is_empty() {
            return Ok(());
        }
        self.text.word("GROUP BY");
        self.list(keys, Self::grouping_key)
    }
}

/// `*` without what other databases hang on to it.
fn plain_wildcard(options: &WildcardAdditionalOptions) -> Verdict<()> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    absent(opt_ilike.is_none() && opt_exclude.is_none() && opt_except.is_none(), "* with exceptions")?;
    absent(opt_replace.is_none() && opt_rename.is_none() && opt_alias.is_none(), "* with other names")
}
