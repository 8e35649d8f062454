//! How many texts are admitted per second on one core: `cargo run --release -p kluster-sql --example speed`.

use std::time::Instant;

use kluster_sql::{Dialect, admit, placeholders};

const ROUNDS: u32 = 300_000;

fn main() {
    let texts = [
        ("short insert", "insert into person(id, name) values ($1, $2)"),
        (
            "insert with literals",
            "INSERT INTO public.person (id, name, email, age) VALUES (4711, 'Jan de Vries', 'jan@example.org', 42)",
        ),
        (
            "update",
            "UPDATE account SET balance = balance - $1, touched = $2 WHERE id = $3 AND balance >= $1 RETURNING balance",
        ),
        (
            "query",
            "select p.id, p.name, count(*) from person p join visit v on v.person = p.id where v.at > $1 group by p.id, p.name order by 3 desc limit 10",
        ),
    ];
    for (name, sql) in texts {
        for dialect in Dialect::ALL {
            let start = Instant::now();
            let admitted = (0..ROUNDS).filter(|_| admit(dialect, std::hint::black_box(sql)).is_ok()).count();
            let admit_time = start.elapsed();
            let start = Instant::now();
            let params: usize = (0..ROUNDS).map(|_| placeholders(dialect, std::hint::black_box(sql)).1.len()).sum();
            let rate = |time: std::time::Duration| f64::from(ROUNDS) / time.as_secs_f64() / 1000.0;
            println!(
                "{:>10} {name:<22} admit {:>6.0}k/s  placeholders {:>6.0}k/s  ({admitted}, {params})",
                dialect.name(),
                rate(admit_time),
                rate(start.elapsed()),
            );
        }
    }
}
