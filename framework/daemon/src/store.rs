//! Durable records of the scheduler. A batch is applied whole or not at all, and is durable when `apply` returns.

pub(crate) mod record;
mod redb;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use millstream_scheduler::RecordChange;
use serde_json::Value;

pub use self::redb::Redb;

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
    #[error("cannot open the state in {}; does another scheduler use it? --state takes another folder, or a ZooKeeper for several schedulers", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<::redb::Error>,
    },
    /// Its file is not what was written.
    #[error("damaged: the state in {} cannot be read; put a copy of it there, or begin anew in another folder (--state), as a new framework", path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<::redb::Error>,
    },
    /// There was a state here, and it is gone.
    #[error("emptied: there was a state in {}, and it is gone; put a copy of it there, or remove {} to begin anew, as a new framework (the old one's tasks run on)", file.display(), marker.display())]
    Emptied {
        /// Where it was.
        file: PathBuf,
        /// What says so.
        marker: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the state store fails")]
    Database(#[source] Box<::redb::Error>),
    /// ZooKeeper does not do what it is asked for.
    #[error("ZooKeeper fails")]
    ZooKeeper(#[source] zookeeper_client::Error),
    /// Another scheduler leads, or nobody does: nothing was written.
    #[error("the lock of the leading scheduler is lost")]
    Lost,
    /// A record is not JSON.
    #[error("damaged: record {key} of the state is no JSON; put a copy of the state there")]
    Damaged {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A record or a batch on its way has lost a part of itself.
    #[error("damaged: {node} of the state is not what was written; put a copy of the state there")]
    Torn {
        /// Its place in the store.
        node: String,
    },
}

impl From<zookeeper_client::Error> for StoreError {
    fn from(error: zookeeper_client::Error) -> Self {
        StoreError::ZooKeeper(error)
    }
}

/// Where records live.
pub trait StateStore: Send + Sync {
    /// All records.
    fn load(&self) -> BoxFuture<'_, Result<BTreeMap<String, Value>, StoreError>>;
    /// Applies changes in one transaction, durable on return. After an error, or when the future is dropped, the
    /// changes are in the store either all or not at all, and applying them again is right in both cases.
    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// In memory, for tests.
#[derive(Debug, Default)]
pub struct Memory {
    records: Mutex<BTreeMap<String, Value>>,
}

impl StateStore for Memory {
    fn load(&self) -> BoxFuture<'_, Result<BTreeMap<String, Value>, StoreError>> {
        Box::pin(async { Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()) })
    }

    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            for RecordChange { key, value } in changes {
                match value {
                    Some(value) => drop(records.insert(key.clone(), value.clone())),
                    None => drop(records.remove(key)),
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, value: Option<i32>) -> RecordChange {
        RecordChange { key: key.into(), value: value.map(Value::from) }
    }

    async fn behaves(store: &dyn StateStore) {
        store.apply(&[change("a", Some(1)), change("b", Some(2))]).await.unwrap();
        store.apply(&[change("a", None), change("b", Some(3)), change("never", None)]).await.unwrap();
        assert_eq!(store.load().await.unwrap(), BTreeMap::from([("b".to_owned(), Value::from(3))]));
    }

    #[tokio::test]
    async fn memory_behaves() {
        behaves(&Memory::default()).await;
    }

    #[tokio::test]
    async fn redb_behaves_and_remembers_and_is_used_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Redb::open(folder.path()).unwrap();
        behaves(&store).await;
        assert!(matches!(Redb::open(folder.path()), Err(StoreError::Open { .. })), "locked");
        drop(store);
        assert_eq!(Redb::open(folder.path()).unwrap().load().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_state_that_is_gone_is_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.redb");
        Redb::open(folder.path()).unwrap().apply(&[change("a", Some(1))]).await.unwrap();
        let copy = std::fs::read(&file).unwrap();
        for gone in [None, Some(&b""[..])] {
            let _ = std::fs::remove_file(&file);
            gone.into_iter().for_each(|bytes| std::fs::write(&file, bytes).unwrap());
            let error = Redb::open(folder.path()).err().expect("it is gone").to_string();
            assert!(error.starts_with("emptied:") && error.contains("state.marker"), "{error}");
        }
        std::fs::write(&file, &copy).unwrap();
        assert_eq!(Redb::open(folder.path()).unwrap().load().await.unwrap().len(), 1, "the remedy");
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_file(folder.path().join("state.marker")).unwrap();
        assert_eq!(Redb::open(folder.path()).unwrap().load().await.unwrap().len(), 0, "the other remedy");
    }

    /// Whatever happens to the file: what is read is what was written, or an error whose first word says what it is.
    #[tokio::test]
    async fn a_damaged_file_is_never_taken_for_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.redb");
        let store = Redb::open(folder.path()).unwrap();
        let changes: Vec<_> = (0..200).map(|i| change(&format!("key{i}"), Some(i))).collect();
        store.apply(&changes).await.unwrap();
        let written = store.load().await.unwrap();
        drop(store);
        let whole = std::fs::read(&file).unwrap();
        let mut seed = 1_u64;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut refused = 0;
        for trial in 0..150 {
            let mut damaged = whole.clone();
            match trial % 3 {
                0 => damaged.truncate(1 + next(whole.len() - 1)),
                1 => {
                    let from = next(whole.len());
                    let to = (from + 1 + next(8_192)).min(whole.len());
                    damaged[from..to].fill(0);
                }
                _ => (0..64).for_each(|_| damaged[next(whole.len())] ^= 1 << next(8)),
            }
            std::fs::write(&file, &damaged).unwrap();
            let read = match Redb::open(folder.path()) {
                Ok(store) => store.load().await,
                Err(error) => Err(error),
            };
            match read {
                Ok(read) => assert_eq!(read, written, "trial {trial}"),
                Err(error) => {
                    assert!(error.to_string().starts_with("damaged:"), "trial {trial}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 20, "{refused}");
    }
}
