use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    PartitionState, Stop,
    backoff::Backoff,
    patience::{SHOWN_AFTER, patiently},
    pump::{ExtendRequest, PumpHandle},
};
use crate::{
    blocks::{
        ahead,
        keeper::{KeeperError, extend},
        store::{CassandraList, Statements},
    },
    metrics::Metrics,
    sink::work::SharedTracker,
};
use millstream_protocol::PartitionStatus;

/// Errors that last longer are shown: the partition will soon wait.
const ERROR_SHOWN_AFTER: Duration = Duration::from_secs(2);

/// Fetches the next blocks of partitions, each for itself, until the requests end.
pub(super) async fn run(
    mut requests: mpsc::Receiver<ExtendRequest>,
    statements: Arc<Statements>,
    pump: Arc<PumpHandle>,
    metrics: Arc<Metrics>,
) {
    while let Some(request) = requests.recv().await {
        let list = CassandraList::new(statements.clone(), request.state.partition);
        let (pump, metrics) = (pump.clone(), metrics.clone());
        // At most one per partition: the pump asks again only after the answer.
        tokio::spawn(async move { fetch(request, list, &pump, &metrics).await });
    }
}

async fn fetch(request: ExtendRequest, list: CassandraList, pump: &PumpHandle, metrics: &Metrics) {
    let ExtendRequest { state, tracker, last, position, speed, cut } = request;
    let (ahead, life) = (ahead(speed, Some(last.block)), last.life.clone());
    let mut backoff = Backoff::default();
    while is_current(&state, &tracker) {
        let asked = Instant::now();
        let show = |reason: String| {
            if is_current(&state, &tracker) {
                state.set_status(PartitionStatus::Stalled, Some(reason));
            }
        };
        let extended = patiently(extend(&list, &life, last.clone(), position, ahead, cut), || {
            show(format!("Cassandra has not appended a timestamp block for {} s", SHOWN_AFTER.as_secs()));
        });
        let error = match extended.await {
            Ok((epochs, young_for)) => {
                metrics.block("ok");
                if state.is_stalled() && is_current(&state, &tracker) {
                    state.set_status(PartitionStatus::Running, None);
                }
                return pump.epochs(tracker, epochs, asked + young_for);
            }
            Err(error) => error,
        };
        metrics.block(if error.is_transient() { "retried" } else { "refused" });
        let reason = super::causes(&error);
        match error {
            KeeperError::Anew { .. } => return state.request_stop(Stop::anew(reason)),
            error if !error.is_transient() => return state.request_stop(Stop::other(reason)),
            _ => {}
        }
        // The first error may be one of those that retries are for.
        if backoff.since_first() >= ERROR_SHOWN_AFTER || asked.elapsed() >= ERROR_SHOWN_AFTER {
            show(reason);
        }
        backoff.pause().await;
    }
}

/// Whether the partition has not been started anew since, nor left.
fn is_current(state: &PartitionState, tracker: &SharedTracker) -> bool {
    state.is_consumed() && state.tracker().is_some_and(|current| Arc::ptr_eq(&current, tracker))
}
