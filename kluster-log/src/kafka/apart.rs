//! Apart: holds a librdkafka client and ends it on a thread of its own, because its end waits for threads and sockets, which an async
//! runtime must not.

use std::fmt;
use std::ops::Deref;
use std::thread;

/// A value that is dropped apart.
pub(super) struct Apart<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Apart<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Ends it now and waits for the end. Blocks.
    pub(super) fn end(mut self) {
        drop(self.0.take());
    }
}

impl<T: Send + 'static> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is taken only by `end` and `drop`, which own it")
    }
}

impl<T: Send + 'static> Drop for Apart<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            let ended = thread::Builder::new().name("log-end".to_owned()).spawn(move || drop(value));
            if let Err(error) = ended {
                // The value was dropped here, slowly, with the closure that was refused.
                tracing::debug!(%error, "no thread to end a client of Kafka");
            }
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Apart<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<T>())
    }
}
