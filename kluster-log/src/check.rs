//! Check: compares topics as they are with topics as they must be, and says how to mend each difference.

pub use crate::wanted::TopicSettings;
use crate::wanted::{Wanted, wanted};
use kluster_protocol::Topic;
use std::collections::BTreeMap;
use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A promise does not hold with it: a node must not start.
    Refuse,
    /// The setting may not be read; a node starts only if told to trust the topics (`--trust-topics`).
    MayNotRead,
    /// Not what Kluster would create, but no promise breaks.
    Warn,
}

/// One difference between a topic as it is and as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The topic.
    pub topic: Topic,
    /// Its name in Kafka.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which setting.
    pub setting: String,
    /// Its value.
    pub found: String,
    /// What it should be.
    pub wanted: String,
    /// The command that mends it.
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, setting, found, wanted, mend, .. } = self;
        write!(f, "topic {name}: {setting} is {found}, must be {wanted}. To mend: {mend}")
    }
}

/// Everything that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicCheck {
    /// In the order of the topics.
    pub findings: Vec<Finding>,
}

impl TopicCheck {
    /// Why a node must not start. `trust_topics`: what may not be read is taken to be right.
    pub fn refusals(&self, trust_topics: bool) -> Vec<&Finding> {
        let refuses = |finding: &&Finding| match finding.severity {
            Severity::Refuse => true,
            Severity::MayNotRead => !trust_topics,
            Severity::Warn => false,
        };
        self.findings.iter().filter(refuses).collect()
    }
}

/// A topic as it is.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) partitions: u32,
    pub(crate) copies: u32,
    /// None: they may not be read.
    pub(crate) settings: Option<BTreeMap<String, String>>,
}

/// Makes the findings of one topic.
pub(crate) struct Checker<'a> {
    pub(crate) topic: Topic,
    pub(crate) name: &'a str,
    /// For the commands that mend.
    pub(crate) bootstrap: &'a str,
    pub(crate) settings: &'a TopicSettings,
}

impl Checker<'_> {
    /// The findings of a topic; `found` is None where there is no such topic.
    pub(crate) fn findings(&self, found: Option<&Found>) -> Vec<Finding> {
        let Some(found) = found else {
            let mend = "kluster-admin topics create".to_owned();
            return vec![self.finding(Severity::Refuse, "the topic", "missing", "there", mend)];
        };
        let mut findings = self.shape(found);
        match &found.settings {
            None => findings.push(self.may_not_read()),
            Some(settings) => findings.extend(self.differences(settings)),
        }
        findings
    }

    /// Partitions and copies.
    fn shape(&self, found: &Found) -> Vec<Finding> {
        let mut findings = Vec::new();
        let wanted = self.settings.partitions_of(self.topic);
        let single = matches!(self.topic, Topic::All | Topic::Decisions);
        if single && found.partitions != 1 {
            let mend = format!(
                "{} --delete --topic {}, then kluster-admin topics create (only if it is empty)",
                self.tool("kafka-topics"),
                self.name
            );
            findings.push(self.finding(Severity::Refuse, "partition count", found.partitions, 1, mend));
        } else if found.partitions < wanted {
            let mend = format!("{} --alter --topic {} --partitions {wanted}", self.tool("kafka-topics"), self.name);
            findings.push(self.finding(Severity::Warn, "partition count", found.partitions, wanted, mend));
        }
        let least = self.settings.least_copies();
        if found.copies < least {
            let severity = if single { Severity::Refuse } else { Severity::Warn };
            let mend = format!(
                "{} --execute --reassignment-json-file FILE, with {least} replicas for each partition; or start with --development, where losing one disk may lose data",
                self.tool("kafka-reassign-partitions")
            );
            findings.push(self.finding(severity, "replication factor", found.copies, format!("{least} or more"), mend));
        }
        findings
    }

    fn differences(&self, found: &BTreeMap<String, String>) -> Vec<Finding> {
        let differs = |wanted: &Wanted| {
            let value = found.get(wanted.setting).map_or("unknown to the broker", String::as_str);
            (!wanted.is_met_by(value)).then(|| self.difference(wanted, value))
        };
        wanted(self.topic, self.settings).iter().filter_map(differs).collect()
    }

    fn difference(&self, wanted: &Wanted, found: &str) -> Finding {
        let value = wanted.creation();
        let mend = format!(
            "{} --alter --entity-type topics --entity-name {} --add-config {}={value}",
            self.tool("kafka-configs"),
            self.name,
            wanted.setting
        );
        let or_more = if wanted.at_least { " or more" } else { "" };
        self.finding(wanted.severity, wanted.setting, found, format!("{value}{or_more}"), mend)
    }

    fn may_not_read(&self) -> Finding {
        let mend = format!(
            "{} --add --allow-principal User:… --operation DescribeConfigs --topic {}; or start with --trust-topics if somebody else checks them",
            self.tool("kafka-acls"),
            self.name
        );
        self.finding(Severity::MayNotRead, "every setting", "not to be read by this user", "readable", mend)
    }

    fn tool(&self, tool: &str) -> String {
        format!("{tool}.sh --bootstrap-server {}", self.bootstrap)
    }

    fn finding(
        &self,
        severity: Severity,
        setting: &str,
        found: impl ToString,
        wanted: impl ToString,
        mend: String,
    ) -> Finding {
        let (found, wanted) = (found.to_string(), wanted.to_string());
        Finding {
            topic: self.topic,
            name: self.name.to_owned(),
            severity,
            setting: setting.to_owned(),
            found,
            wanted,
            mend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_as_wanted(topic: Topic, settings: &TopicSettings) -> Found {
        let configs = wanted(topic, settings).iter().map(|w| (w.setting.to_owned(), w.creation())).collect();
        Found { partitions: settings.partitions_of(topic), copies: settings.copies(), settings: Some(configs) }
    }

    #[test]
    fn created_topics_pass_their_own_check() {
        for settings in [TopicSettings::default(), TopicSettings::development()] {
            for topic in Topic::EACH {
                let checker = Checker { topic, name: topic.word(), bootstrap: "kafka:9092", settings: &settings };
                assert_eq!(checker.findings(Some(&found_as_wanted(topic, &settings))), []);
            }
        }
    }

    #[test]
    fn a_finding_says_which_found_wanted_and_how_to_mend() {
        let settings = TopicSettings::default();
        let checker = Checker { topic: Topic::All, name: "ALL", bootstrap: "kafka:9092", settings: &settings };
        let mut found = found_as_wanted(Topic::All, &settings);
        if let Some(configs) = &mut found.settings {
            configs.insert("retention.ms".into(), "604800000".into());
        }
        let findings = checker.findings(Some(&found));
        assert_eq!(
            findings[0].to_string(),
            "topic ALL: retention.ms is 604800000, must be -1. To mend: kafka-configs.sh --bootstrap-server kafka:9092 --alter \
             --entity-type topics --entity-name ALL --add-config retention.ms=-1"
        );
        assert_eq!(findings[0].severity, Severity::Refuse);
    }

    #[test]
    fn what_may_not_be_read_needs_trust() {
        let settings = TopicSettings::development();
        let checker = Checker { topic: Topic::All, name: "ALL", bootstrap: "kafka:9092", settings: &settings };
        let findings = checker.findings(Some(&Found { partitions: 1, copies: 1, settings: None }));
        let check = TopicCheck { findings };
        assert_eq!((check.refusals(false).len(), check.refusals(true).len()), (1, 0));
        assert_eq!(checker.findings(None)[0].found, "missing");
    }
}
