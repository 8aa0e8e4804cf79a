use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use millstream_mesos_types::scheduler::{Event, Subscribe, Subscribed};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Caller, Config, DisconnectReason,
    driver::Driver,
    finder::Finder,
    shared::{Shared, Subscription},
};

/// Events read ahead of the consumer; then the connection is not read any further, and TCP slows the master down.
const EVENTS_AHEAD: usize = 256;

/// What happens to a session.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    /// A new event stream: calls may be sent; offers of the last one are void; time to reconcile.
    Subscribed {
        /// The framework's id and the heartbeat's interval.
        subscribed: Subscribed,
        /// `host:port` of the leader.
        master: String,
    },
    /// Anything the master says but SUBSCRIBED; HEARTBEAT too.
    Event(Event),
    /// An event that could not be read and is lost: something to count and to show.
    Malformed {
        /// Why.
        detail: String,
    },
    /// The stream ended or an attempt to subscribe failed: offers are void, calls fail.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When it is tried again; none when the session is over, this being its last event.
        retry_in: Option<Duration>,
    },
}

/// The events of a session; dropping it ends the session (the framework stays registered until its failover timeout).
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<(SessionEvent, Option<Arc<Subscription>>)>,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

impl Stream for Events {
    type Item = SessionEvent;

    /// The [`Caller`] follows what has been taken out here: a call decided before `Subscribed` was seen cannot go out on
    /// the new stream.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SessionEvent>> {
        let next = std::task::ready!(self.receiver.poll_recv(context));
        match &next {
            Some((SessionEvent::Subscribed { .. }, subscription)) => self.shared.set(subscription.clone()),
            Some((SessionEvent::Disconnected { .. }, _)) | None => self.shared.set(None),
            Some(_) => {}
        }
        Poll::Ready(next.map(|(event, _)| event))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.set(None);
    }
}

/// Opens sessions.
#[derive(Debug)]
pub struct Session;

impl Session {
    /// Subscribes, and again whenever the stream is lost, with the newest framework id. Returns at once; must be called
    /// within a tokio runtime.
    ///
    /// An UPDATE_FRAMEWORK sent through the [`Caller`] replaces `subscribe` for the subscriptions to come.
    pub fn connect(config: Config, subscribe: Subscribe) -> (Events, Caller) {
        let finder = Finder::new(config.clone());
        Self::connect_through(finder, config, subscribe)
    }

    pub(super) fn connect_through(finder: Finder, config: Config, mut subscribe: Subscribe) -> (Events, Caller) {
        if let Some(credentials) = &config.credentials {
            subscribe.framework_info.principal.get_or_insert_with(|| credentials.principal.clone());
        }
        let shared = Arc::new(Shared::new(&config, subscribe));
        let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
        let task = tokio::spawn(Driver::new(config, shared.clone(), finder, sender).run());
        let events = Events { receiver, shared: shared.clone(), _task: AbortOnDropHandle::new(task) };
        (events, Caller::new(shared))
    }
}
