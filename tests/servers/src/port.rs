//! Free ports, below the range from which the system takes ports for outgoing connections: a port must still be free when a
//! killed server comes back to it.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use rand::RngExt;

use crate::error::ServerError;

/// Linux hands out 32768 and above for outgoing connections (`net.ipv4.ip_local_port_range`).
const CHOSEN_FROM: Range<u16> = 15_000..32_000;
const TRIES: usize = 200;

/// The first of `count` ports in a row that are free now. Another process may take one before the server does: the start is then
/// tried again elsewhere.
pub fn free(count: u16) -> Result<u16, ServerError> {
    let mut random = rand::rng();
    (0..TRIES)
        .map(|_| random.random_range(CHOSEN_FROM))
        .find(|first| (0..count).all(|step| is_free(first + step)))
        .ok_or_else(|| ServerError::Missing(format!("no {count} free ports found in {CHOSEN_FROM:?}")))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
        assert!(CHOSEN_FROM.contains(&free(2).unwrap()));
    }
}
