Statements that must be accepted and must give what they gave before, each behind a line that says what it shows. The
tables: app.products(id, sku, name, category, price_cents, stock, created_at, attributes jsonb, tags text[]),
app.orders(id, customer, city, status, note, created_at, updated_at, created_by, deleted) and
app.order_items(order_id, product_id, quantity, price_cents); names without a schema are looked up in app. Whatever has
rows in an order of its own is sorted, so that results can be compared.
-- name: one
SELECT 1
-- name: a semicolon at the end
SELECT 1;
-- name: a semicolon and a comment at the end
SELECT 1 ; -- done
-- name: comments everywhere, nested too
/* a /* nested */ one */ SELECT /* in */ 1 -- at the end; DROP TABLE orders
-- name: a comment instead of a blank
SELECT/**/1/**/AS/**/a
-- name: capitals and blanks
  sElEcT
	COUNT ( * )   FROM   ORDERS
-- name: all columns
SELECT * FROM orders ORDER BY id
-- name: a table with its schema
SELECT id, customer FROM app.orders ORDER BY id
-- name: columns with their table and schema
SELECT orders.id, app.orders.customer, app.orders.* FROM app.orders ORDER BY orders.id
-- name: columns with the schema of a table without it
SELECT app.orders.id FROM orders WHERE app.orders.id < 10 ORDER BY app.orders.id
-- name: quoted names
SELECT "orders"."id" AS "The Id", "customer" FROM "app"."orders" ORDER BY "The Id"
-- name: names that are keywords
SELECT id AS "select", customer AS "from", city AS "where", status AS "table", note AS "user" FROM orders AS "order" ORDER BY "select"
-- name: names with quotes in them
SELECT 1 AS "a""b", 2 AS "it's", 3 AS "semi;colon", 4 AS "--"
-- name: names in other scripts
SELECT customer AS käufer, city AS "Größe", status AS статус FROM orders ORDER BY id
-- name: names of units behind AS
SELECT extract(year FROM created_at) AS year, extract(month FROM created_at) AS month, id AS day FROM orders ORDER BY id
-- name: columns named like commands
SELECT id, created_at, updated_at, created_by, deleted FROM orders WHERE deleted IS NOT TRUE ORDER BY updated_at DESC NULLS LAST, id
-- name: literals that look like commands
SELECT id FROM orders WHERE note = 'drop shipping; delete from orders' OR note LIKE '%insert%' OR note IN ('update', 'grant') ORDER BY id
-- name: a string with a comment in it
SELECT '-- no comment /* here */ ; $$' AS a
-- name: a string with quotes
SELECT 'it''s', '''', '"', ''
-- name: a string with backslashes
SELECT '\', 'C:\temp\n', '\''', '\\'
-- name: a string with escapes
SELECT E'tab\there', E'it\'s', E'\\', E'\x41\102\u00e9\U0001F600', E'a''b', E'line\
two'
-- name: dollar quotes
SELECT $$it's$$, $q$a $$ b$q$, $é$x$é$, $$\$$
-- name: a string over lines
SELECT 'one
two'
-- name: bit strings
SELECT B'1010', X'1F', B'', x'ff'
-- name: numbers
SELECT 1, 1.5, .5, 1., 1e3, 1.5E-3, 12345678901234567890, 00012
-- name: signs of numbers
SELECT -1, +1, - -1, 1 - -1, 1-1, 2*-3, -(-2), 5 - 3 - 1
-- name: arithmetic
SELECT 7 / 2, 7 % 3, 2 ^ 3 ^ 2, |/ 16, ||/ 27, @ -5, 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 4, 256 >> 2
-- name: precedence
SELECT 1 + 2 * 3 ^ 2, (1 + 2) * 3, -2 ^ 2, NOT true OR true, NOT (true OR true), (1 < 2) = true, 2 + 3 || 'x', - 2 :: int % 3
-- name: comparisons
SELECT 1 = 1, 1 <> 2, 1 != 2, 1 < 2, 1 <= 2, 2 > 1, 2 >= 1, 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL
-- name: truth
SELECT true AND false OR true, true IS TRUE, NULL::boolean IS UNKNOWN, false IS NOT TRUE, NULL IS NULL, 1 IS NOT NULL
-- name: the short forms of tests
SELECT id, note ISNULL AS a, note NOTNULL AS b FROM orders ORDER BY id
-- name: ranges
SELECT id FROM orders WHERE id BETWEEN 2 AND 5 AND id NOT BETWEEN 3 AND 4 ORDER BY id
-- name: lists
SELECT id FROM orders WHERE id IN (1, 2, 3) AND city NOT IN ('Nowhere') ORDER BY id
-- name: patterns
SELECT name FROM products WHERE name LIKE 'a%' OR name ILIKE '%B%' OR name NOT LIKE '%\%%' OR name LIKE 'x!%' ESCAPE '!' OR name SIMILAR TO '(a|b)%' ORDER BY name, id
-- name: regular expressions
SELECT name FROM products WHERE name ~ '^[A-Z]\w+' OR name ~* 'b' OR name !~ 'x' OR name !~* 'y' ORDER BY name, id
-- name: functions of patterns
SELECT regexp_replace('foobar', 'o+', '0', 'g'), regexp_match('abc', '(b)(c)'), (regexp_match('abc', '(b)'))[1], regexp_split_to_array('a,b', ',')
-- name: text
SELECT lower('AbC'), upper('abc'), length('abc'), initcap('hello world'), left('abc', 2), right('abc', 2), reverse('abc'), replace('aXbX', 'X', '-'), split_part('a,b,c', ',', 2), strpos('abc', 'b'), concat('a', 1, NULL), concat_ws('-', 'a', 'b'), md5('a'), translate('abc', 'ab', 'xy')
-- name: text in SQL's own forms
SELECT substring('abcdef' FROM 2 FOR 3), substring('abcdef' FROM 2), substring('abcdef' FOR 2), substring('abcdef', 2, 3), substr('abcdef', 2), trim('  a  '), trim(BOTH 'x' FROM 'xax'), trim(LEADING FROM '  a'), trim(TRAILING 'x' FROM 'axx'), position('b' IN 'abc'), overlay('abcdef' PLACING 'X' FROM 2 FOR 3), char_length('abc')
-- name: format
SELECT format('%s has %1$s and %L, %I, 100%%', 'a', 'b', 'c')
-- name: numbers by functions
SELECT round(1.2345, 2), ceil(1.2), ceiling(1.2), floor(-1.2), abs(-3), mod(7, 3), power(2, 10), sqrt(16), trunc(1.99), sign(-2), greatest(1, 2, 3), least(3, 2, 1), width_bucket(5, 0, 10, 5), div(7, 2), log(100), ln(1)
-- name: dates
SELECT date '2024-02-29' + 1, timestamp '2024-02-29 12:00' - interval '1 month', date '2024-03-01' - date '2024-02-01', time '12:30', timestamptz '2024-01-01 00:00+00' AT TIME ZONE 'UTC'
-- name: intervals
SELECT interval '1 day 2 hours', interval '1-2' YEAR TO MONTH, interval '3' DAY, INTERVAL '1:30' HOUR TO MINUTE, '1 week'::interval, make_interval(days => 3, hours => 4)
-- name: parts of dates
SELECT extract(epoch FROM timestamp '2024-01-01'), extract('quarter' FROM date '2024-05-01'), date_part('dow', date '2024-01-01'), date_trunc('month', timestamp '2024-05-17 10:00'), extract(isodow FROM date '2024-01-01'), to_char(date '2024-05-17', 'YYYY-MM "of" DD'), age(timestamp '2024-05-01', timestamp '2023-04-01')
-- name: the present
SELECT now() = current_timestamp AS a, current_date = now()::date AS b, localtimestamp(0) <= localtimestamp + interval '2 seconds' AS c
-- name: overlapping times
SELECT (date '2024-01-01', date '2024-02-01') OVERLAPS (date '2024-01-15', interval '1 month')
-- name: casts
SELECT '1'::int, CAST('2' AS bigint), 1::text, '1.50'::numeric(10, 2), 'true'::boolean, '{1,2}'::int[], 1.7::int::text::varchar(5), 'x'::char(3), '2024-01-01'::date::timestamp, '1'::smallint, 1.5::real, 1.5::double precision, 1::float, 1::float8, 'a'::text COLLATE "C"
-- name: values of types by their names
SELECT inet '10.0.0.1', daterange '[2024-01-01,2024-02-01)', uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', bool 'yes', int4 '5', jsonb '{"a": 1}'
-- name: types of the catalog by their full name
SELECT 1::pg_catalog.int4, 'a'::"text", '127.0.0.1'::inet, '10.0.0.0/8'::cidr, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '[1,5)'::int4range, '{"a":1}'::json, '$.a'::jsonpath, '(1,2)'::point, '12:00'::time, 'a & b'::tsquery, '\x1f'::bytea, '5'::money::text, 'abc'::name
-- name: conditions
SELECT id, CASE WHEN price_cents > 5000 THEN 'dear' WHEN price_cents > 1000 THEN 'fair' ELSE 'cheap' END AS price, CASE category WHEN 'books' THEN 1 ELSE 0 END AS book FROM products ORDER BY id
-- name: nothing and something
SELECT coalesce(note, 'none'), nullif(status, 'open'), coalesce(NULL, NULL, 1) FROM orders ORDER BY id
-- name: rows
SELECT ROW(1, 'a'), (1, 2) = (1, 2), ROW(1, 2) < ROW(1, 3), (SELECT (1, 2)) IS NOT NULL
-- name: rows in a list
SELECT id FROM orders WHERE (id, status) IN (SELECT id, status FROM orders WHERE id < 5) ORDER BY id
-- name: arrays
SELECT ARRAY[1, 2, 3], ARRAY[[1, 2], [3, 4]], ARRAY[]::int[], (ARRAY[1, 2, 3])[2], (ARRAY[1, 2, 3])[2:3], ARRAY[1] || ARRAY[2], array_length(ARRAY[1, 2], 1), cardinality(ARRAY[1, 2]), array_to_string(ARRAY['a', 'b'], '-'), ARRAY(SELECT generate_series(1, 3))
-- name: columns of arrays
SELECT id, tags[1], tags[1:2], p.tags[2], tags[:1], array_position(tags, 'new') FROM products p ORDER BY id
-- name: tests of arrays
SELECT id FROM products WHERE 'new' = ANY (tags) OR tags @> ARRAY['sale'] OR tags && ARRAY['x', 'y'] OR 'a' <> ALL (tags) OR id = ANY (ARRAY[1, 2]) ORDER BY id
-- name: elements as rows
SELECT p.id, t.tag, t.n FROM products p, unnest(p.tags) WITH ORDINALITY AS t(tag, n) ORDER BY p.id, t.n
-- name: several arrays side by side
SELECT * FROM unnest(ARRAY[1, 2], ARRAY['a', 'b', 'c']) AS u(n, t) ORDER BY t
-- name: JSON by operators
SELECT id, attributes -> 'color', attributes ->> 'color', attributes #> '{size,w}', attributes #>> '{size,w}', attributes @> '{"color": "red"}', attributes ? 'color', attributes ?| ARRAY['a', 'color'], attributes ?& ARRAY['color'], attributes - 'color', attributes #- '{size,w}' FROM products ORDER BY id
-- name: JSON by functions
SELECT jsonb_build_object('a', 1, 'b', ARRAY[1, 2]), to_jsonb(ROW(1, 'x')), jsonb_set('{"a":1}', '{a}', '2'), jsonb_typeof('[]'), jsonb_array_length('[1,2]'), json_build_array(1, 'a', NULL), jsonb_pretty('{"a":1}')
-- name: JSON as rows
SELECT p.id, e.key, e.value FROM products p CROSS JOIN LATERAL jsonb_each_text(p.attributes) AS e(key, value) ORDER BY p.id, e.key, e.value
-- name: JSON as records
SELECT * FROM jsonb_to_recordset('[{"a": 1, "b": "x"}, {"a": 2}]') AS r(a int, b text) ORDER BY a
-- name: paths of JSON
SELECT jsonb_path_query_array('[1,2,3]', '$[*] ? (@ > 1)'), '{"a":[1,2]}'::jsonb @? '$.a[*] ? (@ > 1)', '{"a":1}'::jsonb @@ '$.a == 1', jsonb_path_exists('{"a":1}', '$.a')
-- name: whole rows as JSON
SELECT row_to_json(o), to_jsonb(o.*) - 'updated_at' FROM orders o ORDER BY id
-- name: aggregates
SELECT count(*), count(DISTINCT city), sum(id), avg(id), min(created_at), max(created_at), bool_or(deleted), string_agg(DISTINCT status, ',' ORDER BY status), array_agg(id ORDER BY id DESC), stddev(id), json_agg(id ORDER BY id) FROM orders
-- name: filtered aggregates
SELECT count(*) FILTER (WHERE status = 'open') AS open, sum(id) FILTER (WHERE NOT deleted) FROM orders
-- name: ordered aggregates
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price_cents), percentile_disc(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY price_cents DESC), mode() WITHIN GROUP (ORDER BY category) FROM products
-- name: groups
SELECT city, status, count(*) FROM orders GROUP BY city, status HAVING count(*) >= 1 ORDER BY 1, 2
-- name: groups by position and expression
SELECT date_trunc('day', created_at) AS d, count(*) FROM orders GROUP BY 1 ORDER BY d
-- name: grouping sets
SELECT city, status, count(*), grouping(city, status) FROM orders GROUP BY GROUPING SETS ((city, status), (city), status, ()) ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, 3, 4
-- name: rollup and cube
SELECT city, status, count(*) FROM orders GROUP BY ROLLUP (city, status) UNION ALL SELECT city, status, count(*) FROM orders GROUP BY CUBE (city, (status)) ORDER BY 1, 2, 3
-- name: windows
SELECT id, row_number() OVER (PARTITION BY city ORDER BY id), rank() OVER (ORDER BY city), lag(id) OVER (ORDER BY id), lead(id, 2, 0) OVER (ORDER BY id), sum(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), first_value(id) OVER (ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), count(*) OVER () FROM orders ORDER BY id
-- name: named windows
SELECT id, sum(id) OVER w, avg(id) OVER (w ROWS 2 PRECEDING), ntile(2) OVER w FROM orders WINDOW w AS (PARTITION BY city ORDER BY id) ORDER BY id
-- name: windows over time
SELECT id, count(*) OVER (ORDER BY created_at RANGE BETWEEN '1 day' PRECEDING AND INTERVAL '1 day' FOLLOWING), count(*) OVER (ORDER BY city GROUPS 1 PRECEDING) FROM orders ORDER BY id
-- name: filtered windows
SELECT id, count(*) FILTER (WHERE deleted) OVER (ORDER BY id) FROM orders ORDER BY id
-- name: joins
SELECT o.id, p.name, i.quantity FROM orders o JOIN order_items i ON i.order_id = o.id INNER JOIN products AS p ON p.id = i.product_id ORDER BY o.id, p.id, i.quantity
-- name: outer joins
SELECT o.id, i.quantity FROM orders o LEFT OUTER JOIN order_items i ON i.order_id = o.id FULL JOIN products p ON p.id = i.product_id RIGHT JOIN (VALUES (1), (2)) v(n) ON v.n = o.id ORDER BY 1, 2
-- name: joins by columns
SELECT a.id, b.customer FROM orders a JOIN orders b USING (id) NATURAL JOIN (SELECT id FROM orders WHERE id < 4) c ORDER BY id
-- name: joins in parentheses and to the right
SELECT count(*) FROM orders o LEFT JOIN (order_items i JOIN products p ON p.id = i.product_id) ON i.order_id = o.id JOIN orders x JOIN orders y ON x.id = y.id ON o.id = x.id
-- name: cross joins and commas
SELECT count(*) FROM orders CROSS JOIN products, order_items WHERE orders.id = order_items.order_id AND products.id = order_items.product_id
-- name: lateral queries
SELECT o.id, l.n FROM orders o LEFT JOIN LATERAL (SELECT count(*) AS n FROM order_items i WHERE i.order_id = o.id) l ON true ORDER BY o.id
-- name: a query in FROM
SELECT x.city, x.n FROM (SELECT city, count(*) AS n FROM orders GROUP BY city) AS x (city, n) WHERE x.n > 0 ORDER BY 1
-- name: queries as values
SELECT id, (SELECT count(*) FROM order_items i WHERE i.order_id = o.id), (SELECT max(id) FROM products) FROM orders o ORDER BY id
-- name: queries in tests
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM order_items i WHERE i.order_id = o.id) AND NOT EXISTS (SELECT FROM order_items WHERE quantity < 0) AND id IN (SELECT order_id FROM order_items) AND id >= ALL (SELECT 0) AND id = ANY (SELECT order_id FROM order_items) AND id < SOME (SELECT 1000) ORDER BY id
-- name: distinct rows
SELECT DISTINCT city FROM orders ORDER BY city
-- name: the first of each
SELECT DISTINCT ON (city) city, id FROM orders ORDER BY city, id DESC
-- name: some of the rows
SELECT id FROM orders ORDER BY id LIMIT 3 OFFSET 1
-- name: some of the rows, in the standard's words
SELECT id FROM orders ORDER BY id OFFSET 1 ROW FETCH NEXT 2 ROWS ONLY
-- name: the first row and its equals
SELECT status FROM orders ORDER BY status FETCH FIRST 1 ROW WITH TIES
-- name: all of the rows
SELECT id FROM orders ORDER BY id LIMIT ALL
-- name: some of the rows, reckoned
SELECT id FROM orders ORDER BY id LIMIT 1 + 1 OFFSET (SELECT 1)
-- name: queries of WITH
WITH big AS (SELECT * FROM orders WHERE id > 1), named (a, b) AS (SELECT id, customer FROM big) SELECT a, b FROM named ORDER BY a
-- name: a query of WITH that hides its table
WITH orders AS (SELECT id, city FROM orders WHERE id < 3) SELECT * FROM orders ORDER BY id
-- name: a query of WITH named like a forbidden table
WITH creds AS (SELECT 1 AS a) SELECT a FROM creds
-- name: a query of WITH hides a table, but not the one with a schema
WITH orders AS (SELECT 0 AS id) SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM app.orders ORDER BY 1
-- name: WITH in a subquery
SELECT * FROM (WITH x AS (SELECT 1 AS a) SELECT a FROM x) y, (WITH x AS (SELECT 2 AS b) SELECT b FROM x) z
-- name: WITH for a set operation
WITH x AS (SELECT 1 AS a) SELECT a FROM x UNION ALL (SELECT a + 1 FROM x) ORDER BY 1
-- name: materialized or not
WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT x FROM a) SELECT x FROM b
-- name: a recursive query
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT sum(n) FROM t
-- name: a recursive query over a table
WITH RECURSIVE chain AS (SELECT id, 1 AS depth FROM orders WHERE id = 1 UNION SELECT o.id, c.depth + 1 FROM orders o JOIN chain c ON o.id = c.id + 1 WHERE c.depth < 5) SELECT * FROM chain ORDER BY depth
-- name: recursive queries that see each other
WITH RECURSIVE a AS (SELECT x FROM b), b AS (SELECT 1 AS x) SELECT x FROM a
-- name: set operations
SELECT id FROM orders WHERE id < 5 UNION SELECT id FROM products WHERE id < 3 EXCEPT SELECT 2 INTERSECT ALL SELECT 2 ORDER BY id
-- name: set operations in parentheses
(SELECT 1 AS a UNION ALL SELECT 1) INTERSECT DISTINCT (SELECT 1) ORDER BY a LIMIT 5
-- name: values
VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC
-- name: values as a table
SELECT v.n, v.t FROM (VALUES (1, 'one'), (2, 'two')) AS v(n, t) ORDER BY n
-- name: a table by its name
TABLE orders ORDER BY id
-- name: tables by their names
(TABLE app.order_items) EXCEPT TABLE order_items LIMIT 1
-- name: no columns
SELECT FROM orders
-- name: series
SELECT n, n * 2 FROM generate_series(1, 10, 3) AS n ORDER BY n
-- name: series of days
SELECT d::date, count(o.id) FROM generate_series(date '2024-01-01', date '2024-01-05', interval '1 day') AS d LEFT JOIN orders o ON o.created_at::date = d::date GROUP BY 1 ORDER BY 1
-- name: a series in the list
SELECT generate_series(1, 3) AS n, 'x' AS t ORDER BY n
-- name: functions with their schema
SELECT pg_catalog.lower('A'), pg_catalog.count(*), "pg_catalog"."max"(1) FROM orders
-- name: operators with their schema
SELECT 1 OPERATOR(pg_catalog.+) 2, 'a' OPERATOR(pg_catalog.||) 'b', 1 OPERATOR(=) 1
-- name: collations
SELECT name FROM products ORDER BY name COLLATE "C" DESC, name COLLATE pg_catalog."POSIX", id
-- name: ranges and their operators
SELECT int4range(1, 5) @> 3, '[1,3)'::int4range -|- '[3,5)'::int4range, '[1,3)'::int4range && '[2,5)'::int4range, lower('[1,5)'::int4range), upper_inc(numrange(1, 2)), '[1,2]'::int4range << '[5,6]'::int4range, daterange('2024-01-01', '2024-02-01') * daterange('2024-01-15', NULL)
-- name: networks
SELECT '10.1.2.3'::inet << '10.0.0.0/8'::inet, '10.0.0.0/8'::inet >>= '10.0.0.0/8'::inet, host('10.0.0.1/8'::inet), masklen('10.0.0.0/8'::cidr)
-- name: text search
SELECT to_tsvector('english', 'the fat cats') @@ to_tsquery('english', 'cat & fat'), to_tsvector('simple', 'a b') @@ plainto_tsquery('simple', 'a'), ts_rank(to_tsvector('simple', 'a b'), 'a'::tsquery), !! 'a'::tsquery
-- name: points
SELECT point '(1,2)' <-> point '(4,6)', point(1, 2) ~= point '(1,2)', box '((0,0),(1,1))' @> point '(0.5,0.5)'
-- name: binary data
SELECT encode(decode('cafe', 'hex'), 'base64'), sha256('abc'::bytea), convert_from('\x61'::bytea, 'UTF8'), length('\x0102'::bytea)
-- name: parameters
SELECT id FROM orders WHERE id = $1 OR city = $2::text ORDER BY id
-- name: a parameter twice, and arrays
SELECT $1::int + $1::int, id FROM orders WHERE id = ANY ($2::int[]) ORDER BY id
-- name: samples
SELECT count(*) FROM orders TABLESAMPLE BERNOULLI (100) REPEATABLE (1)
-- name: the type of a value
SELECT pg_typeof(1)::text, pg_typeof('a'::text)::text
-- name: counts of nulls
SELECT num_nulls(1, NULL), num_nonnulls(note, city) FROM orders ORDER BY id
-- name: columns of the system
SELECT count(DISTINCT ctid) FROM orders
-- name: ambiguous signs with blanks
SELECT 1 <- 2, 3 >= - 1, 2 * - 1, 4 /-- half
2
-- name: a whole report
WITH sales AS (
  SELECT p.category, date_trunc('month', o.created_at) AS month, sum(i.quantity * i.price_cents) / 100.0 AS revenue
  FROM app.orders o JOIN app.order_items i ON i.order_id = o.id JOIN app.products p ON p.id = i.product_id
  WHERE o.status <> 'cancelled' AND o.created_at >= timestamp '2000-01-01'
  GROUP BY p.category, month
), ranked AS (
  SELECT *, rank() OVER (PARTITION BY month ORDER BY revenue DESC) AS place FROM sales
)
SELECT category, to_char(month, 'YYYY-MM') AS month, round(revenue, 2) AS revenue, place,
       round(100 * revenue / nullif(sum(revenue) OVER (PARTITION BY month), 0), 1) AS share
FROM ranked WHERE place <= 3 ORDER BY month, place, category
-- name: explain
EXPLAIN SELECT * FROM orders
-- name: explain with options
EXPLAIN (VERBOSE, COSTS false, FORMAT JSON) SELECT count(*) FROM orders
-- name: explain of WITH
EXPLAIN (COSTS OFF) WITH x AS (SELECT 1) SELECT * FROM x
-- name: explain in the old form
EXPLAIN VERBOSE VALUES (1)
-- name: reserved words as names, quoted or behind AS
SELECT "all".id AS "into", "all".status AS user FROM orders AS "all" ORDER BY 1
-- name: arrays side by side, behind LATERAL
SELECT o.id, t.x, t.y FROM orders o, LATERAL unnest(ARRAY[o.id, 7], ARRAY['a', 'b', 'c']) AS t(x, y) ORDER BY 1, 3
