//! Whatever a server has by name, asked for one by one: every function of its catalog, every type, every operator, every
//! relation. What the judge lets pass has to be as harmless as anything else that it lets pass, and of some kinds it lets none.

use tokio_postgres::Client;

use crate::{
    judge_alone::{Stage, Tally, prove},
    shop,
};

/// Functions that give another value each time and yet only read.
const VOLATILE_AND_HARMLESS: &[&str] = &["clock_timestamp", "gen_random_uuid", "random", "timeofday"];

/// For each argument something that its function can begin with; what has no type yet becomes what is asked for.
const ARGUMENTS: &str = "
    SELECT p.oid, string_agg(CASE
        WHEN t.typname IN ('int2', 'int4', 'int8', 'oid', 'float4', 'float8', 'numeric', 'anyelement', 'any', 'anynonarray', 'anycompatible', 'anycompatiblenonarray') THEN '1'
        WHEN t.typname = 'bool' THEN 'true'
        WHEN t.typname IN ('anyarray', 'anycompatiblearray', '_int4', '_int8', '_numeric', '_float8') THEN 'ARRAY[1, 2]'
        WHEN t.typname IN ('_text', '_varchar') THEN 'ARRAY[''a'', ''b'']'
        WHEN t.typname IN ('anyrange', 'anycompatiblerange') THEN 'int4range(1, 3)'
        WHEN t.typname IN ('anymultirange', 'anycompatiblemultirange') THEN 'int4multirange(int4range(1, 3))'
        WHEN t.typname IN ('json', 'jsonb') THEN '''{\"a\": 1}'''
        WHEN t.typname = 'jsonpath' THEN '''$.a'''
        WHEN t.typname IN ('timestamptz', 'timestamp', 'date') THEN '''2024-01-02'''
        WHEN t.typname IN ('time', 'timetz') THEN '''10:00'''
        WHEN t.typname = 'interval' THEN '''1 day'''
        WHEN t.typname IN ('inet', 'cidr') THEN '''10.0.0.0'''
        WHEN t.typname = 'uuid' THEN '''00000000-0000-0000-0000-000000000001'''
        WHEN t.typname IN ('point', 'box', 'lseg', 'path', 'polygon') THEN '''((1,2),(3,4))'''
        WHEN t.typname = 'circle' THEN '''<(1,2),3>'''
        WHEN t.typname = 'bytea' THEN '''\\x6162'''
        WHEN t.typname IN ('bit', 'varbit') THEN 'B''01'''
        WHEN t.typname = 'regclass' THEN '''app.orders'''
        WHEN t.typname = 'internal' THEN 'NULL'
        ELSE '''a''' END, ', ' ORDER BY a.n) AS list
    FROM pg_proc p CROSS JOIN LATERAL unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(type, n) JOIN pg_type t ON t.oid = a.type
    GROUP BY p.oid";

/// Names that the catalog gives.
async fn names(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn assert_clean(tally: &Tally) {
    assert!(tally.findings.is_empty(), "{}", tally.report());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_function_of_the_catalog_that_passes_does_more_than_compute() {
    let Some(stage) = Stage::set().await else { return };
    let calls = format!(
        "WITH arguments AS ({ARGUMENTS})
         SELECT p.proname, p.provolatile = 'v', p.pronamespace = 'pg_catalog'::regnamespace,
                CASE p.prokind WHEN 'w' THEN c.call || ' OVER ()' ELSE c.call END, c.call
         FROM pg_proc p LEFT JOIN arguments a USING (oid)
         CROSS JOIN LATERAL (SELECT p.oid::regproc || '(' || coalesce(a.list, '') || ')' AS call) c
         WHERE p.prokind <> 'p' ORDER BY p.proname, p.oid"
    );
    let (mut statements, mut wrong) = (Vec::new(), Vec::new());
    for row in stage.watcher.query(&calls, &[]).await.unwrap() {
        let (name, volatile, builtin): (&str, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let forms = [format!("SELECT {}", row.get::<_, &str>(3)), format!("SELECT * FROM {}", row.get::<_, &str>(4))];
        for (sql, judged) in crate::judging(forms.into_iter()) {
            let harmless = builtin && (!volatile || VOLATILE_AND_HARMLESS.contains(&name));
            if judged.is_some() && !harmless {
                wrong.push(sql.clone());
            }
            statements.push(sql);
        }
    }
    assert!(wrong.is_empty(), "volatile, or of a user, and accepted: {wrong:#?}");
    assert!(statements.len() > 5000, "only {} calls", statements.len());
    let tally = prove(&stage, statements.into_iter()).await;
    assert_clean(&tally);
    assert!(tally.accepted > 300, "hardly a function passes: {}", tally.report());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_relations_only_plain_types_and_only_the_servers_operators_pass() {
    let Some(stage) = Stage::set().await else { return };
    let relations = "SELECT format(f, n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        unnest(ARRAY['SELECT * FROM %1$I.%2$I', 'TABLE %1$I.%2$I', 'SELECT 1 FROM %2$I', 'SELECT ''x''::%1$I.%2$I', 'SELECT NULL::%2$I[]']) f
        WHERE NOT (n.nspname = 'app' AND c.relname IN ('products', 'orders', 'order_items', 'order_totals'))";
    let types = "SELECT format(f, n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace,
        unnest(ARRAY['SELECT NULL::%1$I.%2$I', 'SELECT CAST(''1'' AS %1$I.%2$I)', 'SELECT ''1''::%2$I', 'SELECT %1$I.%2$I ''1''']) f
        WHERE n.nspname <> 'pg_catalog' OR t.typname ~ '^_?(reg|pg_|any|xml|internal|oid|cstring|trigger|void|unknown|record|aclitem|refcursor|[txc]id$|txid)' OR t.typtype IN ('c', 'p')";
    let mut wrong = Vec::new();
    for list in [relations, types] {
        let statements = names(&stage.watcher, list).await;
        assert!(statements.len() > 300);
        wrong.extend(crate::judging(statements.into_iter()).filter_map(|(sql, judged)| judged.map(|_| sql)));
    }
    assert!(wrong.is_empty(), "accepted: {wrong:#?}");

    let operators = "SELECT DISTINCT format(f, o.oprname) FROM pg_operator o,
        unnest(ARRAY['SELECT 1 %s 2', 'SELECT ''a''::text %s ''b''::text', 'SELECT %s 1', 'SELECT o.id %s 1 FROM app.orders o',
            'SELECT ''[1]''::jsonb %s ''a''', 'SELECT ARRAY[1] %s ARRAY[2]', 'SELECT point ''(1,2)'' %s point ''(3,4)''',
            'SELECT int4range(1, 2) %s int4range(2, 3)', 'SELECT 1 OPERATOR(pg_catalog.%s) 2', 'SELECT 1 OPERATOR(app.%s) 2']) f";
    let types = "SELECT format(f, t.typname) FROM pg_type t,
        unnest(ARRAY['SELECT NULL::%1$I', 'SELECT CAST(''1'' AS %1$I)', 'SELECT pg_catalog.%1$I ''1''']) f WHERE typnamespace = 'pg_catalog'::regnamespace";
    let mut statements = names(&stage.watcher, operators).await;
    statements.extend(names(&stage.watcher, types).await);
    assert_clean(&prove(&stage, statements.into_iter()).await);
    assert_eq!(shop::LISTED.len(), 4, "the list above names them too");
}
