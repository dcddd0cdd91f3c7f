Legal reads that no tree gives away, each behind a line that says what it does. They are accepted, and the role, the
deadline, the caps or the redaction of errors has to deal with them.
-- name: attribute notation for a function of a user
SELECT o.evil FROM app.orders o
-- name: attribute notation for a function of a user, by the table's name
SELECT orders.evil FROM app.orders
-- name: attribute notation for a function of the catalog
SELECT o.row_to_json FROM app.orders o
-- name: attribute notation for a cast
SELECT o.text FROM app.orders o
-- name: a series without end
SELECT count(*) FROM generate_series(1, 1000000000000)
-- name: a series of rows without end
SELECT n FROM generate_series(1, 1000000000000) AS n
-- name: a recursion without end
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t
-- name: a recursion that doubles its text
WITH RECURSIVE t(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM t WHERE length(s) < 100000000) SELECT max(length(s)) FROM t
-- name: a join of everything with everything
SELECT count(*) FROM app.orders a, app.orders b, app.orders c, app.orders d, app.orders e, app.orders f, app.orders g, app.orders h
-- name: one huge cell by aggregation
SELECT string_agg('0123456789012345678901234567890123456789', '') FROM generate_series(1, 2000000)
-- name: one huge cell by replacement
SELECT replace(replace(replace(replace('xxxxxxxxxxxxxxxx', 'x', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'), 'y', 'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'), 'z', 'uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu'), 'u', 'vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv')
-- name: one huge cell by arrays
SELECT array_agg(n) FROM generate_series(1, 5000000) AS n
-- name: a sort that fills the disk
SELECT n FROM generate_series(1, 100000000) AS n ORDER BY md5(n::text)
-- name: a regular expression that takes its time
SELECT '0000000000000000000000000000000000000000000000000000000000000000' ~ '(0*)*(0*)*(0*)*(0*)*(0*)*1'
-- name: a power of many digits
SELECT length((2::numeric ^ 400000)::text)
-- name: a cast that quotes its data in the error
SELECT customer::int FROM app.orders
-- name: a date that quotes its data in the error
SELECT to_date(note, 'YYYY-MM-DD') FROM app.orders
-- name: JSON that quotes its data in the error
SELECT note::jsonb FROM app.orders
-- name: an array that quotes its data in the error
SELECT note::int[] FROM app.orders
-- name: a division by zero that tells of data
SELECT 1 / (id - id) FROM app.orders
-- name: a division by zero that tells one bit of data
SELECT CASE WHEN customer LIKE 'A%' THEN 1 / 0 END FROM app.orders
-- name: a column that is not there
SELECT password FROM app.orders
-- name: a table that is not in FROM
SELECT creds.password FROM app.orders
-- name: the identity of the table
SELECT tableoid, xmin, ctid FROM app.orders
