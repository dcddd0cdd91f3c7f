//! The sample shop in a schema of a PostgreSQL database, with the types that PostgreSQL has for what it sells, and on wish
//! a role that may read it and nothing else. The data is `db::sample`'s, the same as in SQLite.

mod connect;

use secrecy::SecretString;
use tokio_postgres::{Client, Error, error::SqlState};

use super::catalog::{literal, quoted, role_sql};
use crate::db::sample::{self, Sample, SampleError};

/// The table whose analysis is measured.
pub(super) const ORDERS: &str = "orders";

/// What is made in the schema `shop`, which stands for the one that was asked for. The columns that SQLite's shop has too
/// have the same names.
const SCHEMA: &str = "
CREATE SCHEMA shop;
CREATE TYPE shop.order_status AS ENUM ('new', 'paid', 'shipped', 'returned');
CREATE TABLE shop.products (
    id bigint PRIMARY KEY,
    sku varchar(16) NOT NULL UNIQUE,
    name text NOT NULL,
    category text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents > 0),
    stock integer NOT NULL DEFAULT 0,
    weight_kg numeric(6, 3) NOT NULL,
    tags text[] NOT NULL DEFAULT '{}',
    attributes jsonb NOT NULL DEFAULT '{}',
    listed_on date NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE shop.orders (
    id bigint PRIMARY KEY,
    customer text NOT NULL,
    city text NOT NULL,
    status shop.order_status NOT NULL DEFAULT 'new',
    note text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL CHECK (updated_at >= created_at)
);
CREATE TABLE shop.order_items (
    order_id bigint NOT NULL REFERENCES shop.orders (id),
    product_id bigint NOT NULL REFERENCES shop.products (id),
    quantity integer NOT NULL CHECK (quantity > 0),
    price_cents integer NOT NULL,
    PRIMARY KEY (order_id, product_id)
);
CREATE INDEX orders_by_status ON shop.orders (status, created_at);
CREATE INDEX order_items_by_product ON shop.order_items (product_id);
CREATE INDEX products_by_tag ON shop.products USING gin (tags);
CREATE VIEW shop.order_totals AS
    SELECT orders.id, orders.customer, orders.status, orders.created_at,
           sum(order_items.quantity) AS pieces, sum(order_items.quantity * order_items.price_cents) AS total_cents
    FROM shop.orders JOIN shop.order_items ON order_items.order_id = orders.id
    GROUP BY orders.id;
COMMENT ON TABLE shop.products IS 'What the shop sells.';
COMMENT ON COLUMN shop.products.price_cents IS 'The price of today; an order keeps the price of its day.';
COMMENT ON TABLE shop.orders IS 'One row for each order, from new to shipped or returned.';
COMMENT ON TABLE shop.order_items IS 'What was ordered, and at which price.';
COMMENT ON VIEW shop.order_totals IS 'Pieces and cents of each order.';
";

/// The columns of the orders: names, types, and the numbers of the types; the enum, which has none beforehand, is read as
/// a text is.
pub(super) fn orders_columns() -> impl Iterator<Item = (&'static str, &'static str, u32)> {
    [
        ("id", "bigint", 20),
        ("customer", "text", 25),
        ("city", "text", 25),
        ("status", "shop.order_status", 25),
        ("note", "text", 25),
        ("created_at", "timestamp with time zone", 1184),
        ("updated_at", "timestamp with time zone", 1184),
    ]
    .into_iter()
}

/// Makes the sample shop in a schema of its own, whole or not at all; a schema of that name is left as it is, and then
/// nothing is done. With `reader`, a role of that name is made (if there is none), gets the rights that [`role_sql`] gives
/// it, and no password.
///
/// # Errors
/// When the database cannot be reached, or its user may not make what is asked for.
pub async fn create_sample_shop_in_postgres(
    url: &SecretString,
    schema: &str,
    reader: Option<&str>,
) -> Result<Sample, SampleError> {
    let client = connect::connect(url).await?;
    let made = make(&client, schema, reader).await;
    match made {
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_SCHEMA) => Ok(Sample::AlreadyThere),
        Err(error) => Err(SampleError::Schema(schema.to_owned(), error)),
        Ok(()) => Ok(Sample::Created),
    }
}

/// Text of ours with values put in as literals goes as one message, which the server runs as one transaction.
async fn make(client: &Client, schema: &str, reader: Option<&str>) -> Result<(), Error> {
    let place = quoted(schema);
    let mut sql = "BEGIN; SET LOCAL search_path = pg_catalog; SET LOCAL TimeZone = 'UTC';".to_owned();
    sql += &SCHEMA.replace("shop.", &format!("{place}.")).replace("SCHEMA shop;", &format!("SCHEMA {place};"));
    sql += &rows(&place);
    for table in ["products", ORDERS, "order_items"] {
        sql += &format!("ANALYZE {place}.{table};\n");
    }
    if let Some(reader) = reader {
        sql += &role_sql(reader, &[schema.to_owned()], None, &[]);
    }
    sql += "COMMIT;";
    client.batch_execute(&sql).await
}

fn rows(place: &str) -> String {
    let products: Vec<_> = sample::products().map(|product| product_row(&product)).collect();
    let orders: Vec<_> = sample::orders().map(|order| order_row(&order)).collect();
    let items: Vec<_> = sample::orders()
        .flat_map(|order| order.items.into_iter().map(move |item| (order.id, item)))
        .map(|(order, item)| format!("({order}, {}, {}, {})", item.product, item.quantity, item.price_cents))
        .collect();
    let insert = |table: &str, rows: &[String]| format!("INSERT INTO {place}.{table} VALUES\n{};\n", rows.join(",\n"));
    insert("products", &products) + &insert(ORDERS, &orders) + &insert("order_items", &items)
}

fn product_row(product: &sample::Product) -> String {
    let sample::Product { id, sku, name, category, price_cents, stock, updated } = product;
    let tags = if *price_cents < 1_000 { format!("{{{category},small}}") } else { format!("{{{category}}}") };
    let attributes =
        serde_json::json!({ "shelf": id % 7, "gift": price_cents % 100 == 90, "care": { "dry": id % 2 == 0 } });
    let weight_grams = 40 + price_cents / 3;
    format!(
        "({id}, {}, {}, {}, {price_cents}, {stock}, {}.{:03}, {}, {}, '2026-01-01', {})",
        literal(sku),
        literal(name),
        literal(category),
        weight_grams / 1000,
        weight_grams % 1000,
        literal(&tags),
        literal(&attributes.to_string()),
        literal(updated)
    )
}

fn order_row(order: &sample::Order) -> String {
    let note = order.note.map_or_else(|| "NULL".to_owned(), literal);
    format!(
        "({}, {}, {}, {}, {note}, {}, {})",
        order.id,
        literal(order.customer),
        literal(order.city),
        literal(order.status),
        literal(&order.created),
        literal(&order.updated)
    )
}
