use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use futures_util::Stream;
use hyper::HeaderMap;
use millstream_mesos_types::scheduler::{Call, Envelope, Event, Subscribe, Subscribed};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Caller, Config, Timings,
    caller::{Shared, Subscription},
    masters::{Masters, Opened, STREAM_ID},
};
use crate::TransportError;

/// Events read ahead of the consumer; then the connection is not read any further, and TCP slows the master down.
const EVENTS_AHEAD: usize = 256;

/// Seconds between heartbeats as long as the master has not said it.
const DEFAULT_HEARTBEAT_SECS: f64 = 15.0;

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

/// Why there is no event stream (any more).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// The list of masters is empty.
    #[error("no master is configured")]
    NoMasters,
    /// No connection or no answer.
    #[error("master {master} is unreachable: {detail}")]
    Unreachable {
        /// `host:port`
        master: String,
        /// Why.
        detail: String,
    },
    /// No 200 to SUBSCRIBE. 503 and 404: electing, recovering or starting.
    #[error("master {master} answered {status}: {message}")]
    Refused {
        /// `host:port`
        master: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// A 307 that leads nowhere.
    #[error("master {master} redirects to {location:?}, which is no http host:port")]
    BadRedirect {
        /// `host:port`
        master: String,
        /// As it came.
        location: Option<String>,
    },
    /// The masters point at each other.
    #[error("redirected too often, last to {master}")]
    TooManyRedirects {
        /// `host:port`
        master: String,
    },
    /// The master closed the stream.
    #[error("the master closed the event stream")]
    Closed,
    /// The stream broke or was no RecordIO.
    #[error("the event stream broke: {detail}")]
    Broken {
        /// Why.
        detail: String,
    },
    /// The master was silent for too long.
    #[error("no heartbeat for {0:?}")]
    Silent(Duration),
    /// A call's answer said that the stream is not valid any more.
    #[error("the master does not know this event stream any more")]
    Stale,
    /// The master sent ERROR: the subscription is over for good (another scheduler took over, framework removed, …).
    #[error("the master ended the framework's subscription: {0}")]
    Error(String),
}

impl DisconnectReason {
    pub(super) fn unreachable(master: &str, error: &TransportError) -> Self {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Unreachable { master: master.into(), detail: format!("{error}{cause}") }
    }

    /// Will not pass by itself: wrong credentials, a framework the master does not accept, ERROR.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 400 | 401 | 403),
            Self::NoMasters | Self::Error(_) => true,
            _ => false,
        }
    }
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
    pub fn connect(config: Config, mut subscribe: Subscribe) -> (Events, Caller) {
        if let Some(credentials) = &config.credentials {
            subscribe.framework_info.principal.get_or_insert_with(|| credentials.principal.clone());
        }
        let shared = Arc::new(Shared::new(config.timings.answer, subscribe));
        let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
        let task = tokio::spawn(Driver { config, shared: shared.clone(), sender }.run());
        let events = Events { receiver, shared: shared.clone(), _task: AbortOnDropHandle::new(task) };
        (events, Caller::new(shared))
    }
}

/// The consumer has gone.
struct ConsumerGone;

struct Driver {
    config: Config,
    shared: Arc<Shared>,
    sender: mpsc::Sender<(SessionEvent, Option<Arc<Subscription>>)>,
}

impl Driver {
    async fn run(mut self) {
        let config = self.config.clone();
        let mut masters = Masters::new(&config);
        let mut backoff = backoff(&config.timings);
        loop {
            let (reason, lasted) = match masters.subscribe(&self.subscribe_call()).await {
                Err(reason) => (reason, Duration::ZERO),
                Ok(opened) => {
                    let begin = Instant::now();
                    let Ok(reason) = self.listen(opened).await else { return };
                    (reason, begin.elapsed())
                }
            };
            if lasted > config.timings.backoff_max {
                backoff = self::backoff(&config.timings);
            }
            let over = matches!(reason, DisconnectReason::Error(_) | DisconnectReason::NoMasters);
            let pause = backoff.next().unwrap_or(config.timings.backoff_max).min(config.timings.backoff_max);
            tracing::warn!(%reason, retry_in_ms = if over { None } else { Some(pause.as_millis() as u64) }, "not subscribed");
            let event = SessionEvent::Disconnected { reason, retry_in: (!over).then_some(pause) };
            if self.sender.send((event, None)).await.is_err() || over {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn subscribe_call(&self) -> Bytes {
        let subscribe = self.shared.subscribe();
        let framework_id = subscribe.framework_info.id.clone();
        let envelope = Envelope { framework_id, call: Call::Subscribe { subscribe } };
        serde_json::to_vec(&envelope).expect("a call is representable in JSON").into()
    }

    /// Passes events on until the stream ends, and says why it did.
    async fn listen(&mut self, mut opened: Opened) -> Result<DisconnectReason, ConsumerGone> {
        let ended = CancellationToken::new();
        // However this function is left, calls on this stream fail from then on.
        let _end = ended.clone().drop_guard();
        let mut patience = self.patience(None);
        loop {
            let record = tokio::select! {
                record = tokio::time::timeout(patience, opened.records.next()) => record,
                () = ended.cancelled() => return Ok(DisconnectReason::Stale),
            };
            let event = match record {
                Err(_) => return Ok(DisconnectReason::Silent(patience)),
                Ok(None) => return Ok(DisconnectReason::Closed),
                Ok(Some(Err(error))) => return Ok(DisconnectReason::Broken { detail: error.to_string() }),
                Ok(Some(Ok(record))) => serde_json::from_slice::<Event>(&record),
            };
            let (event, subscription) = match event {
                Ok(Event::Subscribed { subscribed }) => {
                    patience = self.patience(subscribed.heartbeat_interval_seconds);
                    tracing::info!(master = %opened.master, framework = %subscribed.framework_id, "subscribed");
                    self.shared.set_framework_id(subscribed.framework_id.clone());
                    let subscription = Subscription {
                        master: opened.master.clone(),
                        framework_id: subscribed.framework_id.clone(),
                        headers: self.call_headers(&opened),
                        ended: ended.clone(),
                    };
                    let master = opened.master.clone();
                    (SessionEvent::Subscribed { subscribed, master }, Some(Arc::new(subscription)))
                }
                Ok(Event::Error { error }) => {
                    let reason = DisconnectReason::Error(error.message.clone());
                    ended.cancel();
                    self.pass((SessionEvent::Event(Event::Error { error }), None)).await?;
                    return Ok(reason);
                }
                Ok(event) => (SessionEvent::Event(event), None),
                Err(error) => {
                    tracing::error!(%error, "event could not be read");
                    (SessionEvent::Malformed { detail: error.to_string() }, None)
                }
            };
            self.pass((event, subscription)).await?;
        }
    }

    async fn pass(&self, event: (SessionEvent, Option<Arc<Subscription>>)) -> Result<(), ConsumerGone> {
        self.sender.send(event).await.map_err(|_| ConsumerGone)
    }

    fn call_headers(&self, opened: &Opened) -> HeaderMap {
        let mut headers = self.config.headers();
        if let Some(stream_id) = &opened.stream_id {
            headers.insert(STREAM_ID, stream_id.clone());
        }
        headers
    }

    fn patience(&self, heartbeat_secs: Option<f64>) -> Duration {
        let secs = heartbeat_secs.filter(|secs| *secs > 0.0 && secs.is_finite()).unwrap_or(DEFAULT_HEARTBEAT_SECS);
        Duration::try_from_secs_f64(secs * f64::from(self.config.timings.missed_heartbeats)).unwrap_or(Duration::MAX)
    }
}

/// Doubling pauses. Jitter adds up to the pause itself, hence half the maximum here.
fn backoff(timings: &Timings) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(timings.backoff_min)
        .with_max_delay(timings.backoff_max / 2)
        .with_jitter()
        .without_max_times()
        .build()
}
