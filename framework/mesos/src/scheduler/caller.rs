use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, body::Incoming};
use millstream_mesos_types::scheduler::{Call, Envelope};

use super::{
    DisconnectReason, Scheme,
    finder::PATH,
    shared::{Shared, Subscription},
    verdict::verdict,
};
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
    /// No answer: the master may have got the call or not. The session subscribes anew, for a lost ACCEPT or DECLINE leaves
    /// its offers outstanding until the stream ends.
    #[error("no answer to the call")]
    Transport(#[source] TransportError),
}

/// Sends calls of one session, one after the other. Cloning is cheap; clones share the connection.
#[derive(Debug, Clone)]
pub struct Caller {
    shared: Arc<Shared>,
}

impl Caller {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends a call and waits until the master accepted it for processing (202), which is not yet that it was done; only
    /// UPDATE_FRAMEWORK is answered when it is (200).
    /// Calls leave in the order in which their futures were first polled. Never retried after it may have arrived.
    pub async fn send(&self, mut call: Call) -> Result<(), CallError> {
        let update = match &mut call {
            Call::UpdateFramework { update_framework } => Some(self.shared.update(update_framework)),
            _ => None,
        };
        let subscription = self.shared.current().ok_or(CallError::NotSubscribed)?;
        let envelope = Envelope { framework_id: Some(subscription.framework_id.clone()), call };
        let body = Bytes::from(serde_json::to_vec(&envelope).expect("a call is representable in JSON"));
        let mut slot = self.shared.connection.lock().await;
        // Taken out: a call that is dropped half-way leaves no connection with a foreign answer on it behind.
        let open = slot.take().filter(|open| open.authority == subscription.master.authority && !open.is_closed());
        let answered = self.post(&subscription, open, body).await;
        let (connection, answer) = answered.inspect_err(|error| {
            if let CallError::Transport(error) = error {
                subscription.end(DisconnectReason::unanswered(error));
            }
        })?;
        let status = answer.status();
        let message = error_text(answer, self.shared.answer_timeout).await;
        *slot = Some(connection);
        let result = verdict(update.is_some(), status, message);
        match (&result, update) {
            (Err(CallError::StaleStream { .. }), _) => subscription.end(DisconnectReason::Stale),
            (Err(CallError::Unavailable { status, message }), _) => {
                let (master, message) = (subscription.master.authority.clone(), message.clone());
                subscription.end(DisconnectReason::Refused { master, status: *status, message });
            }
            (Ok(()), Some(update)) => self.shared.accepted(update),
            (Err(CallError::Refused { status: 400 | 403 | 409, .. }), Some(update)) => self.shared.refused(&update),
            _ => {}
        }
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
                    let tls = self.shared.tls.as_ref().filter(|_| subscription.master.scheme == Scheme::Https);
                    let authority = &subscription.master.authority;
                    let opened = Connection::open(authority, tls, self.shared.answer_timeout).await;
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
}
