//! The three queries of the probe. Each gives rows of one shape: the finding; the rights; the object as people call it, as
//! SQL does in GRANT and REVOKE, and whose it is; and the schema and table that rules may open.

/// What the role is. Both users of the session count: the one who signed in can be gone back to.
pub(super) const ATTRIBUTES: &str = "\
SELECT f.finding, ARRAY[f.undo], r.rolname::pg_catalog.text, pg_catalog.quote_ident(r.rolname), '', NULL::pg_catalog.text, NULL::pg_catalog.text \
FROM pg_catalog.pg_roles r \
CROSS JOIN LATERAL (VALUES \
  ('superuser', r.rolsuper, 'NOSUPERUSER'), ('bypass-rls', r.rolbypassrls, 'NOBYPASSRLS'), \
  ('create-role', r.rolcreaterole, 'NOCREATEROLE'), ('create-db', r.rolcreatedb, 'NOCREATEDB'), \
  ('replication', r.rolreplication, 'NOREPLICATION')) AS f(finding, has, undo) \
WHERE f.has AND r.rolname IN (CURRENT_USER, SESSION_USER) \
UNION ALL \
SELECT CASE WHEN EXISTS ( \
    SELECT FROM pg_catalog.pg_roles p WHERE pg_catalog.pg_has_role(m.roleid, p.oid, 'MEMBER') AND p.rolname IN ( \
      'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend', 'pg_monitor', \
      'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_checkpoint', 'pg_maintain', \
      'pg_create_subscription', 'pg_use_reserved_connections', 'pg_signal_autovacuum_worker')) \
  THEN 'server-file-roles' ELSE 'member-of-role' END, \
  ARRAY['MEMBER'], g.rolname::pg_catalog.text, pg_catalog.quote_ident(g.rolname), pg_catalog.quote_ident(r.rolname), \
  NULL::pg_catalog.text, NULL::pg_catalog.text \
FROM pg_catalog.pg_auth_members m \
JOIN pg_catalog.pg_roles g ON g.oid = m.roleid \
JOIN pg_catalog.pg_roles r ON r.oid = m.member \
WHERE r.rolname IN (CURRENT_USER, SESSION_USER)";

/// The roles that the role can act as, and 0, which is everybody.
macro_rules! mine {
    () => {
        "WITH mine AS MATERIALIZED ( \
           SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r \
           WHERE pg_catalog.pg_has_role(CURRENT_USER, r.oid, 'MEMBER') OR pg_catalog.pg_has_role(SESSION_USER, r.oid, 'MEMBER') \
         ), whose AS MATERIALIZED ( \
           SELECT oid, pg_catalog.quote_ident(rolname) AS name FROM mine UNION ALL SELECT 0, 'PUBLIC' \
         ) "
    };
}

/// What the role may do to tables, sequences, schemas, foreign servers and the database. What PostgreSQL itself grants to
/// everybody on its own catalogs is left out. Those that nothing but INSERT is granted on come last, for the bound.
pub(super) const GRANTS: &str = concat!(
    mine!(),
    ", rights(relation, grantee, privilege) AS ( \
  SELECT c.oid, a.grantee, a.privilege_type \
  FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a \
  WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND a.privilege_type <> 'SELECT' \
  UNION ALL \
  SELECT t.attrelid, a.grantee, a.privilege_type \
  FROM pg_catalog.pg_attribute t CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a \
  WHERE t.attacl IS NOT NULL AND a.privilege_type <> 'SELECT' \
), found AS ( \
(SELECT 'write-right' AS finding, pg_catalog.array_agg(DISTINCT r.privilege) AS rights, \
  n.nspname || '.' || c.relname AS called, \
  CASE WHEN c.relkind = 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || pg_catalog.format('%I.%I', n.nspname, c.relname) AS object, \
  w.name AS grantee, COALESCE(o.nspname, n.nspname)::pg_catalog.text AS schema, COALESCE(o.relname, c.relname)::pg_catalog.text AS name \
FROM rights r \
JOIN whose w ON w.oid = r.grantee \
JOIN pg_catalog.pg_class c ON c.oid = r.relation \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
LEFT JOIN LATERAL ( \
  SELECT tn.nspname, t.relname FROM pg_catalog.pg_depend d \
  JOIN pg_catalog.pg_class t ON t.oid = d.refobjid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
  WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid \
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') LIMIT 1 \
) o ON true \
WHERE NOT (r.grantee = 0 AND n.nspname IN ('pg_catalog', 'information_schema')) \
  AND c.relowner NOT IN (SELECT m.oid FROM mine m) \
GROUP BY n.nspname, c.relname, c.relkind, w.name, o.nspname, o.relname \
ORDER BY pg_catalog.array_agg(DISTINCT r.privilege) <@ ARRAY['INSERT', 'USAGE'], 3 LIMIT 25000) \
UNION ALL \
(SELECT 'table-owner', ARRAY['OWNER'], n.nspname || '.' || c.relname, \
  CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' WHEN 'v' THEN 'VIEW ' WHEN 'm' THEN 'MATERIALIZED VIEW ' WHEN 'f' THEN 'FOREIGN TABLE ' \
    ELSE 'TABLE ' END || pg_catalog.format('%I.%I', n.nspname, c.relname), m.name, NULL, NULL \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN whose m ON m.oid = c.relowner \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY 3 LIMIT 1000) \
UNION ALL \
SELECT 'create-right', ARRAY['CREATE'], n.nspname, 'SCHEMA ' || pg_catalog.quote_ident(n.nspname), w.name, NULL, NULL \
FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a JOIN whose w ON w.oid = a.grantee \
WHERE a.privilege_type = 'CREATE' AND n.nspowner NOT IN (SELECT m.oid FROM mine m) \
UNION ALL \
SELECT 'create-right', ARRAY['OWNER'], n.nspname, 'SCHEMA ' || pg_catalog.quote_ident(n.nspname), w.name, NULL, NULL \
FROM pg_catalog.pg_namespace n JOIN whose w ON w.oid = n.nspowner \
UNION ALL \
SELECT CASE a.privilege_type WHEN 'CREATE' THEN 'create-right' ELSE 'temp-right' END, ARRAY[a.privilege_type], d.datname, \
  'DATABASE ' || pg_catalog.quote_ident(d.datname), w.name, NULL, NULL \
FROM pg_catalog.pg_database d \
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a \
JOIN whose w ON w.oid = a.grantee \
WHERE d.datname = pg_catalog.current_database() AND a.privilege_type IN ('CREATE', 'TEMPORARY') \
  AND d.datdba NOT IN (SELECT m.oid FROM mine m) \
UNION ALL \
SELECT 'create-right', ARRAY['OWNER'], d.datname, 'DATABASE ' || pg_catalog.quote_ident(d.datname), w.name, NULL, NULL \
FROM pg_catalog.pg_database d JOIN whose w ON w.oid = d.datdba WHERE d.datname = pg_catalog.current_database() \
UNION ALL \
SELECT 'foreign-server', ARRAY['USAGE'], s.srvname, 'FOREIGN SERVER ' || pg_catalog.quote_ident(s.srvname), w.name, NULL, NULL \
FROM pg_catalog.pg_foreign_server s CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(s.srvacl, pg_catalog.acldefault('S', s.srvowner))) a \
JOIN whose w ON w.oid = a.grantee \
UNION ALL \
SELECT 'foreign-server', ARRAY['USAGE'], f.fdwname, 'FOREIGN DATA WRAPPER ' || pg_catalog.quote_ident(f.fdwname), w.name, NULL, NULL \
FROM pg_catalog.pg_foreign_data_wrapper f CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(f.fdwacl, pg_catalog.acldefault('F', f.fdwowner))) a \
JOIN whose w ON w.oid = a.grantee \
) \
SELECT finding, rights, called::pg_catalog.text, object, grantee, schema, name FROM found"
);

/// Which functions the role may call that act with another's rights or reach out of the database: those of languages that
/// may do anything, of extensions that are known to, and those of PostgreSQL's own that it keeps from everybody. Functions
/// that only a trigger, an event or the server itself can call are left out. What comes with a membership is not repeated.
pub(super) const FUNCTIONS: &str = concat!(
    mine!(),
    ", suspects AS MATERIALIZED ( \
  SELECT p.oid, p.proname, p.pronamespace, p.proacl, p.proowner, p.prosecdef \
  FROM pg_catalog.pg_proc p \
  WHERE (p.prosecdef \
      OR p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.proacl IS NOT NULL \
      OR p.prolang IN (SELECT l.oid FROM pg_catalog.pg_language l WHERE l.lanispl AND NOT l.lanpltrusted) \
      OR p.probin ~ '(dblink|http|curl|adminpack|pg_net|plsh)' \
      OR p.oid IN ( \
        SELECT d.objid FROM pg_catalog.pg_extension e \
        JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid \
        WHERE d.deptype = 'e' AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.extname IN ( \
          'dblink', 'http', 'pg_net', 'pg_curl', 'plsh', 'aws_s3', 'aws_lambda', 'azure_storage', 'adminpack', 'pg_cron', \
          'pg_background', 'pg_file_settings', 'file_textarray_fdw', 'multicorn'))) \
    AND NOT EXISTS ( \
      SELECT FROM pg_catalog.pg_type t WHERE t.oid = p.prorettype AND t.typtype = 'p' \
        AND t.typname IN ('trigger', 'event_trigger', 'fdw_handler', 'language_handler', 'index_am_handler', 'table_am_handler', 'tsm_handler')) \
) \
SELECT CASE WHEN p.prosecdef THEN 'security-definer-function' ELSE 'reach-function' END, ARRAY['EXECUTE'], \
  n.nspname || '.' || p.proname, \
  'ROUTINE ' || pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)), \
  w.name, NULL::pg_catalog.text, NULL::pg_catalog.text \
FROM suspects p \
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) a \
JOIN whose w ON w.oid = a.grantee \
WHERE a.privilege_type = 'EXECUTE' AND p.proowner NOT IN (SELECT m.oid FROM mine m) \
  AND NOT (n.nspname = 'pg_catalog' AND w.name LIKE 'pg\\_%') \
ORDER BY 1, 4 LIMIT 1000"
);
