//! A state in ZooKeeper while a person works on it: the leader's lock is held, so that no scheduler leads meanwhile.

use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_scheduler::RecordChange;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zookeeper_client::{Client, Error};

use super::{LEADER, Store, ZooKeeper, first, tree};
use crate::store::{Found, Records, StateStore as _, StoreError};

/// Who holds the lock when it is no scheduler: nobody is to be sent there.
const NOBODY: &str = "";

/// What the lock of a scheduler that died may take longer than its session.
const BEYOND_SESSION: Duration = Duration::from_secs(2);

/// A state in ZooKeeper that no scheduler leads with.
pub(crate) struct Held {
    store: Store,
    _lost: CancellationToken,
    release: BoxFuture<'static, ()>,
}

impl ZooKeeper {
    /// Whether there is, or was, a state.
    pub(crate) async fn is_state(&self) -> Result<bool, StoreError> {
        let client = self.reached(self.connect().await).await?;
        let records = format!("{}/{}", self.place.path(), tree::RECORDS);
        Ok(self.reached(client.check_stat(&records).await).await?.is_some())
    }

    /// Takes the lock, and says what is there; nodes are made when there are none. A scheduler that has died holds it until its
    /// session ends.
    pub(crate) async fn hold(&self) -> Result<(Held, Found), StoreError> {
        let client = self.reached(self.connect().await).await?;
        self.reached(self.make_folders(&client).await).await?;
        let (leader, _) = watch::channel(None);
        let within = self.session_timeout + BEYOND_SESSION;
        let Ok(locked) = tokio::time::timeout(within, self.lock(&client, NOBODY, &leader)).await else {
            let leader = leads(&client, self.place.path()).await.filter(|url| url != NOBODY);
            return Err(StoreError::Led { place: self.place.to_string(), leader });
        };
        let lock = self.reached(locked).await?;
        // Not before: a scheduler that leads without a login would be locked out.
        self.reached(self.close(&client).await).await?;
        let (store, lost, release) = self.held(lock);
        let held = Held { store, _lost: lost, release };
        match held.store.load().await {
            Ok(records) => Ok((held, Found::of(records))),
            Err(error) if error.is_damage() => Ok((held, Found::Damaged(error))),
            Err(error) => Err(error),
        }
    }

    async fn reached<T>(&self, result: Result<T, Error>) -> Result<T, StoreError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(StoreError::Place { place: self.place.to_string(), why: self.why(&error).await }),
        }
    }
}

/// URL of who leads, as its lock says.
async fn leads(client: &Client, root: &str) -> Option<String> {
    let locks = format!("{root}/{LEADER}");
    let names = client.list_children(&locks).await.ok()?;
    let (url, _) = client.get_data(&format!("{locks}/{}", first(&names)?)).await.ok()?;
    String::from_utf8(url).ok()
}

impl Held {
    /// Makes these the only records, all or nothing, and reads them back; `mark` is there while it is neither.
    pub(crate) async fn replace(&mut self, records: &Records, mark: &RecordChange) -> Result<(), StoreError> {
        self.store.replace(records, mark).await?;
        match self.store.load().await? == *records {
            true => Ok(()),
            false => Err(StoreError::Torn { node: tree::RECORDS.into() }),
        }
    }

    /// Changes single records.
    pub(crate) async fn apply(&mut self, changes: &[RecordChange]) -> Result<(), StoreError> {
        self.store.apply(changes).await
    }

    /// Gives the lock back.
    pub(crate) async fn release(self) {
        self.release.await;
    }
}
