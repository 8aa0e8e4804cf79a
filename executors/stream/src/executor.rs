//! The Mesos side: LAUNCH, KILL and SHUTDOWN become tasks of the engine, its reports become MESSAGEs.
//!
//! One process runs the tasks of one job on one agent. It leaves when all its tasks have ended and every update is
//! acknowledged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture};
use millstream_mesos::executor::{Environment, Handle, Session, SessionEvent};
use millstream_mesos_types::{Base64, KillPolicy, TaskId, TaskInfo, TaskState, TaskStatus, executor::Kill, scalar_sum};
use millstream_protocol::{AskedBy, EndData, ExecutorData, REPORT_INTERVAL_MS, Report, TaskData, VERSION};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    engine::{Drained, Engine},
    http,
    metrics::Metrics,
};

/// Grace of a KILL that names none: as the scheduler's own default, and well above a drain in health.
const KILL_GRACE: Duration = Duration::from_secs(30);

/// Of every grace this much is kept for the last update and its acknowledgement.
const REPORT_TIME: Duration = Duration::from_secs(1);

/// How long the last updates wait for their acknowledgement when nothing else limits them.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// An executor without tasks leaves after this: its launch got lost, or all tasks were killed before they came.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

/// Runs until there is nothing left to do. On the heap: so all of it is compiled here, and not again in the program.
pub fn run() -> LocalBoxFuture<'static, anyhow::Result<()>> {
    session().boxed_local()
}

async fn session() -> anyhow::Result<()> {
    let environment = Environment::from_process().context("not under a Mesos agent (try `standalone`)")?;
    let shutdown_grace = environment.shutdown_grace;
    let (mut events, handle) = Session::connect(environment);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut executor = Executor::new(handle, shutdown_grace);
    let mut ticks = interval(Duration::from_millis(REPORT_INTERVAL_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut idle_since, mut open) = (Instant::now(), true);
    while !executor.is_done() {
        if !executor.tasks.is_empty() {
            idle_since = Instant::now();
        }
        let failure = executor.failure();
        tokio::select! {
            event = events.next(), if open => {
                open = event.is_some();
                executor.on_event(event).await;
            }
            Some(ended) = executor.drains.join_next() => executor.on_drained(ended?),
            _ = ticks.tick() => executor.report(),
            reason = failure => executor.on_failure(&reason),
            _ = terminate.recv() => executor.asked_to_leave(AskedBy::Signal),
            () = sleep_until(idle_since + IDLE_WITHIN) => executor.leave("no task for a minute"),
        }
    }
    executor.finish().await;
    Ok(())
}

/// A task of this executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
}

struct Executor {
    handle: Handle,
    shutdown_grace: Duration,
    running: Option<Running>,
    tasks: BTreeMap<TaskId, (Phase, Option<KillPolicy>)>,
    drains: JoinSet<(TaskId, Drained)>,
    sequence: u64,
    /// No more tasks are taken; by then the process ends.
    leaving: Option<Instant>,
    /// Who asked it to leave, when it was not the scheduler: no failure, and the scheduler is told so.
    asked_by: Option<AskedBy>,
}

/// What the first task brings.
struct Running {
    engine: Arc<Engine>,
    metrics_url: String,
}

impl Executor {
    fn new(handle: Handle, shutdown_grace: Duration) -> Self {
        let (tasks, drains) = (BTreeMap::new(), JoinSet::new());
        Executor { handle, shutdown_grace, running: None, tasks, drains, sequence: 0, leaving: None, asked_by: None }
    }

    fn is_done(&self) -> bool {
        self.tasks.is_empty() && self.leaving.is_some()
    }

    async fn on_event(&mut self, event: Option<SessionEvent>) {
        match event {
            Some(SessionEvent::Launch(task)) => self.launch(*task).await,
            Some(SessionEvent::Kill(kill)) => self.kill(&kill),
            Some(SessionEvent::Shutdown) => self.asked_to_leave(AskedBy::Agent),
            Some(SessionEvent::Subscribed(subscribed)) => {
                tracing::info!(agent = %subscribed.agent_info.hostname, "subscribed");
            }
            // The scheduler says nothing by message in this version.
            Some(SessionEvent::Message(data)) => tracing::debug!(bytes = data.len(), "message"),
            Some(SessionEvent::Disconnected { reason }) => tracing::warn!(%reason, "agent is away; work goes on"),
            Some(SessionEvent::Over { reason }) => self.leave(&reason),
            None => self.leave("session ended"),
        }
    }

    async fn launch(&mut self, task: TaskInfo) {
        let id = task.task_id.clone();
        if let Some(by) = self.asked_by {
            return self.update(&id, TaskState::TaskKilled, Some(asked_text(by).into()));
        }
        if self.leaving.is_some() {
            return self.update(&id, TaskState::TaskFailed, Some("the executor is leaving".into()));
        }
        if self.tasks.contains_key(&id) {
            return tracing::warn!(task = %id, "launched twice");
        }
        match self.try_launch(&task).await {
            Ok(()) => {
                self.tasks.insert(id.clone(), (Phase::Running, task.kill_policy));
                self.update(&id, TaskState::TaskRunning, None);
            }
            Err(error) => {
                tracing::error!(task = %id, "launch failed: {error:#}");
                self.update(&id, TaskState::TaskFailed, Some(format!("{error:#}")));
            }
        }
        if self.tasks.is_empty() {
            self.leave("its only task could not be started");
        }
    }

    async fn try_launch(&mut self, task: &TaskInfo) -> anyhow::Result<()> {
        let data = task.data.as_ref().context("the task has no data")?;
        check_version(&data.0)?;
        let TaskData { partitions, stops, .. } = serde_json::from_slice(&data.0).context("unreadable task data")?;
        anyhow::ensure!(!partitions.is_empty(), "the task has no partitions");
        if self.running.is_none() {
            let info = task.executor.as_ref().and_then(|executor| executor.data.as_ref());
            let data = info.context("the executor has no data")?;
            check_version(&data.0)?;
            let data: ExecutorData = serde_json::from_slice(&data.0).context("unreadable executor data")?;
            self.running = Some(start(data).await?);
        }
        let mem_bytes = (scalar_sum(&task.resources, "mem") * f64::from(1 << 20)) as u64;
        if let Some(running) = &self.running {
            running.engine.add_task(&task.task_id.value, &partitions, &stops, mem_bytes);
        }
        Ok(())
    }

    fn kill(&mut self, kill: &Kill) {
        let Some((_, policy)) = self.tasks.get(&kill.task_id) else {
            return tracing::warn!(task = %kill.task_id, "kill of a task that is not here");
        };
        let grace = grace(kill.kill_policy.or(*policy)).unwrap_or(KILL_GRACE);
        self.drain(kill.task_id.clone(), Instant::now() + grace);
    }

    /// Leaves because somebody else than the scheduler wants it.
    fn asked_to_leave(&mut self, by: AskedBy) {
        if self.leaving.is_none() {
            self.asked_by = Some(by);
        }
        self.leave(asked_text(by));
    }

    /// Ends all tasks within the shutdown grace, then the process.
    fn leave(&mut self, reason: &str) {
        if self.leaving.is_some() {
            return;
        }
        tracing::info!(reason, "executor leaves");
        let end = Instant::now() + self.shutdown_grace;
        self.leaving = Some(end);
        let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
        ids.into_iter().for_each(|id| self.drain(id, end));
    }

    fn drain(&mut self, id: TaskId, end: Instant) {
        let (Some(running), Some((phase, _))) = (&self.running, self.tasks.get_mut(&id)) else { return };
        if *phase == Phase::Draining {
            return;
        }
        *phase = Phase::Draining;
        let engine = running.engine.clone();
        let grace = end.saturating_duration_since(Instant::now());
        let deadline = end - REPORT_TIME.min(grace / 4);
        self.update(&id, TaskState::TaskKilling, None);
        self.drains.spawn(async move {
            let drained = engine.drain_task(&id.value, deadline).await;
            (id, drained)
        });
    }

    fn on_drained(&mut self, (id, drained): (TaskId, Drained)) {
        let late = match drained {
            Drained::Clean => None,
            Drained::Late | Drained::Unknown => Some("not all writes were acknowledged in time; they are replayed"),
        };
        let parts: Vec<&str> = self.asked_by.map(asked_text).into_iter().chain(late).collect();
        let message = (!parts.is_empty()).then(|| parts.join("; "));
        self.tasks.remove(&id);
        self.update(&id, TaskState::TaskKilled, message);
        if self.tasks.is_empty() {
            self.leave("all tasks have ended");
        }
    }

    /// Only a new process can go on: all tasks fail, and the scheduler starts them anew.
    fn on_failure(&mut self, reason: &str) {
        for id in std::mem::take(&mut self.tasks).into_keys() {
            self.update(&id, TaskState::TaskFailed, Some(reason.to_owned()));
        }
        self.running = None;
        self.leave(reason);
    }

    /// Waits for a failure of the engine; for ever without one.
    fn failure(&self) -> impl Future<Output = String> + use<> {
        let engine = self.running.as_ref().map(|running| running.engine.clone());
        async move {
            match engine {
                Some(engine) => engine.failed().await,
                None => std::future::pending().await,
            }
        }
    }

    fn report(&mut self) {
        let Some(running) = &self.running else { return };
        let report = Report {
            version: VERSION,
            sequence: self.sequence,
            metrics_url: running.metrics_url.clone(),
            tasks: running.engine.reports(),
        };
        self.sequence += 1;
        let sent = serde_json::to_vec(&report).map(|report| self.handle.message(report));
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!(?sent, "report not sent");
        }
    }

    fn update(&self, id: &TaskId, state: TaskState, message: Option<String>) {
        tracing::info!(task = %id, ?state, message = message.as_deref().unwrap_or(""), "update");
        self.handle.update(TaskStatus {
            task_id: id.clone(),
            state,
            message,
            source: None,
            reason: None,
            data: self.asked_by.filter(|_| state == TaskState::TaskKilled).map(end_data),
            agent_id: None,
            executor_id: None,
            timestamp: None,
            uuid: None,
        });
    }

    /// Waits until the agent knows how all tasks ended.
    async fn finish(self) {
        let by_grace = self.leaving.map_or(FLUSH_WITHIN, |end| end.saturating_duration_since(Instant::now()));
        let patience = by_grace.clamp(REPORT_TIME, FLUSH_WITHIN);
        if tokio::time::timeout(patience, self.handle.flush()).await.is_err() {
            tracing::warn!(
                unacknowledged = self.handle.unacknowledged(),
                "leaving without the agent's acknowledgement"
            );
        }
        if let Some(running) = self.running {
            running.engine.close().await;
        }
    }
}

async fn start(data: ExecutorData) -> anyhow::Result<Running> {
    let metrics = Arc::new(Metrics::new(&data.job.name.0, &data.job.source.topic));
    let address = data.location.address.clone();
    let metrics_url = http::serve(&address, data.metrics_port, data.metrics_sha256.clone(), metrics.clone())
        .await
        .with_context(|| format!("metrics endpoint on {address}"))?;
    Ok(Running { engine: Engine::new(data, metrics), metrics_url })
}

/// Refuses data of a newer version before it is read as something it may not be.
fn check_version(data: &[u8]) -> anyhow::Result<()> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_slice(data).context("unreadable data")?;
    anyhow::ensure!(
        version <= VERSION,
        "the scheduler speaks protocol version {version}, this executor {VERSION}: deploy the executor of the scheduler's version"
    );
    Ok(())
}

/// For people: the message of the last update.
fn asked_text(by: AskedBy) -> &'static str {
    match by {
        AskedBy::Signal => "its executor was asked to leave by SIGTERM",
        AskedBy::Agent => "its agent shut the executor down",
    }
}

/// For the scheduler.
fn end_data(asked_by: AskedBy) -> Base64 {
    let data = EndData { version: VERSION, asked_by };
    Base64(serde_json::to_vec(&data).expect("a plain struct becomes JSON"))
}

fn grace(policy: Option<KillPolicy>) -> Option<Duration> {
    let nanos = policy?.grace_period?.nanoseconds;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use millstream_mesos_types::DurationInfo;

    use super::*;

    #[test]
    fn a_newer_version_is_refused_with_both_versions() {
        assert!(check_version(br#"{"version":1,"partitions":[0]}"#).is_ok());
        let error = check_version(br#"{"version":2,"something":"else"}"#).unwrap_err().to_string();
        assert!(error.contains('2') && error.contains('1') && error.contains("deploy"), "{error}");
        assert!(check_version(b"{}").is_err());
    }

    #[test]
    fn who_asked_is_told_in_a_form_that_can_be_read_again() {
        let Base64(data) = end_data(AskedBy::Signal);
        assert_eq!(String::from_utf8_lossy(&data), r#"{"version":1,"asked_by":"signal"}"#);
        assert_eq!(serde_json::from_slice::<EndData>(&data).expect("own form").asked_by, AskedBy::Signal);
    }

    #[test]
    fn a_grace_is_read_from_the_policy() {
        let policy = |nanoseconds| Some(KillPolicy { grace_period: Some(DurationInfo { nanoseconds }) });
        assert_eq!(grace(policy(5_000_000_000)), Some(Duration::from_secs(5)));
        assert_eq!(grace(policy(-1)), Some(Duration::ZERO));
        assert_eq!(grace(None), None);
    }
}
