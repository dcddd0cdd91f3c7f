//! The functions that a statement may call, all of pg_catalog, by family. Volatility is no guide (dumps of whole schemas
//! are "stable", memory bombs are "immutable"), so a name is here because somebody looked at every function of that name:
//! it only computes from its arguments, reaches for nothing, and makes nothing much bigger than what it is given.
//! `repeat`, `lpad`, `rpad`, `array_fill`, `set_config`, `current_setting`, `pg_*`, XML and the like are left out on purpose.

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its name in pg_catalog.
    Plain,
    /// A construct of the grammar that looks like a function; it has no schema.
    Construct(&'static str),
    /// A construct of the grammar without parentheses, or with one number in them.
    Moment(&'static str),
    /// `format`, whose widths could ask for any amount of memory.
    Format,
}

const TEXT: &[&str] = &[
    "ascii", "bit_length", "btrim", "char_length", "character_length", "chr", "concat", "concat_ws", "convert_from",
    "convert_to", "decode", "encode", "get_bit", "get_byte", "initcap", "left", "length", "lower", "ltrim", "md5",
    "octet_length", "overlay", "parse_ident", "quote_ident", "quote_literal", "quote_nullable", "regexp_count",
    "regexp_instr", "regexp_like", "regexp_match", "regexp_matches", "regexp_replace", "regexp_split_to_array",
    "regexp_split_to_table", "regexp_substr", "replace", "reverse", "right", "rtrim", "sha224", "sha256", "sha384",
    "sha512", "split_part", "starts_with", "string_to_array", "string_to_table", "strpos", "substr", "substring", "text",
    "to_hex", "translate", "unistr", "upper",
];

const NUMBERS: &[&str] = &[
    "abs", "acos", "acosd", "acosh", "asin", "asind", "asinh", "atan", "atan2", "atan2d", "atand", "atanh", "bit_count",
    "cbrt", "ceil", "ceiling", "cos", "cosd", "cosh", "cot", "cotd", "degrees", "div", "exp", "float4", "float8", "floor",
    "gcd", "int2", "int4", "int8", "lcm", "ln", "log", "log10", "min_scale", "mod", "numeric", "pi", "pow", "power",
    "radians", "random", "round", "scale", "sign", "sin", "sind", "sinh", "sqrt", "tan", "tand", "tanh", "to_number",
    "trim_scale", "trunc", "width_bucket",
];

const TIMES: &[&str] = &[
    "age", "clock_timestamp", "date", "date_bin", "date_part", "date_trunc", "isfinite", "justify_days", "justify_hours",
    "justify_interval", "make_date", "make_interval", "make_time", "make_timestamp", "make_timestamptz", "now",
    "statement_timestamp", "timezone", "to_char", "to_date", "to_timestamp", "transaction_timestamp",
];

const JSON: &[&str] = &[
    "array_to_json", "json_agg", "json_array_elements", "json_array_elements_text", "json_array_length",
    "json_build_array", "json_build_object", "json_each", "json_each_text", "json_extract_path", "json_extract_path_text",
    "json_object", "json_object_agg", "json_object_keys", "json_strip_nulls", "json_to_record", "json_to_recordset",
    "json_typeof", "jsonb_agg", "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length",
    "jsonb_build_array", "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_extract_path",
    "jsonb_extract_path_text", "jsonb_insert", "jsonb_object", "jsonb_object_agg", "jsonb_object_keys",
    "jsonb_path_exists", "jsonb_path_match", "jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first",
    "jsonb_pretty", "jsonb_set", "jsonb_set_lax", "jsonb_strip_nulls", "jsonb_to_record", "jsonb_to_recordset",
    "jsonb_typeof", "row_to_json", "to_json", "to_jsonb",
];

const ARRAYS: &[&str] = &[
    "array_append", "array_cat", "array_dims", "array_length", "array_lower", "array_ndims", "array_position",
    "array_positions", "array_prepend", "array_remove", "array_replace", "array_to_string", "array_upper", "cardinality",
    "generate_series", "generate_subscripts", "trim_array", "unnest",
];

const RANGES: &[&str] = &[
    "datemultirange", "daterange", "int4multirange", "int4range", "int8multirange", "int8range", "isempty", "lower_inc",
    "lower_inf", "multirange", "nummultirange", "numrange", "range_agg", "range_intersect_agg", "range_merge",
    "tsmultirange", "tsrange", "tstzmultirange", "tstzrange", "upper_inc", "upper_inf",
];

const AGGREGATES: &[&str] = &[
    "any_value", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr", "count", "covar_pop",
    "covar_samp", "every", "max", "min", "mode", "percentile_cont", "percentile_disc", "regr_avgx", "regr_avgy",
    "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "stddev", "stddev_pop",
    "stddev_samp", "string_agg", "sum", "var_pop", "var_samp", "variance",
];

const WINDOWS: &[&str] = &[
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "percent_rank", "rank",
    "row_number",
];

const SEARCH: &[&str] = &[
    "numnode", "phraseto_tsquery", "plainto_tsquery", "querytree", "setweight", "strip", "to_tsquery", "to_tsvector",
    "ts_headline", "ts_rank", "ts_rank_cd", "tsvector_to_array", "websearch_to_tsquery",
];

const NETWORKS: &[&str] = &[
    "abbrev", "broadcast", "family", "host", "hostmask", "inet_merge", "inet_same_family", "masklen", "netmask", "network",
    "set_masklen",
];

const SHAPES: &[&str] =
    &["area", "box", "center", "circle", "diameter", "height", "isclosed", "line", "lseg", "npoints", "point", "radius", "width"];

const OTHERS: &[&str] = &["gen_random_uuid", "num_nonnulls", "num_nulls", "pg_column_size", "pg_typeof", "version"];

pub(crate) const FAMILIES: &[&[&str]] = &[
    TEXT, NUMBERS, TIMES, JSON, ARRAYS, RANGES, AGGREGATES, WINDOWS, SEARCH, NETWORKS, SHAPES, OTHERS,
];

const CONSTRUCTS: &[(&str, &str)] = &[
    ("coalesce", "COALESCE"),
    ("greatest", "GREATEST"),
    ("grouping", "GROUPING"),
    ("least", "LEAST"),
    ("nullif", "NULLIF"),
    ("row", "ROW"),
];

const MOMENTS: &[(&str, &str)] = &[
    ("current_date", "CURRENT_DATE"),
    ("current_time", "CURRENT_TIME"),
    ("current_timestamp", "CURRENT_TIMESTAMP"),
    ("localtime", "LOCALTIME"),
    ("localtimestamp", "LOCALTIMESTAMP"),
];

/// How the function `name` of pg_catalog is called, if it may be.
pub(crate) fn plain(name: &str) -> Option<Form> {
    if name == "format" {
        return Some(Form::Format);
    }
    FAMILIES.iter().any(|family| family.binary_search(&name).is_ok()).then_some(Form::Plain)
}

/// The construct of the grammar that the bare word `name` begins, if there is one.
pub(crate) fn construct(name: &str) -> Option<Form> {
    let find = |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == name).map(|(_, written)| *written);
    find(CONSTRUCTS).map(Form::Construct).or_else(|| find(MOMENTS).map(Form::Moment))
}

/// Whether `format`'s pattern only puts its arguments in, without widths.
pub(crate) fn is_harmless_format(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(percent) = rest.find('%') {
        rest = &rest[percent + 1..];
        let numbered = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let directive = if numbered.len() < rest.len() { numbered.strip_prefix('$') } else { Some(rest) };
        match directive.and_then(|directive| directive.strip_prefix(['%', 's', 'I', 'L'])) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_family_is_sorted_and_no_name_is_in_two() {
        let mut seen = BTreeSet::new();
        for family in FAMILIES {
            assert!(family.is_sorted_by(|a, b| a < b), "{family:?}");
            for name in *family {
                assert!(seen.insert(*name), "{name} is there twice");
            }
        }
    }

    #[test]
    fn functions_that_reach_or_explode_are_not_on_the_list() {
        for name in [
            "repeat", "lpad", "rpad", "array_fill", "set_config", "current_setting", "pg_sleep", "pg_read_file", "lo_import",
            "dblink", "nextval", "currval", "setval", "lastval", "query_to_xml", "xpath", "ts_stat", "ts_rewrite",
            "pg_notify", "pg_advisory_lock", "txid_current", "has_table_privilege", "to_regclass", "setseed", "current_user",
            "inet_server_addr", "obj_description", "pg_get_viewdef", "current_schema", "current_database", "has_any_column",
        ] {
            assert_eq!((plain(name), construct(name)), (None, None), "{name}");
        }
    }

    #[test]
    fn a_width_makes_format_harmful() {
        for pattern in ["", "plain", "%s and %I", "100 %%", "%1$s %2$L"] {
            assert!(is_harmless_format(pattern), "{pattern}");
        }
        for pattern in ["%10s", "%-5s", "%*s", "%1$*2$s", "%1$5s", "%", "%d", "%1$", "%99999999s"] {
            assert!(!is_harmless_format(pattern), "{pattern}");
        }
    }
}
