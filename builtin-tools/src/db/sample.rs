//! The sample shop, whatever database it is made in: what is sold, who ordered it, and what making it may end in. The data
//! is made up and the same on every machine. `sqlite` and `postgres` each have a `sample` that writes it down.

use std::{io, path::PathBuf};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The database was made.
    Created,
    /// A file or schema of that name exists; it was left alone.
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
    /// The URL is not one, or no connection can be made as it says.
    #[error(
        "The database cannot be reached: {0}. Expected the URL of a PostgreSQL database that is up, with a user who may sign in."
    )]
    Unreachable(String),
    /// PostgreSQL could not make it.
    #[error(
        "The sample shop could not be made in the schema {0:?}. Its user must be allowed to make schemas and, for a reader, roles."
    )]
    Schema(String, #[source] tokio_postgres::Error),
}

/// Something that the shop sells.
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) sku: String,
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    pub(super) price_cents: i64,
    pub(super) stock: i64,
    /// A date.
    pub(super) updated: String,
}

/// An order.
pub(super) struct Order {
    pub(super) id: i64,
    pub(super) customer: &'static str,
    pub(super) city: &'static str,
    pub(super) status: &'static str,
    pub(super) note: Option<&'static str>,
    /// A date.
    pub(super) created: String,
    /// A date.
    pub(super) updated: String,
    pub(super) items: Vec<Item>,
}

/// A line of an order.
pub(super) struct Item {
    pub(super) product: i64,
    pub(super) quantity: i64,
    pub(super) price_cents: i64,
}

/// All products, by id.
pub(super) fn products() -> impl Iterator<Item = Product> {
    (1_i64..).zip(PRODUCTS).map(|(id, (name, category, price_cents))| Product {
        id,
        sku: format!("{}-{id:03}", category[..3].to_ascii_uppercase()),
        name,
        category,
        price_cents: *price_cents,
        stock: id * 37 % 90,
        updated: day(id * 5 % 120),
    })
}

/// All orders, by id.
pub(super) fn orders() -> impl Iterator<Item = Order> {
    (1..=ORDERS).zip(CUSTOMERS.iter().cycle()).map(|(id, (customer, city))| {
        let created = id * 3;
        Order {
            id,
            customer,
            city,
            status: status(id),
            note: (id % 5 == 0).then(|| NOTES[index(id / 5) % NOTES.len()]),
            created: day(created),
            updated: day(created + id % 6),
            items: (0..1 + id % 4).map(|item| line(id, item)).collect(),
        }
    })
}

fn line(order: i64, item: i64) -> Item {
    let product = index(order * 7 + item * 5) % PRODUCTS.len();
    Item { product: product as i64 + 1, quantity: 1 + (order + item) % 3, price_cents: PRODUCTS[product].2 }
}

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
