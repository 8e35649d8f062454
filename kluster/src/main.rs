//! All of it in one process.

fn main() {}
