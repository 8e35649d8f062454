//! The catalogue: topics by name and id, their settings, and the only way to a [`Partition`].
//!
//! Every change is in `topics.json` before it is answered. New partitions' directories are made before the catalogue names them, and deleted
//! ones after it has forgotten them; so what the catalogue names is there, and what it does not name is no topic.

mod catalogue;
mod directory;
mod error;
mod topic;
mod upkeep;

pub use error::{OpenError, TopicError};
pub use topic::TopicInfo;
pub(crate) use topic::{MOST_PARTITIONS, check_name};

use crate::disk::Disk;
use crate::fault::disk::DiskFaults;
use crate::lock::DirectoryLock;
use crate::partition::{Backing, Flushers, Partition};
use crate::topic_config::{ConfigChange, TopicConfig};
use catalogue::{CATALOGUE_FILE, Catalogue};
use directory::{partition_dir, remove_retired, retire};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;
use topic::{Topic, check_count};
use uuid::Uuid;

/// Producer ids are taken from the disk so many at a time; what a crash leaves of them is never given.
const PRODUCER_IDS_AT_ONCE: i64 = 1000;

/// All topics of a data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Topics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    backing: Backing,
    cluster_id: String,
    /// Of all topics together.
    most_partitions: usize,
    /// Held while a change is on its way to the disk; taken before `topics`.
    stored: Mutex<Stored>,
    /// Never held while the disk is waited for: every request looks here.
    topics: RwLock<BTreeMap<String, Topic>>,
}

#[derive(Debug)]
struct Stored {
    catalogue: Catalogue,
    next_producer_id: i64,
}

impl Topics {
    /// Locks and opens a data directory, which is created where there is none, and recovers every partition.
    ///
    /// # Errors
    /// In use, unreadable or damaged; the error names file and byte offset, and what to do.
    pub fn open(dir: &Path, faults: Arc<DiskFaults>) -> Result<Self, OpenError> {
        Self::open_with(dir, faults, MOST_PARTITIONS)
    }

    /// The same, for so many partitions of all topics together. What is there already is opened even if it is more.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(dir: &Path, faults: Arc<DiskFaults>, most_partitions: usize) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(io)?;
        let lock = Arc::new(DirectoryLock::take(dir)?);
        let disk = Disk::new(faults);
        let backing =
            Backing { disk, flushers: Flushers::default(), upkeep: Arc::default(), producers: Arc::default(), lock };
        remove_retired(dir).map_err(io)?;
        let catalogue = Catalogue::open(dir, &backing.disk)?;
        let mut topics = BTreeMap::new();
        for (name, entry) in &catalogue.topics {
            topics.insert(name.clone(), Topic::open(dir, &backing, name, entry)?);
        }
        let (cluster_id, next_producer_id) = (catalogue.cluster_id.clone(), catalogue.next_producer_id);
        let stored = Mutex::new(Stored { catalogue, next_producer_id });
        let topics = RwLock::new(topics);
        Ok(Self(Arc::new(Shared { dir: dir.to_owned(), backing, cluster_id, most_partitions, stored, topics })))
    }

    /// The data directory, as it was named at the start.
    pub(crate) fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Whether the disk is full, now and from now on.
    pub fn disk_full(&self) -> watch::Receiver<bool> {
        self.0.backing.disk.full()
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topics(&self) -> RwLockReadGuard<'_, BTreeMap<String, Topic>> {
        self.0.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn topics_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Topic>> {
        self.0.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic(&self, name: &str) -> Result<Topic, TopicError> {
        self.topics().get(name).cloned().ok_or_else(|| TopicError::Unknown(name.to_owned()))
    }

    /// Writes the catalogue, then takes it. Where only its name could not be made durable it is taken too, beside the error: the next start finds
    /// it, if the power does not fail before.
    fn store(&self, stored: &mut Stored, catalogue: Catalogue) -> Result<(), TopicError> {
        let path = || self.0.dir.join(CATALOGUE_FILE);
        let written = catalogue.store(&self.0.dir, &self.0.backing.disk);
        let in_place = || Catalogue::load(&self.0.dir).is_ok_and(|there| there.as_ref() == Some(&catalogue));
        if written.is_ok() || in_place() {
            stored.catalogue = catalogue;
        }
        written.map_err(|source| TopicError::Storage { path: path(), source })
    }

    /// What [`create`](Self::create) would make, without making it. Its id is nil.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), but for the disk.
    pub fn check_new(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> Result<TopicInfo, TopicError> {
        check_name(name)?;
        check_count(partitions)?;
        let configs = TopicConfig::parse(configs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        if self.topics().contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        self.check_room(partitions)?;
        Ok(TopicInfo { name: name.to_owned(), topic_id: Uuid::nil(), partitions, configs })
    }

    /// Creates a topic. Blocks on the disk.
    ///
    /// # Errors
    /// The name is taken or illegal, a setting is refused, there would be too many partitions, or the disk failed; then nothing was created.
    pub fn create(&self, name: &str, partitions: i32, configs: &[(String, String)]) -> Result<TopicInfo, TopicError> {
        check_name(name)?;
        check_count(partitions)?;
        let config = TopicConfig::parse(configs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let mut stored = self.stored();
        if stored.catalogue.topics.contains_key(name) {
            return Err(TopicError::Exists(name.to_owned()));
        }
        self.check_room(partitions)?;
        let topic = Topic { id: Uuid::new_v4(), partitions: self.make(name, 0..partitions, &config)?, config };
        self.change(&mut stored, name, topic)
    }

    /// Whether so many partitions more may be made. Nobody makes others meanwhile: the caller holds what is stored.
    fn check_room(&self, more: i32) -> Result<(), TopicError> {
        let (there, most) = (self.count_partitions(), self.0.most_partitions);
        let fits = usize::try_from(more).is_ok_and(|more| there + more <= most);
        fits.then_some(()).ok_or(TopicError::TooManyPartitions { asked: more, there, most })
    }

    /// Partitions of all topics together.
    pub(crate) fn count_partitions(&self) -> usize {
        self.topics().values().map(|topic| topic.partitions.len()).sum()
    }

    /// New, empty partitions; what lies there of a topic that the catalogue does not name is removed.
    fn make(
        &self,
        name: &str,
        indexes: std::ops::Range<i32>,
        config: &TopicConfig,
    ) -> Result<Vec<Partition>, TopicError> {
        let storage = |path: &Path| {
            let path = path.to_owned();
            move |source| TopicError::Storage { path, source }
        };
        let mut partitions = Vec::new();
        for index in indexes {
            let dir = partition_dir(&self.0.dir, name, index);
            retire(&dir).map_err(storage(&dir))?;
            self.0.backing.disk.create_dir(&dir).map_err(storage(&dir))?;
            partitions.push(Partition::open(&dir, &self.0.backing, config.clone())?);
        }
        self.0.backing.disk.sync_dir(&self.0.dir).map_err(storage(&self.0.dir))?;
        Ok(partitions)
    }

    /// Deletes a topic with its records. Blocks on the disk.
    ///
    /// # Errors
    /// There is none of that name, or the disk failed.
    pub fn delete(&self, name: &str) -> Result<(), TopicError> {
        let mut stored = self.stored();
        let mut catalogue = stored.catalogue.clone();
        catalogue.topics.remove(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let written = self.store(&mut stored, catalogue);
        if stored.catalogue.topics.contains_key(name) {
            return written;
        }
        let topic = self.topics_mut().remove(name);
        // Under the lock of what is stored, lest a new topic of that name makes its directories meanwhile.
        for (index, partition) in topic.iter().flat_map(|topic| &topic.partitions).enumerate() {
            partition.delete();
            let dir = partition_dir(&self.0.dir, name, i32::try_from(index).unwrap_or_default());
            // Where that is not durable, a power failure brings back the catalogue that names it.
            if written.is_ok() {
                retire(&dir).map_err(|source| TopicError::Storage { path: dir, source })?;
            }
        }
        written
    }

    /// Gives a topic more partitions, `total` in all. Blocks on the disk.
    ///
    /// # Errors
    /// There is no such topic, it has that many already, there would be too many in all, or the disk failed.
    pub fn add_partitions(&self, name: &str, total: i32) -> Result<TopicInfo, TopicError> {
        check_count(total)?;
        let mut stored = self.stored();
        let mut topic = self.topic(name)?;
        let count = topic.count();
        if total <= count {
            let message =
                format!("topic currently has {count} partitions, which is not fewer than the requested {total}");
            return Err(TopicError::Partitions(message));
        }
        self.check_room(total - count)?;
        topic.partitions.extend(self.make(name, count..total, &topic.config)?);
        self.change(&mut stored, name, topic)
    }

    /// Changes some settings of a topic (IncrementalAlterConfigs). Blocks on the disk.
    ///
    /// # Errors
    /// There is no such topic, a change is refused, or the disk failed; then none takes place.
    pub fn alter(&self, name: &str, changes: &[(String, ConfigChange)]) -> Result<TopicInfo, TopicError> {
        let mut stored = self.stored();
        let mut topic = self.topic(name)?;
        topic.config = topic.config.changed(changes.iter().map(|(name, change)| (name.as_str(), change)))?;
        self.change(&mut stored, name, topic)
    }

    /// Replaces all settings of a topic (AlterConfigs). Blocks on the disk.
    ///
    /// # Errors
    /// As for [`alter`](Self::alter).
    pub fn replace_configs(&self, name: &str, configs: &[(String, String)]) -> Result<TopicInfo, TopicError> {
        let config = TopicConfig::parse(configs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let mut stored = self.stored();
        let topic = self.topic(name)?;
        self.change(&mut stored, name, Topic { config, ..topic })
    }

    /// Stores and takes a topic's new form.
    fn change(&self, stored: &mut Stored, name: &str, topic: Topic) -> Result<TopicInfo, TopicError> {
        let mut catalogue = stored.catalogue.clone();
        let (entry, info) = (topic.entry(), topic.info(name));
        catalogue.topics.insert(name.to_owned(), entry.clone());
        let written = self.store(stored, catalogue);
        if stored.catalogue.topics.get(name) == Some(&entry) {
            for partition in &topic.partitions {
                partition.reconfigure(topic.config.clone());
            }
            self.topics_mut().insert(name.to_owned(), topic);
        }
        written.map(|()| info)
    }

    /// All topics, by name.
    pub fn list(&self) -> Vec<TopicInfo> {
        self.topics().iter().map(|(name, topic)| topic.info(name)).collect()
    }

    /// The topic of this name.
    pub fn get(&self, name: &str) -> Option<TopicInfo> {
        self.topics().get(name).map(|topic| topic.info(name))
    }

    /// The topic of this id.
    pub fn by_id(&self, topic_id: Uuid) -> Option<TopicInfo> {
        let topics = self.topics();
        let (name, topic) = topics.iter().find(|(_, topic)| topic.id == topic_id)?;
        Some(topic.info(name))
    }

    /// The name of the topic of this id.
    pub fn name_of(&self, topic_id: Uuid) -> Option<String> {
        let topics = self.topics();
        topics.iter().find(|(_, topic)| topic.id == topic_id).map(|(name, _)| name.clone())
    }

    /// One partition of a topic.
    pub fn partition(&self, name: &str, index: i32) -> Option<Partition> {
        self.topics().get(name)?.partitions.get(usize::try_from(index).ok()?).cloned()
    }

    /// Made with the directory, the same ever after.
    pub fn cluster_id(&self) -> String {
        self.0.cluster_id.clone()
    }

    /// An id for an idempotent producer, never given twice, not even by another run of the broker. Blocks on the disk once in a thousand times.
    ///
    /// # Errors
    /// The disk failed.
    pub fn next_producer_id(&self) -> Result<i64, TopicError> {
        let mut stored = self.stored();
        let id = stored.next_producer_id;
        if id >= stored.catalogue.next_producer_id {
            let mut catalogue = stored.catalogue.clone();
            let durable = std::mem::replace(&mut catalogue.next_producer_id, id + PRODUCER_IDS_AT_ONCE);
            if let Err(error) = self.store(&mut stored, catalogue) {
                stored.catalogue.next_producer_id = durable;
                return Err(error);
            }
        }
        stored.next_producer_id = id + 1;
        Ok(id)
    }
}
