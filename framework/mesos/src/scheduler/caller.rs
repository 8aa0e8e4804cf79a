use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode, body::Incoming};
use millstream_mesos_types::{
    FrameworkId,
    scheduler::{Call, Envelope, Subscribe},
};
use tokio_util::sync::CancellationToken;

use super::masters::PATH;
use crate::{
    TransportError,
    connection::{Connection, error_text},
};

/// Why a call was not accepted for processing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no event stream, or the one the call was made for has ended. Nothing was sent.
    #[error("not subscribed")]
    NotSubscribed,
    /// The master knows the framework by another event stream or not at all; the session subscribes anew.
    #[error("the event stream is not valid any more ({status}: {message})")]
    StaleStream {
        /// HTTP status.
        status: u16,
        /// What the master said.
        message: String,
    },
    /// The master does not lead (any more) or is not ready; the session subscribes anew.
    #[error("master unavailable ({status}: {message})")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// What the master said.
        message: String,
    },
    /// The call is wrong; the same will be refused again.
    #[error("the master refused the call ({status}: {message})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the master said.
        message: String,
    },
    /// No answer. Unless [`TransportError::nothing_was_sent`], the master may have got the call.
    #[error("no answer to the call")]
    Transport(#[source] TransportError),
}

/// Sends calls of one session, one after the other. Cloning is cheap; clones share the connection.
#[derive(Debug, Clone)]
pub struct Caller {
    shared: Arc<Shared>,
}

/// An event stream, as a call needs to know it.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) master: String,
    pub(super) framework_id: FrameworkId,
    /// With the stream id.
    pub(super) headers: HeaderMap,
    /// Cancelled by the session when the stream ends, by a caller when an answer says that it is stale.
    pub(super) ended: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Shared {
    answer_timeout: Duration,
    /// As it is to be said at the next subscription.
    subscribe: Mutex<Subscribe>,
    current: Mutex<Option<Arc<Subscription>>>,
    /// The calls' connection. A fair lock: calls go out in the order they were made.
    connection: tokio::sync::Mutex<Option<Connection>>,
}

impl Shared {
    pub(super) fn new(answer_timeout: Duration, subscribe: Subscribe) -> Self {
        let (subscribe, current) = (Mutex::new(subscribe), Mutex::new(None));
        Self { answer_timeout, subscribe, current, connection: tokio::sync::Mutex::new(None) }
    }

    pub(super) fn subscribe(&self) -> Subscribe {
        self.subscribe.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_framework_id(&self, id: FrameworkId) {
        self.subscribe.lock().unwrap_or_else(PoisonError::into_inner).framework_info.id = Some(id);
    }

    /// What UPDATE_FRAMEWORK says is meant whatever becomes of the call. Id and principal stay the session's.
    fn update(&self, update: &mut Subscribe) {
        let mut subscribe = self.subscribe.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, new) = (&subscribe.framework_info, &mut update.framework_info);
        (new.id, new.principal) = (old.id.clone(), old.principal.clone());
        *subscribe = update.clone();
    }

    pub(super) fn set(&self, subscription: Option<Arc<Subscription>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = subscription;
    }

    fn current(&self) -> Option<Arc<Subscription>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Caller {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends a call and waits until the master accepted it for processing (202), which is not yet that it was done.
    /// Calls leave in the order in which their futures were first polled. Never retried after it may have arrived.
    pub async fn send(&self, mut call: Call) -> Result<(), CallError> {
        if let Call::UpdateFramework { update_framework } = &mut call {
            self.shared.update(update_framework);
        }
        let subscription = self.shared.current().ok_or(CallError::NotSubscribed)?;
        let envelope = Envelope { framework_id: Some(subscription.framework_id.clone()), call };
        let body = Bytes::from(serde_json::to_vec(&envelope).expect("a call is representable in JSON"));
        let mut slot = self.shared.connection.lock().await;
        // Taken out: a call that is dropped half-way leaves no connection with a foreign answer on it behind.
        let open = slot.take().filter(|open| open.authority == subscription.master && !open.is_closed());
        let (connection, answer) = self.post(&subscription, open, body).await?;
        let result = self.judge(&subscription, answer).await;
        *slot = Some(connection);
        result
    }

    /// Whether calls can be sent right now.
    pub fn is_subscribed(&self) -> bool {
        self.shared.current().is_some_and(|subscription| !subscription.ended.is_cancelled())
    }

    async fn post(
        &self,
        subscription: &Subscription,
        mut open: Option<Connection>,
        body: Bytes,
    ) -> Result<(Connection, Response<Incoming>), CallError> {
        loop {
            if subscription.ended.is_cancelled() {
                return Err(CallError::NotSubscribed);
            }
            let (mut connection, reused) = match open.take() {
                Some(connection) => (connection, true),
                None => {
                    let opened = Connection::open(&subscription.master, self.shared.answer_timeout).await;
                    (opened.map_err(CallError::Transport)?, false)
                }
            };
            match connection.post(PATH, &subscription.headers, body.clone()).await {
                Ok(answer) => return Ok((connection, answer)),
                // An idle connection that the master had just closed.
                Err(error) if reused && error.nothing_was_sent() => {}
                Err(error) => return Err(CallError::Transport(error)),
            }
        }
    }

    async fn judge(&self, subscription: &Subscription, answer: Response<Incoming>) -> Result<(), CallError> {
        let code = answer.status();
        let message = error_text(answer, self.shared.answer_timeout).await;
        let status = code.as_u16();
        let error = match code {
            StatusCode::ACCEPTED | StatusCode::OK => return Ok(()),
            StatusCode::FORBIDDEN => CallError::StaleStream { status, message },
            StatusCode::BAD_REQUEST if is_about_the_stream(&message) => CallError::StaleStream { status, message },
            StatusCode::TEMPORARY_REDIRECT | StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => {
                CallError::Unavailable { status, message }
            }
            _ => return Err(CallError::Refused { status, message }),
        };
        subscription.ended.cancel();
        Err(error)
    }
}

/// 400 means a bad call or a stale stream; only the text tells (master/http.cpp of 1.11).
fn is_about_the_stream(message: &str) -> bool {
    message.contains("stream ID") || message.contains("Framework cannot be found")
}
