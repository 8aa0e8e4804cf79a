use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use millstream_mesos_types::scheduler::{Call, Envelope};

use super::{
    answers::{EventBody, accepted, body_limit, health, parse, version},
    hub::Hub,
    operator_http,
};
use crate::cluster::Refusal;

/// Header that ties a call to an event stream.
const STREAM_ID: &str = "Mesos-Stream-Id";

/// The master's pages; each also below `/master`, as in Mesos.
pub(crate) fn router(hub: Arc<Hub>) -> Router {
    let pages = Router::new()
        .route("/api/v1/scheduler", post(scheduler))
        .route("/state", get(state))
        .route("/state.json", get(state))
        .route("/slaves", get(slaves))
        .route("/health", get(health))
        .route("/version", get(version))
        .merge(operator_http::pages())
        .layer(body_limit());
    Router::new().nest("/master", pages.clone()).merge(pages).with_state(hub)
}

async fn state(State(hub): State<Arc<Hub>>) -> Json<serde_json::Value> {
    Json(hub.look(|cluster| cluster.state_view()))
}

async fn slaves(State(hub): State<Arc<Hub>>) -> Json<serde_json::Value> {
    Json(hub.look(|cluster| cluster.slaves_view()))
}

async fn scheduler(State(hub): State<Arc<Hub>>, headers: HeaderMap, body: Bytes) -> Response {
    let envelope: Envelope = match parse(&headers, &body) {
        Ok(envelope) => envelope,
        Err(refusal) => return refusal.into_response(),
    };
    let stream_id = headers.get(STREAM_ID).map(|value| value.to_str().unwrap_or_default());
    let refuse = |message: &str| Refusal { status: 400, message: message.into() }.into_response();
    match (envelope.call, stream_id) {
        (Call::Subscribe { .. }, Some(_)) => refuse("Subscribe calls should not include the 'Mesos-Stream-Id' header"),
        (Call::Subscribe { subscribe }, None) => {
            let id = envelope.framework_id;
            match hub.open(|cluster, now, stream| cluster.subscribe(now, stream, id.as_ref(), subscribe)) {
                Err(refusal) => refusal.into_response(),
                Ok((stream, receiver)) => {
                    let text = hub.stream_text(stream);
                    let mut response = EventBody { receiver, stream, hub }.into_response();
                    let value = HeaderValue::try_from(text).expect("a uuid and a number are valid in a header");
                    response.headers_mut().insert(STREAM_ID, value);
                    response
                }
            }
        }
        (_, None) => refuse("All non-subscribe calls should include the 'Mesos-Stream-Id' header"),
        (call, Some(text)) => {
            let stream = hub.stream_of(text);
            let answered_when_done = matches!(call, Call::UpdateFramework { .. });
            let envelope = Envelope { framework_id: envelope.framework_id, call };
            match hub.input(|cluster, now| cluster.call(now, stream, envelope)) {
                Ok(()) if answered_when_done => StatusCode::OK.into_response(),
                result => accepted(result),
            }
        }
    }
}
