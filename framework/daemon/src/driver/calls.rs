//! Calls on their way to the master, in order, without holding up the driver.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use millstream_mesos::scheduler::{CallError, Caller};
use millstream_mesos_types::scheduler::Call;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{chain, metrics::Metrics};

/// Calls under way; a driver that is further ahead waits. A step of a large cluster makes one call for each agent.
const CALLS_AHEAD: usize = 4096;

pub(super) struct Calls {
    queue: mpsc::Sender<(u64, Call)>,
    stream: Arc<AtomicU64>,
    _sender: AbortOnDropHandle<()>,
}

impl Calls {
    pub(super) fn new(caller: Caller, metrics: Arc<Metrics>) -> Self {
        let (queue, waiting) = mpsc::channel(CALLS_AHEAD);
        let stream = Arc::default();
        let sender = tokio::spawn(send_all(caller, metrics, waiting, Arc::clone(&stream)));
        Calls { queue, stream, _sender: AbortOnDropHandle::new(sender) }
    }

    /// What still waits was decided for a stream that has ended: its offers are void, and everything else is reconciled.
    pub(super) fn new_stream(&self) {
        self.stream.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) async fn send(&self, call: Call) {
        let stream = self.stream.load(Ordering::SeqCst);
        self.queue.send((stream, call)).await.expect("the sender ends only with its queue");
    }
}

async fn send_all(
    caller: Caller,
    metrics: Arc<Metrics>,
    mut waiting: mpsc::Receiver<(u64, Call)>,
    stream: Arc<AtomicU64>,
) {
    while let Some((made_for, call)) = waiting.recv().await {
        let kind = kind(&call);
        if made_for != stream.load(Ordering::SeqCst) {
            metrics.call(kind, "stale");
            continue;
        }
        match caller.send(call).await {
            Ok(()) => metrics.call(kind, "accepted"),
            Err(CallError::NotSubscribed) => metrics.call(kind, "not_subscribed"),
            Err(error) => {
                metrics.call(kind, "failed");
                tracing::warn!(call = kind, error = chain(&error), "a call was not accepted");
            }
        }
    }
}

fn kind(call: &Call) -> &'static str {
    match call {
        Call::Subscribe { .. } => "subscribe",
        Call::Teardown => "teardown",
        Call::Accept { .. } => "accept",
        Call::Decline { .. } => "decline",
        Call::AcceptInverseOffers { .. } => "accept_inverse_offers",
        Call::DeclineInverseOffers { .. } => "decline_inverse_offers",
        Call::UpdateFramework { .. } => "update_framework",
        Call::Revive { .. } => "revive",
        Call::Suppress { .. } => "suppress",
        Call::Kill { .. } => "kill",
        Call::Shutdown { .. } => "shutdown",
        Call::Acknowledge { .. } => "acknowledge",
        Call::Reconcile { .. } => "reconcile",
        Call::AcknowledgeOperationStatus { .. } => "acknowledge_operation_status",
        Call::ReconcileOperations { .. } => "reconcile_operations",
        Call::Message { .. } => "message",
        Call::Unknown => "unknown",
    }
}
