-- Queries that people and models write, for a SQLite source over the sample shop and the odd tables that the test adds. Each is
-- answered with the rows that SQLite gives without a fence. A query goes from the line after its name to the next `-- name:`.

-- section: Plain reading.

-- name: a whole table
SELECT * FROM products

-- name: odd case
select name from PRODUCTS where ID = 1

-- name: qualified
SELECT main.products.name FROM main.products WHERE products.id < 4

-- name: row numbers
SELECT rowid, _rowid_, oid, * FROM products LIMIT 1

-- name: an alias without AS
SELECT p.name n FROM products p WHERE p.stock > 80

-- name: limit and offset
SELECT id FROM products ORDER BY id LIMIT 5 OFFSET 3

-- name: distinct with a collation
SELECT DISTINCT category COLLATE NOCASE FROM products ORDER BY 1 DESC NULLS LAST

-- name: order by a place and an expression
SELECT name, price_cents FROM products ORDER BY 2 DESC, length(name), name

-- name: between, in and like
SELECT id FROM products WHERE price_cents BETWEEN 500 AND 1500 AND category IN ('home', 'garden') OR name LIKE '%pan%'

-- name: is distinct from
SELECT id FROM orders WHERE note IS DISTINCT FROM 'drop shipping' AND note IS NOT NULL

-- name: glob and like with an escape
SELECT name FROM products WHERE name GLOB 'T*' OR name LIKE '%50\%' ESCAPE '\'

-- name: an index by its name
SELECT id FROM orders INDEXED BY orders_by_status WHERE status = 'new' ORDER BY id

-- name: no index
SELECT id FROM orders NOT INDEXED WHERE status = 'new' ORDER BY id

-- section: What filters that look for words refuse.

-- name: columns that sound like writing
SELECT updated_at, created_at FROM orders

-- name: a literal that sounds like writing
SELECT note FROM orders WHERE note = 'drop shipping'

-- name: a statement inside a text
SELECT 'DELETE FROM products; DROP TABLE orders' AS text

-- name: a keyword as an alias
SELECT count(*) AS "delete" FROM orders

-- name: keywords as aliases, in all quotes
SELECT 1 AS "update", 2 AS [insert], 3 AS `drop`

-- name: keywords as names of a table and its columns
SELECT "select", "order" FROM "group" ORDER BY "order"

-- name: columns called deleted and attached
SELECT deleted, attached, pragma_value FROM "group" WHERE deleted = 0

-- name: a function called replace
SELECT replace(name, 'a', 'b') FROM products WHERE id < 3

-- name: a table with blanks and quotes in its name
SELECT "a ""b""" FROM "odd; ""name"" --"

-- name: a text with a comment in it
SELECT '-- no comment', '/* none */', ';'

-- name: a trailing semicolon
SELECT 1;

-- name: a semicolon and a comment with a semicolon
SELECT 1 ;  -- with a comment; and a semicolon

-- name: comments everywhere
/* first */ SELECT /* in /* between */ 1 /* last */

-- name: a comment on a line of its own
-- DROP TABLE products
SELECT 1

-- name: several semicolons
SELECT 1;;

-- name: a comment that is never closed at the end
SELECT 1 /* open

-- name: begin and end in CASE
SELECT CASE WHEN 1 THEN 'BEGIN' ELSE 'COMMIT' END

-- section: Values, sets and CTEs.

-- name: values
VALUES (1, 'a'), (2, 'b')

-- name: values as a table
SELECT column1, column2 FROM (VALUES (1, 'a'), (2, NULL))

-- name: union, except, intersect
SELECT id FROM products UNION SELECT id FROM orders EXCEPT SELECT 1 INTERSECT SELECT 2

-- name: union all with an order
SELECT 'p' AS kind, id FROM products UNION ALL SELECT 'o', id FROM orders ORDER BY 1, 2 LIMIT 30

-- name: a CTE
WITH c AS (SELECT 1) SELECT count(*) FROM c

-- name: a CTE that builds on another
WITH c AS (SELECT id FROM products), d AS (SELECT id FROM c) SELECT c.id FROM c, d ORDER BY 1 LIMIT 3

-- name: a CTE with the name of a table
WITH products AS (SELECT 7 AS id) SELECT id FROM products

-- name: a CTE inside a sub-query
SELECT (WITH x AS (SELECT max(id) AS m FROM orders) SELECT m FROM x)

-- name: a materialized CTE
WITH c AS MATERIALIZED (SELECT id FROM products), d AS NOT MATERIALIZED (SELECT id FROM c) SELECT count(*) FROM d

-- name: a CTE that nobody reads
WITH unused AS (SELECT 1 FROM orders) SELECT 2

-- name: a recursive CTE
WITH RECURSIVE days(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM days WHERE n < 31) SELECT count(*), sum(n) FROM days

-- name: a recursive CTE with a limit inside
WITH RECURSIVE fib(a, b) AS (VALUES (0, 1) UNION ALL SELECT b, a + b FROM fib LIMIT 20) SELECT a FROM fib

-- name: a recursive CTE over a table
WITH RECURSIVE chain(id, depth) AS (SELECT 1, 0 UNION ALL SELECT o.id, depth + 1 FROM orders o, chain WHERE o.id = chain.id + 7 AND depth < 10) SELECT * FROM chain

-- name: two recursive parts
WITH RECURSIVE c(n) AS (SELECT 1 UNION SELECT n * 2 FROM c WHERE n < 50 UNION SELECT n * 3 FROM c WHERE n < 50) SELECT n FROM c ORDER BY n

-- name: a view
SELECT customer, total_cents FROM order_totals ORDER BY total_cents DESC, customer LIMIT 5 OFFSET 2

-- name: a view counted
SELECT count(*) FROM order_totals

-- section: Joins and sub-queries.

-- name: counting
SELECT count(*) FROM orders

-- name: counting with the schema
SELECT count(*) FROM main.orders

-- name: exists
SELECT 1 WHERE EXISTS (SELECT 1 FROM orders)

-- name: inner and left join
SELECT o.id, p.name FROM orders o JOIN order_items i ON i.order_id = o.id LEFT JOIN products p ON p.id = i.product_id ORDER BY 1, 2 LIMIT 50

-- name: right and full join
SELECT p.id, i.order_id FROM order_items i RIGHT JOIN products p ON p.id = i.product_id ORDER BY 1, 2 LIMIT 40

-- name: a natural join
SELECT * FROM orders NATURAL JOIN order_totals ORDER BY id LIMIT 1

-- name: a join by using
SELECT count(*) FROM orders JOIN order_totals USING (id, customer)

-- name: a cross join
SELECT count(*) FROM products CROSS JOIN orders

-- name: in a sub-query
SELECT id FROM products WHERE id IN (SELECT product_id FROM order_items WHERE quantity > 2) ORDER BY id

-- name: scalars
SELECT (SELECT max(price_cents) FROM products), (SELECT min(price_cents) FROM products)

-- name: correlated
SELECT p.id, (SELECT sum(quantity) FROM order_items i WHERE i.product_id = p.id) AS sold FROM products p ORDER BY p.id

-- name: nested
SELECT * FROM (SELECT * FROM (SELECT id FROM products)) ORDER BY id

-- name: row values
SELECT id FROM products WHERE (category, stock) > ('home', 10) ORDER BY id

-- name: row values compared
SELECT (id, stock) = (1, 37) FROM products ORDER BY id LIMIT 1

-- name: a self-join
SELECT a.id, b.id FROM products a JOIN products b ON a.category = b.category AND a.id < b.id ORDER BY 1, 2 LIMIT 20

-- section: Aggregates and windows.

-- name: filter and having
SELECT status, count(*) FILTER (WHERE note IS NOT NULL) FROM orders GROUP BY status HAVING count(*) > 1 ORDER BY 1

-- name: money
SELECT sum(quantity * price_cents) / 100.0, avg(quantity), total(quantity), min(quantity), max(quantity) FROM order_items

-- name: group by a part of a date
SELECT strftime('%Y-%m', created_at) AS month, count(*) FROM orders GROUP BY 1 ORDER BY 1

-- name: count distinct
SELECT count(DISTINCT city), count(DISTINCT customer) FROM orders

-- name: joined texts
SELECT category, group_concat(name, ', ' ORDER BY name) FROM products GROUP BY category ORDER BY 1

-- name: string_agg
SELECT string_agg(sku, '/' ORDER BY sku DESC) FROM products WHERE category = 'home'

-- name: rank
SELECT name, rank() OVER (PARTITION BY category ORDER BY price_cents DESC, id) AS place FROM products ORDER BY category, place

-- name: a named window with a frame
SELECT id, lag(price_cents) OVER w, ntile(4) OVER w FROM products WINDOW w AS (ORDER BY id ROWS 2 PRECEDING) ORDER BY id

-- name: a running sum
SELECT id, sum(stock) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM products ORDER BY id

-- name: a frame with exclusion
SELECT id, avg(stock) OVER (ORDER BY id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM products ORDER BY id

-- name: first, last and nth value
SELECT DISTINCT category, first_value(name) OVER w, nth_value(name, 2) OVER w FROM products WINDOW w AS (PARTITION BY category ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY 1

-- name: shares
SELECT id, round(percent_rank() OVER (ORDER BY price_cents, id), 3), round(cume_dist() OVER (ORDER BY price_cents, id), 3) FROM products ORDER BY id

-- name: top of each group
SELECT * FROM (SELECT category, name, row_number() OVER (PARTITION BY category ORDER BY price_cents DESC, id) AS n FROM products) WHERE n <= 2 ORDER BY category, n

-- section: Functions.

-- name: texts
SELECT upper(name) || ' ' || substr(sku, 1, 3), length(name), instr(name, 'e'), trim('  x '), ltrim('xxa', 'x') FROM products ORDER BY id LIMIT 3

-- name: dates
SELECT date('2026-01-31', '+1 month'), julianday('2026-01-01'), unixepoch('2026-01-01'), time('12:00', '+90 minutes'), timediff('2026-03-01', '2026-02-01')

-- name: conditions
SELECT CASE WHEN stock = 0 THEN 'none' ELSE 'some' END, coalesce(NULL, 1), iif(1, 'a', 'b'), nullif(1, 1), ifnull(NULL, 'x') FROM products ORDER BY id LIMIT 3

-- name: casts and arithmetic
SELECT CAST('12' AS INTEGER), CAST(3 AS TEXT), typeof(1.5), round(2.567, 1), abs(-3), 7 % 3, 1 << 4, ~5, 7 & 3, 7 | 8

-- name: casts to types of other databases
SELECT CAST('12.50' AS NUMERIC), CAST(1 AS BOOLEAN), CAST('x' AS VARCHAR(10)), CAST('2026-01-01' AS DATE)

-- name: encodings
SELECT hex('abc'), quote('it''s'), char(65, 66), unicode('A'), x'0a0b', unhex('0aff')

-- name: an empty blob and a long one
SELECT x'', CAST(replace(hex('aaaaaaaaaaaaaaaa'), '6', 'xxxxxxxx') AS BLOB)

-- name: least and greatest of arguments
SELECT min(3, 1, 2), max('a', 'b'), sign(-4)

-- name: likelihoods
SELECT id FROM products WHERE likely(stock > 80) OR unlikely(id = 1) ORDER BY id

-- section: JSON.

-- name: objects
SELECT json_object('id', id, 'name', name) FROM products ORDER BY id LIMIT 3

-- name: arrays
SELECT json_group_array(name ORDER BY name) FROM products WHERE category = 'travel'

-- name: arrows
SELECT '{"a":[1,2]}' -> '$.a', '{"a":[1,2]}' ->> '$.a[0]', json_extract('{"a":1}', '$.a'), '{"a":{"b":2}}' -> 'a' ->> 'b'

-- name: each
SELECT key, value, type FROM json_each('{"a":1,"b":[2]}')

-- name: tree
SELECT fullkey, atom FROM json_tree('[1,[2,3]]') WHERE atom IS NOT NULL

-- name: each of every row
SELECT p.id, j.value FROM products p, json_each(json_array(p.id, p.stock)) j ORDER BY 1, j.key LIMIT 10

-- name: changed JSON
SELECT json_set('{"a":1}', '$.b', 2), json_remove('[1,2,3]', '$[0]'), json_patch('{"a":1}', '{"a":null}'), json_type('[1]'), json_valid('{')

-- name: JSON that is not to be written as text
SELECT json_extract(jsonb('[1,2]'), '$[1]'), json_array_length('[1,2,3]')

-- section: Values of every sort.

-- name: numbers at their ends
SELECT 9007199254740991, 9007199254740992, -9007199254740993, 9223372036854775807, -9223372036854775808

-- name: numbers that JSON lacks
SELECT 1e999, -1e999, 0.1 + 0.2, 1e300, -0.0

-- name: texts that are hard to write
SELECT 'é漢🦀', char(1, 9, 10, 34, 92), '', ' '

-- name: nulls
SELECT NULL, NULL IS NULL, NULL = NULL, count(note), count(*) FROM orders

-- name: booleans are numbers
SELECT TRUE, FALSE, 1 = 1, NOT 1, 3 IS TRUE

-- name: mixed types in one column
SELECT v, typeof(v) FROM mixed ORDER BY rowid

-- name: a generated column
SELECT k, doubled FROM made ORDER BY k

-- name: columns of one name
SELECT id, id, id AS id FROM products WHERE id = 2

-- name: numbers in hexadecimal and with signs between
SELECT 0xff, 1_000_000, -+-3

-- section: Plans.

-- name: the plan of a query
EXPLAIN QUERY PLAN SELECT * FROM orders WHERE status = 'new'

-- name: the plan of a join
explain query plan SELECT o.id FROM orders o JOIN order_items i ON i.order_id = o.id
