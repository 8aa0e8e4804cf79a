//! Sends updates and messages, one after the other on one connection, while there is a subscription.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use millstream_mesos_types::{
    Base64,
    executor::{Call, Message},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Environment,
    session::{PATH, Shared, describe},
};
use crate::connection::{Connection, error_text};

/// Runs for as long as the session.
pub(super) async fn run(shared: Arc<Shared>, mut messages: mpsc::Receiver<Bytes>) {
    let mut subscription = shared.subscription.subscribe();
    loop {
        let subscribed = |token: &Option<CancellationToken>| token.as_ref().is_some_and(|token| !token.is_cancelled());
        let Ok(Some(token)) = subscription.wait_for(subscribed).await.map(|token| token.clone()) else { return };
        if let Err(reason) = send_all(&shared, &mut messages, &token).await {
            tracing::warn!(%reason, "call to the agent failed");
            // Subscribing anew sends all updates again.
            token.cancel();
        }
        while messages.try_recv().is_ok() {} // stale by the time there is a subscription again
    }
}

/// Sends what there is and what comes; ends with the subscription or with a call that had no answer.
async fn send_all(
    shared: &Shared,
    messages: &mut mpsc::Receiver<Bytes>,
    token: &CancellationToken,
) -> Result<(), String> {
    let mut connection: Option<Connection> = None;
    loop {
        let unsent = shared.with_unacknowledged(|unacknowledged| unacknowledged.next_unsent().cloned());
        let (call, uuid) = match unsent {
            Some(update) => {
                let uuid = update.status.uuid.clone();
                (Call::Update { update }, uuid)
            }
            None => match messages.try_recv() {
                Ok(data) => (Call::Message { message: Message { data: Base64(data.to_vec()) } }, None),
                Err(_) => {
                    tokio::select! {
                        () = shared.wake.notified() => continue,
                        () = token.cancelled() => return Ok(()),
                    }
                }
            },
        };
        let is_update = matches!(call, Call::Update { .. });
        let body = shared.envelope(call);
        tokio::select! {
            result = post(shared, &mut connection, body) => result?,
            () = token.cancelled() => return Ok(()),
        }
        if is_update {
            shared.with_unacknowledged(|unacknowledged| unacknowledged.mark_sent(&uuid));
        }
    }
}

/// One call. Sending twice is harmless: updates are known by their uuid, messages may be doubled.
async fn post(shared: &Shared, slot: &mut Option<Connection>, body: Bytes) -> Result<(), String> {
    loop {
        let (mut connection, reused) = match slot.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => (connection, true),
            None => {
                let Environment { agent_endpoint, tls, .. } = &shared.environment;
                (Connection::open(agent_endpoint, tls.as_ref(), shared.timings.answer).await.map_err(describe)?, false)
            }
        };
        let answer = match connection.post(PATH, &shared.headers, body.clone()).await {
            Ok(answer) => answer,
            // An idle connection that the agent had closed.
            Err(crate::TransportError::Broken { .. }) if reused => continue,
            Err(error) => return Err(describe(error)),
        };
        let status = answer.status();
        let text = error_text(answer, shared.timings.answer).await;
        *slot = Some(connection);
        return match status {
            StatusCode::ACCEPTED | StatusCode::OK => Ok(()),
            // The same bytes would be refused again: said, and left to the next subscription.
            StatusCode::BAD_REQUEST => {
                tracing::error!(%text, "agent refused a call");
                Ok(())
            }
            status => Err(format!("agent answered {status}: {text}")),
        };
    }
}
