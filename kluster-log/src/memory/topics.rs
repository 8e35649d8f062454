//! Topics of the memory log: created and checked by the same tables as Kafka's.

use super::MemoryLog;
use crate::check::{Checker, Found};
use crate::wanted::wanted;
use crate::{Created, LogError, TopicCheck, TopicSettings};
use kluster_protocol::Topic;
use std::collections::BTreeMap;

impl MemoryLog {
    pub(crate) fn create_topics(&self, settings: &TopicSettings) -> Vec<(Topic, Created)> {
        let mut store = self.store();
        let create = |topic: Topic| {
            if store.topics.contains_key(&topic) {
                return (topic, Created::Existed);
            }
            let all: BTreeMap<_, _> =
                wanted(topic, settings).iter().map(|wanted| (wanted.setting.to_owned(), wanted.creation())).collect();
            store.make(topic, settings.partitions_of(topic), settings.copies(), all);
            (topic, Created::New)
        };
        Topic::EACH.into_iter().map(create).collect()
    }

    pub(crate) fn check_topics(&self, settings: &TopicSettings) -> Result<TopicCheck, LogError> {
        self.reach("checking topics")?;
        let store = self.store();
        let check = |topic: Topic| {
            let name = self.names.name(topic);
            let found = store.topics.get(&topic).map(|found| Found {
                partitions: found.partitions.len() as u32,
                copies: found.copies,
                settings: (!found.settings_hidden).then(|| found.settings.clone()),
            });
            Checker { topic, name: &name, bootstrap: "memory", settings }.findings(found.as_ref())
        };
        Ok(TopicCheck { findings: Topic::EACH.into_iter().flat_map(check).collect() })
    }
}
