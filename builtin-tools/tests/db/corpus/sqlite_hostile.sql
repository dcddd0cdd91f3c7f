-- Statements that nobody should get through with, for a SQLite source. The source offers products, orders, order_items,
-- order_totals and lent_view (a view of `secrets`, which is not offered). A statement goes from the line after its headers to the
-- next `-- name:`. `-- expect:` is the code of the refusal; BOUNDED is one of the codes of a bound, or a bounded answer.

-- section: Other files.

-- name: attach a new file
-- expect: NOT_ALLOWED
ATTACH DATABASE 'other.db' AS other

-- name: attach by a URI that creates
-- expect: NOT_ALLOWED
ATTACH 'file:other.db?mode=rwc' AS other

-- name: attach memory
-- expect: NOT_ALLOWED
ATTACH ':memory:' AS m

-- name: attach an existing file of the system
-- expect: NOT_ALLOWED
ATTACH '/etc/passwd' AS p

-- name: attach a path that is computed
-- expect: NOT_ALLOWED
ATTACH 'ot' || 'her.db' AS other

-- name: attach a path from a query
-- expect: NOT_ALLOWED
ATTACH (SELECT 'other.db') AS other

-- name: attach with a key
-- expect: NOT_ALLOWED
ATTACH 'other.db' AS other KEY 'x'

-- name: attach without the word DATABASE and in odd case
-- expect: NOT_ALLOWED
aTtAcH 'other.db' As "main2"

-- name: attach through comments
-- expect: NOT_ALLOWED
/**/ATTACH/**/'other.db'/**/AS/**/other

-- name: explain an attach
-- expect: NOT_ALLOWED
EXPLAIN ATTACH 'other.db' AS other

-- name: detach main
-- expect: NOT_ALLOWED
DETACH DATABASE main

-- name: vacuum
-- expect: INVALID_ARGUMENTS
VACUUM

-- name: vacuum into a copy
-- expect: INVALID_ARGUMENTS
VACUUM INTO 'copy.db'

-- name: vacuum main into a copy elsewhere
-- expect: INVALID_ARGUMENTS
VACUUM main INTO '/tmp/patchbay-copy.db'

-- name: vacuum into a computed name
-- expect: INVALID_ARGUMENTS
VACUUM INTO 'copy' || '.db'

-- name: vacuum into a URI
-- expect: INVALID_ARGUMENTS
VACUUM INTO 'file:copy.db?mode=rwc'

-- section: Settings.

-- name: turn writing on
-- expect: NOT_ALLOWED
PRAGMA query_only = OFF

-- name: turn writing on as a call
-- expect: NOT_ALLOWED
PRAGMA query_only(0)

-- name: writable schema
-- expect: NOT_ALLOWED
PRAGMA writable_schema = ON

-- name: writable schema, and reset
-- expect: NOT_ALLOWED
PRAGMA writable_schema = RESET

-- name: journal mode
-- expect: NOT_ALLOWED
PRAGMA journal_mode = WAL

-- name: journal mode, only read
-- expect: NOT_ALLOWED
PRAGMA main.journal_mode

-- name: names of the files
-- expect: NOT_ALLOWED
PRAGMA database_list

-- name: columns of an offered table
-- expect: NOT_ALLOWED
PRAGMA table_info(products)

-- name: columns of a table that is not offered
-- expect: NOT_ALLOWED
PRAGMA table_info(secrets)

-- name: folder of temporary files
-- expect: NOT_ALLOWED
PRAGMA temp_store_directory = '/tmp'

-- name: temporary store
-- expect: NOT_ALLOWED
PRAGMA temp_store = FILE

-- name: user version
-- expect: NOT_ALLOWED
PRAGMA main.user_version = 7

-- name: application id
-- expect: NOT_ALLOWED
PRAGMA application_id = 7

-- name: schema version
-- expect: NOT_ALLOWED
PRAGMA schema_version = 7

-- name: trusted schema
-- expect: NOT_ALLOWED
PRAGMA trusted_schema = ON

-- name: heap limit
-- expect: NOT_ALLOWED
PRAGMA hard_heap_limit = 0

-- name: soft heap limit
-- expect: NOT_ALLOWED
PRAGMA soft_heap_limit = 1

-- name: cache size
-- expect: NOT_ALLOWED
PRAGMA cache_size = 1000000

-- name: memory map
-- expect: NOT_ALLOWED
PRAGMA mmap_size = 1000000000

-- name: case of LIKE
-- expect: NOT_ALLOWED
PRAGMA case_sensitive_like = ON

-- name: synchronous
-- expect: NOT_ALLOWED
PRAGMA synchronous = OFF

-- name: locking
-- expect: NOT_ALLOWED
PRAGMA locking_mode = EXCLUSIVE

-- name: checkpoint
-- expect: NOT_ALLOWED
PRAGMA wal_checkpoint(TRUNCATE)

-- name: incremental vacuum
-- expect: NOT_ALLOWED
PRAGMA incremental_vacuum(10)

-- name: optimize, which writes statistics
-- expect: NOT_ALLOWED
PRAGMA optimize

-- name: integrity check
-- expect: NOT_ALLOWED
PRAGMA integrity_check

-- name: busy timeout
-- expect: NOT_ALLOWED
PRAGMA busy_timeout = 100000000

-- name: encoding
-- expect: NOT_ALLOWED
PRAGMA encoding = 'UTF-16'

-- name: explain a pragma
-- expect: NOT_ALLOWED
EXPLAIN PRAGMA database_list

-- name: names of the files as a table
-- expect: NOT_ALLOWED
SELECT * FROM pragma_database_list

-- name: names of the files as a function
-- expect: NOT_ALLOWED
SELECT file FROM pragma_database_list()

-- name: counting the files
-- expect: NOT_ALLOWED
SELECT count(*) FROM pragma_database_list

-- name: columns of a hidden table as a function
-- expect: NOT_ALLOWED
SELECT * FROM pragma_table_info('secrets')

-- name: list of tables as a table
-- expect: NOT_ALLOWED
SELECT name FROM pragma_table_list

-- name: functions as a table
-- expect: NOT_ALLOWED
SELECT * FROM pragma_function_list

-- name: modules as a table
-- expect: NOT_ALLOWED
SELECT * FROM pragma_module_list

-- name: compile options as a table
-- expect: NOT_ALLOWED
SELECT * FROM pragma_compile_options

-- name: pragma table joined sideways
-- expect: NOT_ALLOWED
SELECT p.id, t.name FROM products p, pragma_table_info('secrets') t

-- name: pragma table in a sub-query
-- expect: NOT_ALLOWED
SELECT (SELECT file FROM pragma_database_list LIMIT 1)

-- name: pragma table behind a CTE
-- expect: NOT_ALLOWED
WITH x AS (SELECT * FROM pragma_database_list) SELECT * FROM x

-- name: pragma table, quoted
-- expect: NOT_ALLOWED
SELECT * FROM "pragma_database_list"

-- name: pragma table with its schema
-- expect: NOT_ALLOWED
SELECT * FROM main.pragma_database_list

-- section: Several statements. What stands first is judged first.

-- name: a drop behind a query
-- expect: INVALID_ARGUMENTS
SELECT 1; DROP TABLE products

-- name: two queries
-- expect: INVALID_ARGUMENTS
SELECT 1; SELECT 2

-- name: an attach behind empty statements
-- expect: INVALID_ARGUMENTS
SELECT 1;;; ATTACH 'other.db' AS o

-- name: a delete between comments
-- expect: INVALID_ARGUMENTS
SELECT 1 /* ; */ ; /* x */ DELETE FROM products --

-- name: a semicolon in a text first
-- expect: INVALID_ARGUMENTS
SELECT ';'; DELETE FROM products

-- name: a commit behind a query
-- expect: INVALID_ARGUMENTS
SELECT 1; COMMIT

-- name: text that is no statement behind a query
-- expect: INVALID_ARGUMENTS
SELECT 1; nonsense

-- name: a quote that closes early
-- expect: INVALID_ARGUMENTS
SELECT 'it''s'; DROP TABLE orders; --'

-- name: a delete on the next line
-- expect: INVALID_ARGUMENTS
SELECT 1 -- harmless
; DELETE FROM orders

-- name: a query behind a query that ends in a comment
-- expect: INVALID_ARGUMENTS
SELECT 1; /* and */ SELECT 2 /* more

-- section: Several statements of which the first is refused.

-- name: commit and drop
-- expect: NOT_ALLOWED
COMMIT; DROP TABLE products

-- name: end and attach
-- expect: NOT_ALLOWED
END; ATTACH 'other.db' AS o

-- section: Writes in every form.

-- name: insert
-- expect: NOT_ALLOWED
INSERT INTO products (id) VALUES (99)

-- name: insert from a query
-- expect: NOT_ALLOWED
INSERT INTO products SELECT * FROM products

-- name: insert defaults and return
-- expect: NOT_ALLOWED
INSERT INTO products DEFAULT VALUES RETURNING *

-- name: insert or ignore
-- expect: NOT_ALLOWED
INSERT OR IGNORE INTO products (id) VALUES (1)

-- name: upsert
-- expect: NOT_ALLOWED
INSERT INTO products (id, sku, name, category, price_cents, updated_at) VALUES (1, '', '', '', 0, '') ON CONFLICT (id) DO UPDATE SET stock = 0

-- name: replace
-- expect: NOT_ALLOWED
REPLACE INTO products (id) VALUES (1)

-- name: update
-- expect: NOT_ALLOWED
UPDATE products SET price_cents = 0

-- name: update and return
-- expect: NOT_ALLOWED
UPDATE products SET price_cents = 0 RETURNING id

-- name: update or replace
-- expect: NOT_ALLOWED
UPDATE OR REPLACE products SET id = 1

-- name: update from
-- expect: NOT_ALLOWED
UPDATE products SET stock = o.id FROM orders o

-- name: update by its index
-- expect: NOT_ALLOWED
UPDATE products INDEXED BY sqlite_autoindex_products_1 SET stock = 0 WHERE sku = 'x'

-- name: delete
-- expect: NOT_ALLOWED
DELETE FROM products

-- name: delete and return
-- expect: NOT_ALLOWED
DELETE FROM products WHERE id = 1 RETURNING *

-- name: delete behind a CTE
-- expect: NOT_ALLOWED
WITH x AS (SELECT 1) DELETE FROM products WHERE id IN x

-- name: insert behind a CTE
-- expect: NOT_ALLOWED
WITH x AS (SELECT 1) INSERT INTO products (id) SELECT * FROM x

-- name: update behind a recursive CTE
-- expect: NOT_ALLOWED
WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x LIMIT 3) UPDATE products SET stock = 0 WHERE id IN x

-- name: explain a delete
-- expect: NOT_ALLOWED
EXPLAIN DELETE FROM products

-- name: explain an insert
-- expect: NOT_ALLOWED
EXPLAIN INSERT INTO products (id) VALUES (99)

-- name: plan of an update
-- expect: NOT_ALLOWED
EXPLAIN QUERY PLAN UPDATE products SET id = 1

-- name: plan of a drop
-- expect: NOT_ALLOWED
EXPLAIN QUERY PLAN DROP TABLE products

-- name: insert into a view
-- expect: NOT_ALLOWED
INSERT INTO order_totals (id) VALUES (1)

-- name: delete from a hidden table
-- expect: NOT_ALLOWED
DELETE FROM secrets

-- section: Writes that SQLite itself refuses to read.

-- name: delete inside a CTE
-- expect: SQLITE_ERROR
WITH x AS (DELETE FROM products RETURNING *) SELECT * FROM x

-- name: insert inside a CTE
-- expect: SQLITE_ERROR
WITH x AS (INSERT INTO products (id) VALUES (9) RETURNING *) SELECT * FROM x

-- name: update as a sub-query
-- expect: SQLITE_ERROR
SELECT * FROM (UPDATE products SET stock = 0 RETURNING *)

-- name: select into
-- expect: SQLITE_ERROR
SELECT * INTO copy FROM products

-- name: row locks
-- expect: SQLITE_ERROR
SELECT * FROM products FOR UPDATE

-- name: insert into the schema
-- expect: NOT_ALLOWED
INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 1, 'x')

-- name: update of the schema
-- expect: SQLITE_ERROR
UPDATE sqlite_schema SET sql = ''

-- name: delete from the schema
-- expect: SQLITE_ERROR
DELETE FROM sqlite_schema

-- section: Structure, also temporary.

-- name: create a table
-- expect: NOT_ALLOWED
CREATE TABLE evil (x)

-- name: create a table as a query
-- expect: NOT_ALLOWED
CREATE TABLE evil AS SELECT * FROM products

-- name: create a temporary table
-- expect: NOT_ALLOWED
CREATE TEMP TABLE evil (x)

-- name: create a temporary table as a query
-- expect: NOT_ALLOWED
CREATE TEMPORARY TABLE evil AS SELECT 1

-- name: create a table in temp
-- expect: NOT_ALLOWED
CREATE TABLE temp.evil (x)

-- name: create a table if there is none
-- expect: NOT_ALLOWED
CREATE TABLE IF NOT EXISTS evil (x)

-- name: create a view of a hidden table
-- expect: NOT_ALLOWED
CREATE VIEW evil AS SELECT * FROM secrets

-- name: create a temporary view of a hidden table
-- expect: NOT_ALLOWED
CREATE TEMP VIEW evil AS SELECT * FROM secrets

-- name: create a trigger
-- expect: NOT_ALLOWED
CREATE TRIGGER evil AFTER INSERT ON products BEGIN SELECT 1; END

-- name: create a temporary trigger
-- expect: NOT_ALLOWED
CREATE TEMP TRIGGER evil AFTER INSERT ON products BEGIN SELECT 1; END

-- name: create an index
-- expect: NOT_ALLOWED
CREATE INDEX evil ON products (name)

-- name: create a unique index
-- expect: NOT_ALLOWED
CREATE UNIQUE INDEX evil ON products (name)

-- name: create a full-text table
-- expect: NOT_ALLOWED
CREATE VIRTUAL TABLE evil USING fts5(x)

-- name: create a temporary dbstat
-- expect: NOT_ALLOWED
CREATE VIRTUAL TABLE temp.evil USING dbstat

-- name: create an r-tree
-- expect: NOT_ALLOWED
CREATE VIRTUAL TABLE evil USING rtree(id, a, b)

-- name: drop a table
-- expect: NOT_ALLOWED
DROP TABLE products

-- name: drop a table if it is there
-- expect: NOT_ALLOWED
DROP TABLE IF EXISTS products

-- name: drop a view
-- expect: NOT_ALLOWED
DROP VIEW order_totals

-- name: drop an index
-- expect: NOT_ALLOWED
DROP INDEX orders_by_status

-- name: drop a full-text table
-- expect: NOT_ALLOWED
DROP TABLE search

-- name: rename a table
-- expect: NOT_ALLOWED
ALTER TABLE products RENAME TO gone

-- name: add a column
-- expect: NOT_ALLOWED
ALTER TABLE products ADD COLUMN evil

-- name: drop a column
-- expect: NOT_ALLOWED
ALTER TABLE products DROP COLUMN stock

-- name: rename a column
-- expect: NOT_ALLOWED
ALTER TABLE products RENAME COLUMN name TO evil

-- name: rebuild the indexes
-- expect: NOT_ALLOWED
REINDEX

-- name: rebuild the indexes of a table
-- expect: NOT_ALLOWED
REINDEX products

-- name: statistics
-- expect: NOT_ALLOWED
ANALYZE

-- name: statistics of a table
-- expect: NOT_ALLOWED
ANALYZE main.products

-- section: Transactions.

-- name: begin
-- expect: NOT_ALLOWED
BEGIN

-- name: begin immediate
-- expect: NOT_ALLOWED
BEGIN IMMEDIATE

-- name: begin exclusive
-- expect: NOT_ALLOWED
BEGIN EXCLUSIVE TRANSACTION

-- name: commit
-- expect: NOT_ALLOWED
COMMIT

-- name: end
-- expect: NOT_ALLOWED
END TRANSACTION

-- name: rollback
-- expect: NOT_ALLOWED
ROLLBACK

-- name: savepoint
-- expect: NOT_ALLOWED
SAVEPOINT evil

-- name: release
-- expect: NOT_ALLOWED
RELEASE evil

-- name: rollback to
-- expect: NOT_ALLOWED
ROLLBACK TO evil

-- section: Functions with reach, wherever an expression may stand.

-- name: load an extension
-- expect: NOT_ALLOWED
SELECT load_extension('/tmp/evil.so')

-- name: load an extension, quoted
-- expect: NOT_ALLOWED
SELECT "load_extension"('evil')

-- name: load an extension to order
-- expect: NOT_ALLOWED
SELECT 1 ORDER BY load_extension('evil')

-- name: load an extension as a limit
-- expect: NOT_ALLOWED
SELECT 1 LIMIT load_extension('evil')

-- name: load an extension as an offset
-- expect: NOT_ALLOWED
SELECT 1 LIMIT 1 OFFSET load_extension('evil')

-- name: load an extension in a filter
-- expect: NOT_ALLOWED
SELECT count(*) FILTER (WHERE load_extension('evil')) FROM products

-- name: load an extension in a window
-- expect: NOT_ALLOWED
SELECT sum(id) OVER (ORDER BY load_extension('evil')) FROM products

-- name: load an extension in a named window
-- expect: NOT_ALLOWED
SELECT sum(id) OVER w FROM products WINDOW w AS (PARTITION BY load_extension('evil'))

-- name: load an extension in a join
-- expect: NOT_ALLOWED
SELECT 1 FROM products p JOIN orders o ON load_extension('evil')

-- name: load an extension to group
-- expect: NOT_ALLOWED
SELECT 1 FROM products GROUP BY load_extension('evil')

-- name: load an extension in HAVING
-- expect: NOT_ALLOWED
SELECT 1 FROM products GROUP BY id HAVING load_extension('evil')

-- name: load an extension in CASE
-- expect: NOT_ALLOWED
SELECT CASE WHEN 1 THEN 2 ELSE load_extension('evil') END

-- name: load an extension behind a false condition
-- expect: NOT_ALLOWED
SELECT id FROM products WHERE 0 AND load_extension('evil')

-- name: load an extension in VALUES
-- expect: NOT_ALLOWED
VALUES (load_extension('evil'))

-- name: load an extension in a CTE that nobody reads twice
-- expect: NOT_ALLOWED
WITH x AS (SELECT load_extension('evil') AS y) SELECT y FROM x

-- name: load an extension in an aggregate
-- expect: NOT_ALLOWED
SELECT max(load_extension('evil')) FROM products

-- name: load an extension in BETWEEN
-- expect: NOT_ALLOWED
SELECT 1 WHERE 1 BETWEEN 0 AND load_extension('evil')

-- name: load an extension in IN
-- expect: NOT_ALLOWED
SELECT 1 WHERE 1 IN (2, load_extension('evil'))

-- name: load an extension as an argument of a table function
-- expect: NOT_ALLOWED
SELECT * FROM json_each(load_extension('evil'))

-- name: the tokenizer of fts3
-- expect: NOT_ALLOWED
SELECT fts3_tokenizer('simple')

-- name: compile option
-- expect: NOT_ALLOWED
SELECT sqlite_compileoption_get(1)

-- name: compile option asked for
-- expect: NOT_ALLOWED
SELECT sqlite_compileoption_used('THREADSAFE')

-- name: source of SQLite
-- expect: NOT_ALLOWED
SELECT sqlite_source_id()

-- name: log of SQLite
-- expect: NOT_ALLOWED
SELECT sqlite_log(1, 'forged line')

-- name: last row
-- expect: NOT_ALLOWED
SELECT last_insert_rowid()

-- name: changes
-- expect: NOT_ALLOWED
SELECT changes(), total_changes()

-- name: highlight of a full-text table
-- expect: NOT_ALLOWED
SELECT snippet(search) FROM search

-- section: Functions that are not there.

-- name: read a file
-- expect: SQLITE_ERROR
SELECT readfile('/etc/passwd')

-- name: write a file
-- expect: SQLITE_ERROR
SELECT writefile('evil', 'x')

-- name: edit
-- expect: SQLITE_ERROR
SELECT edit('x')

-- name: list a folder
-- expect: SQLITE_ERROR
SELECT * FROM fsdir('/')

-- name: sleep
-- expect: SQLITE_ERROR
SELECT pg_sleep(10)

-- name: run a program
-- expect: SQLITE_ERROR
SELECT system('id')

-- name: evaluate SQL
-- expect: SQLITE_ERROR
SELECT eval('DROP TABLE products')

-- name: read a zip
-- expect: SQLITE_ERROR
SELECT * FROM zipfile('x.zip')

-- name: statements of the connection
-- expect: SQLITE_ERROR
SELECT * FROM sqlite_stmt

-- name: a series without end
-- expect: SQLITE_ERROR
SELECT * FROM generate_series(1, 1000000000000)

-- name: a regular expression
-- expect: SQLITE_ERROR
SELECT 'a' REGEXP 'b'

-- section: Much out of nothing.

-- name: zeroblob
-- expect: NOT_ALLOWED
SELECT zeroblob(2000000000)

-- name: zeroblob as hex
-- expect: NOT_ALLOWED
SELECT hex(zeroblob(900000000))

-- name: randomblob
-- expect: NOT_ALLOWED
SELECT randomblob(2000000000)

-- name: printf of many
-- expect: NOT_ALLOWED
SELECT printf('%.*c', 2000000000, 'x')

-- name: format of many
-- expect: NOT_ALLOWED
SELECT format('%2000000000d', 1)

-- name: length of printf
-- expect: NOT_ALLOWED
SELECT length(printf('%.*c', 100000000, 'x'))

-- name: zeroblob inside an allowed function
-- expect: NOT_ALLOWED
SELECT length(replace(zeroblob(1000000000), x'00', x'0000'))

-- section: Tables that are not offered: directly, quoted, behind every kind of query, counted, and behind borrowed names.

-- name: hidden table
-- expect: NOT_ALLOWED
SELECT * FROM secrets

-- name: hidden table in capitals
-- expect: NOT_ALLOWED
SELECT password FROM SECRETS

-- name: hidden table, quoted
-- expect: NOT_ALLOWED
SELECT "password" FROM "secrets"

-- name: hidden table in brackets with its schema
-- expect: NOT_ALLOWED
SELECT [password] FROM [main].[secrets]

-- name: hidden table in backticks
-- expect: NOT_ALLOWED
SELECT `password` FROM `secrets`

-- name: hidden table as a text literal
-- expect: NOT_ALLOWED
SELECT * FROM 'secrets'

-- name: hidden table counted
-- expect: NOT_ALLOWED
SELECT count(*) FROM secrets

-- name: hidden table counted with its schema
-- expect: NOT_ALLOWED
SELECT count(*) FROM main.secrets

-- name: hidden table for nothing but being there
-- expect: NOT_ALLOWED
SELECT 1 FROM secrets LIMIT 1

-- name: hidden table in a join by commas
-- expect: NOT_ALLOWED
SELECT products.id FROM products, secrets

-- name: hidden table in a left join
-- expect: NOT_ALLOWED
SELECT p.id FROM products p LEFT JOIN secrets s ON s.name = p.name

-- name: hidden table in a full join
-- expect: NOT_ALLOWED
SELECT p.id FROM products p FULL JOIN secrets s ON 0

-- name: hidden table in EXISTS
-- expect: NOT_ALLOWED
SELECT id FROM products WHERE EXISTS (SELECT 1 FROM secrets)

-- name: hidden table in NOT EXISTS
-- expect: NOT_ALLOWED
SELECT id FROM products WHERE NOT EXISTS (SELECT 1 FROM secrets WHERE password LIKE 'a%')

-- name: hidden table in IN
-- expect: NOT_ALLOWED
SELECT id FROM products WHERE 'hunter2' IN secrets

-- name: hidden table in a row value
-- expect: NOT_ALLOWED
SELECT 1 WHERE (1, 2) IN (SELECT name, password FROM secrets)

-- name: hidden table as a scalar
-- expect: NOT_ALLOWED
SELECT (SELECT password FROM secrets)

-- name: hidden table in a union
-- expect: NOT_ALLOWED
SELECT id FROM products UNION SELECT password FROM secrets

-- name: hidden table in EXCEPT
-- expect: NOT_ALLOWED
SELECT 'hunter2' EXCEPT SELECT password FROM secrets

-- name: hidden table in INTERSECT
-- expect: NOT_ALLOWED
SELECT 'hunter2' INTERSECT SELECT password FROM secrets

-- name: hidden table to order
-- expect: NOT_ALLOWED
SELECT id FROM products ORDER BY (SELECT password FROM secrets)

-- name: hidden table as a limit
-- expect: NOT_ALLOWED
SELECT id FROM products LIMIT (SELECT length(password) FROM secrets)

-- name: hidden table in a filter
-- expect: NOT_ALLOWED
SELECT count(*) FILTER (WHERE (SELECT 1 FROM secrets)) FROM products

-- name: hidden table in CASE
-- expect: NOT_ALLOWED
SELECT CASE WHEN (SELECT password FROM secrets) > 'h' THEN 1 / 0 END

-- name: hidden table behind the name of an offered one
-- expect: NOT_ALLOWED
WITH products AS (SELECT password AS id FROM secrets) SELECT id FROM products

-- name: hidden table behind the name of an offered view
-- expect: NOT_ALLOWED
WITH order_totals AS (SELECT password FROM secrets) SELECT * FROM order_totals

-- name: hidden table behind a CTE of its own name
-- expect: NOT_ALLOWED
WITH secrets AS (SELECT * FROM main.secrets) SELECT * FROM secrets

-- name: hidden table beside a CTE of its own name
-- expect: NOT_ALLOWED
WITH secrets AS (SELECT 1) SELECT * FROM secrets, main.secrets

-- name: hidden table in a recursion
-- expect: NOT_ALLOWED
WITH RECURSIVE c(x) AS (SELECT password FROM secrets UNION ALL SELECT x FROM c LIMIT 3) SELECT * FROM c

-- name: hidden table in a CTE that is materialized
-- expect: NOT_ALLOWED
WITH x AS MATERIALIZED (SELECT * FROM secrets) SELECT count(*) FROM x

-- name: hidden table in VALUES
-- expect: NOT_ALLOWED
VALUES ((SELECT password FROM secrets))

-- name: hidden table by its row number
-- expect: NOT_ALLOWED
SELECT rowid FROM secrets

-- name: hidden table in a natural join
-- expect: NOT_ALLOWED
SELECT * FROM products NATURAL JOIN secrets

-- name: hidden table as an alias
-- expect: NOT_ALLOWED
SELECT products.password FROM secrets AS products

-- name: hidden table in a lateral table function
-- expect: NOT_ALLOWED
SELECT j.value FROM json_each((SELECT json_group_array(password) FROM secrets)) j

-- name: hidden table in an aggregate
-- expect: NOT_ALLOWED
SELECT json_group_array((SELECT password FROM secrets)) FROM products

-- name: hidden table in a window
-- expect: NOT_ALLOWED
SELECT sum(id) OVER (ORDER BY (SELECT password FROM secrets)) FROM products

-- name: hidden table in a plan
-- expect: NOT_ALLOWED
EXPLAIN QUERY PLAN SELECT * FROM secrets

-- name: hidden table by its index
-- expect: NOT_ALLOWED
SELECT name FROM secrets INDEXED BY secrets_by_name WHERE name = 'root'

-- name: hidden view
-- expect: NOT_ALLOWED
SELECT * FROM secret_view

-- name: hidden view counted
-- expect: NOT_ALLOWED
SELECT count(*) FROM secret_view

-- name: offered view of a hidden table
-- expect: NOT_ALLOWED
SELECT * FROM lent_view

-- name: offered view of a hidden table counted
-- expect: NOT_ALLOWED
SELECT count(*) FROM lent_view

-- name: offered view of a hidden table in a join
-- expect: NOT_ALLOWED
SELECT 1 FROM products, lent_view

-- name: hidden table that has the name of a table function
-- expect: NOT_ALLOWED
SELECT * FROM json_tree

-- name: hidden table that has the name of a table function, counted
-- expect: NOT_ALLOWED
SELECT count(*) FROM json_tree

-- name: the schema
-- expect: NOT_ALLOWED
SELECT name FROM sqlite_master

-- name: the schema by its new name
-- expect: NOT_ALLOWED
SELECT sql FROM sqlite_schema

-- name: the schema, quoted and qualified
-- expect: NOT_ALLOWED
SELECT sql FROM "main"."sqlite_master"

-- name: the schema counted
-- expect: NOT_ALLOWED
SELECT count(*) FROM sqlite_schema

-- name: the temporary schema
-- expect: NOT_ALLOWED
SELECT * FROM sqlite_temp_master

-- name: the temporary schema by its new name
-- expect: NOT_ALLOWED
SELECT * FROM temp.sqlite_schema

-- name: statistics of the planner
-- expect: NOT_ALLOWED
SELECT * FROM sqlite_stat1

-- name: samples of the planner, which are data
-- expect: NOT_ALLOWED
SELECT sample FROM sqlite_stat4

-- name: sequences
-- expect: NOT_ALLOWED
SELECT * FROM sqlite_sequence

-- name: pages
-- expect: NOT_ALLOWED
SELECT * FROM dbstat

-- name: pages counted
-- expect: NOT_ALLOWED
SELECT count(*) FROM dbstat

-- name: pages as a function
-- expect: NOT_ALLOWED
SELECT name FROM dbstat('main')

-- name: bytecode of a query
-- expect: SQLITE_ERROR
SELECT * FROM bytecode('SELECT * FROM secrets')

-- name: tables that a query uses
-- expect: SQLITE_ERROR
SELECT * FROM tables_used('SELECT * FROM secrets')

-- name: a full-text table
-- expect: NOT_ALLOWED
SELECT * FROM search

-- name: a full-text table searched
-- expect: NOT_ALLOWED
SELECT * FROM search WHERE search MATCH 'x'

-- name: a full-text table as a function
-- expect: NOT_ALLOWED
SELECT * FROM search('hunter2')

-- name: the shadow of a full-text table
-- expect: NOT_ALLOWED
SELECT * FROM search_content

-- name: words of a full-text table
-- expect: NOT_ALLOWED
SELECT * FROM search_data

-- section: Tables that are not there.

-- name: pages raw
-- expect: SQLITE_ERROR
SELECT * FROM sqlite_dbpage

-- name: a table of another schema
-- expect: SQLITE_ERROR
SELECT * FROM other.products

-- name: a database of PostgreSQL
-- expect: SQLITE_ERROR
SELECT * FROM pg_catalog.pg_shadow

-- name: a virtual table by its module
-- expect: SQLITE_ERROR
SELECT * FROM fts5vocab('search', 'row')

-- name: a column of a hidden table through an offered one
-- expect: SQLITE_ERROR
SELECT products.password FROM products

-- section: Not a statement at all.

-- name: nothing
-- expect: INVALID_ARGUMENTS


-- name: blanks
-- expect: INVALID_ARGUMENTS
   

-- name: a semicolon
-- expect: INVALID_ARGUMENTS
;

-- name: a comment
-- expect: INVALID_ARGUMENTS
-- only a comment

-- name: a comment that is never closed
-- expect: INVALID_ARGUMENTS
/* never closed

-- section: Not SQL, or another database's.

-- name: a text that is never closed
-- expect: SQLITE_ERROR
SELECT 'never closed

-- name: a name that is never closed
-- expect: SQLITE_ERROR
SELECT "never closed

-- name: a bracket that is never closed
-- expect: SQLITE_ERROR
SELECT (1

-- name: copy
-- expect: SQLITE_ERROR
COPY products TO '/tmp/x'

-- name: a command of the shell
-- expect: SQLITE_ERROR
.dump

-- name: a program by the shell
-- expect: SQLITE_ERROR
.shell id

-- name: do
-- expect: SQLITE_ERROR
DO $$ BEGIN DELETE FROM products; END $$

-- name: set
-- expect: SQLITE_ERROR
SET query_only = 0

-- name: call
-- expect: SQLITE_ERROR
CALL evil()

-- name: grant
-- expect: SQLITE_ERROR
GRANT ALL ON products TO public

-- name: truncate
-- expect: SQLITE_ERROR
TRUNCATE TABLE products

-- name: prepare
-- expect: SQLITE_ERROR
PREPARE evil AS DELETE FROM products

-- name: execute
-- expect: SQLITE_ERROR
EXECUTE evil

-- name: listen
-- expect: SQLITE_ERROR
LISTEN evil

-- name: lock
-- expect: SQLITE_ERROR
LOCK TABLE products

-- name: show
-- expect: SQLITE_ERROR
SHOW TABLES

-- name: merge
-- expect: SQLITE_ERROR
MERGE INTO products USING orders ON 1 WHEN MATCHED THEN DELETE

-- name: dollar quotes
-- expect: INVALID_ARGUMENTS
SELECT $$a; DROP TABLE products$$

-- name: escapes that SQLite lacks
-- expect: INVALID_ARGUMENTS
SELECT 'a\'; DROP TABLE products; --'

-- name: unicode escapes that SQLite lacks
-- expect: SQLITE_ERROR
SELECT U&"\0073ecrets" FROM products

-- name: columns in double quotes are no texts
-- expect: SQLITE_ERROR
SELECT name FROM products WHERE name = "no such column"

-- section: Instructions in place of a plan.

-- name: explain without a plan
-- expect: NOT_ALLOWED
EXPLAIN SELECT 1

-- name: explain of an offered table
-- expect: NOT_ALLOWED
EXPLAIN SELECT * FROM products

-- section: SQLite begins these, and a bound ends them; none may answer with more than its bounds.

-- name: endless counting
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c

-- name: endless and all different
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT max(x) FROM c

-- name: endless and sorted
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c ORDER BY -x

-- name: endless rows
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c

-- name: endless without a row
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c WHERE x < 0

-- name: doubled texts, measured
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 'ab' UNION ALL SELECT x || x FROM c) SELECT length(x) FROM c

-- name: doubled texts, shown
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 'ab' UNION ALL SELECT x || x FROM c) SELECT x FROM c

-- name: endless text
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT group_concat(x) FROM c

-- name: endless JSON
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT json_group_array(x) FROM c

-- name: endless distinct
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(DISTINCT x) FROM c

-- name: endless window
-- expect: BOUNDED
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT sum(x) OVER (ORDER BY x DESC) FROM c

-- name: product of tables, counted
-- expect: BOUNDED
SELECT count(*) FROM order_items a, order_items b, order_items c, order_items d, order_items e, order_items f

-- name: product of tables, sorted
-- expect: BOUNDED
SELECT * FROM orders a, orders b, orders c, orders d ORDER BY a.note, b.note, c.note, d.note

-- name: large texts, all different
-- expect: BOUNDED
WITH big(t) AS (SELECT replace(hex(replace(hex('aaaaaaaaaaaaaaaa'), '6', 'xxxxxxxx')), '7', 'yyyyyyyyyyyyyyyy')),
c(n, t) AS (SELECT 1, t FROM big UNION SELECT n + 1, t || n FROM c) SELECT count(*) FROM c

-- name: replacements that grow
-- expect: BOUNDED
SELECT replace(replace(replace(replace('aaaaaaaaaaaaaaaa', 'a', 'bbbbbbbbbbbbbbbb'), 'b', 'cccccccccccccccccccc'),
'c', 'dddddddddddddddddddd'), 'd', 'eeeeeeeeeeeeeeeeeeeee')

-- name: sub-queries by every row
-- expect: BOUNDED
SELECT (SELECT count(*) FROM orders a, orders b, orders c, orders d) FROM orders x, orders y, orders z

-- name: needles that almost fit
-- expect: BOUNDED
WITH RECURSIVE c(t) AS (SELECT 'aaaaaaaa' UNION ALL SELECT t || t FROM c WHERE length(t) < 400000)
SELECT instr(t, substr(t, 1, length(t) / 2) || 'b') FROM (SELECT max(t) AS t FROM c)

-- name: JSON tree by every row
-- expect: BOUNDED
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000)
SELECT count(*) FROM (SELECT json_group_array(n) AS j FROM c), json_each(j) a, json_each(j) b
