//! Durable records of the scheduler. A batch is applied whole or not at all, and is durable when `apply` returns.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use millstream_scheduler::RecordChange;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
const FILE: &str = "state.redb";

/// The store fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its folder cannot be made.
    #[error("cannot make the state folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be opened.
    #[error("cannot open the state in {}; does another scheduler use it?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// It cannot be read or written.
    #[error("the state store fails")]
    Database(#[source] Box<redb::Error>),
    /// A record is not JSON.
    #[error("record {key} is damaged")]
    Damaged {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        StoreError::Database(Box::new(error.into()))
    }
}

/// Where records live.
pub trait StateStore: Send + Sync {
    /// All records. Blocks.
    fn load(&self) -> Result<BTreeMap<String, Value>, StoreError>;
    /// Applies changes in one transaction, durable on return. Blocks.
    fn apply(&self, changes: &[RecordChange]) -> Result<(), StoreError>;
}

/// On disk, for a single scheduler.
pub struct Redb {
    path: PathBuf,
    /// None after a failure: redb serves a database no more once a write to its file has failed, so it is opened anew.
    database: Mutex<Option<Database>>,
}

impl Redb {
    /// Opens (or makes) the store in a folder. One process at a time: the file is locked.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder { path: folder.into(), source })?;
        let path = folder.join(FILE);
        let database = Mutex::new(Some(open(&path)?));
        Ok(Redb { path, database })
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let result = work(&database);
        if result.is_ok() {
            *slot = Some(database);
        }
        result
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let failed = |error: redb::Error| StoreError::Open { path: path.into(), source: Box::new(error) };
    let database = Database::create(path).map_err(|error| failed(error.into()))?;
    let begin = database.begin_write()?;
    begin.open_table(RECORDS)?;
    begin.commit()?;
    Ok(database)
}

fn read(database: &Database) -> Result<BTreeMap<String, Value>, StoreError> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    let mut records = BTreeMap::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let key = key.value().to_owned();
        let value =
            serde_json::from_slice(value.value()).map_err(|source| StoreError::Damaged { key: key.clone(), source })?;
        records.insert(key, value);
    }
    Ok(records)
}

fn write(database: &Database, changes: &[RecordChange]) -> Result<(), StoreError> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(RECORDS)?;
        for RecordChange { key, value } in changes {
            match value {
                Some(value) => drop(table.insert(key.as_str(), value.to_string().as_bytes())?),
                None => drop(table.remove(key.as_str())?),
            }
        }
    }
    Ok(write.commit()?)
}

impl StateStore for Redb {
    fn load(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        self.with(read)
    }

    fn apply(&self, changes: &[RecordChange]) -> Result<(), StoreError> {
        self.with(|database| write(database, changes))
    }
}

/// In memory, for tests.
#[derive(Debug, Default)]
pub struct Memory {
    records: Mutex<BTreeMap<String, Value>>,
}

impl StateStore for Memory {
    fn load(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn apply(&self, changes: &[RecordChange]) -> Result<(), StoreError> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        for RecordChange { key, value } in changes {
            match value {
                Some(value) => drop(records.insert(key.clone(), value.clone())),
                None => drop(records.remove(key)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, value: Option<i32>) -> RecordChange {
        RecordChange { key: key.into(), value: value.map(Value::from) }
    }

    fn behaves(store: &dyn StateStore) {
        store.apply(&[change("a", Some(1)), change("b", Some(2))]).unwrap();
        store.apply(&[change("a", None), change("b", Some(3)), change("never", None)]).unwrap();
        assert_eq!(store.load().unwrap(), BTreeMap::from([("b".to_owned(), Value::from(3))]));
    }

    #[test]
    fn memory_behaves() {
        behaves(&Memory::default());
    }

    #[test]
    fn redb_behaves_and_remembers_and_is_used_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Redb::open(folder.path()).unwrap();
        behaves(&store);
        assert!(matches!(Redb::open(folder.path()), Err(StoreError::Open { .. })), "locked");
        drop(store);
        assert_eq!(Redb::open(folder.path()).unwrap().load().unwrap().len(), 1);
    }
}
