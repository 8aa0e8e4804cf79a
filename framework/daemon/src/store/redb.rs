//! Records on disk, for a single scheduler.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use millstream_scheduler::RecordChange;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

use super::{StateStore, StoreError};

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
const FILE: &str = "state.redb";

macro_rules! database_errors {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                StoreError::Database(Box::new(error.into()))
            }
        }
    )*};
}

database_errors!(TransactionError, TableError, StorageError, CommitError);

/// On disk, for a single scheduler.
pub struct Redb(Arc<File>);

struct File {
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
        Ok(Redb(Arc::new(File { path, database })))
    }

    /// Works on the database where blocking is allowed.
    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let file = self.0.clone();
        let done = tokio::task::spawn_blocking(move || file.with(work));
        Box::pin(async { done.await.expect("the store does not panic") })
    }
}

impl File {
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

fn write(database: &Database, changes: &[(String, Option<String>)]) -> Result<(), StoreError> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(RECORDS)?;
        for (key, value) in changes {
            match value {
                Some(value) => drop(table.insert(key.as_str(), value.as_bytes())?),
                None => drop(table.remove(key.as_str())?),
            }
        }
    }
    Ok(write.commit()?)
}

impl StateStore for Redb {
    fn load(&self) -> BoxFuture<'_, Result<BTreeMap<String, Value>, StoreError>> {
        self.with(read)
    }

    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>> {
        let text = |value: &Value| value.to_string();
        let changes: Vec<_> = changes.iter().map(|c| (c.key.clone(), c.value.as_ref().map(text))).collect();
        self.with(move |database| write(database, &changes))
    }
}
