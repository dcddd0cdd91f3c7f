//! The names of types as PostgreSQL's manuals have them; the driver knows the short ones of the catalog.

use tokio_postgres::types::{Kind, Type};

/// The name, as `format_type` gives it.
pub(crate) fn name(kind: &Type) -> String {
    match kind.kind() {
        _ if matches!(*kind, Type::INT2_VECTOR | Type::OID_VECTOR) => kind.name().to_owned(),
        Kind::Array(element) => format!("{}[]", name(element)),
        _ if kind.schema() == "pg_catalog" => long(kind.name()).to_owned(),
        _ => kind.name().to_owned(),
    }
}

fn long(short: &str) -> &str {
    match short {
        "bool" => "boolean",
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "bpchar" => "character",
        "varchar" => "character varying",
        "char" => "\"char\"",
        "bit" => "bit",
        "varbit" => "bit varying",
        "time" => "time without time zone",
        "timetz" => "time with time zone",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_manuals() {
        assert_eq!(name(&Type::INT4), "integer");
        assert_eq!(name(&Type::TIMESTAMPTZ_ARRAY), "timestamp with time zone[]");
        assert_eq!(name(&Type::JSONB), "jsonb");
        assert_eq!(name(&Type::INT2_VECTOR), "int2vector");
        let mood = Type::new("mood".into(), 99_999, Kind::Enum(Vec::new()), "app".into());
        assert_eq!(name(&mood), "mood");
    }
}
