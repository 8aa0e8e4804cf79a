//! What answers of master and agents have in common.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Json,
    body::Body,
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;

use super::hub::Hub;
use crate::cluster::{MESOS_VERSION, Refusal, StreamId};

/// Longest call: an ACCEPT of some thousand tasks.
pub(super) fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(16 << 20)
}

pub(super) async fn version() -> Json<serde_json::Value> {
    Json(json!({ "version": MESOS_VERSION, "millstream_local": env!("CARGO_PKG_VERSION") }))
}

pub(super) async fn health() -> StatusCode {
    StatusCode::OK
}

/// A call out of its body.
pub(super) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("application/json") {
        let message = format!("Expecting 'Content-Type' of application/json, not {content_type:?}");
        return Err(Refusal { status: 415, message });
    }
    serde_json::from_slice(body)
        .map_err(|error| Refusal { status: 400, message: format!("Failed to parse body into a call: {error}") })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, self.message).into_response()
    }
}

/// 202, or why not.
pub(super) fn accepted(result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// The body of an event stream; the hub is told when its reader has gone.
pub(super) struct EventBody {
    pub(super) receiver: mpsc::Receiver<Bytes>,
    pub(super) stream: StreamId,
    pub(super) hub: Arc<Hub>,
}

impl EventBody {
    pub(super) fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(self)).into_response()
    }
}

impl Stream for EventBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context).map(|record| record.map(Ok))
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        self.hub.closed(self.stream);
    }
}
