//! The sample shop: a small database to try the DB explorer on, the same on every machine. The data is made up.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use rusqlite::{Connection, Transaction, params};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The database was made.
    Created,
    /// A file of that name exists; it was left alone.
    AlreadyThere,
}

/// Why the sample could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// SQLite could not write it.
    #[error("The sample database {0:?} could not be written. Check that its folder exists and that there is space.")]
    Database(PathBuf, #[source] rusqlite::Error),
    /// The file could not be put in its place.
    #[error("The sample database could not be put at {0:?}. Check that its folder exists and may be written.")]
    File(PathBuf, #[source] io::Error),
}

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

const PRODUCTS: &[(&str, &str, i64)] = &[
    ("Walnut desk organiser", "office", 3490),
    ("Linen notebook A5", "office", 1290),
    ("Brass paper clips, 50", "office", 790),
    ("Fountain pen, fine", "office", 4200),
    ("Blue-black ink 50 ml", "office", 1150),
    ("Enamel mug, green", "kitchen", 1450),
    ("Cast-iron pan 24 cm", "kitchen", 5900),
    ("Beechwood spoon", "kitchen", 650),
    ("Tea towel, striped", "kitchen", 980),
    ("Glass jar 1 l", "kitchen", 540),
    ("Pepper mill", "kitchen", 2890),
    ("Wool blanket", "home", 7900),
    ("Beeswax candle", "home", 1190),
    ("Cork coaster, 4", "home", 890),
    ("Terracotta pot 12 cm", "garden", 480),
    ("Secateurs", "garden", 3650),
    ("Watering can 5 l", "garden", 2750),
    ("Wildflower seeds", "garden", 390),
    ("Garden twine 100 m", "garden", 560),
    ("Leather gloves", "garden", 2290),
    ("Canvas tote", "travel", 1890),
    ("Wash bag", "travel", 2490),
    ("Steel flask 0.5 l", "travel", 2690),
    ("Luggage tag", "travel", 990),
];

const CUSTOMERS: &[(&str, &str)] = &[
    ("Ines Moreau", "Lyon"),
    ("Tomasz Zielinski", "Gdansk"),
    ("Aino Lahti", "Turku"),
    ("Farid Haddad", "Marseille"),
    ("Greta Lindqvist", "Uppsala"),
    ("Paolo Ricci", "Torino"),
    ("Maeve Byrne", "Galway"),
    ("Jonas Weber", "Bremen"),
    ("Lucia Ferreira", "Porto"),
    ("Hanne de Vries", "Utrecht"),
    ("Emil Novak", "Brno"),
    ("Sofia Papadaki", "Chania"),
    ("Oskar Berg", "Bergen"),
];

const NOTES: &[&str] =
    &["drop shipping", "leave at the neighbour's", "gift; no invoice in the parcel", "call before delivery"];

const ORDERS: i64 = 42;

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
    for (id, (name, category, price_cents)) in (1_i64..).zip(PRODUCTS) {
        let sku = format!("{}-{id:03}", category[..3].to_ascii_uppercase());
        insert.execute(params![id, sku, name, category, price_cents, id * 37 % 90, day(id * 5 % 120)])?;
    }
    Ok(())
}

fn orders(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut insert_item = transaction.prepare("INSERT INTO order_items VALUES (?1, ?2, ?3, ?4)")?;
    for (id, (customer, city)) in (1..=ORDERS).zip(CUSTOMERS.iter().cycle()) {
        let created = id * 3;
        let note = (id % 5 == 0).then(|| NOTES[index(id / 5) % NOTES.len()]);
        insert.execute(params![id, customer, city, status(id), note, day(created), day(created + id % 6)])?;
        for item in 0..1 + id % 4 {
            let product = index(id * 7 + item * 5) % PRODUCTS.len();
            let quantity = 1 + (id + item) % 3;
            insert_item.execute(params![id, product as i64 + 1, quantity, PRODUCTS[product].2])?;
        }
    }
    Ok(())
}

fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// The youngest orders are new, a few old ones came back.
const fn status(id: i64) -> &'static str {
    match id {
        38.. => "new",
        32..38 => "paid",
        _ if id % 11 == 0 => "returned",
        _ => "shipped",
    }
}

/// The date of a day counted from the first of January 2026, in months of 28 days, which all months have.
fn day(number: i64) -> String {
    format!("2026-{:02}-{:02}", 1 + number / 28 % 12, 1 + number % 28)
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
