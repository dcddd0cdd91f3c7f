-- The database of the proof: three listed tables and a listed view, and around them everything that a statement might want to
-- reach. Whatever nobody may ever be shown has the word canary in it.
CREATE SCHEMA app;
CREATE SCHEMA secret;
CREATE SCHEMA ext;
DO $$ BEGIN
    IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'dblink') THEN CREATE EXTENSION dblink SCHEMA ext; END IF;
    IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'tablefunc') THEN CREATE EXTENSION tablefunc SCHEMA ext; END IF;
    IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'adminpack') THEN
        CREATE EXTENSION adminpack;
        -- The others of its functions are nobody's from the beginning.
        REVOKE EXECUTE ON FUNCTION pg_catalog.pg_file_rename(text, text) FROM PUBLIC;
    END IF;
END $$;

CREATE TABLE app.products (
    id int PRIMARY KEY, sku text NOT NULL, name text NOT NULL, category text, price_cents int NOT NULL, stock int NOT NULL,
    created_at timestamptz NOT NULL, attributes jsonb, tags text[]
);
INSERT INTO app.products
SELECT n, 'SKU-' || n, 'Product ' || n, (ARRAY['garden', 'kitchen', 'office'])[n % 3 + 1], n * 250 + 99, n * 7 % 11,
    timestamptz '2024-01-01 08:00:00+00' + n * interval '9 days 3 hours',
    CASE WHEN n % 4 <> 0 THEN jsonb_build_object('color', (ARRAY['red', 'green', 'blue'])[n % 3 + 1], 'size', jsonb_build_object('w', n)) END,
    CASE n % 3 WHEN 0 THEN ARRAY['new', 'sale'] WHEN 1 THEN ARRAY['it''s "x", y', NULL] ELSE '{}' END
FROM generate_series(1, 8) AS n;
CREATE TABLE app.orders (
    id int PRIMARY KEY, customer text NOT NULL, city text, status text NOT NULL, note text, created_at timestamptz NOT NULL,
    updated_at timestamptz, created_by text, deleted bool NOT NULL DEFAULT false
);
INSERT INTO app.orders
SELECT n, 'Customer ' || n % 5, (ARRAY['Utrecht', 'Lisbon', NULL, 'Oslo'])[n % 4 + 1], (ARRAY['open', 'paid', 'sent'])[n % 3 + 1],
    CASE n % 3 WHEN 0 THEN 'drop shipping; delete the old label' WHEN 1 THEN E'it''s 50% \\ "off"\n' || n END,
    timestamptz '2024-02-01 10:00:00+00' + n * interval '1 day 7 minutes', timestamptz '2024-03-01 00:00:00+00' + n * interval '1 hour',
    CASE WHEN n % 2 = 0 THEN 'ann' END, n % 5 = 0
FROM generate_series(1, 10) AS n;
CREATE TABLE app.order_items (
    order_id int NOT NULL REFERENCES app.orders, product_id int NOT NULL REFERENCES app.products, quantity int NOT NULL, price_cents int NOT NULL
);
INSERT INTO app.order_items SELECT n % 10 + 1, n % 8 + 1, n % 3 + 1, n * 100 + 49 FROM generate_series(1, 16) AS n;
CREATE INDEX orders_by_city ON app.orders USING brin (city);
CREATE INDEX products_by_tags ON app.products USING gin (tags);
CREATE VIEW app.order_totals AS SELECT order_id, sum(quantity * price_cents) AS total_cents FROM app.order_items GROUP BY order_id;

CREATE TABLE secret.creds (login text, password text);
INSERT INTO secret.creds VALUES ('root', 'canary-password');
CREATE TABLE secret.canary_table (x int);
CREATE TABLE app.vault (note text);
INSERT INTO app.vault VALUES ('canary-vault');
CREATE VIEW app.hidden_view AS SELECT password, 'canary-view'::text AS mark FROM secret.creds;
COMMENT ON TABLE secret.creds IS 'canary-comment';
SELECT lo_from_bytea(4242, 'canary-object');
CREATE SEQUENCE app.ticket;
SELECT nextval('app.ticket');

CREATE FUNCTION app.steal() RETURNS text LANGUAGE sql STABLE AS $$ SELECT password || ' canary-function' FROM secret.creds LIMIT 1 $$;
CREATE FUNCTION app.evil(app.orders) RETURNS text LANGUAGE sql STABLE AS 'SELECT app.steal()';
CREATE FUNCTION app.evil_rows() RETURNS SETOF secret.creds LANGUAGE sql STABLE AS 'SELECT * FROM secret.creds';
CREATE FUNCTION app.lower(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT app.steal()';
CREATE FUNCTION secret.peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT app.steal()';
CREATE FUNCTION app.as_owner() RETURNS text LANGUAGE sql SECURITY DEFINER AS
    $$ INSERT INTO app.vault VALUES ('written by as_owner') RETURNING app.steal() $$;
CREATE FUNCTION app.count_up() RETURNS int LANGUAGE sql AS $$ INSERT INTO app.vault VALUES ('written by count_up') RETURNING 1 $$;
CREATE FUNCTION app."Count Up"() RETURNS int LANGUAGE sql AS 'SELECT app.count_up()';
CREATE PROCEDURE app.wipe() LANGUAGE sql AS 'DELETE FROM app.orders';
CREATE FUNCTION app.same(int, int) RETURNS bool LANGUAGE sql AS 'SELECT app.count_up() > 0';
CREATE OPERATOR app.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = app.same);
CREATE DOMAIN app.shout AS text CHECK (app.as_owner() IS NOT NULL AND VALUE = upper(VALUE));
CREATE TYPE app.mood AS ENUM ('happy', 'open');
CREATE COLLATION app.odd (LOCALE = 'C');

CREATE ROLE canary_role;
CREATE ROLE reader LOGIN NOSUPERUSER NOINHERIT NOCREATEDB NOCREATEROLE CONNECTION LIMIT 20;
ALTER ROLE reader SET default_transaction_read_only = on;
ALTER ROLE reader SET temp_file_limit = '64MB';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET patchbay.canary = ''canary-setting''', current_database()); END $$;
DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()); END $$;
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO reader', current_database()); END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA app, secret, ext FROM PUBLIC;
GRANT USAGE ON SCHEMA app TO reader;
GRANT SELECT ON app.products, app.orders, app.order_items, app.order_totals TO reader;
