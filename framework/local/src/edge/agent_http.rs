use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use millstream_mesos_types::executor::{Call, Envelope};

use super::{
    answers::{EventBody, accepted, body_limit, health, parse, version},
    hub::Hub,
};
use crate::cluster::AgentIndex;

#[derive(Clone)]
struct Agent {
    hub: Arc<Hub>,
    index: AgentIndex,
}

/// An agent's pages; each also below `/slave(1)`, as in Mesos.
pub(crate) fn router(hub: Arc<Hub>, index: AgentIndex) -> Router {
    let pages = Router::new()
        .route("/api/v1/executor", post(executor))
        .route("/state", get(state))
        .route("/state.json", get(state))
        .route("/containers", get(containers))
        .route("/health", get(health))
        .route("/version", get(version))
        .layer(body_limit());
    Router::new().nest("/slave(1)", pages.clone()).merge(pages).with_state(Agent { hub, index })
}

async fn state(State(agent): State<Agent>) -> Json<serde_json::Value> {
    Json(agent.hub.look(|cluster| cluster.agent_view(agent.index)))
}

async fn containers(State(agent): State<Agent>) -> Json<serde_json::Value> {
    Json(agent.hub.look(|cluster| cluster.containers_view(agent.index)))
}

async fn executor(State(Agent { hub, index }): State<Agent>, headers: HeaderMap, body: Bytes) -> Response {
    let envelope: Envelope = match parse(&headers, &body) {
        Ok(envelope) => envelope,
        Err(refusal) => return refusal.into_response(),
    };
    let Call::Subscribe { subscribe } = envelope.call else {
        return accepted(hub.input(|cluster, now| cluster.call_executor(now, index, envelope)));
    };
    let key = (envelope.framework_id, envelope.executor_id);
    let opened = hub.open(|cluster, now, stream| cluster.subscribe_executor(now, index, stream, key, subscribe));
    match opened {
        Ok((stream, receiver)) => EventBody { receiver, stream, hub }.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}
