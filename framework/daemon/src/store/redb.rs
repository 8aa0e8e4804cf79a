//! Records on disk, for a single scheduler; `held`: the same while a person works on it.

pub(crate) mod held;

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    panic::catch_unwind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use millstream_scheduler::RecordChange;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Records, StateStore, StoreError, mark, record};

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
const FILE: &str = "state.redb";

/// Beside the file: there has been a state here.
const MARKER: &str = "state.marker";

/// What the marker says to who finds it.
const MARKER_TEXT: &str = "A Millstream scheduler has kept its state here. While this file is there, a scheduler does not begin anew beside it.\n";

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
    /// Of the file that this process began with.
    inode: Option<u64>,
    /// None after a failure: redb serves a database no more once a write to its file has failed, so it is opened anew.
    database: Mutex<Option<Database>>,
}

impl Redb {
    /// Opens (or makes) the store in a folder. One process at a time: the file is locked.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder { path: folder.into(), source })?;
        let (path, marker) = (folder.join(FILE), folder.join(MARKER));
        is_there(&path, &marker)?;
        let database = checked(&path)?;
        std::fs::write(&marker, MARKER_TEXT).map_err(|source| StoreError::Folder { path: folder.into(), source })?;
        Ok(Redb(Arc::new(File::new(path, database))))
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
    fn new(path: PathBuf, database: Database) -> File {
        File { inode: inode(&path), path, database: Mutex::new(Some(database)) }
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => {
                // The lock was free meanwhile: a person may have moved the state away, or put another in its place.
                is_there(&self.path, &self.path.with_file_name(MARKER))?;
                let database = open(&self.path)?;
                if inode(&self.path) != self.inode {
                    return Err(StoreError::Replaced { path: self.path.clone() });
                }
                mark::checked(read(&database)?)?;
                database
            }
        };
        let result = work(&database);
        if result.is_ok() {
            *slot = Some(database);
        }
        result
    }
}

/// A state that was there is not begun anew because its file is gone.
fn is_there(file: &Path, marker: &Path) -> Result<(), StoreError> {
    match is_empty(file) && marker.exists() {
        true => Err(StoreError::Emptied { file: file.into(), marker: marker.into() }),
        false => Ok(()),
    }
}

fn inode(file: &Path) -> Option<u64> {
    std::fs::metadata(file).ok().map(|file| file.ino())
}

fn is_empty(file: &Path) -> bool {
    std::fs::metadata(file).map_or(true, |file| file.len() == 0)
}

/// Opens it after a look at all of it. A file that is damaged may make redb panic.
fn checked(path: &Path) -> Result<Database, StoreError> {
    let looked = catch_unwind(|| {
        let mut database = open(path)?;
        match database.check_integrity() {
            Ok(true) => {}
            Ok(false) => tracing::warn!(path = %path.display(), "the state was repaired after a crash"),
            Err(error) => return Err(judged(path, error.into())),
        }
        read(&database).map(|_| database)
    });
    match looked {
        Ok(Err(StoreError::Database(source))) => Err(judged(path, *source)),
        Ok(looked) => looked,
        Err(_) => Err(judged(path, redb::Error::Corrupted("its parts do not fit together".into()))),
    }
}

/// Damage needs a copy of the state, anything else does not.
fn judged(path: &Path, error: redb::Error) -> StoreError {
    let is_damage = match &error {
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) | redb::Error::RepairAborted => true,
        redb::Error::Io(error) => matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => true,
        _ => false,
    };
    let (path, source) = (path.into(), Box::new(error));
    if is_damage { StoreError::DamagedFile { path, source } } else { StoreError::Open { path, source } }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    with_table(Database::create(path).map_err(|error| judged(path, error.into()))?)
}

fn with_table(database: Database) -> Result<Database, StoreError> {
    let begin = database.begin_write()?;
    begin.open_table(RECORDS)?;
    begin.commit()?;
    Ok(database)
}

fn read(database: &Database) -> Result<Records, StoreError> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    let mut records = Records::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let key = key.value().to_owned();
        let value = record::decode(&key, value.value())?;
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

/// Changes as they are stored.
fn texts(changes: &[RecordChange]) -> Vec<(String, Option<String>)> {
    let text = |c: &RecordChange| c.value.as_ref().map(|value| record::encode(&c.key, value));
    changes.iter().map(|c| (c.key.clone(), text(c))).collect()
}

impl StateStore for Redb {
    fn load(&self) -> BoxFuture<'_, Result<Records, StoreError>> {
        self.with(read)
    }

    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>> {
        let changes = texts(changes);
        self.with(move |database| write(database, &changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While its file fails, a scheduler holds no lock on it: a person may have come in between.
    #[tokio::test]
    async fn what_was_moved_away_or_replaced_while_it_failed_is_not_gone_on_with() {
        let dir = tempfile::tempdir().expect("a folder");
        let changes = [RecordChange { key: "a".into(), value: Some(1.into()) }];
        let store = Redb::open(dir.path()).expect("opened");
        let fail = || assert!(store.0.with(|_| Err::<(), _>(StoreError::Lost)).is_err());
        fail();
        store.apply(&changes).await.expect("nobody came in between");
        fail();
        let moved = mark::Mark::Moved { to: "elsewhere".into() };
        let other = Redb::open(dir.path()).expect("nobody holds it");
        other.apply(&[moved.put()]).await.expect("marked");
        drop(other);
        let refused = store.apply(&changes).await;
        assert!(matches!(&refused, Err(StoreError::Moved { to }) if to == "elsewhere"), "{refused:?}");

        let other = Redb::open(dir.path()).expect("nobody holds it");
        other.apply(&[moved.gone()]).await.expect("back again");
        drop(other);
        store.apply(&changes).await.expect("it is the same file");
        fail();
        std::fs::copy(dir.path().join(FILE), dir.path().join("copy")).expect("copied");
        std::fs::rename(dir.path().join("copy"), dir.path().join(FILE)).expect("replaced");
        assert!(matches!(store.apply(&changes).await, Err(StoreError::Replaced { .. })));
    }
}
