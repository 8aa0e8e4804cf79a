use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use futures_util::Stream;
use hyper::{HeaderMap, StatusCode, header};
use millstream_mesos_types::{
    Base64, TaskInfo, TaskStatus,
    executor::{Call, Envelope, Event, Kill, Subscribe, Subscribed, Update},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Environment, sender, unacknowledged::Unacknowledged};
use crate::connection::{self, Connection, Records, error_text};

/// The path of every call.
pub(super) const PATH: &str = "/api/v1/executor";

/// Events read ahead of the consumer; then TCP slows the agent down.
const EVENTS_AHEAD: usize = 64;

/// Messages that wait for the connection. One report a second: more than a few would be stale when they leave.
const MESSAGES_AHEAD: usize = 16;

/// First pause before subscribing again.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// How long the first subscription is tried without checkpointing: an agent gives an executor a minute to register.
const REGISTRATION_PATIENCE: Duration = Duration::from_secs(60);

/// What happens to a session.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    /// A new event stream; all that was not acknowledged has been sent again.
    Subscribed(Box<Subscribed>),
    /// Start a task.
    Launch(Box<TaskInfo>),
    /// End a task within its grace.
    Kill(Kill),
    /// Data from the scheduler.
    Message(Vec<u8>),
    /// End all tasks, flush the updates and exit within [`Environment::shutdown_grace`].
    Shutdown,
    /// The agent is away. Work goes on; the session subscribes again by itself.
    Disconnected {
        /// Why, for people.
        reason: String,
    },
    /// The last event: the agent does not want this executor, or was away for too long. End all tasks and exit.
    Over {
        /// Why, for people.
        reason: String,
    },
}

/// Why a message was not sent. Messages are unreliable anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The agent is away.
    #[error("not subscribed")]
    NotSubscribed,
    /// The agent takes messages more slowly than they come.
    #[error("too many messages wait already")]
    Full,
}

/// How long to wait for what.
#[derive(Debug, Clone)]
pub struct Timings {
    /// For a connection, and for an answer to begin. A call without answer makes the session subscribe anew.
    pub answer: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self { answer: Duration::from_secs(10) }
    }
}

/// The events of a session; dropping it ends the session.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<SessionEvent>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Stream for Events {
    type Item = SessionEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SessionEvent>> {
        self.receiver.poll_recv(context)
    }
}

/// Speaks to the agent. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    messages: mpsc::Sender<Bytes>,
}

/// What session, sender and handles share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) environment: Environment,
    pub(super) timings: Timings,
    pub(super) headers: HeaderMap,
    unacknowledged: Mutex<Unacknowledged>,
    /// Something may be unsent.
    pub(super) wake: Notify,
    /// Number of unacknowledged updates.
    pending: watch::Sender<usize>,
    /// The present subscription; cancelled when it is over, by whoever sees it first.
    pub(super) subscription: watch::Sender<Option<CancellationToken>>,
}

impl Shared {
    /// Works on the unacknowledged and tells those who wait in `flush`.
    pub(super) fn with_unacknowledged<T>(&self, work: impl FnOnce(&mut Unacknowledged) -> T) -> T {
        let mut guard: MutexGuard<'_, _> = self.unacknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut guard);
        self.pending.send_replace(guard.len());
        result
    }

    pub(super) fn envelope(&self, call: Call) -> Bytes {
        let Environment { executor_id, framework_id, .. } = &self.environment;
        let envelope = Envelope { executor_id: executor_id.clone(), framework_id: framework_id.clone(), call };
        serde_json::to_vec(&envelope).expect("a call is representable in JSON").into()
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.subscription.borrow().as_ref().is_some_and(|token| !token.is_cancelled())
    }
}

impl Handle {
    /// Reports a task's state. Fills in uuid, source, executor and, when absent, the time (seconds since the epoch).
    pub fn update(&self, mut status: TaskStatus) {
        status.uuid = Some(Base64(uuid::Uuid::new_v4().as_bytes().to_vec()));
        status.source = Some("SOURCE_EXECUTOR".into());
        status.executor_id = Some(self.shared.environment.executor_id.clone());
        status.timestamp = status.timestamp.or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
        });
        self.shared.with_unacknowledged(|unacknowledged| unacknowledged.add(Update { status }));
        self.shared.wake.notify_one();
    }

    /// Sends data to the scheduler; it may be lost.
    pub fn message(&self, data: impl Into<Vec<u8>>) -> Result<(), MessageError> {
        if !self.shared.is_subscribed() {
            return Err(MessageError::NotSubscribed);
        }
        self.messages.try_send(data.into().into()).map_err(|_| MessageError::Full)?;
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Updates that the agent has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        *self.shared.pending.borrow()
    }

    /// Waits until every update was acknowledged. Set a limit: an agent may stay away.
    pub async fn flush(&self) {
        // The sender lives in `shared`, so the wait cannot fail.
        let _ = self.shared.pending.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Whether there is an event stream right now.
    pub fn is_subscribed(&self) -> bool {
        self.shared.is_subscribed()
    }
}

/// Opens sessions.
#[derive(Debug)]
pub struct Session;

impl Session {
    /// Subscribes at the agent, and again when the stream is lost: with checkpointing until the recovery timeout, else
    /// never. Returns at once; must be called within a tokio runtime.
    pub fn connect(environment: Environment) -> (Events, Handle) {
        Self::connect_with(environment, Timings::default())
    }

    /// As [`Session::connect`], with other timings.
    pub fn connect_with(environment: Environment, timings: Timings) -> (Events, Handle) {
        let mut headers = HeaderMap::new();
        if let Some(token) = environment.token.as_deref().and_then(connection::bearer) {
            headers.insert(header::AUTHORIZATION, token);
        }
        let shared = Arc::new(Shared {
            environment,
            timings,
            headers,
            unacknowledged: Mutex::default(),
            wake: Notify::new(),
            pending: watch::Sender::new(0),
            subscription: watch::Sender::new(None),
        });
        let (messages, message_receiver) = mpsc::channel(MESSAGES_AHEAD);
        let (events, receiver) = mpsc::channel(EVENTS_AHEAD);
        let session = tokio::spawn(Driver { shared: shared.clone(), events }.run());
        let sender = tokio::spawn(sender::run(shared.clone(), message_receiver));
        let tasks = [AbortOnDropHandle::new(session), AbortOnDropHandle::new(sender)];
        (Events { receiver, _tasks: tasks }, Handle { shared, messages })
    }
}

/// How a subscription ended.
enum End {
    /// To be tried again.
    Lost(String),
    /// Not to be tried again.
    Over(String),
    /// Nobody listens.
    ConsumerGone,
}

struct Driver {
    shared: Arc<Shared>,
    events: mpsc::Sender<SessionEvent>,
}

impl Driver {
    async fn run(self) {
        let environment = &self.shared.environment;
        let mut was_subscribed = false;
        loop {
            let records = match self.subscribe_patiently(was_subscribed).await {
                Ok(records) => records,
                Err(reason) => return self.over(reason).await,
            };
            was_subscribed = true;
            match self.listen(records).await {
                End::ConsumerGone => return,
                End::Over(reason) => return self.over(reason).await,
                End::Lost(reason) if !environment.checkpoint => {
                    return self
                        .over(format!("{reason}; without checkpointing an executor leaves with its agent"))
                        .await;
                }
                End::Lost(reason) => {
                    tracing::warn!(%reason, "agent is away");
                    if self.events.send(SessionEvent::Disconnected { reason }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn over(self, reason: String) {
        tracing::warn!(%reason, "executor session is over");
        // Nobody listens any more: as over as it can be.
        let _ = self.events.send(SessionEvent::Over { reason }).await;
    }

    /// Tries to subscribe for as long as it makes sense.
    async fn subscribe_patiently(&self, was_subscribed: bool) -> Result<Records, String> {
        let environment = &self.shared.environment;
        let patience = match (was_subscribed, environment.checkpoint) {
            (false, false) => REGISTRATION_PATIENCE,
            _ => environment.recovery_timeout,
        };
        let begin = Instant::now();
        // Jitter adds up to the pause itself, hence half the maximum here.
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(environment.subscription_backoff_max / 2)
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            let reason = match self.subscribe().await {
                Ok(records) => return Ok(records),
                Err(reason) => reason,
            };
            tracing::debug!(%reason, "subscription failed");
            if begin.elapsed() >= patience {
                return Err(format!("no subscription at the agent for {patience:?}: {reason}"));
            }
            let pause = pauses.next().unwrap_or_default().min(environment.subscription_backoff_max);
            tokio::time::sleep(pause.min(patience.saturating_sub(begin.elapsed()))).await;
        }
    }

    async fn subscribe(&self) -> Result<Records, String> {
        let Environment { agent_endpoint, tls, .. } = &self.shared.environment;
        let timeout = self.shared.timings.answer;
        let (unacknowledged_tasks, unacknowledged_updates) = self.shared.with_unacknowledged(Unacknowledged::all);
        let subscribe = Subscribe { unacknowledged_tasks, unacknowledged_updates };
        let body = self.shared.envelope(Call::Subscribe { subscribe });
        let mut connection = Connection::open(agent_endpoint, tls.as_ref(), timeout).await.map_err(describe)?;
        let answer = connection.post(PATH, &self.shared.headers, body).await.map_err(describe)?;
        match answer.status() {
            StatusCode::OK => Ok(connection.records(answer)),
            status => Err(format!("agent answered {status}: {}", error_text(answer, timeout).await)),
        }
    }

    /// Passes events on until the stream ends.
    async fn listen(&self, mut records: Records) -> End {
        let token = CancellationToken::new();
        // However this function is left, nothing is sent on this subscription from then on.
        let _end = token.clone().drop_guard();
        loop {
            let record = tokio::select! {
                record = records.next() => record,
                () = token.cancelled() => return End::Lost("a call to the agent had no answer".into()),
            };
            let event = match record {
                None => return End::Lost("the agent closed the event stream".into()),
                Some(Err(error)) => return End::Lost(format!("the event stream broke: {error}")),
                Some(Ok(record)) => serde_json::from_slice::<Event>(&record),
            };
            let event = match event {
                Ok(Event::Subscribed { subscribed }) => {
                    self.shared.subscription.send_replace(Some(token.clone()));
                    SessionEvent::Subscribed(Box::new(subscribed))
                }
                Ok(Event::Launch { launch }) => {
                    self.shared.with_unacknowledged(|unacknowledged| unacknowledged.launched(launch.task.clone()));
                    SessionEvent::Launch(Box::new(launch.task))
                }
                Ok(Event::Acknowledged { acknowledged: ack }) => {
                    self.shared
                        .with_unacknowledged(|unacknowledged| unacknowledged.acknowledge(&ack.task_id, &ack.uuid));
                    continue;
                }
                Ok(Event::Kill { kill }) => SessionEvent::Kill(kill),
                Ok(Event::Message { message }) => SessionEvent::Message(message.data.0),
                Ok(Event::Shutdown) => SessionEvent::Shutdown,
                Ok(Event::Error { error }) => return End::Over(format!("agent: {}", error.message)),
                Ok(Event::Heartbeat | Event::Unknown) => continue,
                // A lost LAUNCH or KILL is found by the scheduler's launch timeout and reconciliation.
                Err(error) => {
                    tracing::error!(%error, "event could not be read");
                    continue;
                }
            };
            if self.events.send(event).await.is_err() {
                return End::ConsumerGone;
            }
        }
    }
}

/// An error with its cause, on one line.
pub(super) fn describe(error: crate::TransportError) -> String {
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
