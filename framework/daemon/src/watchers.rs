//! One watch over the topology of each job that runs.

use std::{collections::BTreeMap, time::Duration};

use millstream_placement::JobTopology;
use millstream_spec::JobSpec;
use millstream_topology::{
    CassandraError, TopologyError, Watcher, blocks,
    cassandra::{Near, connect},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// How often a topology is read again: leaders move rarely, and new partitions are to be picked up within 30 s (faults.md, K5).
const WATCH_EVERY: Duration = Duration::from_secs(10);
/// Pause after a failure to read it.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// Changes that wait for the driver; a watch then waits too.
const CHANGES_AHEAD: usize = 16;

/// What a watch says: its number, the job, and its topology or why it cannot be read.
pub(crate) type Change = (u64, String, Result<JobTopology, TopologyError>);

pub(crate) struct Watchers {
    running: BTreeMap<String, Watch>,
    out: mpsc::Sender<Change>,
    /// Number of the next watch.
    next: u64,
}

struct Watch {
    number: u64,
    spec: JobSpec,
    _task: AbortOnDropHandle<()>,
}

impl Watchers {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Change>) {
        let (out, changes) = mpsc::channel(CHANGES_AHEAD);
        (Watchers { running: BTreeMap::new(), out, next: 0 }, changes)
    }

    /// Watches exactly these jobs from now on.
    pub(crate) fn set(&mut self, jobs: Vec<JobSpec>) {
        let wanted: BTreeMap<String, JobSpec> = jobs.into_iter().map(|job| (job.name.0.clone(), job)).collect();
        self.running.retain(|name, watch| wanted.get(name) == Some(&watch.spec));
        for (name, spec) in wanted {
            if self.running.contains_key(&name) {
                continue;
            }
            let number = self.next;
            self.next += 1;
            let task = tokio::spawn(watch(number, name.clone(), spec.clone(), self.out.clone()));
            self.running.insert(name, Watch { number, spec, _task: AbortOnDropHandle::new(task) });
        }
    }

    /// What a change says, unless it is the last word of a watch that has ended: the job reads another topic now.
    pub(crate) fn current(&self, change: Change) -> Option<(String, Result<JobTopology, TopologyError>)> {
        let (number, job, topology) = change;
        self.running.get(&job).is_some_and(|watch| watch.number == number).then_some((job, topology))
    }
}

async fn watch(number: u64, name: String, spec: JobSpec, out: mpsc::Sender<Change>) {
    let mut has_table = false;
    let mut watcher = Watcher::new(spec.clone());
    loop {
        // A job that was deployed by an earlier release has no table of this shape yet.
        if !has_table {
            match ensure_table(&spec).await {
                Ok(()) => has_table = true,
                Err(error) => tracing::warn!(job = name, error = crate::chain(&error), "table of timestamp blocks"),
            }
        }
        let change = watcher.changed(WATCH_EVERY).await;
        let failed = change.is_err();
        if out.send((number, name.clone(), change)).await.is_err() {
            return;
        }
        if failed {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

async fn ensure_table(spec: &JobSpec) -> Result<(), CassandraError> {
    let session = connect(&spec.sink, &Near::default()).await?;
    blocks::ensure_table(&session, &spec.sink.keyspace).await
}
