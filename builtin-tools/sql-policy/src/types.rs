//! The types that a statement may name, all of pg_catalog, and how they are written: those that PostgreSQL's grammar knows
//! by keyword as keywords, the others with their schema. Types that look things up by name (`regclass` and its kin), that
//! read SQL or XML, and those of users are not among them.

use sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, GeometricTypeKind, IntervalFields, ObjectName,
    ObjectNamePart, TimezoneInfo,
};

use crate::{
    refusal::{Rule, cut},
    scope::fold,
};

/// PostgreSQL has no more.
const DIMENSIONS_MAX: usize = 6;

/// `character(n)` and `bit(n)` are filled up to their length, which makes a little text as big as one likes.
const PADDED_MAX: u64 = 65_536;

/// Types that are names to the grammar, sorted.
const NAMED: &[&str] = &[
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "path",
    "point",
    "polygon",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "uuid",
    "varbit",
    "varchar",
];

/// How `data_type` is written.
pub(crate) fn written(data_type: &DataType) -> Result<String, Rule> {
    let mut element = data_type;
    let mut dimensions = 0;
    while let DataType::Array(array) = element {
        element = match array {
            // The size is for the reader; PostgreSQL does not mind it.
            ArrayElemTypeDef::SquareBracket(inner, _size) => inner,
            ArrayElemTypeDef::Qualified(inner, _size) => inner,
            ArrayElemTypeDef::None | ArrayElemTypeDef::AngleBracket(_) | ArrayElemTypeDef::Parenthesis(_) => {
                return Err(Rule::Type("ARRAY without a type".to_owned()));
            }
        };
        dimensions += 1;
        if dimensions > DIMENSIONS_MAX {
            return Err(Rule::Type("an array of more than six dimensions".to_owned()));
        }
    }
    let mut text = plain(element).ok_or_else(|| Rule::Type(cut(element)))?;
    text.push_str(&"[]".repeat(dimensions));
    Ok(text)
}

/// Whether `name '…'` may be a literal of this type. Intervals have more to follow, and sqlparser knows it.
pub(crate) fn may_begin_literal(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name != "interval" && NAMED.binary_search(&name.as_str()).is_ok()
}

fn plain(data_type: &DataType) -> Option<String> {
    let keyword = match data_type {
        DataType::Int2(None) | DataType::SmallInt(None) => "smallint",
        DataType::Int(None) | DataType::Int4(None) | DataType::Integer(None) => "integer",
        DataType::Int8(None) | DataType::BigInt(None) => "bigint",
        DataType::Real | DataType::Float4 => "real",
        DataType::Float8 | DataType::DoublePrecision | DataType::Float(ExactNumberInfo::None) => "double precision",
        DataType::Float(ExactNumberInfo::Precision(1..=24)) => "real",
        DataType::Float(ExactNumberInfo::Precision(25..=53)) => "double precision",
        DataType::Bool | DataType::Boolean => "boolean",
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => return numeric(info),
        DataType::Character(length) | DataType::Char(length) => return with_length("character", length.as_ref()),
        DataType::Bit(Some(PADDED_MAX..)) => return None,
        DataType::CharacterVarying(length) | DataType::CharVarying(length) | DataType::Varchar(length) => {
            return with_length("character varying", length.as_ref());
        }
        DataType::Bit(length) => return Some(sized("bit", *length)),
        DataType::BitVarying(length) | DataType::VarBit(length) => return Some(sized("bit varying", *length)),
        DataType::Timestamp(precision, zone) => return Some(moment("timestamp", *precision, zone)),
        DataType::Time(precision, zone) => return Some(moment("time", *precision, zone)),
        DataType::Interval { fields, precision } => return interval(fields.as_ref(), *precision),
        other => return named(other).map(|name| format!("pg_catalog.\"{name}\"")),
    };
    Some(keyword.to_owned())
}

/// The name of a type that is a name to the grammar.
fn named(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Text => "text",
        DataType::Bytea => "bytea",
        DataType::Uuid => "uuid",
        DataType::JSON => "json",
        DataType::JSONB => "jsonb",
        DataType::Date => "date",
        DataType::TsVector => "tsvector",
        DataType::TsQuery => "tsquery",
        DataType::GeometricType(kind) => match kind {
            GeometricTypeKind::Point => "point",
            GeometricTypeKind::Line => "line",
            GeometricTypeKind::LineSegment => "lseg",
            GeometricTypeKind::GeometricBox => "box",
            GeometricTypeKind::GeometricPath => "path",
            GeometricTypeKind::Polygon => "polygon",
            GeometricTypeKind::Circle => "circle",
        },
        DataType::Custom(name, modifiers) if modifiers.is_empty() => return listed(name),
        _ => return None,
    })
}

/// The listed type that `name` or `pg_catalog.name` means.
fn listed(name: &ObjectName) -> Option<&'static str> {
    let parts: Option<Vec<String>> = name.0.iter().map(part).collect();
    let name = match parts?.as_slice() {
        [name] => name.clone(),
        [schema, name] if schema == "pg_catalog" => name.clone(),
        _ => return None,
    };
    NAMED.binary_search(&name.as_str()).ok().and_then(|found| NAMED.get(found).copied())
}

fn part(part: &ObjectNamePart) -> Option<String> {
    match part {
        ObjectNamePart::Identifier(ident) if matches!(ident.quote_style, None | Some('"')) => Some(fold(ident)),
        ObjectNamePart::Identifier(_) | ObjectNamePart::Function(_) => None,
    }
}

fn numeric(info: &ExactNumberInfo) -> Option<String> {
    Some(match info {
        ExactNumberInfo::None => "numeric".to_owned(),
        ExactNumberInfo::Precision(precision) => format!("numeric({precision})"),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => format!("numeric({precision}, {scale})"),
    })
}

fn with_length(name: &str, length: Option<&CharacterLength>) -> Option<String> {
    match length {
        None => Some(name.to_owned()),
        Some(CharacterLength::IntegerLength { length: PADDED_MAX.., unit: None }) if name == "character" => None,
        Some(CharacterLength::IntegerLength { length, unit: None }) => Some(sized(name, Some(*length))),
        Some(CharacterLength::IntegerLength { length: _, unit: Some(_) } | CharacterLength::Max) => None,
    }
}

fn sized(name: &str, size: Option<u64>) -> String {
    size.map_or_else(|| name.to_owned(), |size| format!("{name}({size})"))
}

fn moment(name: &str, precision: Option<u64>, zone: &TimezoneInfo) -> String {
    let zone = match zone {
        TimezoneInfo::None => "",
        TimezoneInfo::WithoutTimeZone => " without time zone",
        TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => " with time zone",
    };
    format!("{}{zone}", sized(name, precision))
}

fn interval(fields: Option<&IntervalFields>, precision: Option<u64>) -> Option<String> {
    let fields = match fields {
        None => return Some(sized("interval", precision)),
        Some(_) if precision.is_some() => return None,
        Some(IntervalFields::Year) => "year",
        Some(IntervalFields::Month) => "month",
        Some(IntervalFields::Day) => "day",
        Some(IntervalFields::Hour) => "hour",
        Some(IntervalFields::Minute) => "minute",
        Some(IntervalFields::Second) => "second",
        Some(IntervalFields::YearToMonth) => "year to month",
        Some(IntervalFields::DayToHour) => "day to hour",
        Some(IntervalFields::DayToMinute) => "day to minute",
        Some(IntervalFields::DayToSecond) => "day to second",
        Some(IntervalFields::HourToMinute) => "hour to minute",
        Some(IntervalFields::HourToSecond) => "hour to second",
        Some(IntervalFields::MinuteToSecond) => "minute to second",
    };
    Some(format!("interval {fields}"))
}

#[cfg(test)]
mod tests {
    use super::NAMED;

    #[test]
    fn the_list_of_types_is_sorted_and_has_nothing_that_looks_things_up() {
        assert!(NAMED.is_sorted_by(|a, b| a < b));
        assert!(!NAMED.iter().any(|name| name.starts_with("reg") || name.starts_with("oid") || *name == "xml"));
    }
}
