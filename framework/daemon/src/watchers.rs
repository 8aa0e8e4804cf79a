//! One watch over the topology of each job that runs.

use std::{collections::BTreeMap, time::Duration};

use millstream_placement::JobTopology;
use millstream_spec::JobSpec;
use millstream_topology::{KafkaError, TopologyError, Watcher, blocks};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// How often a topology is read again: leaders move rarely, new partitions are to be picked up within 30 s (faults.md, K5),
/// and a topic that is gone is to be known within 10.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Pause after a failure to read it.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// Changes that wait for the driver; a watch then waits too.
const CHANGES_AHEAD: usize = 16;

/// So often in a row a topic must be missing to be gone: brokers that start know it a moment later than clients ask.
const GONE_AFTER: u32 = 2;

/// What a watch says: its number, the job, and what is new.
pub(crate) type Change = (u64, String, News);

/// What is new about a job's source and sink.
pub(crate) enum News {
    Topology(JobTopology),
    /// It cannot be read.
    Failed(TopologyError),
    /// The topic is not there, for the reason and with the remedy given.
    Gone(String),
    /// Partition → log end; empty while unknown.
    LogEnds(BTreeMap<i32, i64>),
}

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
            let (of, job, out) = (name.clone(), spec.clone(), self.out.clone());
            let task = tokio::spawn(async move {
                tokio::join!(make_table(&of, &job), watch(number, of.clone(), job.clone(), out));
            });
            self.running.insert(name, Watch { number, spec, _task: AbortOnDropHandle::new(task) });
        }
    }

    /// What a change says, unless it is the last word of a watch that has ended: the job reads another topic now.
    pub(crate) fn current(&self, change: Change) -> Option<(String, News)> {
        let (number, job, news) = change;
        self.running.get(&job).is_some_and(|watch| watch.number == number).then_some((job, news))
    }
}

async fn watch(number: u64, name: String, spec: JobSpec, out: mpsc::Sender<Change>) {
    let mut watcher = Watcher::new(spec);
    let (mut missing, mut last_ends) = (0, BTreeMap::new());
    loop {
        let read = watcher.refresh().await;
        let pause = if read.is_ok() { WATCH_EVERY } else { RETRY_AFTER };
        let mut news = vec![];
        match read {
            Ok(topology) => {
                missing = 0;
                news.extend(topology.map(News::Topology));
            }
            Err(error) => {
                missing = if is_missing(&error) { missing + 1 } else { 0 };
                let gone = (missing >= GONE_AFTER).then(|| News::Gone(gone(&name, &error)));
                news.push(News::Failed(error));
                news.extend(gone);
            }
        }
        // What cannot be asked is unknown, not as it was.
        let ends = if missing > 0 { BTreeMap::new() } else { watcher.log_ends().await.unwrap_or_default() };
        if ends != last_ends {
            last_ends.clone_from(&ends);
            news.push(News::LogEnds(ends));
        }
        for news in news {
            if out.send((number, name.clone(), news)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// A job that was deployed by an earlier release has no table of blocks of this shape yet. Only the scheduler makes it.
async fn make_table(name: &str, spec: &JobSpec) {
    while let Err(error) = blocks::connect_with_table(&spec.sink).await {
        tracing::warn!(job = name, error = crate::chain(&error), "table of timestamp blocks");
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

fn is_missing(error: &TopologyError) -> bool {
    matches!(error, TopologyError::Kafka(KafkaError::TopicMissing { .. }))
}

fn gone(job: &str, error: &TopologyError) -> String {
    format!(
        "{error}: nothing can be read; create it again (its offsets begin anew), or stop the job: `millstream stop {job}`"
    )
}
