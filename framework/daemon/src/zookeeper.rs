//! Several schedulers on one ZooKeeper: one of them leads, and its records lie there (`[state] zookeeper`).
//!
//! Map: `address`: where it may be; `tree`: how records lie there (pure); `store`: its transactions, each of them fenced by the
//! leader's lock; `election` (here): who leads; `held`: nobody, while a person works on the records. Below the root: `leader/` has a lock node of each scheduler that competes,
//! in the order they came, whose data is the URL of its API; `records/` and `journal/` belong to whoever is first there.

pub mod address;
mod held;
mod store;
mod tree;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use millstream_mesos::scheduler::{ZooKeeperTls, ZooKeeperUrl, connect};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use zookeeper_client::{Acl, Acls, Client, CreateMode, Error, LockPrefix, OwnedLockClient, SessionState};

use crate::{
    chain,
    election::{Election, Term},
    store::StoreError,
};
pub(crate) use held::Held;
use store::Store;

/// ZooKeeper's way to log in by user and password.
const DIGEST: &str = "digest";
/// In the root, once all below it belongs to one login.
const CLOSED: &[u8] = b"closed\n";

/// Node of the locks, below the root.
const LEADER: &str = "leader";
/// All that lies below the root.
const FOLDERS: [&str; 3] = [tree::RECORDS, tree::JOURNAL, LEADER];
/// Between the lock's own name and its number.
const LOCK_NAME: &str = "scheduler-";

/// Pause before a ZooKeeper that does not answer is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Pause before a look that failed on the way is repeated; the session itself takes care of its connection.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long a scheduler that ends tries to give the lock back; after that it falls with its session.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// The election among the schedulers of one ZooKeeper.
pub struct ZooKeeper {
    place: ZooKeeperUrl,
    session_timeout: Duration,
    /// URL of this scheduler's API, for the others.
    url: String,
    /// `user:password`: only who has it may look at the nodes and change them.
    login: Option<String>,
    /// Of all nodes, once the servers have said how they name the login.
    rights: OnceLock<Arc<[Acl]>>,
    tls: Option<ZooKeeperTls>,
}

impl ZooKeeper {
    /// Nothing is connected before the first campaign.
    pub fn new(
        place: ZooKeeperUrl,
        tls: Option<ZooKeeperTls>,
        session_timeout: Duration,
        url: String,
        login: Option<String>,
    ) -> Self {
        if login.is_none() {
            let remedy = "say `zookeeper_login` in [state], and whoever does not have it can neither look nor change";
            tracing::warn!(zookeeper = %place, remedy, "the state is open to whoever reaches ZooKeeper");
        }
        ZooKeeper { place, session_timeout, url, login, rights: OnceLock::new(), tls }
    }

    /// Where it is.
    pub fn place(&self) -> &ZooKeeperUrl {
        &self.place
    }

    fn rights(&self) -> Arc<[Acl]> {
        let first = || if self.login.is_some() { Acls::creator_all() } else { Acls::anyone_all() };
        self.rights.get().cloned().unwrap_or_else(|| first().to_vec().into())
    }

    /// One session: ends with the lock, or with the session.
    async fn compete(&self, leader: &watch::Sender<Option<String>>) -> Result<Term, Error> {
        let client = self.connect().await?;
        self.make_folders(&client).await?;
        self.close(&client).await?;
        let (store, lost, release) = self.held(self.lock(&client, &self.url, leader).await?);
        Ok(Term { store: Arc::new(store), lost, release })
    }

    async fn connect(&self) -> Result<Client, Error> {
        let connector = Client::connector().with_session_timeout(self.session_timeout);
        let client = connect(connector, self.place.servers(), self.tls.as_ref()).await?;
        if let Some(login) = &self.login {
            client.auth(DIGEST, login.as_bytes()).await?;
        }
        Ok(client)
    }

    /// Makes what is not there, and learns whose it is to be.
    async fn make_folders(&self, client: &Client) -> Result<(), Error> {
        let root = self.place.path();
        let rights = self.rights();
        for node in FOLDERS {
            let options = CreateMode::Persistent.with_acls(Acls::new(&rights));
            client.mkdir(&format!("{root}/{node}"), &options).await?;
        }
        if self.login.is_some() && self.rights.get().is_none() {
            let _ = self.rights.set(rights_of_login(client, root).await?);
        }
        Ok(())
    }

    /// Closes what is open, if there is a login.
    async fn close(&self, client: &Client) -> Result<(), Error> {
        match self.login {
            Some(_) => claim(client, self.place.path(), &self.rights()).await,
            None => Ok(()),
        }
    }

    /// Waits for the leader's lock, in the name of `url`.
    async fn lock(
        &self,
        client: &Client,
        url: &str,
        leader: &watch::Sender<Option<String>>,
    ) -> Result<OwnedLockClient, Error> {
        let locks = format!("{}/{LEADER}", self.place.path());
        let rights = self.rights();
        let prefix = LockPrefix::new_curator(&locks, LOCK_NAME)?;
        tokio::select! {
            lock = client.lock(prefix, url.as_bytes(), Acls::new(&rights)) => Ok(lock?.into_owned()),
            error = tell_leader(client, &locks, leader) => Err(error),
        }
    }

    /// Why it could not compete, for people.
    async fn why(&self, error: &Error) -> String {
        match error {
            Error::NoHosts | Error::Timeout => self.place.why_silent(self.tls.as_ref()).await,
            Error::NoAuth => "its nodes are another login's: say theirs in `zookeeper_login` of [state]".to_owned(),
            error => chain(error),
        }
    }

    /// What whoever has the lock may do: the records, until it is lost, and how it is given back.
    fn held(&self, lock: OwnedLockClient) -> (Store, CancellationToken, BoxFuture<'static, ()>) {
        let lock = Arc::new(lock);
        let lost = CancellationToken::new();
        let watch = AbortOnDropHandle::new(tokio::spawn(watch_lock(
            lock.client().clone(),
            lock.lock_path().to_owned(),
            lost.clone(),
        )));
        let store = Store::new(lock.clone(), self.place.path().to_owned(), self.rights(), lost.clone());
        let release = async move {
            drop(watch);
            let deleted = lock.client().delete(lock.lock_path(), None);
            // It may be gone already, or ZooKeeper be away: then it falls with the session.
            let _ = tokio::time::timeout(RELEASE_WITHIN, deleted).await;
        };
        (store, lost, Box::pin(release))
    }
}

impl Election for ZooKeeper {
    fn campaign<'a>(&'a self, leader: &'a watch::Sender<Option<String>>) -> BoxFuture<'a, Result<Term, StoreError>> {
        Box::pin(async move {
            let mut said = None;
            loop {
                let error = match self.compete(leader).await {
                    Ok(term) => return Ok(term),
                    Err(error) => error,
                };
                leader.send_replace(None);
                if said.as_ref() != Some(&error) {
                    let why = self.why(&error).await;
                    tracing::warn!(zookeeper = %self.place, error = why, "not in the election; trying on");
                }
                said = Some(error);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        })
    }

    fn is_alone(&self) -> bool {
        false
    }
}

/// Takes nodes that were made without a login away from strangers: first the folders, so that nobody adds to them, then what
/// is in them; the root says when all of it is done.
async fn claim(client: &Client, root: &str, rights: &[Acl]) -> Result<(), Error> {
    // What an administrator has added for somebody else by name stays.
    let is_open = |known: &Acl| !rights.contains(known) && ["world", "x509"].contains(&known.scheme());
    let rights = &Acls::new(rights);
    let (said, _) = client.get_data(root).await?;
    let (known, _) = client.get_acl(root).await?;
    if said == CLOSED && !known.iter().any(is_open) {
        return Ok(());
    }
    tracing::info!(root, "closing nodes that may be open to strangers");
    client.set_acl(root, rights, None).await?;
    for folder in FOLDERS.map(|node| format!("{root}/{node}")) {
        client.set_acl(&folder, rights, None).await?;
        for node in client.list_children(&folder).await? {
            match client.set_acl(&format!("{folder}/{node}"), rights, None).await {
                Ok(_) | Err(Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
    }
    client.set_data(root, CLOSED, None).await.map(drop)
}

/// All rights for the login, and for nobody else: "whoever made it" would also be all who show a certificate of this one's name.
/// How servers name a login, by a hash of it, is a setting of theirs: they say it of a node.
async fn rights_of_login(client: &Client, root: &str) -> Result<Arc<[Acl]>, Error> {
    let begin = format!("{root}/login-");
    let options = CreateMode::EphemeralSequential.with_acls(Acls::creator_all());
    let (_, number) = client.create(&begin, b"", &options).await?;
    let node = format!("{begin}{number}");
    let (all, _) = client.get_acl(&node).await?;
    client.delete(&node, None).await?;
    Ok(all.into_iter().filter(|right| right.scheme() == DIGEST).collect())
}

/// Tells who leads until the session ends, and then why it did.
async fn tell_leader(client: &Client, locks: &str, leader: &watch::Sender<Option<String>>) -> Error {
    loop {
        let looked = look(client, locks, leader).await;
        if client.state().is_terminated() {
            return looked.err().unwrap_or(Error::SessionExpired);
        }
        if looked.is_err() {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }
}

/// Tells who leads now, and waits until somebody comes or goes.
async fn look(client: &Client, locks: &str, leader: &watch::Sender<Option<String>>) -> Result<(), Error> {
    let (names, changed) = client.list_and_watch_children(locks).await?;
    let found = match first(&names) {
        Some(name) => match client.get_data(&format!("{locks}/{name}")).await {
            // Who holds it without an address is no scheduler: the state is being worked on.
            Ok((url, _)) => String::from_utf8(url).ok().filter(|url| !url.is_empty()),
            Err(Error::NoNode) => return Ok(()),
            Err(error) => return Err(error),
        },
        None => None,
    };
    leader.send_if_modified(|known| {
        let changed = *known != found;
        *known = found;
        changed
    });
    changed.changed().await;
    Ok(())
}

/// The lock that counts: the one with the smallest number at its end.
fn first(names: &[String]) -> Option<&String> {
    let number = |name: &String| name.rsplit_once(LOCK_NAME).and_then(|(_, number)| number.parse::<i64>().ok());
    names.iter().filter(|name| number(name).is_some()).min_by_key(|name| number(name))
}

/// Waits until the lock is lost for sure: its session has ended, or somebody has deleted it. A connection that is away
/// for a while is neither.
async fn watch_lock(client: Client, lock: String, lost: CancellationToken) {
    let mut states = client.state_watcher();
    let mut deleted = std::pin::pin!(deleted(&client, &lock));
    while !client.state().is_terminated() {
        tokio::select! {
            state = states.changed() => match state {
                SessionState::Disconnected => tracing::warn!("no connection to ZooKeeper; nothing is decided until it is back"),
                SessionState::SyncConnected => tracing::info!("ZooKeeper is back"),
                _ => {}
            },
            () = &mut deleted => {
                tracing::error!(lock, "the leader's lock has been deleted");
                break;
            }
        }
    }
    lost.cancel();
}

async fn deleted(client: &Client, lock: &str) {
    loop {
        match client.check_and_watch_stat(lock).await {
            Ok((None, _)) => return,
            Ok((Some(_), changed)) => drop(changed.changed().await),
            Err(_) => tokio::time::sleep(LOOK_AGAIN_AFTER).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_with_the_smallest_number_counts_whatever_its_name() {
        let names = ["_c_9f-scheduler-0000000012", "_c_a0-scheduler-0000000009", "_c_00-scheduler-0000000100", "x"];
        let names = names.map(str::to_owned);
        assert_eq!(first(&names), Some(&names[1]));
        assert_eq!(first(&names[3..]), None);
    }
}
