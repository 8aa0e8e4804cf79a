//! Durable records of the scheduler. A batch is applied whole or not at all, and is durable when `apply` returns.

pub(crate) mod mark;
pub(crate) mod record;
mod redb;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use millstream_scheduler::RecordChange;
use serde_json::Value;

pub use self::redb::Redb;
pub(crate) use self::redb::held;

/// All records by key, as [`millstream_scheduler::State::restore`] takes them.
pub type Records = BTreeMap<String, Value>;

/// The store fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its folder cannot be made, or nothing can be done in it.
    #[error("cannot use the state folder {}", path.display())]
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
    #[error("damaged: the state in {} cannot be read; `millstream state restore FILE --state {} --force` puts a backup there; or begin anew in another folder (--state), as a new framework", path.display(), folder(path).display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<::redb::Error>,
    },
    /// There was a state here, and it is gone.
    #[error("emptied: there was a state in {}, and it is gone; `millstream state restore FILE --state {}` puts a backup there; or remove {} to begin anew, as a new framework (the old one's tasks run on)", file.display(), folder(file).display(), marker.display())]
    Emptied {
        /// Where it was.
        file: PathBuf,
        /// What says so.
        marker: PathBuf,
    },
    /// Another was put in its place under a scheduler that runs.
    #[error("replaced: the state in {} is not the one that this scheduler began with; start it again to go on with what is there", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the state store fails")]
    Database(#[source] Box<::redb::Error>),
    /// ZooKeeper does not do what it is asked for.
    #[error("ZooKeeper fails")]
    ZooKeeper(#[source] zookeeper_client::Error),
    /// A person's command cannot be done in ZooKeeper.
    #[error("{place} cannot be used: {why}")]
    Place {
        /// Where the state is.
        place: String,
        /// Why.
        why: String,
    },
    /// A scheduler leads with the state that a person wants to work on.
    #[error("a scheduler leads with the state in {place}{}; stop all of them first", leader.as_ref().map(|url| format!(" ({url})")).unwrap_or_default())]
    Led {
        /// Where the state is.
        place: String,
        /// URL of its API, when it says one.
        leader: Option<String>,
    },
    /// Another scheduler leads, or nobody does: nothing was written.
    #[error("the lock of the leading scheduler is lost")]
    Lost,
    /// A record is not JSON.
    #[error("damaged: record {key} of the state is no JSON; {RESTORE}")]
    Damaged {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A record or a batch on its way has lost a part of itself.
    #[error("damaged: {node} of the state is not what was written; {RESTORE}")]
    Torn {
        /// Its place in the store.
        node: String,
    },
    /// The state was moved: a scheduler here would be a second one of the same framework.
    #[error("moved: this state is in {to} now; start the scheduler there (--state {to})")]
    Moved {
        /// Where it is.
        to: String,
    },
    /// What brought the state here broke off.
    #[error(
        "unfinished: the state has not come here whole from {from}; do the `millstream state` command again that was bringing it"
    )]
    Unfinished {
        /// Where it came from.
        from: String,
    },
}

/// The remedy for a damaged record.
const RESTORE: &str = "`millstream state restore FILE --state PLACE --force` puts a backup in the state's place";

/// The folder of a state's file.
fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

impl StoreError {
    /// It is not what was written, and no waiting helps.
    pub fn is_damage(&self) -> bool {
        use StoreError::{Damaged, DamagedFile, Emptied, Torn};
        matches!(self, DamagedFile { .. } | Emptied { .. } | Damaged { .. } | Torn { .. })
    }

    /// A scheduler, or another person's command, works on it.
    pub fn is_in_use(&self) -> bool {
        let is_open = |error: &::redb::Error| matches!(error, ::redb::Error::DatabaseAlreadyOpen);
        matches!(self, StoreError::Led { .. }) || matches!(self, StoreError::Open { source, .. } if is_open(source))
    }
}

impl From<zookeeper_client::Error> for StoreError {
    fn from(error: zookeeper_client::Error) -> Self {
        StoreError::ZooKeeper(error)
    }
}

/// What is in a place that may hold a state.
pub(crate) enum Found {
    /// Nothing, and there never was a state.
    Nothing,
    /// These, at least one.
    Records(Records),
    /// A state that cannot be read, or is gone.
    Damaged(StoreError),
}

impl Found {
    pub(crate) fn of(records: Records) -> Found {
        if records.is_empty() { Found::Nothing } else { Found::Records(records) }
    }
}

/// The changes that make these records.
pub(crate) fn puts(records: &Records) -> Vec<RecordChange> {
    records.iter().map(|(key, value)| RecordChange { key: key.clone(), value: Some(value.clone()) }).collect()
}

/// Where records live.
pub trait StateStore: Send + Sync {
    /// All records.
    fn load(&self) -> BoxFuture<'_, Result<Records, StoreError>>;
    /// Applies changes in one transaction, durable on return. After an error, or when the future is dropped, the
    /// changes are in the store either all or not at all, and applying them again is right in both cases.
    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// In memory, for tests.
#[derive(Debug, Default)]
pub struct Memory {
    records: Mutex<Records>,
}

impl StateStore for Memory {
    fn load(&self) -> BoxFuture<'_, Result<Records, StoreError>> {
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
