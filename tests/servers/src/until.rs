//! Until: waits for what a server or a node comes to, and fails with words when it never does.

use std::time::Duration;

/// A condition that has not come true after this long never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is yes.
///
/// # Panics
/// With `what` when it has not come true after a minute.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let asking = async {
        while !condition().await {
            // A condition that never waits must not keep the deadline from being seen.
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok(), "within {PATIENCE:?} it did not happen that {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "it did not happen that the sun rises")]
    async fn what_never_happens_fails_with_words() {
        until("the sun rises", async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            false
        })
        .await;
    }
}
