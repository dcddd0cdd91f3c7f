//! The SQL with which a database administrator makes a role that may read what a source offers, add rows where it is
//! opened, and nothing else: what the probe finds nothing wrong with. Pure; the command line prints it, the sample runs it.

use super::{
    names::{literal, quoted},
    rules,
};

/// Sessions that the role may have at once: those of some gateways with the default of 4 connections each.
const CONNECTIONS_MAX: u32 = 32;

/// The SQL that makes `role`, for a source with these options. It has no password in it. To be run by the owner of the
/// tables (or a superuser) in the database that is to be read; running it twice does no harm.
///
/// `schemas`, `tables` (`None` is all, also those made later by whoever runs this) and `inserts` are what the options of
/// the same names say: names or globs, with or without a schema.
pub fn role_sql(role: &str, schemas: &[String], tables: Option<&[String]>, inserts: &[String]) -> String {
    let name = quoted(role);
    let mut sql = head(role, &name, inserts.is_empty());
    for schema in schemas {
        let schema = quoted(schema);
        sql += &format!("REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC;\nGRANT USAGE ON SCHEMA {schema} TO {name};\n");
        if tables.is_none() {
            sql += &format!(
                "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name};\n\
                 ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {name};\n"
            );
        }
    }
    if let Some(tables) = tables.filter(|tables| !tables.is_empty()) {
        sql += "\n-- The tables that it may read.\n";
        sql += &grants(&name, schemas, tables, &["GRANT SELECT ON %I.%I TO %s"]);
    }
    if !inserts.is_empty() {
        sql += "\n-- The tables that it may add rows to, with the sequences that number them.\n";
        sql += &grants(&name, schemas, inserts, &["GRANT INSERT ON %I.%I TO %s"]);
        sql += &sequences(&name, schemas, inserts);
    }
    sql
}

fn head(role: &str, name: &str, read_only: bool) -> String {
    let read_only = match read_only {
        true => format!("ALTER ROLE {name} SET default_transaction_read_only = on;\n"),
        false => String::new(),
    };
    let literal = literal(role);
    let make = block(&format!(
        "BEGIN\n\
         \x20 IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal}) THEN\n\
         \x20   CREATE ROLE {name};\n\
         \x20 END IF;\n\
         END\n"
    ));
    let revoke = block(&format!(
        "BEGIN\n\
         \x20 EXECUTE pg_catalog.format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', pg_catalog.current_database());\n\
         \x20 EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), {literal});\n\
         \x20 IF pg_catalog.to_regnamespace('public') IS NOT NULL THEN\n\
         \x20   REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n\
         \x20 END IF;\n\
         END\n"
    ));
    format!(
        "-- A role for a Patchbay source: it reads, and cannot do more. Run this in the database that is to be read.\n\
         {make}\
         ALTER ROLE {name} LOGIN NOCREATEDB NOCREATEROLE NOINHERIT CONNECTION LIMIT {CONNECTIONS_MAX};\n\
         ALTER ROLE {name} SET statement_timeout = '60s';\n\
         {read_only}\
         -- A superuser bounds its temporary files, too: ALTER ROLE {name} SET temp_file_limit = '256MB';\n\
         -- Where no other role depends on it, also: REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA … FROM PUBLIC;\n\
         -- Give it a password, in psql with: \\password {name}\n\
         \n\
         -- PostgreSQL lets everybody make temporary tables and, before version 15, tables in the schema public. A role of\n\
         -- yours that needs it gets it back by a GRANT of its own.\n\
         {revoke}\n"
    )
}

/// A block of PL/pgSQL; nothing in it can end it.
fn block(body: &str) -> String {
    let mut tag = "$do$".to_owned();
    while body.contains(&tag) {
        tag.insert(1, 'o');
    }
    format!("DO {tag}\n{body}{tag};\n")
}

/// GRANTs on what the rules name. A rule that is a name is granted as it is, so that a misspelt one is an error; globs and
/// names that may be in several schemas are granted on what is there now.
fn grants(role: &str, schemas: &[String], given: &[String], commands: &[&str]) -> String {
    let mut sql = String::new();
    for rule in given {
        match exact(schemas, rule) {
            Some((schema, table)) => {
                for command in commands {
                    let place = format!("{}.{}", quoted(schema), quoted(table));
                    sql += &command.replace("%I.%I", &place).replace("%s", role);
                    sql += ";\n";
                }
            }
            None => sql += &each(role, schemas, rule, commands),
        }
    }
    sql
}

/// The one table that a rule names.
fn exact<'a>(schemas: &'a [String], rule: &'a str) -> Option<(&'a str, &'a str)> {
    match (rules::parted(rule), schemas) {
        _ if rules::is_glob(rule) => None,
        ((Some(schema), table), _) => Some((schema, table)),
        ((None, table), [only]) => Some((only, table)),
        _ => None,
    }
}

fn each(role: &str, schemas: &[String], rule: &str, commands: &[&str]) -> String {
    let executes: String = commands
        .iter()
        .map(|command| {
            let command = literal(&command.replace("%s", &role.replace('%', "%%")));
            format!("    EXECUTE pg_catalog.format({command}, found.nspname, found.relname);\n")
        })
        .collect();
    let met = met(schemas, rule);
    block(&format!("DECLARE found record;\nBEGIN\n  FOR found IN {met} LOOP\n{executes}  END LOOP;\nEND\n"))
}

/// A query for the tables that a rule meets.
fn met(schemas: &[String], rule: &str) -> String {
    let (schema, table) = rules::parted(rule);
    let listed = schemas.iter().map(|schema| literal(schema)).collect::<Vec<_>>().join(", ");
    let of_schema = schema.map(|schema| format!(" AND n.nspname ~ {}", literal(&regex(schema)))).unwrap_or_default();
    format!(
        "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname IN ({listed}){of_schema} AND c.relname ~ {}",
        literal(&regex(table))
    )
}

/// USAGE of the sequences that belong to the tables.
fn sequences(role: &str, schemas: &[String], inserts: &[String]) -> String {
    let met: Vec<_> = inserts.iter().map(|rule| met(schemas, rule)).collect();
    block(&format!(
        "DECLARE found record;\n\
         BEGIN\n\
         \x20 FOR found IN SELECT n.nspname, s.relname FROM ({}) AS t\n\
         \x20   JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = t.oid\n\
         \x20     AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'a'\n\
         \x20   JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'\n\
         \x20   JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace LOOP\n\
         \x20   EXECUTE pg_catalog.format({}, found.nspname, found.relname);\n\
         \x20 END LOOP;\n\
         END\n",
        met.join(" UNION "),
        literal(&format!("GRANT USAGE ON SEQUENCE %I.%I TO {}", role.replace('%', "%%")))
    ))
}

/// A glob as a regular expression of PostgreSQL.
fn regex(glob: &str) -> String {
    let mut regex = "^(".to_owned();
    let (mut signs, mut depth, mut class) = (glob.chars(), 0, false);
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => regex.extend(signs.next().map(escaped)),
            ']' if class => {
                class = false;
                regex.push(']');
            }
            _ if class => regex.push(if sign == '!' && regex.ends_with('[') { '^' } else { sign }),
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                class = true;
                regex.push('[');
            }
            '{' => {
                depth += 1;
                regex.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                regex.push(')');
            }
            ',' if depth > 0 => regex.push('|'),
            _ => regex.push_str(&escaped(sign)),
        }
    }
    regex + ")$"
}

fn escaped(sign: char) -> String {
    if sign.is_alphanumeric() || sign == '_' { sign.to_string() } else { format!("\\{sign}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_sql_stay_names() {
        let role = "x\"; DROP ROLE y; --";
        let sql = role_sql(role, &["s'".into()], Some(&["a\"b".into(), "c'*".into()]), &["a\"b".into()]);
        assert!(sql.contains(r#"GRANT SELECT ON "s'"."a""b" TO "x""; DROP ROLE y; --";"#), "{sql}");
        assert!(!sql.contains("\nDROP ROLE"), "{sql}");
    }

    #[test]
    fn role_cannot_end_the_block_that_it_is_named_in() {
        let sql = role_sql("$do$; DROP TABLE t; DO $do$", &["s".into()], None, &[]);
        assert!(sql.contains("DO $odo$"), "{sql}");
    }

    #[test]
    fn glob_becomes_the_same_expression() {
        assert_eq!(regex("a.b*"), r"^(a\.b.*)$");
        assert_eq!(regex("{one,two}?"), "^((?:one|two).)$");
        assert_eq!(regex(r"[!a-c]\*"), r"^([^a-c]\*)$");
    }
}
