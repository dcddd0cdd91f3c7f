Statements that must be refused, each behind a line that says what it tries. The tables: schema app with products, orders
and order_items may be read, secret.creds may not. Where its sort allows it, a statement is one that PostgreSQL would run.
-- name: two statements
SELECT 1; DELETE FROM app.orders
-- name: two queries
SELECT 1; SELECT 2;
-- name: two semicolons at the end
SELECT 1;;
-- name: a semicolon before
; SELECT 1
-- name: a transaction ended behind the back
COMMIT; DROP TABLE app.orders
-- name: a second statement behind a line comment
SELECT 1 -- ; nothing
; DROP TABLE app.orders
-- name: a second statement behind a block comment
SELECT 1 /* ; */ ; DROP TABLE app.orders
-- name: a second statement behind a nested comment
SELECT 1 /* /* ; */ */ ; DROP TABLE app.orders -- */
-- name: a comment that only one lexer closes
SELECT 1 /* /* */ ; DROP TABLE app.orders; -- */ */ ; SELECT 2
-- name: a second statement behind a dollar quote
SELECT $$;$$ ; DROP TABLE app.orders
-- name: a second statement behind a tagged dollar quote
SELECT $a$ $b$ ; $a$ ; DROP TABLE app.orders -- $b$
-- name: a second statement behind a dollar sign in a name
SELECT a$$; DROP TABLE app.orders; SELECT $$b FROM app.orders
-- name: a second statement behind a backslash that escapes nothing
SELECT '\'; DROP TABLE app.orders; --'
-- name: a second statement behind a backslash that escapes
SELECT E'\\'; DROP TABLE app.orders; --'
-- name: a second statement behind an escaped quote
SELECT E'\''; DROP TABLE app.orders; --'
-- name: a second statement behind doubled quotes
SELECT ''''; DROP TABLE app.orders; --'
-- name: a second statement behind a quoted name
SELECT 1 AS ";"; DROP TABLE app.orders
-- name: a second statement behind a doubled quote in a name
SELECT 1 AS "a""; SELECT 1"; DROP TABLE app.orders
-- name: a second statement behind an octal quote
SELECT E'\047; SELECT 1'; DROP TABLE app.orders
-- name: a second statement behind a carriage return that ends a comment
SELECT 1 -- comment; DROP TABLE app.orders
-- name: begin
BEGIN
-- name: commit
COMMIT
-- name: commit in capitals and blanks
   
	CoMmIt  ;
-- name: rollback
ROLLBACK
-- name: rollback to a savepoint
ROLLBACK TO SAVEPOINT a
-- name: end
END
-- name: abort
ABORT
-- name: start transaction read write
START TRANSACTION READ WRITE
-- name: savepoint
SAVEPOINT a
-- name: release
RELEASE a
-- name: set transaction read write
SET TRANSACTION READ WRITE
-- name: set session characteristics
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
-- name: set a setting
SET statement_timeout = 0
-- name: set the role
SET ROLE postgres
-- name: set session authorization
SET SESSION AUTHORIZATION DEFAULT
-- name: reset
RESET ALL
-- name: show
SHOW ALL
-- name: show one
SHOW data_directory
-- name: discard
DISCARD ALL
-- name: do
DO $$ BEGIN PERFORM pg_sleep(1); END $$
-- name: call
CALL app.cleanup()
-- name: copy a table out
COPY app.orders TO STDOUT
-- name: copy a query out
COPY (SELECT 1) TO STDOUT
-- name: copy to a file
COPY app.orders TO '/tmp/stolen'
-- name: copy to a program
COPY (SELECT 1) TO PROGRAM 'touch /tmp/owned'
-- name: copy from a program
COPY app.orders FROM PROGRAM 'cat /etc/passwd'
-- name: copy from stdin
COPY app.orders FROM STDIN
-- name: prepare
PREPARE p AS SELECT 1
-- name: execute
EXECUTE p
-- name: deallocate
DEALLOCATE ALL
-- name: declare a cursor
DECLARE c CURSOR WITH HOLD FOR SELECT 1
-- name: fetch from a cursor
FETCH ALL FROM c
-- name: listen
LISTEN channel
-- name: unlisten
UNLISTEN *
-- name: notify
NOTIFY channel, 'payload'
-- name: lock
LOCK TABLE app.orders IN ACCESS EXCLUSIVE MODE
-- name: vacuum
VACUUM
-- name: analyze
ANALYZE app.orders
-- name: cluster
CLUSTER
-- name: reindex
REINDEX DATABASE shop
-- name: checkpoint
CHECKPOINT
-- name: refresh
REFRESH MATERIALIZED VIEW app.totals
-- name: load
LOAD 'auto_explain'
-- name: grant
GRANT ALL ON app.orders TO PUBLIC
-- name: revoke
REVOKE ALL ON app.orders FROM PUBLIC
-- name: reassign
REASSIGN OWNED BY CURRENT_USER TO postgres
-- name: create a table
CREATE TABLE app.t (a int)
-- name: create a table from a query
CREATE TABLE app.t AS SELECT * FROM app.orders
-- name: create a temporary table
CREATE TEMP TABLE t (a int)
-- name: create a view
CREATE VIEW app.v AS SELECT 1
-- name: create a function
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'
-- name: create an extension
CREATE EXTENSION dblink
-- name: create a role
CREATE ROLE intruder SUPERUSER LOGIN
-- name: alter a role
ALTER ROLE CURRENT_USER SET search_path = app
-- name: alter the system
ALTER SYSTEM SET archive_command = 'touch /tmp/owned'
-- name: alter a table
ALTER TABLE app.orders ADD COLUMN x int
-- name: drop a table
DROP TABLE app.orders
-- name: truncate
TRUNCATE app.orders
-- name: comment on
COMMENT ON TABLE app.orders IS 'owned'
-- name: security label
SECURITY LABEL ON TABLE app.orders IS 'x'
-- name: insert
INSERT INTO app.orders (customer) VALUES ('x')
-- name: update
UPDATE app.orders SET note = 'x'
-- name: delete
DELETE FROM app.orders
-- name: merge
MERGE INTO app.orders o USING app.products p ON o.id = p.id WHEN MATCHED THEN DELETE
-- name: import a foreign schema
IMPORT FOREIGN SCHEMA public FROM SERVER s INTO app
-- name: an empty statement
-- nothing here
-- name: nothing at all
;
-- name: insert in a query of WITH
WITH x AS (INSERT INTO app.orders (customer) VALUES ('x') RETURNING *) SELECT * FROM x
-- name: update in a query of WITH
WITH x AS (UPDATE app.orders SET note = 'x' RETURNING *) SELECT * FROM x
-- name: delete in a query of WITH
WITH x AS (DELETE FROM app.orders RETURNING *) SELECT * FROM x
-- name: merge in a query of WITH
WITH x AS (MERGE INTO app.orders o USING app.products p ON o.id = p.id WHEN MATCHED THEN DELETE) SELECT 1
-- name: delete in the second query of WITH
WITH a AS (SELECT 1), x AS (DELETE FROM app.orders RETURNING 1) SELECT * FROM a
-- name: delete in WITH inside of WITH
WITH a AS (WITH b AS (DELETE FROM app.orders RETURNING 1) SELECT * FROM b) SELECT * FROM a
-- name: delete in WITH of a query in FROM
SELECT * FROM (WITH b AS (DELETE FROM app.orders RETURNING 1) SELECT * FROM b) x
-- name: delete behind WITH
WITH a AS (SELECT 1) DELETE FROM app.orders
-- name: insert behind WITH
WITH a AS (SELECT 1) INSERT INTO app.orders (id) SELECT * FROM a
-- name: update behind WITH
WITH a AS (SELECT 1) UPDATE app.orders SET note = 'x'
-- name: delete in a recursive query
WITH RECURSIVE r AS (SELECT 1 UNION ALL (WITH d AS (DELETE FROM app.orders RETURNING 1) SELECT * FROM d)) SELECT * FROM r
-- name: select into
SELECT * INTO app.copy FROM app.orders
-- name: select into a temporary table
SELECT 1 AS a INTO TEMP t
-- name: select into an unlogged table
SELECT id INTO UNLOGGED app.copy FROM app.orders
-- name: select into with the word table
SELECT * INTO TABLE app.copy FROM app.orders
-- name: select into in a set operation
SELECT 1 INTO app.copy UNION SELECT 2
-- name: select into behind WITH
WITH a AS (SELECT 1) SELECT * INTO app.copy FROM a
-- name: for update
SELECT * FROM app.orders FOR UPDATE
-- name: for share
SELECT * FROM app.orders FOR SHARE
-- name: for no key update
SELECT * FROM app.orders FOR NO KEY UPDATE
-- name: for key share
SELECT * FROM app.orders FOR KEY SHARE
-- name: for update of one, without waiting
SELECT * FROM app.orders o JOIN app.order_items i ON i.order_id = o.id FOR UPDATE OF o SKIP LOCKED
-- name: for update in a subquery
SELECT * FROM (SELECT * FROM app.orders FOR UPDATE) x
-- name: for update in a query of WITH
WITH x AS (SELECT * FROM app.orders FOR UPDATE NOWAIT) SELECT * FROM x
-- name: for update in an expression
SELECT (SELECT id FROM app.orders LIMIT 1 FOR UPDATE)
-- name: for update before the limit
SELECT * FROM app.orders FOR UPDATE LIMIT 1
-- name: for update of a set operation's arm
(SELECT id FROM app.orders FOR UPDATE) UNION ALL SELECT 1
-- name: explain analyze
EXPLAIN ANALYZE SELECT 1
-- name: explain analyze in parentheses
EXPLAIN (ANALYZE) SELECT 1
-- name: explain analyze spelt otherwise
EXPLAIN (ANALYSE true, VERBOSE) SELECT 1
-- name: explain analyze behind another option
EXPLAIN (COSTS off, "analyze" on) SELECT 1
-- name: explain analyze of a delete
EXPLAIN ANALYZE DELETE FROM app.orders
-- name: explain of a delete
EXPLAIN DELETE FROM app.orders
-- name: explain of a new table
EXPLAIN CREATE TABLE app.t AS SELECT 1
-- name: explain of a declared cursor
EXPLAIN DECLARE c CURSOR FOR SELECT 1
-- name: explain of a prepared statement
EXPLAIN EXECUTE p
-- name: explain with settings
EXPLAIN (SETTINGS) SELECT 1
-- name: explain with buffers
EXPLAIN (BUFFERS) SELECT 1
-- name: explain of a forbidden table
EXPLAIN SELECT * FROM secret.creds
-- name: a setting changed
SELECT set_config('statement_timeout', '0', true)
-- name: a setting changed under its full name
SELECT pg_catalog.set_config('default_transaction_read_only', 'off', false)
-- name: a setting changed in quotes
SELECT "set_config"('statement_timeout', '0', true)
-- name: a setting changed in capitals
SELECT PG_CATALOG.SET_CONFIG('statement_timeout', '0', true)
-- name: a setting read
SELECT current_setting('data_directory')
-- name: all settings
SELECT * FROM pg_show_all_settings()
-- name: sleep in the list
SELECT pg_sleep(10)
-- name: sleep in FROM
SELECT * FROM pg_sleep(10)
-- name: sleep in FROM behind LATERAL
SELECT * FROM app.orders o, LATERAL pg_sleep(o.id)
-- name: sleep in ROWS FROM
SELECT * FROM ROWS FROM (pg_sleep(10), generate_series(1, 2))
-- name: sleep in WHERE
SELECT 1 WHERE pg_sleep(10) IS NULL
-- name: sleep in ORDER BY
SELECT id FROM app.orders ORDER BY pg_sleep(1)
-- name: sleep in GROUP BY
SELECT count(*) FROM app.orders GROUP BY pg_sleep(1)::text
-- name: sleep in HAVING
SELECT count(*) FROM app.orders HAVING pg_sleep(1) IS NULL
-- name: sleep in LIMIT
SELECT 1 LIMIT (SELECT 1 FROM pg_sleep(1))
-- name: sleep in OFFSET
SELECT 1 OFFSET (CASE WHEN pg_sleep(1) IS NULL THEN 0 ELSE 1 END)
-- name: sleep in FETCH
SELECT 1 FETCH FIRST (length(pg_sleep(1)::text)) ROWS ONLY
-- name: sleep in DISTINCT ON
SELECT DISTINCT ON (pg_sleep(1)::text) id FROM app.orders
-- name: sleep in FILTER
SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL) FROM app.orders
-- name: sleep in OVER
SELECT count(*) OVER (PARTITION BY pg_sleep(1)::text) FROM app.orders
-- name: sleep in a window's order
SELECT count(*) OVER (ORDER BY pg_sleep(1)::text) FROM app.orders
-- name: sleep in a named window
SELECT count(*) OVER w FROM app.orders WINDOW w AS (PARTITION BY pg_sleep(1)::text)
-- name: sleep in a window's frame
SELECT sum(id) OVER (ORDER BY id ROWS length(pg_sleep(1)::text) PRECEDING) FROM app.orders
-- name: sleep in CASE
SELECT CASE WHEN pg_sleep(1) IS NULL THEN 1 END
-- name: sleep as CASE's operand
SELECT CASE pg_sleep(1)::text WHEN '' THEN 1 END
-- name: sleep in IN
SELECT 1 WHERE '' IN ('a', pg_sleep(1)::text)
-- name: sleep before IN
SELECT 1 WHERE pg_sleep(1)::text IN ('')
-- name: sleep in BETWEEN
SELECT 1 WHERE 'a' BETWEEN 'a' AND pg_sleep(1)::text
-- name: sleep in LIKE
SELECT 1 WHERE 'a' LIKE 'b' ESCAPE pg_sleep(1)::text
-- name: sleep in ANY
SELECT 1 WHERE '' = ANY (ARRAY[pg_sleep(1)::text])
-- name: sleep in a subscript
SELECT tags[length(pg_sleep(1)::text)] FROM app.products
-- name: sleep in a slice
SELECT tags[1:length(pg_sleep(1)::text)] FROM app.products
-- name: sleep in JOIN
SELECT 1 FROM app.orders o JOIN app.order_items i ON pg_sleep(1) IS NULL
-- name: sleep in VALUES
VALUES (pg_sleep(1))
-- name: sleep in WITH
WITH x AS (SELECT pg_sleep(1)) SELECT 1 FROM x
-- name: sleep in WITH MATERIALIZED
WITH x AS MATERIALIZED (SELECT pg_sleep(1)) SELECT * FROM x
-- name: sleep in EXISTS
SELECT 1 WHERE EXISTS (SELECT pg_sleep(1))
-- name: sleep in an array of a query
SELECT ARRAY(SELECT pg_sleep(1)::text)
-- name: sleep in an aggregate's order
SELECT string_agg(note, ',' ORDER BY pg_sleep(1)::text) FROM app.orders
-- name: sleep within a group
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY length(pg_sleep(1)::text)) FROM app.orders
-- name: sleep as a named argument
SELECT make_interval(days => length(pg_sleep(1)::text))
-- name: sleep in COALESCE
SELECT coalesce(NULL, pg_sleep(1)::text)
-- name: sleep in GREATEST
SELECT greatest('a', pg_sleep(1)::text)
-- name: sleep in ROW
SELECT ROW(1, pg_sleep(1))
-- name: sleep in EXTRACT
SELECT extract(year FROM now() + length(pg_sleep(1)::text) * interval '1 day')
-- name: sleep in SUBSTRING
SELECT substring('abc' FROM length(pg_sleep(1)::text) FOR 1)
-- name: sleep in OVERLAY
SELECT overlay('abc' PLACING pg_sleep(1)::text FROM 1)
-- name: sleep in TRIM
SELECT trim(BOTH pg_sleep(1)::text FROM 'x')
-- name: sleep in POSITION
SELECT position(pg_sleep(1)::text IN 'x')
-- name: sleep in AT TIME ZONE
SELECT now() AT TIME ZONE pg_sleep(1)::text
-- name: sleep in CAST
SELECT CAST(pg_sleep(1) AS text)
-- name: sleep in a grouping set
SELECT 1 FROM app.orders GROUP BY GROUPING SETS ((id), (pg_sleep(1)::text))
-- name: sleep in ceil
SELECT ceil(length(pg_sleep(1)::text))
-- name: sleep until
SELECT pg_sleep_until(now() + interval '1 hour')
-- name: sleep for
SELECT pg_sleep_for('1 hour')
-- name: sleep under a quoted name in two schemas
SELECT "pg_catalog"."pg_sleep"(1)
-- name: a file read
SELECT pg_read_file('/etc/passwd')
-- name: a file read as bytes
SELECT pg_read_binary_file('/etc/passwd')
-- name: a directory listed
SELECT * FROM pg_ls_dir('/')
-- name: a file looked at
SELECT * FROM pg_stat_file('/etc/passwd')
-- name: the log directory
SELECT * FROM pg_ls_logdir()
-- name: a large object made
SELECT lo_create(0)
-- name: a large object imported
SELECT lo_import('/etc/passwd')
-- name: a large object exported
SELECT lo_export(1, '/tmp/x')
-- name: a large object written
SELECT lo_from_bytea(0, '\x00')
-- name: a large object read
SELECT lo_get(1)
-- name: dblink in FROM
SELECT * FROM dblink('dbname=postgres', 'DROP TABLE app.orders') AS t(a int)
-- name: dblink in the list
SELECT dblink_exec('dbname=postgres', 'DROP TABLE app.orders')
-- name: a backend killed
SELECT pg_terminate_backend(pid) FROM (VALUES (1)) v(pid)
-- name: a backend cancelled
SELECT pg_cancel_backend(1)
-- name: other sessions
SELECT * FROM pg_stat_get_activity(NULL)
-- name: configuration reloaded
SELECT pg_reload_conf()
-- name: the log rotated
SELECT pg_rotate_logfile()
-- name: a backup begun
SELECT pg_backup_start('x')
-- name: the write-ahead log switched
SELECT pg_switch_wal()
-- name: a replication slot
SELECT pg_create_physical_replication_slot('x')
-- name: an advisory lock
SELECT pg_advisory_lock(1)
-- name: an advisory lock tried
SELECT pg_try_advisory_xact_lock(1, 2)
-- name: a notification
SELECT pg_notify('channel', 'payload')
-- name: a transaction number drawn
SELECT txid_current()
-- name: a transaction number drawn by its new name
SELECT pg_current_xact_id()
-- name: a snapshot exported
SELECT pg_export_snapshot()
-- name: a sequence advanced
SELECT nextval('app.orders_id_seq')
-- name: a sequence set
SELECT setval('app.orders_id_seq', 1)
-- name: a sequence looked at
SELECT currval('app.orders_id_seq')
-- name: a table dumped by its name
SELECT table_to_xml('secret.creds', true, false, '')
-- name: a query hidden in a string
SELECT query_to_xml('SELECT * FROM secret.creds', true, false, '')
-- name: a schema dumped
SELECT schema_to_xml('secret', true, false, '')
-- name: the database dumped
SELECT database_to_xml(true, false, '')
-- name: a cursor dumped
SELECT cursor_to_xml('c', 1, true, false, '')
-- name: statistics of a query hidden in a string
SELECT * FROM ts_stat('SELECT to_tsvector(password) FROM secret.creds')
-- name: a rewrite by a query hidden in a string
SELECT ts_rewrite('a'::tsquery, 'SELECT to_tsquery(password), to_tsquery(login) FROM secret.creds')
-- name: XPath
SELECT xpath('/a', '<a/>'::xml)
-- name: XMLTABLE
SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS a text)
-- name: XMLELEMENT
SELECT xmlelement(name a, 'b')
-- name: a literal of XML
SELECT xml '<a/>'
-- name: XMLPARSE
SELECT xmlparse(DOCUMENT '<a/>')
-- name: much memory by repeat
SELECT repeat('x', 1000000000)
-- name: much memory by lpad
SELECT lpad('x', 1000000000)
-- name: much memory by rpad
SELECT rpad('x', 1000000000, 'y')
-- name: much memory by array_fill
SELECT array_fill(1, ARRAY[100000000])
-- name: much memory by a width of format
SELECT format('%1000000000s', 'x')
-- name: much memory by a width of format from an argument
SELECT format('%*s', 1000000000, 'x')
-- name: much memory by a pattern that is no literal
SELECT format(note, id) FROM app.orders
-- name: much memory by a padded type
SELECT string_agg('x'::char(10000000), '') FROM generate_series(1, 100)
-- name: much memory by a padded bit string
SELECT B'1'::bit(80000000)
-- name: who am I
SELECT current_user
-- name: who am I, once more
SELECT session_user, user, current_role, current_catalog
-- name: the current schema
SELECT current_schema
-- name: the current schemas
SELECT current_schemas(true)
-- name: the current database
SELECT current_database()
-- name: where the server is
SELECT inet_server_addr()
-- name: a right asked for
SELECT has_table_privilege('secret.creds', 'SELECT')
-- name: a name looked up
SELECT to_regclass('secret.creds')
-- name: a definition read
SELECT pg_get_viewdef('app.v')
-- name: a function's text read
SELECT pg_get_functiondef(1)
-- name: a comment read
SELECT obj_description(1, 'pg_class')
-- name: a size asked for
SELECT pg_relation_size('secret.creds')
-- name: the seed of random
SELECT setseed(0.5)
-- name: a function of a user
SELECT app.evil()
-- name: a function of a user without a schema
SELECT evil()
-- name: a function of a user in quotes
SELECT "app"."evil"(1)
-- name: a function of a user with a known name
SELECT app.lower('x')
-- name: a function of a user in FROM
SELECT * FROM app.evil() AS t
-- name: a function of a user with a known name in FROM
SELECT * FROM app.generate_series(1, 2)
-- name: a function with the name of a schema in capitals and quotes
SELECT "PG_CATALOG".lower('x')
-- name: a function in three parts
SELECT shop.pg_catalog.lower('x')
-- name: a known function in another case in quotes
SELECT "LOWER"('x')
-- name: a function of the information schema
SELECT information_schema._pg_truetypid(a, b) FROM app.products a, app.products b
-- name: a table outside of the list
SELECT * FROM secret.creds
-- name: a table outside of the list in quotes
SELECT * FROM "secret"."creds"
-- name: a table outside of the list in capitals
SELECT * FROM SECRET.CREDS
-- name: a table outside of the list with Unicode escapes
SELECT * FROM U&"secr\0065t".creds
-- name: a table outside of the list with another escape sign
SELECT * FROM secret.U&"cr!0065ds" UESCAPE '!'
-- name: a table outside of the list in a subquery
SELECT (SELECT password FROM secret.creds LIMIT 1)
-- name: a table outside of the list in EXISTS
SELECT 1 WHERE EXISTS (SELECT 1 FROM secret.creds WHERE password LIKE 'a%')
-- name: a table outside of the list in IN
SELECT 1 WHERE 'x' IN (SELECT password FROM secret.creds)
-- name: a table outside of the list in ANY
SELECT 1 WHERE 'x' = ANY (SELECT password FROM secret.creds)
-- name: a table outside of the list in FROM's query
SELECT * FROM (SELECT * FROM secret.creds) x
-- name: a table outside of the list in a join
SELECT * FROM app.orders o JOIN secret.creds c ON true
-- name: a table outside of the list in a join in parentheses
SELECT * FROM (app.orders o CROSS JOIN secret.creds c)
-- name: a table outside of the list behind a comma
SELECT * FROM app.orders, secret.creds
-- name: a table outside of the list in LATERAL
SELECT * FROM app.orders o, LATERAL (SELECT * FROM secret.creds) x
-- name: a table outside of the list in a union
SELECT customer FROM app.orders UNION ALL SELECT password FROM secret.creds
-- name: a table outside of the list in an intersection in parentheses
SELECT 1 INTERSECT (SELECT 2 EXCEPT (SELECT length(password) FROM secret.creds))
-- name: a table outside of the list by TABLE
TABLE secret.creds
-- name: a table outside of the list by TABLE in a union
SELECT 'a', 'b' UNION ALL TABLE secret.creds
-- name: a table outside of the list by TABLE in parentheses
SELECT * FROM (TABLE secret.creds) x
-- name: a table outside of the list by ONLY
SELECT * FROM ONLY secret.creds
-- name: a table outside of the list with its descendants
SELECT * FROM secret.creds *
-- name: a table outside of the list in WITH
WITH x AS (SELECT * FROM secret.creds) SELECT * FROM x
-- name: a table outside of the list in VALUES
VALUES ((SELECT password FROM secret.creds LIMIT 1))
-- name: a table outside of the list in ORDER BY
SELECT id FROM app.orders ORDER BY (SELECT password FROM secret.creds LIMIT 1)
-- name: a table outside of the list in LIMIT
SELECT id FROM app.orders LIMIT (SELECT count(*) FROM secret.creds)
-- name: a table outside of the list behind TABLESAMPLE
SELECT * FROM secret.creds TABLESAMPLE SYSTEM (100)
-- name: a table outside of the list behind a query of the same name
WITH creds AS (SELECT 1) SELECT * FROM secret.creds
-- name: a table outside of the list without its schema
SELECT * FROM creds
-- name: a table outside of the list in the query of its own name
WITH creds AS (SELECT * FROM creds) SELECT * FROM creds
-- name: a query of WITH that comes later
WITH a AS (SELECT * FROM creds), creds AS (SELECT 1) SELECT * FROM a
-- name: a query of WITH that is out of sight
SELECT * FROM (WITH creds AS (SELECT 1) SELECT * FROM creds) x, creds
-- name: a query of WITH in the other arm
(WITH creds AS (SELECT 1) SELECT * FROM creds) UNION ALL SELECT 1 FROM creds
-- name: a query of WITH in another case
WITH "Creds" AS (SELECT 1) SELECT * FROM creds
-- name: a query of WITH that was inside of another
WITH a AS (WITH creds AS (SELECT 1) SELECT * FROM creds) SELECT * FROM a, creds
-- name: a query of WITH with a name of the catalog
WITH pg_class AS (SELECT 1) SELECT * FROM pg_class
-- name: a whole column path outside of the list
SELECT secret.creds.password FROM app.orders
-- name: all columns of a table outside of the list
SELECT secret.creds.* FROM app.orders
-- name: a table of the catalog
SELECT * FROM pg_catalog.pg_authid
-- name: a table of the catalog without its schema
SELECT rolname, rolpassword FROM pg_authid
-- name: the sessions of others
SELECT query FROM pg_stat_activity
-- name: the settings as a table
SELECT * FROM pg_settings
-- name: the statistics of columns
SELECT most_common_vals FROM pg_stats
-- name: the information schema
SELECT * FROM information_schema.tables
-- name: large objects as a table
SELECT * FROM pg_largeobject
-- name: a table of another database
SELECT * FROM shop.app.orders
-- name: a table in four parts
SELECT * FROM a.b.c.d
-- name: a temporary table
SELECT * FROM pg_temp.t
-- name: the sequence as a table
SELECT last_value FROM app.orders_id_seq
-- name: a listed name in another case in quotes
SELECT * FROM app."Orders"
-- name: a schema with a blank
SELECT * FROM "app ".orders
-- name: an operator of a user
SELECT 1 === 2
-- name: an operator of a user with its schema
SELECT 1 OPERATOR(app.===) 2
-- name: an operator of a user with a known name
SELECT 1 OPERATOR(app.+) 2
-- name: an operator of a user before its operand
SELECT === 1
-- name: an order by an operator of a user
SELECT id FROM app.orders ORDER BY id USING OPERATOR(app.<)
-- name: an order by an operator
SELECT id FROM app.orders ORDER BY id USING <
-- name: ANY with an operator of a user
SELECT 1 WHERE 1 === ANY (ARRAY[1])
-- name: a cast to regclass
SELECT 'secret.creds'::regclass
-- name: a cast to regclass in full
SELECT CAST('secret.creds' AS pg_catalog.regclass)
-- name: a cast to regproc
SELECT 'pg_sleep'::regproc
-- name: a cast to an array of regclass
SELECT '{secret.creds}'::regclass[]
-- name: a literal of regrole
SELECT regrole 'postgres'
-- name: a cast to oid
SELECT 1::oid
-- name: a cast to regtype
SELECT 'int'::regtype
-- name: a cast to a type of a user
SELECT 'x'::app.mood
-- name: a cast to a type of a user without its schema
SELECT 'x'::mood
-- name: a cast to the row of a table
SELECT '(a,b)'::secret.creds
-- name: a cast to a quoted known type of another schema
SELECT 'x'::"app"."text"
-- name: a cast to xml
SELECT '<a/>'::xml
-- name: a record of a user's type
SELECT * FROM json_to_recordset('[]') AS x(a app.mood)
-- name: a record filled from JSON
SELECT * FROM json_populate_record(NULL::secret.creds, '{}')
-- name: a field of a record
SELECT (o).evil FROM app.orders o
-- name: a field of a query
SELECT (SELECT o FROM app.orders o LIMIT 1).customer
-- name: all fields of a record
SELECT (o).* FROM app.orders o
-- name: a field of a function's record
SELECT (json_each('{}')).key
-- name: a collation of a user
SELECT 'a' COLLATE app.evil
-- name: a parameter with a name
SELECT * FROM app.orders WHERE id = :id
-- name: a parameter of JDBC
SELECT * FROM app.orders WHERE id = ?
-- name: a parameter of Python
SELECT * FROM app.orders WHERE id = %s
-- name: parameter nought
SELECT $0
-- name: a parameter beyond the last
SELECT $251
-- name: a parameter beyond all numbers
SELECT $99999999999999999999999
-- name: a name that PostgreSQL would cut
SELECT * FROM app.orders AS aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-- name: a table that is listed once it is cut
SELECT * FROM "secret.creds                                                     more"."orders"
-- name: an unclosed string
SELECT 'abc
-- name: an unclosed name
SELECT "abc
-- name: an unclosed comment
SELECT 1 /* abc
-- name: an unclosed dollar quote
SELECT $a$ abc $b$
-- name: a string continued on the next line
SELECT 'SELECT ' 
  '1'
-- name: a national string
SELECT N'abc'
-- name: a string with Unicode escapes
SELECT U&'\0041'
-- name: half of a character
SELECT E'\xe2\x82'
-- name: a NUL by an escape
SELECT E'\000'
-- name: a NUL by a code point
SELECT E'\u0000'
-- name: half of a surrogate pair
SELECT E'\ud83d'
-- name: a no-break space
SELECT 1
-- name: a zero width space in a name
SELECT * FROM app.ord​ers
-- name: a byte order mark
﻿SELECT 1
-- name: a number with letters
SELECT 1_000
-- name: a hexadecimal number
SELECT 0x1F
-- name: a number with an exponent that is none
SELECT 1e
-- name: a backtick
SELECT * FROM `app`.`orders`
-- name: square brackets around a name
SELECT * FROM [app].[orders]
-- name: braces
SELECT {d '2024-01-01'}
-- name: limit of another database
SELECT * FROM app.orders LIMIT 1, 2
-- name: top of another database
SELECT TOP 1 * FROM app.orders
-- name: a pivot of another database
SELECT * FROM app.orders PIVOT (count(id) FOR city IN ('a'))
-- name: qualify of another database
SELECT id FROM app.orders QUALIFY row_number() OVER (ORDER BY id) = 1
-- name: an apply of another database
SELECT * FROM app.orders CROSS APPLY app.order_items
-- name: a sample of another database
SELECT * FROM app.orders SAMPLE (10)
-- name: a sample by a method of a user
SELECT * FROM app.orders TABLESAMPLE app.evil (1)
-- name: a sample with a function
SELECT * FROM app.orders TABLESAMPLE SYSTEM (pg_sleep(1)::text::int)
-- name: a query that begins with FROM
FROM app.orders SELECT *
-- name: a search in a recursive query
WITH RECURSIVE t AS (SELECT 1 AS n) SEARCH DEPTH FIRST BY n SET o SELECT pg_sleep(1) FROM t
-- name: JSON_TABLE
SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a int PATH '$'))
-- name: a window function of a user
SELECT app.evil() OVER (ORDER BY id) FROM app.orders
-- name: a new table, where a parser may see a column named into
SELECT INTO app
-- name: locked rows, where a parser may see a column named for
SELECT FOR UPDATE
-- name: a reserved word as the name of a table
SELECT 1 FROM orders ALL
-- name: a precision that would be lost
SELECT interval(0) '1.5 seconds'
