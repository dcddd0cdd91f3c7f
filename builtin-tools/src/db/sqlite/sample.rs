//! The sample shop as a SQLite file: a small database to try the DB explorer on, the same on every machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use rusqlite::{Connection, Transaction, params};

use crate::db::sample::{self, Item, Order, Product};
pub use crate::db::sample::{Sample, SampleError};

const SCHEMA: &str = "
CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    stock INTEGER NOT NULL DEFAULT 0,
    updated_at TEXT NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    city TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('new', 'paid', 'shipped', 'returned')),
    note TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL,
    price_cents INTEGER NOT NULL,
    PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;
CREATE INDEX orders_by_status ON orders (status, created_at);
CREATE INDEX order_items_by_product ON order_items (product_id);
CREATE VIEW order_totals AS
    SELECT orders.id, orders.customer, orders.status, orders.created_at,
           sum(order_items.quantity) AS pieces, sum(order_items.quantity * order_items.price_cents) AS total_cents
    FROM orders JOIN order_items ON order_items.order_id = orders.id
    GROUP BY orders.id;
";

/// Makes the sample shop at `path`, whole or not at all. A file that is there already is left as it is.
pub fn create_sample_shop(path: &Path) -> Result<Sample, SampleError> {
    if path.exists() {
        return Ok(Sample::AlreadyThere);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", process::id()));
    let new = PathBuf::from(name);
    let made = build(&new, path).and_then(|()| put(&new, path));
    if made.is_err() {
        // It may not exist; what went wrong is told by the error that is returned.
        let _ = fs::remove_file(&new);
    }
    made.map(|()| Sample::Created)
}

fn build(new: &Path, path: &Path) -> Result<(), SampleError> {
    // What is left of a start that was killed.
    let _ = fs::remove_file(new);
    fill(new).map_err(|error| SampleError::Database(path.to_owned(), error))
}

fn put(new: &Path, path: &Path) -> Result<(), SampleError> {
    let durable = || {
        fs::File::open(new)?.sync_all()?;
        fs::rename(new, path)
    };
    durable().map_err(|error| SampleError::File(path.to_owned(), error))
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let mut conn = Connection::open(path)?;
    // Nobody sees the file before it is whole, so it needs no journal of its own.
    conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    let transaction = conn.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    products(&transaction)?;
    orders(&transaction)?;
    transaction.commit()
}

fn products(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for Product { id, sku, name, category, price_cents, stock, updated } in sample::products() {
        insert.execute(params![id, sku, name, category, price_cents, stock, updated])?;
    }
    Ok(())
}

fn orders(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut insert_item = transaction.prepare("INSERT INTO order_items VALUES (?1, ?2, ?3, ?4)")?;
    for Order { id, customer, city, status, note, created, updated, items } in sample::orders() {
        insert.execute(params![id, customer, city, status, note, created, updated])?;
        for Item { product, quantity, price_cents } in items {
            insert_item.execute(params![id, product, quantity, price_cents])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_is_the_same_every_time_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one.db"), folder.path().join("two.db"));
        assert_eq!(create_sample_shop(&one).unwrap(), Sample::Created);
        assert_eq!(create_sample_shop(&two).unwrap(), Sample::Created);
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        fs::write(&one, b"mine").unwrap();
        assert_eq!(create_sample_shop(&one).unwrap(), Sample::AlreadyThere);
        assert_eq!(fs::read(&one).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn folder_that_is_not_there_is_named_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let error = create_sample_shop(&folder.path().join("no/shop.db")).unwrap_err();
        assert!(error.to_string().contains("shop.db"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
