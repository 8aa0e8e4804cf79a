//! What session and callers share.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use hyper::HeaderMap;
use millstream_mesos_types::{FrameworkId, scheduler::Subscribe};
use tokio_util::sync::CancellationToken;

use super::{Config, DisconnectReason, MasterUrl};
use crate::{Tls, connection::Connection};

/// An event stream, as a call needs to know it.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) master: MasterUrl,
    pub(super) framework_id: FrameworkId,
    /// With the stream id.
    pub(super) headers: HeaderMap,
    /// Cancelled by the session when the stream ends, by a caller for a cause of its own.
    pub(super) ended: CancellationToken,
    /// The caller's cause.
    pub(super) cause: Arc<OnceLock<DisconnectReason>>,
}

impl Subscription {
    /// A caller says that the session must subscribe anew.
    pub(super) fn end(&self, cause: DisconnectReason) {
        // The first one counts.
        let _ = self.cause.set(cause);
        self.ended.cancel();
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) answer_timeout: Duration,
    pub(super) tls: Option<Tls>,
    words: Mutex<Words>,
    current: Mutex<Option<Arc<Subscription>>>,
    /// The calls' connection. A fair lock: calls go out in the order they were made.
    pub(super) connection: tokio::sync::Mutex<Option<Connection>>,
}

/// What is said of the framework.
#[derive(Debug)]
struct Words {
    /// At the next subscription.
    next: Subscribe,
    /// What a master took last.
    taken: Subscribe,
}

impl Shared {
    pub(super) fn new(config: &Config, subscribe: Subscribe) -> Self {
        Self {
            answer_timeout: config.timings.answer,
            tls: config.tls.clone(),
            words: Mutex::new(Words { next: subscribe.clone(), taken: subscribe }),
            current: Mutex::new(None),
            connection: tokio::sync::Mutex::new(None),
        }
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next subscription says.
    pub(super) fn subscribe(&self) -> Subscribe {
        self.words().next.clone()
    }

    /// A master took a subscription that said `said`, and named the framework so.
    pub(super) fn subscribed(&self, mut said: Subscribe, id: FrameworkId) {
        said.framework_info.id = Some(id.clone());
        let mut words = self.words();
        words.taken = said;
        words.next.framework_info.id = Some(id);
    }

    /// What UPDATE_FRAMEWORK says is meant whatever becomes of the call, unless it is refused. Id and principal stay the
    /// session's. Returns what is to be sent.
    pub(super) fn update(&self, update: &mut Subscribe) -> Subscribe {
        let mut words = self.words();
        let (old, new) = (&words.next.framework_info, &mut update.framework_info);
        (new.id, new.principal) = (old.id.clone(), old.principal.clone());
        words.next = update.clone();
        update.clone()
    }

    /// The master took an update.
    pub(super) fn accepted(&self, update: Subscribe) {
        self.words().taken = update;
    }

    /// The master refused an update: said again at the next subscription, it would end the session.
    pub(super) fn refused(&self, update: &Subscribe) {
        let mut words = self.words();
        if words.next == *update {
            words.next = words.taken.clone();
        }
    }

    pub(super) fn set(&self, subscription: Option<Arc<Subscription>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = subscription;
    }

    pub(super) fn current(&self) -> Option<Arc<Subscription>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
