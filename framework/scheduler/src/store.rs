//! The durable records in memory. Every change marks its key, so that what a step stores is exactly what it changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    RecordChange, RestoreError,
    records::{
        CounterRecord, ExecutorRecord, FrameworkRecord, JobRecord, Key, RetiredRecord, SlotKey, SlotRecord, TaskRecord,
        VolumeRecord,
    },
};

/// All durable records. Read them freely; change them only through the methods.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    framework: Option<FrameworkRecord>,
    counter: CounterRecord,
    jobs: BTreeMap<String, JobRecord>,
    retired: BTreeMap<String, RetiredRecord>,
    slots: BTreeMap<SlotKey, SlotRecord>,
    tasks: BTreeMap<String, TaskRecord>,
    executors: BTreeMap<String, ExecutorRecord>,
    /// Agent and id of each executor: an index, not stored.
    by_agent: BTreeSet<(String, String)>,
    volumes: BTreeMap<String, VolumeRecord>,
    dirty: BTreeSet<Key>,
}

macro_rules! records {
    ($($name:ident, $name_mut:ident, $insert:ident, $remove:ident, $field:ident: $id:ty => $record:ty, $key:expr;)*) => {$(
        pub(crate) fn $name(&self, id: &$id) -> Option<&$record> {
            self.$field.get(id)
        }

        pub(crate) fn $name_mut(&mut self, id: &$id) -> Option<&mut $record> {
            let record = self.$field.get_mut(id)?;
            self.dirty.insert($key(id.clone()));
            Some(record)
        }

        pub(crate) fn $insert(&mut self, id: $id, record: $record) {
            self.dirty.insert($key(id.clone()));
            self.$field.insert(id, record);
        }

        pub(crate) fn $remove(&mut self, id: &$id) -> Option<$record> {
            self.dirty.insert($key(id.clone()));
            self.$field.remove(id)
        }

        pub(crate) fn $field(&self) -> &BTreeMap<$id, $record> {
            &self.$field
        }
    )*};
}

impl Store {
    records! {
        job, job_mut, insert_job, remove_job, jobs: String => JobRecord, Key::Job;
        slot, slot_mut, insert_slot, remove_slot, slots: SlotKey => SlotRecord, Key::Slot;
        task, task_mut, insert_task, remove_task, tasks: String => TaskRecord, Key::Task;
        executor, executor_mut, put_executor, take_executor, executors: String => ExecutorRecord, Key::Executor;
        volume, volume_mut, insert_volume, remove_volume, volumes: String => VolumeRecord, Key::Volume;
    }

    pub(crate) fn insert_executor(&mut self, id: String, record: ExecutorRecord) {
        self.by_agent.insert((record.agent.clone(), id.clone()));
        self.put_executor(id, record);
    }

    pub(crate) fn remove_executor(&mut self, id: &String) {
        if let Some(record) = self.take_executor(id) {
            self.by_agent.remove(&(record.agent, id.clone()));
        }
    }

    /// An agent's executors.
    pub(crate) fn executors_on(&self, agent: &str) -> impl Iterator<Item = (&String, &ExecutorRecord)> {
        let of = self.by_agent.range((agent.to_owned(), String::new())..);
        let ids = of.take_while(move |(other, _)| *other == agent).map(|(_, id)| id);
        ids.filter_map(|id| self.executors.get_key_value(id))
    }

    /// How many agents have executors.
    pub(crate) fn agents(&self) -> usize {
        self.executors.values().map(|record| record.agent.as_str()).collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn framework(&self) -> Option<&str> {
        self.framework.as_ref().map(|record| record.id.as_str())
    }

    pub(crate) fn set_framework(&mut self, id: Option<String>) {
        self.framework = id.map(|id| FrameworkRecord { id });
        self.dirty.insert(Key::Framework);
    }

    /// A number never given before, after a restart neither: it is stored in the same transaction as what it names.
    pub(crate) fn next_number(&mut self) -> u64 {
        let number = self.counter.next;
        self.counter.next += 1;
        self.dirty.insert(Key::Counter);
        number
    }

    /// The generation a new job of this name starts with.
    pub(crate) fn first_generation(&self, job: &str) -> u64 {
        self.retired.get(job).map_or(1, |record| record.generation + 1)
    }

    /// Forgets a job but for its last generation.
    pub(crate) fn retire_job(&mut self, job: &String) {
        if let Some(record) = self.remove_job(job) {
            self.retired.insert(job.clone(), RetiredRecord { generation: record.generation });
            self.dirty.insert(Key::Retired(job.clone()));
        }
    }

    /// A job's slots, by index.
    pub(crate) fn slots_of<'a>(&'a self, job: &str) -> impl Iterator<Item = (&'a SlotKey, &'a SlotRecord)> {
        let job = job.to_owned();
        self.slots.range((job.clone(), 0)..).take_while(move |((name, _), _)| *name == job)
    }

    /// All tasks of a slot, condemned ones too: their ids begin with job and index.
    pub(crate) fn tasks_of<'a>(&'a self, (job, index): &SlotKey) -> impl Iterator<Item = (&'a String, &'a TaskRecord)> {
        starting_with(&self.tasks, format!("{job}.{index}."))
    }

    /// Volumes whose id begins so.
    pub(crate) fn volumes_with(&self, start: String) -> impl Iterator<Item = (&String, &VolumeRecord)> {
        starting_with(&self.volumes, start)
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<RecordChange> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.iter().map(|key| RecordChange { key: key.to_string(), value: self.value(key) }).collect()
    }

    /// All records, as they are stored.
    pub(crate) fn all(&self) -> BTreeMap<String, Value> {
        let mut keys = vec![Key::Framework, Key::Counter];
        keys.extend(self.jobs.keys().cloned().map(Key::Job));
        keys.extend(self.retired.keys().cloned().map(Key::Retired));
        keys.extend(self.slots.keys().cloned().map(Key::Slot));
        keys.extend(self.tasks.keys().cloned().map(Key::Task));
        keys.extend(self.executors.keys().cloned().map(Key::Executor));
        keys.extend(self.volumes.keys().cloned().map(Key::Volume));
        keys.iter().filter_map(|key| Some((key.to_string(), self.value(key)?))).collect()
    }

    fn value(&self, key: &Key) -> Option<Value> {
        fn json<T: Serialize>(record: Option<&T>) -> Option<Value> {
            record.map(|record| serde_json::to_value(record).expect("records are plain structs with text keys"))
        }
        match key {
            Key::Framework => json(self.framework.as_ref()),
            Key::Counter => json(Some(&self.counter).filter(|counter| counter.next > 0)),
            Key::Job(name) => json(self.jobs.get(name)),
            Key::Retired(name) => json(self.retired.get(name)),
            Key::Slot(key) => json(self.slots.get(key)),
            Key::Task(id) => json(self.tasks.get(id)),
            Key::Executor(id) => json(self.executors.get(id)),
            Key::Volume(id) => json(self.volumes.get(id)),
        }
    }

    /// The store of these records. Unknown keys are refused: they come from a newer version, and going on without them
    /// could lose tasks.
    pub(crate) fn restore(records: impl IntoIterator<Item = (String, Value)>) -> Result<Store, RestoreError> {
        fn read<T: DeserializeOwned>(key: &str, value: Value) -> Result<T, RestoreError> {
            serde_json::from_value(value).map_err(|source| RestoreError::Record { key: key.into(), source })
        }
        let mut store = Store::default();
        for (text, value) in records {
            let key = Key::parse(&text).ok_or_else(|| RestoreError::UnknownKey { key: text.clone() })?;
            match key {
                Key::Framework => store.framework = Some(read(&text, value)?),
                Key::Counter => store.counter = read(&text, value)?,
                Key::Job(name) => drop(store.jobs.insert(name, read(&text, value)?)),
                Key::Retired(name) => drop(store.retired.insert(name, read(&text, value)?)),
                Key::Slot(key) => drop(store.slots.insert(key, read(&text, value)?)),
                Key::Task(id) => drop(store.tasks.insert(id, read(&text, value)?)),
                Key::Executor(id) => store.insert_executor(id, read(&text, value)?),
                Key::Volume(id) => drop(store.volumes.insert(id, read(&text, value)?)),
            }
        }
        store.dirty.clear();
        Ok(store)
    }
}

/// Names of jobs have no dots: what begins with a job and a dot is that job's.
fn starting_with<T>(records: &BTreeMap<String, T>, start: String) -> impl Iterator<Item = (&String, &T)> {
    records.range(start.clone()..).take_while(move |(id, _)| id.starts_with(&start))
}
