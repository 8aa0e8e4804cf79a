//! Where a state may be, and how it is held while a person works on it.

use std::{
    fs,
    path::{self, PathBuf},
    time::Duration,
};

use millstream_mesos::scheduler::ZooKeeperTls;
use millstream_scheduler::RecordChange;
use millstream_topology::{SettingError, settings};

use super::{Mark, StoreError};
use crate::{
    config::StatePlace,
    store::{Found, Records, held},
    zookeeper::{self, ZooKeeper},
};

/// Where a state may be.
pub enum Place {
    /// A folder, of a single scheduler.
    Folder(PathBuf),
    /// A ZooKeeper, of several.
    ZooKeeper(Box<ZooKeeper>),
}

impl Place {
    /// As the settings say; the login is read. `tls` is for a ZooKeeper.
    pub fn new(state: &StatePlace, tls: Option<ZooKeeperTls>) -> Result<Place, SettingError> {
        let Some(zookeeper) = state.zookeeper.clone() else { return Ok(Place::Folder(state.dir.clone())) };
        let login = state.zookeeper_login.as_ref().map(settings::resolve).transpose()?;
        let timeout = Duration::from_millis(state.session_timeout_ms);
        Ok(Place::ZooKeeper(Box::new(ZooKeeper::new(zookeeper, tls, timeout, String::new(), login))))
    }

    /// For people, and for marks: the same wherever the command is typed.
    pub fn name(&self) -> String {
        match self {
            Place::Folder(folder) => {
                let whole = fs::canonicalize(folder).or_else(|_| path::absolute(folder));
                whole.unwrap_or_else(|_| folder.clone()).display().to_string()
            }
            Place::ZooKeeper(zookeeper) => zookeeper.place().to_string(),
        }
    }

    /// Whether there is a state, or was; nothing is made.
    pub(super) async fn is_state(&self) -> Result<bool, StoreError> {
        match self {
            Place::Folder(folder) => held::is_state(folder),
            Place::ZooKeeper(zookeeper) => zookeeper.is_state().await,
        }
    }

    /// Takes it, and says what is there. It is made when there is nothing.
    pub(super) async fn hold(&self) -> Result<(Held, Found), StoreError> {
        match self {
            Place::Folder(folder) => {
                let folder = folder.clone();
                let (held, found) = blocking(move || held::Held::open(&folder)).await?;
                Ok((Held::Folder(held), found))
            }
            Place::ZooKeeper(zookeeper) => {
                let (held, found) = zookeeper.hold().await?;
                Ok((Held::ZooKeeper(held), found))
            }
        }
    }
}

/// A place that no scheduler, and nobody else's command, can work on.
pub(super) enum Held {
    Folder(held::Held),
    ZooKeeper(zookeeper::Held),
}

impl Held {
    /// Makes these the only records, all or nothing, and reads them back; until then `unfinished` may be there. The file that
    /// was in their place is named: it is kept.
    pub(super) async fn replace(&mut self, records: Records, unfinished: &Mark) -> Result<Option<PathBuf>, StoreError> {
        match self {
            Held::Folder(held) => tokio::task::block_in_place(|| held.replace(&records)),
            Held::ZooKeeper(held) => held.replace(&records, &unfinished.put()).await.map(|()| None),
        }
    }

    /// Changes single records, in one transaction.
    pub(super) async fn apply(&mut self, change: RecordChange) -> Result<(), StoreError> {
        match self {
            Held::Folder(held) => tokio::task::block_in_place(|| held.apply(&[change])),
            Held::ZooKeeper(held) => held.apply(&[change]).await,
        }
    }

    /// Gives it back.
    pub(super) async fn release(self) {
        match self {
            Held::Folder(held) => drop(held),
            Held::ZooKeeper(held) => held.release().await,
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the store does not panic")
}
