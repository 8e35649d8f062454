//! Group commit: a few threads that call fdatasync for all partitions.
//!
//! An append marks its partition as wanting a sync and hands it over, once. The thread notes the log's end, syncs, and what was written up to
//! that end is durable: every waiter below it goes on, however many they are. What is appended meanwhile gathers and is the next group, synced by
//! the same thread without another hand-over.

use super::Shared;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Threads at most: so many partitions are synced at once. They spend their time waiting for the disk.
const MOST_THREADS: usize = 4;

/// The threads of one data directory. They are started when first needed, and end when the last clone of this is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flushers(Arc<Ending>);

/// Tells the threads to end when dropped.
#[derive(Debug, Default)]
struct Ending(Arc<Pool>);

#[derive(Debug, Default)]
struct Pool {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    wanting: VecDeque<Arc<Shared>>,
    threads: usize,
    idle: usize,
    ended: bool,
}

impl Flushers {
    /// Has the partition synced. The caller has marked it, so that it is here once at most.
    pub(super) fn hand_over(&self, partition: Arc<Shared>) {
        let pool = &self.0.0;
        let mut queue = pool.queue();
        if queue.idle == 0 && !Self::start(pool, &mut queue) {
            drop(queue);
            while partition.sync_group() {} // without any thread the caller does it
            return;
        }
        queue.wanting.push_back(partition);
        pool.work.notify_one();
    }

    /// Starts one more thread if there may be one; whether there is any.
    fn start(pool: &Arc<Pool>, queue: &mut Queue) -> bool {
        if queue.threads >= MOST_THREADS {
            return true;
        }
        let worker = Arc::clone(pool);
        match std::thread::Builder::new().name("flush".into()).spawn(move || worker.run()) {
            Ok(_) => queue.threads += 1,
            Err(error) => tracing::warn!(%error, "cannot start another thread for fdatasync"),
        }
        queue.threads > 0
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.queue().ended = true;
        self.0.work.notify_all();
    }
}

impl Pool {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some(partition) = self.next() {
            if partition.sync_group() {
                self.queue().wanting.push_back(partition); // behind the others, for fairness
            }
        }
    }

    fn next(&self) -> Option<Arc<Shared>> {
        let mut queue = self.queue();
        queue.idle += 1;
        let mut queue = self
            .work
            .wait_while(queue, |queue| queue.wanting.is_empty() && !queue.ended)
            .unwrap_or_else(PoisonError::into_inner);
        queue.idle -= 1;
        queue.wanting.pop_front()
    }
}
