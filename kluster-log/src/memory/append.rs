//! Append: how a record gets into the memory log, with the fault that the test commands.

use super::{MemoryLog, hook::AppendContext};
use crate::{AppendFault, Appended, LogError, NewRecord};
use kluster_protocol::{Offset, Topic, partition_of};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

type Answer = (Result<Appended, LogError>, Option<Duration>);

/// Appends that wait for their time, in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    waiting: VecDeque<Waiting>,
    draining: bool,
}

#[derive(Debug)]
struct Waiting {
    context: AppendContext,
    fault: AppendFault,
    answer: oneshot::Sender<Answer>,
}

enum Handed {
    Now(Answer),
    Later(oneshot::Receiver<Answer>),
}

impl MemoryLog {
    pub(crate) fn append_now(
        &self,
        topic: Topic,
        partition: Option<u32>,
        record: NewRecord,
    ) -> impl Future<Output = Result<Appended, LogError>> + Send + 'static + use<> {
        let handed = self.hand_over(topic, partition, record);
        async move {
            let (result, hold) = match handed {
                Handed::Now(answer) => answer,
                Handed::Later(answer) => answer.await.unwrap_or((Err(open("the runtime ended")), None)),
            };
            if let Some(time) = hold {
                tokio::time::sleep(time).await;
            }
            result
        }
    }

    fn hand_over(&self, topic: Topic, partition: Option<u32>, record: NewRecord) -> Handed {
        let partition = match self.place(topic, partition, &record) {
            Ok(partition) => partition,
            Err(error) => return Handed::Now((Err(error), None)),
        };
        let context = AppendContext { user: self.user.clone(), topic, partition, record };
        let fault = self.hooks().append.map_or(AppendFault::None, |hook| hook(&context));
        let mut delayed = lock(&self.delayed);
        if delayed.waiting.is_empty() && !delayed.draining && !matches!(fault, AppendFault::Delay(_)) {
            drop(delayed);
            return Handed::Now(self.append_with(context, fault));
        }
        let (answer, answered) = oneshot::channel();
        delayed.waiting.push_back(Waiting { context, fault, answer });
        if !delayed.draining {
            delayed.draining = true;
            tokio::spawn(drain(self.clone(), self.delayed.clone()));
        }
        Handed::Later(answered)
    }

    /// The partition that a record goes to.
    fn place(&self, topic: Topic, partition: Option<u32>, record: &NewRecord) -> Result<u32, LogError> {
        let mut store = self.store();
        let Some(found) = store.topics.get_mut(&topic) else {
            return Err(self.missing(topic));
        };
        let count = found.partitions.len() as u32;
        match (partition, &record.key) {
            (Some(partition), _) if partition < count => Ok(partition),
            (Some(partition), _) => {
                let reason = format!("{topic} has no partition {partition}, it has {count}");
                Err(LogError::NotAppended { reason })
            }
            (None, Some(key)) => Ok(partition_of(key, count)),
            (None, None) => {
                found.spread = (found.spread + 1) % count.max(1);
                Ok(found.spread)
            }
        }
    }

    fn append_with(&self, context: AppendContext, fault: AppendFault) -> Answer {
        let AppendContext { topic, partition, record, .. } = context;
        if self.is_away() {
            return (Err(LogError::NotAppended { reason: "the log is away on command".into() }), None);
        }
        let appended = |offset: Offset| Ok(Appended { partition, offset });
        match fault {
            AppendFault::Lose => {
                return (Err(LogError::NotAppended { reason: "lost on command".into() }), None);
            }
            AppendFault::LoseOpen => return (Err(open("lost on command, unseen")), None),
            AppendFault::Duplicate => drop(self.store_record(topic, partition, record.clone())),
            AppendFault::None | AppendFault::LoseAck | AppendFault::Delay(_) | AppendFault::HoldAck(_) => {}
        }
        let result = self.store_record(topic, partition, record).and_then(appended);
        match fault {
            AppendFault::LoseAck => (Err(open("the acknowledgement was lost on command")), None),
            AppendFault::HoldAck(time) => (result, Some(time)),
            _ => (result, None),
        }
    }

    fn store_record(&self, topic: Topic, partition: u32, record: NewRecord) -> Result<Offset, LogError> {
        let now = (self.shared.clock)();
        let offset = self.store().append(topic, partition, record, now);
        self.wake(topic);
        offset.ok_or_else(|| self.missing(topic))
    }
}

/// Appends what waits, each at its time, behind what was called before it.
async fn drain(log: MemoryLog, delayed: Arc<Mutex<Delayed>>) {
    loop {
        let next = {
            let mut delayed = lock(&delayed);
            let next = delayed.waiting.pop_front();
            delayed.draining = next.is_some();
            next
        };
        let Some(Waiting { context, fault, answer }) = next else {
            return;
        };
        if let AppendFault::Delay(time) = fault {
            tokio::time::sleep(time).await;
        }
        let appended = log.append_with(context, fault);
        // Nobody waits for it: the record is in the log all the same.
        let _ = answer.send(appended);
    }
}

fn lock(delayed: &Mutex<Delayed>) -> std::sync::MutexGuard<'_, Delayed> {
    delayed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(reason: &str) -> LogError {
    LogError::OutcomeOpen { reason: reason.to_owned() }
}
