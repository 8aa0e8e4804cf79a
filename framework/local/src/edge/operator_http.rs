//! What operators ask a master: `POST /api/v1`, and the older pages for maintenance.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{answers::parse, hub::Hub};
use crate::cluster::{Answer, MachineId, Machines, NewSchedule, OperatorCall, Refusal, Schedule};

pub(super) fn pages() -> Router<Arc<Hub>> {
    Router::new()
        .route("/api/v1", post(call))
        .route("/maintenance/schedule", get(schedule).post(set_schedule))
        .route("/maintenance/status", get(status))
        .route("/machine/down", post(down))
        .route("/machine/up", post(up))
}

async fn call(State(hub): State<Arc<Hub>>, headers: HeaderMap, body: Bytes) -> Response {
    match parse::<OperatorCall>(&headers, &body) {
        Ok(call) => operate(&hub, call),
        Err(refusal) => refusal.into_response(),
    }
}

async fn schedule(State(hub): State<Arc<Hub>>) -> Json<Schedule> {
    Json(hub.look(|cluster| cluster.maintenance_schedule().clone()))
}

async fn status(State(hub): State<Arc<Hub>>) -> Json<serde_json::Value> {
    Json(hub.look(|cluster| cluster.maintenance_status()))
}

async fn set_schedule(State(hub): State<Arc<Hub>>, body: Bytes) -> Response {
    let call =
        |schedule| OperatorCall::UpdateMaintenanceSchedule { update_maintenance_schedule: NewSchedule { schedule } };
    operate_with(&hub, &body, call)
}

async fn down(State(hub): State<Arc<Hub>>, body: Bytes) -> Response {
    let call = |machines: Vec<MachineId>| OperatorCall::StartMaintenance { start_maintenance: Machines { machines } };
    operate_with(&hub, &body, call)
}

async fn up(State(hub): State<Arc<Hub>>, body: Bytes) -> Response {
    let call = |machines: Vec<MachineId>| OperatorCall::StopMaintenance { stop_maintenance: Machines { machines } };
    operate_with(&hub, &body, call)
}

/// The older pages don't look at the content type.
fn operate_with<T: DeserializeOwned>(hub: &Arc<Hub>, body: &[u8], call: impl FnOnce(T) -> OperatorCall) -> Response {
    match serde_json::from_slice(body) {
        Ok(content) => operate(hub, call(content)),
        Err(error) => Refusal { status: 400, message: format!("Failed to parse body: {error}") }.into_response(),
    }
}

fn operate(hub: &Arc<Hub>, call: OperatorCall) -> Response {
    match hub.input(|cluster, now| cluster.operate(now, call)) {
        Ok(Answer::Ok(Some(body))) => Json(body).into_response(),
        Ok(Answer::Ok(None)) => StatusCode::OK.into_response(),
        Ok(Answer::Accepted) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}
