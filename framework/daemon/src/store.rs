//! Durable records of the scheduler. A batch is applied whole or not at all, and is durable when `apply` returns.

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
    #[error("record {key} is damaged")]
    Damaged {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A record or a batch on its way has lost a part of itself.
    #[error("{node} in the state store is damaged: it is not whole")]
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
}
