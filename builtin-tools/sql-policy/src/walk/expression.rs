//! Expressions. They are written in the order in which they stand, with no parenthesis added or left out, so that it is
//! PostgreSQL's precedence that counts. What leans to the left (`a + b + c …`, `x::int::text …`) is as deep as it is long
//! and is followed without recursion.

use sqlparser::ast::{BinaryOperator, CastKind, Expr};

use super::{Walk, absent};
use crate::{
    operators,
    refusal::{Rule, Verdict, cut},
    types,
};

impl Walk<'_> {
    pub(super) fn expressions(&mut self, expressions: &[Expr]) -> Verdict<()> {
        self.list(expressions, |walk, expression| walk.expression(expression))
    }

    pub(super) fn expression(&mut self, expression: &Expr) -> Verdict<()> {
        self.deeper(|walk| {
            let mut followers = Vec::new();
            let mut first = expression;
            while let Some(left) = left_operand(first) {
                followers.push(first);
                first = left;
            }
            walk.operand(first)?;
            followers.into_iter().rev().try_for_each(|follower| walk.follow(follower))
        })
    }

    /// What comes after the left operand of `expression`.
    fn follow(&mut self, expression: &Expr) -> Verdict<()> {
        match expression {
            Expr::BinaryOp { left: _, op, right } => {
                match op {
                    BinaryOperator::PGCustomBinaryOperator(parts) => {
                        let written =
                            operators::qualified(parts).ok_or_else(|| Rule::Operator(cut(parts.join("."))))?;
                        self.text.word(&written);
                    }
                    op => self.text.word(operators::binary(op).ok_or_else(|| Rule::Operator(cut(op)))?),
                }
                self.expression(right)
            }
            Expr::Cast { kind: _, expr: _, data_type, format } => {
                absent(format.is_none(), "CAST … FORMAT")?;
                self.text.word("::");
                self.text.word(&types::written(data_type)?);
                Ok(())
            }
            Expr::AtTimeZone { timestamp: _, time_zone } => {
                self.text.word("AT TIME ZONE");
                self.expression(time_zone)
            }
            Expr::Collate { expr: _, collation } => self.collation(collation),
            Expr::AnyOp { left: _, compare_op, right, is_some: _ } => self.quantified(compare_op, "ANY", right),
            Expr::AllOp { left: _, compare_op, right } => self.quantified(compare_op, "ALL", right),
            Expr::IsDistinctFrom(_, right) => {
                self.text.word("IS DISTINCT FROM");
                self.expression(right)
            }
            Expr::IsNotDistinctFrom(_, right) => {
                self.text.word("IS NOT DISTINCT FROM");
                self.expression(right)
            }
            Expr::InList { .. } | Expr::InSubquery { .. } | Expr::Between { .. } => self.follow_range(expression),
            Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => self.follow_pattern(expression),
            other => {
                let test = test(other).ok_or(Rule::Clause("This test"))?;
                self.text.word(test);
                Ok(())
            }
        }
    }

    fn quantified(&mut self, operator: &BinaryOperator, word: &str, right: &Expr) -> Verdict<()> {
        self.text.word(operators::binary(operator).ok_or_else(|| Rule::Operator(cut(operator)))?);
        self.text.word(word);
        match right {
            Expr::Subquery(query) => self.subquery(query),
            array => self.parens(|walk| walk.expression(array)),
        }
    }

    fn follow_range(&mut self, expression: &Expr) -> Verdict<()> {
        match expression {
            Expr::InList { expr: _, list, negated } => {
                self.text.word(if *negated { "NOT IN" } else { "IN" });
                self.parens(|walk| walk.expressions(list))
            }
            Expr::InSubquery { expr: _, subquery, negated } => {
                self.text.word(if *negated { "NOT IN" } else { "IN" });
                self.subquery(subquery)
            }
            Expr::Between { expr: _, negated, low, high } => {
                self.text.word(if *negated { "NOT BETWEEN" } else { "BETWEEN" });
                self.expression(low)?;
                self.text.word("AND");
                self.expression(high)
            }
            _ => Err(Rule::Clause("This test").into()),
        }
    }

    fn follow_pattern(&mut self, expression: &Expr) -> Verdict<()> {
        let (words, pattern, escape) = match expression {
            Expr::Like { negated, any, expr: _, pattern, escape_char } => {
                absent(!any, "LIKE ANY without an array")?;
                (if *negated { "NOT LIKE" } else { "LIKE" }, pattern, escape_char)
            }
            Expr::ILike { negated, any, expr: _, pattern, escape_char } => {
                absent(!any, "ILIKE ANY without an array")?;
                (if *negated { "NOT ILIKE" } else { "ILIKE" }, pattern, escape_char)
            }
            Expr::SimilarTo { negated, expr: _, pattern, escape_char } => {
                (if *negated { "NOT SIMILAR TO" } else { "SIMILAR TO" }, pattern, escape_char)
            }
            _ => return Err(Rule::Clause("This test").into()),
        };
        self.text.word(words);
        self.expression(pattern)?;
        match escape {
            None => Ok(()),
            Some(escape) => {
                self.text.word("ESCAPE");
                self.expression(escape)
            }
        }
    }

    /// An expression that does not begin with another one.
    fn operand(&mut self, operand: &Expr) -> Verdict<()> {
        match operand {
            Expr::Value(value) => self.literal(value),
            Expr::Identifier(name) => self.column(&[name]),
            Expr::CompoundIdentifier(names) => self.column(&names.iter().collect::<Vec<_>>()),
            Expr::CompoundFieldAccess { root, access_chain } => self.element(root, access_chain),
            Expr::Nested(inner) => self.parens(|walk| walk.expression(inner)),
            Expr::Tuple(fields) => self.parens(|walk| walk.expressions(fields)),
            Expr::Subquery(query) => self.subquery(query),
            Expr::Exists { subquery, negated } => {
                self.text.word(if *negated { "NOT EXISTS" } else { "EXISTS" });
                self.subquery(subquery)
            }
            Expr::UnaryOp { op, expr } => {
                self.text.word(operators::unary(*op).ok_or_else(|| Rule::Operator(cut(op)))?);
                self.expression(expr)
            }
            Expr::Function(function) => self.function(function),
            other => self.special(other),
        }
    }
}

/// The operand that `expression` begins with, if it begins with one.
fn left_operand(expression: &Expr) -> Option<&Expr> {
    match expression {
        Expr::BinaryOp { left, .. } | Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => Some(left),
        Expr::Cast { kind: CastKind::DoubleColon, expr, .. } => Some(expr),
        Expr::IsDistinctFrom(left, _) | Expr::IsNotDistinctFrom(left, _) => Some(left),
        Expr::IsNull(left) | Expr::IsNotNull(left) | Expr::IsUnknown(left) | Expr::IsNotUnknown(left) => Some(left),
        Expr::IsTrue(left) | Expr::IsNotTrue(left) | Expr::IsFalse(left) | Expr::IsNotFalse(left) => Some(left),
        Expr::InList { expr, .. } | Expr::InSubquery { expr, .. } | Expr::Between { expr, .. } => Some(expr),
        Expr::Like { expr, .. } | Expr::ILike { expr, .. } | Expr::SimilarTo { expr, .. } => Some(expr),
        Expr::AtTimeZone { timestamp, .. } => Some(timestamp),
        Expr::Collate { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The words of a test without a right operand.
fn test(expression: &Expr) -> Option<&'static str> {
    Some(match expression {
        Expr::IsNull(_) => "IS NULL",
        Expr::IsNotNull(_) => "IS NOT NULL",
        Expr::IsUnknown(_) => "IS UNKNOWN",
        Expr::IsNotUnknown(_) => "IS NOT UNKNOWN",
        Expr::IsTrue(_) => "IS TRUE",
        Expr::IsNotTrue(_) => "IS NOT TRUE",
        Expr::IsFalse(_) => "IS FALSE",
        Expr::IsNotFalse(_) => "IS NOT FALSE",
        _ => return None,
    })
}
