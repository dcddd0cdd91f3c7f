//! The statements that the explorer itself runs for a tool, with all values put in: for whoever measures what the explorer
//! costs beside a plain driver that runs the same ones.

use patchbay_sql_policy::TableName;

use super::{
    analyze, describe, list,
    names::{literal, qualified},
    visible::Kind,
};
use crate::db::postgres::sample;

/// The statements of `list_tables`, `describe_table` and `analyze_table` for the sample shop in `schema`, in their order;
/// `None` for another tool, and for an analysis of another table than `orders`. What the explorer does around them — its
/// transaction, and the catalog that it keeps for a while — is not among them.
pub fn explorer_statements(tool: &str, schema: &str, table: &str) -> Option<Vec<String>> {
    let name = TableName { schema: schema.to_owned(), name: table.to_owned() };
    let oid = format!("{}::pg_catalog.regclass::pg_catalog.oid", literal(&qualified(&name)));
    match tool {
        "list_tables" => {
            let all = format!(
                "ARRAY(SELECT t.oid FROM pg_catalog.pg_class t WHERE t.relnamespace = {}::pg_catalog.regnamespace \
                 AND t.relkind IN ('r', 'p', 'v', 'm', 'f'))",
                literal(&super::names::quoted(schema))
            );
            Some(vec![list::SIZES.replace("$1", &all).replace("$2", "300")])
        }
        "describe_table" => {
            let parts = [describe::TABLE, describe::COLUMNS, describe::CONSTRAINTS, describe::INDEXES];
            let put_in = |sql: &str| sql.replace("$1", &oid).replace("$2", "1000").replace("$3", "201");
            Some(parts.map(put_in).into())
        }
        "analyze_table" if table == sample::ORDERS => {
            let columns =
                sample::orders_columns().map(|(name, declared, oid)| analyze::Column::known(name, declared, oid));
            let columns: Vec<_> = columns.collect();
            let from = qualified(&name);
            let mut statements = vec![
                analyze::EXTENT.replace("$1", &oid),
                analyze::counting(Kind::Table, &oid, &from),
                analyze::COLUMNS.replace("$1", &oid),
            ];
            statements.extend(
                columns.chunks(analyze::CHUNK).map(|chunk| analyze::of_rows(&from, &analyze::Part::Whole, chunk)),
            );
            Some(statements)
        }
        _ => None,
    }
}
