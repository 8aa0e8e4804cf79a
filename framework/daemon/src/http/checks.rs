//! Checks of job files, which may be a stranger's: few at once, off the async runtime, none without end. What one file may
//! cost is bounded where it is read and planned; here it is how many do so at the same time.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequest, Request},
    http::StatusCode,
};
use tokio::sync::Semaphore;

use super::{Failure, refused};
use crate::check::{self, Checked, Live};

/// Files that are read and planned at once: each may take a processor for a second.
const OFFLINE_AT_ONCE: usize = 2;

/// Files that wait for it.
const OFFLINE_WAITING: usize = 16;

/// Files about which Kafka and Cassandra are asked at once: each takes a client of both.
const LIVE_AT_ONCE: usize = 8;

/// Each question has a time of its own; all of them together end here.
const LIVE_WITHIN: Duration = Duration::from_secs(60);

/// How many checks are under way.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    /// Running or waiting.
    admitted: Arc<Semaphore>,
    offline: Arc<Semaphore>,
    live: Arc<Semaphore>,
}

impl Default for Checks {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Checks {
            admitted: semaphore(OFFLINE_AT_ONCE + OFFLINE_WAITING),
            offline: semaphore(OFFLINE_AT_ONCE),
            live: semaphore(LIVE_AT_ONCE),
        }
    }
}

impl Checks {
    /// [`check::offline`] of a file called `shown`.
    pub(crate) async fn offline(&self, shown: &str, toml: &str) -> Result<Checked, Failure> {
        let (shown, toml) = (shown.to_owned(), toml.to_owned());
        self.bounded(move || check::offline(&shown, &toml).map_err(|found| refused(&found))).await
    }

    /// [`check::live`].
    pub(crate) async fn live(&self, checked: &Checked) -> Result<Live, Failure> {
        let Ok(_asking) = self.live.try_acquire() else { return Err(busy()) };
        match tokio::time::timeout(LIVE_WITHIN, check::live(checked)).await {
            Ok(found) => found.map_err(|found| refused(&found)),
            Err(_) => {
                let error = format!("Kafka and Cassandra have not answered within {} s", LIVE_WITHIN.as_secs());
                let remedy = "nothing was changed; see whether they are well, then try again";
                Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, error, remedy))
            }
        }
    }

    /// Does `work` on a thread of its own, once it is its turn.
    async fn bounded<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Ok(_admitted) = self.admitted.try_acquire() else { return Err(busy()) };
        let turn = self.offline.clone().acquire_owned().await.map_err(|_| busy())?;
        // Work that has begun goes on when the person has hung up, and its turn with it.
        let worked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        worked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the check of a job file panicked");
            let remedy = "nothing was changed; this is a bug: see the scheduler's log, and report it with the file";
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the check of the job file panicked", remedy))
        })
    }
}

fn busy() -> Failure {
    let remedy = "nothing was changed; try again in a second";
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "the scheduler checks as many job files as it can at once", remedy)
}

/// The text of a job file, as a request's body.
pub(crate) struct JobText(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for JobText {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        String::from_request(request, state).await.map(JobText).map_err(|rejection| {
            let remedy =
                format!("the body is a job file: text in UTF-8, at most {} bytes", millstream_spec::MAX_FILE_BYTES);
            Failure::new(rejection.status(), rejection.body_text(), remedy)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_beyond_those_that_run_and_wait_is_sent_away() {
        let checks = Checks::default();
        let (open, gate) = std::sync::mpsc::sync_channel::<()>(0);
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let admitted: Vec<_> = (0..OFFLINE_AT_ONCE + OFFLINE_WAITING)
            .map(|_| {
                let (checks, gate) = (checks.clone(), gate.clone());
                tokio::spawn(async move {
                    // Until the other end is dropped.
                    let wait = move || gate.lock().map(|gate| gate.recv().is_err()).map_err(|_| busy());
                    checks.bounded(wait).await.is_ok_and(|waited| waited)
                })
            })
            .collect();
        while checks.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = checks.bounded(|| Ok(())).await.map_err(|failure| failure.status);
        assert_eq!(refused, Err(StatusCode::TOO_MANY_REQUESTS));
        drop(open);
        for check in admitted {
            assert!(check.await.unwrap());
        }
        assert!(checks.bounded(|| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let failed = Checks::default().bounded::<()>(|| panic!("a bug")).await.map_err(|failure| failure.status);
        assert_eq!(failed, Err(StatusCode::INTERNAL_SERVER_ERROR));
    }
}
