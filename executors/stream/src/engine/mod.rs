//! The engine: runs the tasks of one job in this process, without knowing Mesos.
//!
//! Map: [`Engine`] holds tasks and reports on them; `setup` connects, once for all; `supervise` runs one partition from
//! start to stop, `begin` finds where it starts; the `pump` thread (`lane`, `gather`, `encode`) turns records into batches
//! for the [`sink`](crate::sink); `keeper` fetches timestamp blocks; `commits` says what is durable; `topic`, `schema` and
//! `list` look whether topic, table and list are still the same; [`partition`], `stop`, [`counters`] and [`health`] are what they all
//! share.

mod backoff;
mod begin;
mod bell;
mod commits;
pub mod counters;
mod encode;
mod gather;
mod guard;
pub mod health;
mod keeper;
mod lane;
mod list;
mod looks;
pub mod partition;
mod patience;
mod pump;
mod same_log;
mod schema;
mod setup;
mod stop;
mod supervise;
mod topic;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use millstream_pipeline::{Binding, Transform, bind};
use millstream_protocol::{ExecutorData, KeptStop, Partition, TaskReport};
use millstream_spec::CassandraSink;
use millstream_topology::{CassandraError, cassandra::table_schema};
use scylla::client::session::Session;
use tokio::{
    sync::{OnceCell, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    bell::Bell,
    counters::{Stage, TaskCounters},
    health::{Health, Trouble},
    partition::PartitionState,
    stop::{Again, Stop},
};
use self::{looks::Looks, setup::Ready};
use crate::{
    budget::{Budget, queue_bytes_per_partition},
    clock,
    metrics::Metrics,
    source::context::Partitions,
};

/// What all parts of the engine share.
struct Shared {
    data: ExecutorData,
    health: Arc<Health>,
    budget: Arc<Budget>,
    bell: Arc<Bell>,
    partitions: Partitions,
    metrics: Arc<Metrics>,
    failure: watch::Sender<Option<String>>,
}

impl Shared {
    /// The process must start anew.
    fn fail(&self, reason: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                tracing::error!(%reason, "engine failed");
                *failure = Some(reason);
            }
            first
        });
    }
}

/// Runs the tasks of one job.
pub struct Engine {
    shared: Arc<Shared>,
    ready: Arc<OnceCell<Arc<Ready>>>,
    tasks: Mutex<BTreeMap<String, Task>>,
}

struct Task {
    counters: Arc<TaskCounters>,
    partitions: Vec<Arc<PartitionState>>,
    supervisors: JoinSet<()>,
    leave: CancellationToken,
    mem_bytes: u64,
}

/// How a task left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All it read is durable and committed: its successor reads nothing twice.
    Clean,
    /// There was not enough time; its successor reads something twice, which changes nothing.
    Late,
    /// It was not here.
    Unknown,
}

impl Engine {
    /// An engine without tasks. Must be called within a tokio runtime.
    pub fn new(data: ExecutorData, metrics: Arc<Metrics>) -> Arc<Engine> {
        let shared = Arc::new(Shared {
            data,
            health: Arc::default(),
            budget: Arc::default(),
            bell: Arc::default(),
            partitions: Partitions::default(),
            metrics,
            failure: watch::Sender::new(None),
        });
        let engine = Arc::new(Engine { shared, ready: Arc::default(), tasks: Mutex::default() });
        tokio::spawn(commits::run(Looks::every(commits::COMMIT_EVERY, &engine)));
        tokio::spawn(topic::watch(Looks::every(topic::LOOK_EVERY, &engine)));
        tokio::spawn(list::watch(Looks::every(list::LOOK_EVERY, &engine)));
        tokio::spawn(schema::watch(Looks::every(schema::LOOK_EVERY, &engine)));
        engine
    }

    /// Runs a task: `partitions` within `mem_bytes` of memory, of which `kept` have been stopped by an earlier executor until a
    /// person acts. The first task also starts the clients.
    pub fn add_task(&self, id: &str, partitions: &[Partition], kept: &[KeptStop], mem_bytes: u64) {
        let counters = Arc::<TaskCounters>::default();
        let leave = CancellationToken::new();
        let mut supervisors = JoinSet::new();
        self.shared.budget.grow(mem_bytes);
        let queue_bytes = queue_bytes_per_partition(mem_bytes, partitions.len());
        let mut states = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let state = PartitionState::new(*partition, counters.clone());
            states.push(state.clone());
            let kept = kept.iter().find(|kept| kept.partition == *partition);
            let kept = kept.map(|kept| Stop { reason: kept.reason.clone(), again: Again::Moved(kept.offset) });
            let (ready, shared, leave) = (self.ready.clone(), self.shared.clone(), leave.clone());
            supervisors.spawn(async move {
                let set_up = ready.get_or_try_init(|| setup::set_up(shared.clone(), queue_bytes));
                let ready = tokio::select! {
                    ready = set_up => ready,
                    () = leave.cancelled() => return,
                };
                match ready {
                    Ok(ready) => supervise::run(ready.clone(), state, kept, leave.clone()).await,
                    Err(reason) => shared.fail(reason),
                }
            });
        }
        let task = Task { counters, partitions: states, supervisors, leave, mem_bytes };
        tracing::info!(task = id, ?partitions, mem_bytes, "task starts");
        self.with_tasks(|tasks| tasks.insert(id.to_owned(), task));
    }

    /// Whether the task is here.
    pub fn has_task(&self, id: &str) -> bool {
        self.with_tasks(|tasks| tasks.contains_key(id))
    }

    /// Ids of all tasks.
    pub fn task_ids(&self) -> Vec<String> {
        self.with_tasks(|tasks| tasks.keys().cloned().collect())
    }

    /// Stops reading, waits until everything is durable, commits. At the deadline it commits what is durable. The task
    /// is in reports until then.
    pub async fn drain_task(&self, id: &str, deadline: Instant) -> Drained {
        let Some((mut supervisors, leave, partitions, mem_bytes)) = self.with_tasks(|tasks| {
            let task = tasks.get_mut(id)?;
            Some((std::mem::take(&mut task.supervisors), task.leave.clone(), task.partitions.clone(), task.mem_bytes))
        }) else {
            return Drained::Unknown;
        };
        let begin = Instant::now();
        leave.cancel();
        let all_left = async { while supervisors.join_next().await.is_some() {} };
        let left = timeout_at(deadline, all_left).await.is_ok();
        let committed = match self.ready.get() {
            Some(ready) => timeout_at(deadline, settle(ready, &partitions)).await.unwrap_or(false),
            None => true,
        };
        tracing::info!(task = id, left, committed, took_ms = begin.elapsed().as_millis() as u64, "task drained");
        self.with_tasks(|tasks| tasks.remove(id));
        self.shared.budget.shrink(mem_bytes);
        partitions.iter().for_each(|state| self.shared.metrics.forget(state.partition));
        if left && committed { Drained::Clean } else { Drained::Late }
    }

    /// Reports of all tasks, for now.
    pub fn reports(&self) -> Vec<TaskReport> {
        let health = &self.shared.health;
        let now_ms = clock::now_ms();
        let reports: Vec<TaskReport> = self.with_tasks(|tasks| {
            let report = |(id, task): (&String, &Task)| TaskReport {
                partitions: task
                    .partitions
                    .iter()
                    .map(|state| state.report(health.shown_for(state.partition).as_ref(), now_ms))
                    .collect(),
                ..task.counters.report(id)
            };
            tasks.iter().map(report).collect()
        });
        self.shared.metrics.reported(&reports);
        reports
    }

    /// Waits for a failure that only a new process can repair, and says what it is.
    pub async fn failed(&self) -> String {
        let mut failure = self.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or_default(),
            // The sender lives in `shared`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends the pump's thread. Call it when all tasks are drained.
    pub async fn close(&self) {
        if let Some(ready) = self.ready.get().cloned() {
            let _ = tokio::task::spawn_blocking(move || ready.pump.quit()).await;
        }
    }

    /// All partitions that are here.
    fn partitions(&self) -> Vec<Arc<PartitionState>> {
        self.with_tasks(|tasks| tasks.values().flat_map(|task| &task.partitions).cloned().collect())
    }

    /// Those that are read now.
    fn consumed(&self) -> Vec<Arc<PartitionState>> {
        let mut partitions = self.partitions();
        partitions.retain(|state| state.is_consumed());
        partitions
    }

    fn with_tasks<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Task>) -> T) -> T {
        work(&mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says for the last time what of leaving partitions is durable. Whether it was heard.
async fn settle(ready: &Ready, partitions: &[Arc<PartitionState>]) -> bool {
    let leaving: Vec<_> = partitions.iter().filter_map(|state| Some((&**state, state.to_commit()?))).collect();
    leaving.is_empty() || commits::settle(ready, &leaving).await
}

/// An error with all its causes, on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// What an error of Cassandra means: a cluster that is away comes back by itself, all else needs a person.
fn trouble(error: &CassandraError) -> Trouble {
    match error {
        CassandraError::Unreachable { .. } | CassandraError::Statement { .. } => Trouble::stalled(causes(error)),
        _ => Trouble::stopped(format!("{}; {}", causes(error), error.remedy())),
    }
}

/// How a transform is written to the sink's table as it is now; else what keeps it from that.
pub(crate) async fn bind_table(
    session: &Session,
    sink: &CassandraSink,
    transform: &Transform,
) -> Result<Binding, Trouble> {
    let table = table_schema(session, &sink.keyspace, &sink.table).await.map_err(|error| trouble(&error))?;
    bind(transform, sink, &table)
        .map_err(|errors| Trouble::stopped(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}
