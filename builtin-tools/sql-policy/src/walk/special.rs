//! The constructs of SQL that are no plain function calls: CASE, CAST, EXTRACT, SUBSTRING … FROM, TRIM, INTERVAL, ARRAY.

use sqlparser::ast::{
    Array, CaseWhen, CastKind, CeilFloorKind, DateTimeField, Expr, ExtractSyntax, Interval, TrimWhereField,
};

use super::{Walk, absent, literal::string_of};
use crate::{
    refusal::{Rule, Verdict, cut},
    scope::fold,
    types,
};

impl Walk<'_> {
    pub(super) fn special(&mut self, expression: &Expr) -> Verdict<()> {
        match expression {
            Expr::TypedString(typed) => self.typed_string(typed),
            Expr::Cast { kind: CastKind::Cast, expr, data_type, format } => {
                absent(format.is_none(), "CAST … FORMAT")?;
                self.construct("CAST", |walk| {
                    walk.expression(expr)?;
                    walk.text.word("AS");
                    walk.text.word(&types::written(data_type)?);
                    Ok(())
                })
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Extract { field, syntax: ExtractSyntax::From, expr } => self.construct("EXTRACT", |walk| {
                walk.text.word(extracted(field)?);
                walk.operand_after("FROM", Some(expr))
            }),
            Expr::Ceil { expr, field } => self.rounding("ceil", expr, field),
            Expr::Floor { expr, field } => self.rounding("floor", expr, field),
            Expr::Position { expr, r#in } => self.construct("POSITION", |walk| {
                walk.expression(expr)?;
                walk.operand_after("IN", Some(r#in))
            }),
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => self.construct("OVERLAY", |walk| {
                walk.expression(expr)?;
                walk.operand_after("PLACING", Some(overlay_what))?;
                walk.operand_after("FROM", Some(overlay_from))?;
                walk.operand_after("FOR", overlay_for.as_deref())
            }),
            Expr::Substring { .. } => self.substring(expression),
            Expr::Trim { .. } => self.trim(expression),
            Expr::Interval(interval) => self.interval(interval),
            Expr::Array(Array { elem, named: true }) => {
                self.text.word("ARRAY");
                self.elements(elem)
            }
            Expr::Array(Array { elem: _, named: false }) => {
                Err(Rule::Syntax("an array is written ARRAY[…]".to_owned()).into())
            }
            _ => Err(Rule::Clause("An expression of this kind").into()),
        }
    }

    /// `WORD(…)`
    pub(super) fn construct(&mut self, word: &str, inside: impl FnOnce(&mut Self) -> Verdict<()>) -> Verdict<()> {
        self.text.word(word);
        self.text.glue("(");
        inside(self)?;
        self.text.glue(")");
        Ok(())
    }

    fn operand_after(&mut self, word: &str, operand: Option<&Expr>) -> Verdict<()> {
        match operand {
            None => Ok(()),
            Some(operand) => {
                self.text.word(word);
                self.expression(operand)
            }
        }
    }

    fn case(&mut self, operand: Option<&Expr>, conditions: &[CaseWhen], otherwise: Option<&Expr>) -> Verdict<()> {
        self.text.word("CASE");
        if let Some(operand) = operand {
            self.expression(operand)?;
        }
        for CaseWhen { condition, result } in conditions {
            self.operand_after("WHEN", Some(condition))?;
            self.operand_after("THEN", Some(result))?;
        }
        self.operand_after("ELSE", otherwise)?;
        self.text.word("END");
        Ok(())
    }

    fn rounding(&mut self, name: &str, operand: &Expr, field: &CeilFloorKind) -> Verdict<()> {
        let CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) = field else {
            return Err(Rule::Clause("CEIL or FLOOR with a second argument").into());
        };
        self.construct(&format!("pg_catalog.\"{name}\""), |walk| walk.expression(operand))
    }

    fn substring(&mut self, expression: &Expr) -> Verdict<()> {
        let Expr::Substring { expr, substring_from, substring_for, special: by_commas, shorthand } = expression else {
            return Err(Rule::Clause("An expression of this kind").into());
        };
        let (from, length) = (substring_from.as_deref(), substring_for.as_deref());
        if !by_commas {
            absent(!shorthand, "SUBSTR with FROM or FOR")?;
            return self.construct("SUBSTRING", |walk| {
                walk.expression(expr)?;
                walk.operand_after("FROM", from)?;
                walk.operand_after("FOR", length)
            });
        }
        let name = if *shorthand { "pg_catalog.\"substr\"" } else { "pg_catalog.\"substring\"" };
        self.construct(name, |walk| {
            walk.expression(expr)?;
            for argument in [from, length].into_iter().flatten() {
                walk.text.glue(",");
                walk.expression(argument)?;
            }
            Ok(())
        })
    }

    fn trim(&mut self, expression: &Expr) -> Verdict<()> {
        let Expr::Trim { trim_where, trim_what, expr, trim_characters } = expression else {
            return Err(Rule::Clause("An expression of this kind").into());
        };
        self.construct("TRIM", |walk| {
            match trim_where {
                None => {}
                Some(TrimWhereField::Both) => walk.text.word("BOTH"),
                Some(TrimWhereField::Leading) => walk.text.word("LEADING"),
                Some(TrimWhereField::Trailing) => walk.text.word("TRAILING"),
            }
            if let Some(what) = trim_what {
                walk.expression(what)?;
                walk.text.word("FROM");
            }
            walk.expression(expr)?;
            for characters in trim_characters.iter().flatten() {
                walk.text.glue(",");
                walk.expression(characters)?;
            }
            Ok(())
        })
    }

    /// `INTERVAL '1-2' YEAR TO MONTH`
    fn interval(&mut self, interval: &Interval) -> Verdict<()> {
        let Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } = interval;
        absent(leading_precision.is_none() && fractional_seconds_precision.is_none(), "INTERVAL with a precision")?;
        let value =
            string_of(value).ok_or_else(|| Rule::Syntax("an interval is written INTERVAL '1 day'".to_owned()))?;
        self.text.word("INTERVAL");
        self.text.string(value);
        if let Some(field) = leading_field {
            self.text.word(interval_field(field)?);
        }
        if let Some(field) = last_field {
            self.text.word("TO");
            self.text.word(interval_field(field)?);
        }
        Ok(())
    }

    /// `[1, 2]`, or `[[1, 2], [3, 4]]` inside of ARRAY.
    fn elements(&mut self, elements: &[Expr]) -> Verdict<()> {
        self.deeper(|walk| {
            walk.text.glue("[");
            walk.list(elements, |walk, element| match element {
                Expr::Array(Array { elem, named: false }) => {
                    walk.text.word("");
                    walk.elements(elem)
                }
                element => walk.expression(element),
            })?;
            walk.text.glue("]");
            Ok(())
        })
    }
}

fn interval_field(field: &DateTimeField) -> Result<&'static str, Rule> {
    Ok(match field {
        DateTimeField::Year => "YEAR",
        DateTimeField::Month => "MONTH",
        DateTimeField::Day => "DAY",
        DateTimeField::Hour => "HOUR",
        DateTimeField::Minute => "MINUTE",
        DateTimeField::Second => "SECOND",
        _ => return Err(Rule::Syntax("an interval's unit is YEAR, MONTH, DAY, HOUR, MINUTE or SECOND".to_owned())),
    })
}

/// A field of EXTRACT; PostgreSQL takes a string for it as well as a word.
fn extracted(field: &DateTimeField) -> Result<&'static str, Rule> {
    Ok(match field {
        DateTimeField::Year | DateTimeField::Years => "'year'",
        DateTimeField::Month | DateTimeField::Months => "'month'",
        DateTimeField::Week(None) | DateTimeField::Weeks => "'week'",
        DateTimeField::Day | DateTimeField::Days => "'day'",
        DateTimeField::Hour | DateTimeField::Hours => "'hour'",
        DateTimeField::Minute | DateTimeField::Minutes => "'minute'",
        DateTimeField::Second | DateTimeField::Seconds => "'second'",
        DateTimeField::Century => "'century'",
        DateTimeField::Decade => "'decade'",
        DateTimeField::Dow => "'dow'",
        DateTimeField::Doy => "'doy'",
        DateTimeField::Epoch => "'epoch'",
        DateTimeField::Isodow => "'isodow'",
        DateTimeField::Isoyear => "'isoyear'",
        DateTimeField::Julian => "'julian'",
        DateTimeField::Microsecond | DateTimeField::Microseconds => "'microseconds'",
        DateTimeField::Millennium => "'millennium'",
        DateTimeField::Millisecond | DateTimeField::Milliseconds => "'milliseconds'",
        DateTimeField::Quarter => "'quarter'",
        DateTimeField::Timezone => "'timezone'",
        DateTimeField::TimezoneHour => "'timezone_hour'",
        DateTimeField::TimezoneMinute => "'timezone_minute'",
        // What was a string comes as a name, and is what we write ourselves.
        DateTimeField::Custom(name) => {
            let name = fold(name);
            let known = FIELDS.iter().find(|known| known.trim_matches('\'') == name);
            return known.copied().ok_or_else(|| Rule::Syntax(format!("EXTRACT does not know {}", cut(name))));
        }
        _ => return Err(Rule::Syntax("EXTRACT does not know this field".to_owned())),
    })
}

const FIELDS: &[&str] = &[
    "'century'",
    "'day'",
    "'decade'",
    "'dow'",
    "'doy'",
    "'epoch'",
    "'hour'",
    "'isodow'",
    "'isoyear'",
    "'julian'",
    "'microseconds'",
    "'millennium'",
    "'milliseconds'",
    "'minute'",
    "'month'",
    "'quarter'",
    "'second'",
    "'timezone'",
    "'timezone_hour'",
    "'timezone_minute'",
    "'week'",
    "'year'",
];
