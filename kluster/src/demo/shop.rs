//! shop: the demo's own data: who buys, what is sold, and how an order is written.

use crate::error::KlusterError;
use kluster_client::{Client, ClientError, Transaction};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// So that each start tells the same shop.
const SEED: u64 = 2026;
const CUSTOMERS: usize = 60;
/// Of the first product there is little, so that it sells out before the eyes of all.
const SCARCE: i64 = 40;
const PLENTY: i64 = 1_000_000;

const TABLES: [&str; 3] = [
    "create table customer(id integer primary key, name varchar(60) not null, city varchar(40) not null)",
    "create table product(id integer primary key, name varchar(60) not null, cents integer not null, stock integer not null check (stock >= 0))",
    // Without a key on the number: an order that was executed twice would be there twice.
    "create table orders(number varchar(40) not null, customer integer not null references customer(id), \
     product integer not null references product(id), quantity integer not null, cents integer not null)",
];

/// Every table, each read in an order that is the same everywhere.
pub(super) const READS: [(&str, &str); 3] = [
    ("customer", "select id, name, city from customer order by id"),
    ("product", "select id, name, cents, stock from product order by id"),
    (
        "orders",
        "select number, customer, product, quantity, cents from orders order by number, customer, product, quantity",
    ),
];

const FIRST: [&str; 12] =
    ["Ada", "Ben", "Carla", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jan", "Kim", "Lena"];
const LAST: [&str; 10] = ["Abel", "Brandt", "Costa", "Dogan", "Engel", "Fischer", "Garcia", "Huber", "Ito", "Jansen"];
const CITY: [&str; 6] = ["Berlin", "Graz", "Lyon", "Porto", "Turin", "Utrecht"];
const PRODUCT: [(&str, i64); 12] = [
    ("signed first print", 9_900),
    ("teapot", 2_450),
    ("tea cup", 890),
    ("green tea, 100 g", 640),
    ("black tea, 100 g", 590),
    ("honey", 780),
    ("tin", 450),
    ("strainer", 320),
    ("kettle", 5_900),
    ("tray", 1_990),
    ("timer", 1_250),
    ("gift box", 2_900),
];

/// How much was loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loaded {
    pub(super) tables: usize,
    pub(super) customers: usize,
    pub(super) products: usize,
}

/// Pieces of all products at first.
pub(super) fn stock_at_first() -> i64 {
    SCARCE + PLENTY * (PRODUCT.len() as i64 - 1)
}

/// Makes the tables and fills them; every node has them when this returns.
pub(super) async fn load(client: &Client) -> Result<Loaded, KlusterError> {
    for table in TABLES {
        client.execute(table).all().await.map_err(failed)?;
    }
    let mut dice = StdRng::seed_from_u64(SEED);
    let mut people = client.transaction();
    for id in 0..CUSTOMERS {
        let name = format!("{} {}", FIRST[dice.random_range(0..FIRST.len())], LAST[dice.random_range(0..LAST.len())]);
        let city = CITY[dice.random_range(0..CITY.len())];
        people = people.statement("insert into customer values ($1, $2, $3)").bind(id as i64 + 1).bind(name).bind(city);
    }
    people.all().await.map_err(failed)?;
    let mut products = client.transaction();
    for (index, (name, cents)) in PRODUCT.into_iter().enumerate() {
        let stock = if index == 0 { SCARCE } else { PLENTY };
        let insert = products.statement("insert into product values ($1, $2, $3, $4)");
        products = insert.bind(index as i64 + 1).bind(name).bind(cents).bind(stock);
    }
    products.all().await.map_err(failed)?;
    Ok(Loaded { tables: TABLES.len(), customers: CUSTOMERS, products: PRODUCT.len() })
}

fn failed(error: ClientError) -> KlusterError {
    KlusterError::NotTrue(format!("the shop could not be loaded: {error}"))
}

/// What somebody wants to buy.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Names it for ever.
    pub(super) number: String,
    customer: i64,
    product: i64,
    quantity: i64,
}

impl Order {
    /// Somebody wants something; the scarce product now and then.
    pub(super) fn wished(number: String, dice: &mut StdRng) -> Self {
        let product = if dice.random_ratio(1, 20) { 1 } else { dice.random_range(2..=PRODUCT.len() as i64) };
        let customer = dice.random_range(1..=CUSTOMERS as i64);
        Self { number, customer, product, quantity: dice.random_range(1..=3) }
    }

    /// Takes the pieces out of the stock and books them, both or neither: where too few are left, the guard refuses.
    pub(super) fn request(&self, client: &Client) -> Transaction {
        client
            .transaction()
            .message_id(self.number.as_str())
            .statement("update product set stock = stock - $1 where id = $2 and stock >= $3")
            .bind(self.quantity)
            .bind(self.product)
            .bind(self.quantity)
            .expect_rows(1)
            .statement("insert into orders select $1, $2, id, $3, cents * $4 from product where id = $5")
            .bind(self.number.as_str())
            .bind(self.customer)
            .bind(self.quantity)
            .bind(self.quantity)
            .bind(self.product)
            .expect_rows(1)
    }
}
