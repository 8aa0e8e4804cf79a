use std::{future::Future, time::Duration};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use zookeeper_client::{Client, Error, EventType, OneshotWatcher, SessionState};

use super::{
    ZooKeeperTls, ZooKeeperUrl, connect,
    election::{Leader, leading},
};
use crate::scheduler::{Timings, pauses::Pauses};

/// Asked of ZooKeeper, as Mesos' own detectors do (MASTER_DETECTOR_ZK_SESSION_TIMEOUT).
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a session may take to open, and a request to be answered: as long as a session lives without a server.
const ANSWER_TIMEOUT: Duration = SESSION_TIMEOUT;

/// What is known at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Detection {
    /// Nothing yet.
    Starting,
    /// ZooKeeper is not reached, or does not let us in; why, for people.
    Unreachable(String),
    /// ZooKeeper says that none leads; why, for people.
    NoLeader(String),
    /// This one leads.
    Leader(Leader),
}

/// Watches who leads until it is dropped.
#[derive(Debug)]
pub(in super::super) struct Detector {
    known: watch::Receiver<Detection>,
    _task: AbortOnDropHandle<()>,
}

impl Detector {
    /// Returns at once; must be called within a tokio runtime.
    pub(in super::super) fn start(url: ZooKeeperUrl, tls: Option<ZooKeeperTls>, timings: Timings) -> Self {
        let (sender, known) = watch::channel(Detection::Starting);
        let task = tokio::spawn(Watcher { url, tls, sender }.run(timings));
        Self { known, _task: AbortOnDropHandle::new(task) }
    }

    /// One that knows what it is told.
    #[cfg(test)]
    pub(in super::super) fn told(known: watch::Receiver<Detection>) -> Self {
        Self { known, _task: AbortOnDropHandle::new(tokio::spawn(async {})) }
    }

    /// What is known; waits up to `patience` for the first word.
    pub(in super::super) async fn known(&mut self, patience: Duration) -> Detection {
        let first = self.known.wait_for(|known| *known != Detection::Starting);
        match tokio::time::timeout(patience, first).await {
            Ok(Ok(known)) => known.clone(),
            _ => Detection::Unreachable(format!("no answer within {} s", patience.as_secs_f64())),
        }
    }

    /// Waits until another than this one leads.
    pub(in super::super) async fn other_than(&mut self, znode: Option<&str>) {
        let other =
            |known: &Detection| matches!(known, Detection::Leader(leader) if Some(leader.znode.as_str()) != znode);
        if self.known.wait_for(other).await.is_err() {
            // The task ends only with its detector.
            std::future::pending().await
        }
    }
}

struct Watcher {
    url: ZooKeeperUrl,
    tls: Option<ZooKeeperTls>,
    sender: watch::Sender<Detection>,
}

/// What to wait for before the children are read again.
enum Next {
    Change(OneshotWatcher),
    Now,
}

impl Watcher {
    /// One ZooKeeper session after the other: one that has expired is followed by a new one after the shortest pause.
    async fn run(self, timings: Timings) {
        let mut pauses = Pauses::new(&timings);
        loop {
            let error = match self.connect().await {
                Ok(client) => {
                    pauses = Pauses::new(&timings);
                    self.watch(&client).await
                }
                Err(error) => error,
            };
            let why = match error {
                Error::NoHosts | Error::Timeout => self.url.why_silent(self.tls.as_ref()).await,
                error => self.describe(&error),
            };
            let trouble = Detection::Unreachable(why.clone());
            if *self.sender.borrow() != trouble {
                tracing::warn!(zookeeper = %self.url, why, "leader detection is interrupted");
            }
            self.tell(trouble);
            tokio::time::sleep(pauses.next()).await;
        }
    }

    async fn connect(&self) -> Result<Client, Error> {
        let mut connector = Client::connector().with_session_timeout(SESSION_TIMEOUT).with_fail_eagerly();
        if let Some(login) = self.url.login() {
            connector = connector.with_auth("digest", login.as_bytes());
        }
        in_time(connect(connector, self.url.servers(), self.tls.as_ref())).await
    }

    /// Tells who leads for as long as the session lasts.
    async fn watch(&self, client: &Client) -> Error {
        let mut states = client.state_watcher();
        loop {
            let watcher = match self.look(client).await {
                Ok(Next::Change(watcher)) => watcher,
                Ok(Next::Now) => continue,
                Err(error) => return error,
            };
            let error = tokio::select! {
                event = watcher.changed() => match event.event_type {
                    EventType::Session => ended(event.session_state),
                    _ => None,
                },
                state = states.changed() => match state {
                    // The watch survives it; but until ZooKeeper is back, nobody knows who leads.
                    SessionState::Disconnected => self.until_connected(&mut states).await,
                    state => ended(state),
                },
            };
            if let Some(error) = error {
                return error;
            }
        }
    }

    /// Waits until the client has found a server again; the session expires if that takes too long.
    async fn until_connected(&self, states: &mut zookeeper_client::StateWatcher) -> Option<Error> {
        self.tell(Detection::Unreachable(self.describe(&Error::ConnectionLoss)));
        loop {
            // The client itself gives the session up after 7/5 of its timeout.
            match tokio::time::timeout(2 * SESSION_TIMEOUT, states.changed()).await {
                Err(_) => return Some(Error::Timeout),
                Ok(SessionState::Disconnected) => {}
                Ok(SessionState::SyncConnected | SessionState::ConnectedReadOnly) => return None,
                Ok(state) => return ended(state),
            }
        }
    }

    /// Reads who leads, tells it, and watches for the next change.
    async fn look(&self, client: &Client) -> Result<Next, Error> {
        let path = self.url.path();
        let (children, watcher) = match in_time(client.list_and_watch_children(path)).await {
            Ok(children) => children,
            Err(Error::NoNode) => return self.look_for_path(client).await,
            Err(error) => return Err(error),
        };
        let Some(znode) = leading(&children) else {
            self.tell(Detection::NoLeader(format!("no master has entered {path}")));
            return Ok(Next::Change(watcher));
        };
        let data = match in_time(client.get_data(&format!("{path}/{znode}"))).await {
            Ok((data, _)) => data,
            // Gone in between: the watch says so as well.
            Err(Error::NoNode) => return Ok(Next::Change(watcher)),
            Err(error) => return Err(error),
        };
        self.tell(match Leader::parse(znode, &data) {
            Ok(leader) => Detection::Leader(leader),
            Err(why) => Detection::NoLeader(why),
        });
        Ok(Next::Change(watcher))
    }

    /// The masters make their path when the first of them starts.
    async fn look_for_path(&self, client: &Client) -> Result<Next, Error> {
        let path = self.url.path();
        let (stat, watcher) = in_time(client.check_and_watch_stat(path)).await?;
        if stat.is_some() {
            return Ok(Next::Now);
        }
        self.tell(Detection::NoLeader(format!("{path} does not exist; is it that of the masters' --zk?")));
        Ok(Next::Change(watcher))
    }

    fn tell(&self, detection: Detection) {
        let changed = self.sender.send_if_modified(|known| {
            let changed = *known != detection;
            known.clone_from(&detection);
            changed
        });
        if let (true, Detection::Leader(leader)) = (changed, &detection) {
            tracing::info!(zookeeper = %self.url, znode = leader.znode, "a master leads");
        }
    }

    fn describe(&self, error: &Error) -> String {
        match error {
            Error::ConnectionLoss => "the connection to it is lost".into(),
            Error::NoAuth | Error::AuthFailed => {
                format!("{} may not be read; write zk://user:password@…, as in the masters' --zk", self.url.path())
            }
            error => error.to_string(),
        }
    }
}

/// The error that a session in this state has ended with.
fn ended(state: SessionState) -> Option<Error> {
    match state {
        SessionState::Expired => Some(Error::SessionExpired),
        SessionState::AuthFailed => Some(Error::AuthFailed),
        SessionState::Closed => Some(Error::ClientClosed),
        _ => None,
    }
}

async fn in_time<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_TIMEOUT, request).await.unwrap_or(Err(Error::Timeout))
}
