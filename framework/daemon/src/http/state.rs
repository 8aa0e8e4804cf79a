//! `GET /api/v1/state`: a backup of all that the leader has stored, at one moment.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::State as Shared,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Api, Failure};
use crate::state::Backup;

/// Bytes handed over at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Backups under way: one, for it takes as much memory as the state twice.
#[derive(Clone)]
pub(super) struct Backups {
    turn: Arc<Semaphore>,
    /// Where the state is, for people.
    place: String,
}

impl Backups {
    pub(super) fn of(place: String) -> Backups {
        Backups { turn: Arc::new(Semaphore::new(1)), place }
    }
}

pub(super) async fn backup(Shared(api): Shared<Api>) -> Result<Response, Failure> {
    let Backups { turn, place } = api.backups.clone();
    let Ok(turn) = turn.try_acquire_owned() else {
        let remedy = "try again when it is done";
        return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, "another backup is under way", remedy));
    };
    // Between two steps, and all of them are durable. A copy, since making text of it takes too long for the driver.
    let state = api.read(|seen| seen.state.clone()).await?;
    let made = tokio::task::spawn_blocking(move || Bytes::from(Backup::now(place, state.records()).encode()));
    let text = made.await.map_err(|_| Failure::stuck())?;
    let len = text.len();
    let chunks = (0..len).step_by(CHUNK_BYTES).map(move |at| {
        // Until the last of it is taken.
        let _turn = &turn;
        Ok::<_, Infallible>(text.slice(at..len.min(at + CHUNK_BYTES)))
    });
    let headers = [(header::CONTENT_TYPE, "application/jsonl".to_owned()), (header::CONTENT_LENGTH, len.to_string())];
    Ok((headers, Body::from_stream(futures_util::stream::iter(chunks))).into_response())
}
