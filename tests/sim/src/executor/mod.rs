//! Executor processes, after `executors/stream/src/executor.rs`: they speak the real protocol and run a small data path.

mod consume;

use std::collections::BTreeMap;

use millstream_mesos_types::{TaskInfo, TaskState, TaskStatus};
use millstream_protocol::{ExecutorData, REPORT_INTERVAL_MS, TaskData, VERSION};
use millstream_spec::JobSpec;

use crate::{
    Ms,
    event::{Event, FromExecutor, ToExecutor},
    master::{agent_status, uuid},
    nemesis::Fault,
    trace::say,
    world::World,
};
use consume::Cursor;

/// `MESOS_RECOVERY_TIMEOUT`, shortened so that it matters within a run.
const RECOVERY_MS: Ms = 40_000;

/// An executor without tasks leaves after this.
const IDLE_MS: Ms = 60_000;

/// The last updates wait so long for their acknowledgement.
const FLUSH_MS: Ms = 10_000;

pub(crate) struct Executor {
    pub(crate) machine: usize,
    pub(crate) id: String,
    pub(crate) framework: String,
    alive: bool,
    pub(crate) paused_until: Option<Ms>,
    /// Its connection to the agent; none while there is none.
    session: Option<u64>,
    /// How often the connection was lost.
    losses: u64,
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Launched and not acknowledged.
    new_tasks: Vec<String>,
    updates: Vec<TaskStatus>,
    /// Number of the job, once its first task has come.
    pub(crate) job: Option<usize>,
    pub(crate) generation: u64,
    /// What its job was told to be.
    pub(crate) spec: Option<JobSpec>,
    sequence: u64,
    idle_since: Ms,
    /// No more tasks are taken; it ends by then.
    leaving: Option<Ms>,
}

pub(crate) struct Task {
    pub(crate) partitions: BTreeMap<i32, Cursor>,
    draining: bool,
    grace_ms: Ms,
    records: u64,
}

impl Executor {
    pub(crate) fn new(machine: usize, id: String, framework: String) -> Executor {
        Executor {
            machine,
            id,
            framework,
            alive: true,
            paused_until: None,
            session: None,
            losses: 0,
            tasks: BTreeMap::new(),
            new_tasks: vec![],
            updates: vec![],
            job: None,
            generation: 0,
            spec: None,
            sequence: 0,
            idle_since: 0,
            leaving: None,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    /// SIGKILL. What it has sent to Cassandra may still land.
    pub(crate) fn die(&mut self) {
        self.alive = false;
    }
}

impl World {
    pub(crate) fn executor_event(&mut self, event: Event) {
        let at = match &event {
            Event::Lands { .. } => None,
            Event::ExecutorStarts { executor }
            | Event::ToExecutor { executor, .. }
            | Event::ExecutorSubscribes { executor }
            | Event::Beat { executor }
            | Event::Wake { executor }
            | Event::RecoveryTimeout { executor, .. }
            | Event::GraceOver { executor, .. }
            | Event::Exit { executor } => Some(*executor),
            _ => return,
        };
        if let Some(at) = at {
            if !self.executors[at].alive {
                return;
            }
            if let (Some(until), false) = (self.executors[at].paused_until, matches!(event, Event::Wake { .. })) {
                return self.queue.push(until + 1, event);
            }
        }
        match event {
            Event::ExecutorStarts { executor } => self.executor_starts(executor),
            Event::ToExecutor { executor, session, message } => self.hear_agent(executor, session, message),
            Event::ExecutorSubscribes { executor } => self.executor_subscribes(executor),
            Event::Beat { executor } => self.beat(executor),
            Event::Wake { executor } => {
                say!(self, "executor {} wakes up", self.executors[executor].id);
                self.executors[executor].paused_until = None;
            }
            Event::RecoveryTimeout { executor, losses }
                if self.executors[executor].session.is_none() && self.executors[executor].losses == losses =>
            {
                self.leave_executor(executor, "the agent is away for too long");
            }
            Event::GraceOver { executor, task } => self.task_drained(executor, &task),
            Event::Exit { executor } => self.exit(executor, 0),
            Event::Lands { executor, write } => self.lands(executor, write),
            _ => {}
        }
    }

    fn executor_starts(&mut self, at: usize) {
        let job = self.jobs.iter().position(|job| self.executors[at].id.starts_with(&format!("{}.", job.name)));
        if self.plan.bad_binary.is_some_and(|(bad, until)| Some(bad) == job && self.now < until) {
            *self.outcome.faults.entry("executor could not start").or_default() += 1;
            return self.exit(at, 1 << 8);
        }
        self.executors[at].idle_since = self.now;
        self.executor_subscribes(at);
        self.after(REPORT_INTERVAL_MS, Event::Beat { executor: at });
    }

    fn executor_subscribes(&mut self, at: usize) {
        let executor = &self.executors[at];
        if executor.session.is_some() {
            return;
        }
        let machine = &self.machines[executor.machine];
        if !machine.up || !machine.slots.contains_key(&executor.id) {
            let ms = self.rng.between(100, 1_500);
            return self.after(ms, Event::ExecutorSubscribes { executor: at });
        }
        let session = self.number();
        let executor = &mut self.executors[at];
        executor.session = Some(session);
        let message = FromExecutor::Subscribe { tasks: executor.new_tasks.clone(), updates: executor.updates.clone() };
        self.after(1, Event::FromExecutor { executor: at, session, message });
    }

    fn hear_agent(&mut self, at: usize, session: u64, message: ToExecutor) {
        if self.executors[at].session != Some(session) {
            return;
        }
        match message {
            ToExecutor::Launch(task) => self.executor_launch(at, &task),
            ToExecutor::Kill(task) => self.drain_task(at, &task, None),
            ToExecutor::Shutdown => self.leave_executor(at, "shut down by the agent"),
            ToExecutor::Acknowledged(uuid) => {
                let executor = &mut self.executors[at];
                executor.updates.retain(|status| status.uuid.as_ref().is_none_or(|known| known.0 != uuid));
                let open: Vec<_> = executor.updates.iter().map(|status| status.task_id.value.clone()).collect();
                executor.new_tasks.retain(|task| open.contains(task));
            }
            ToExecutor::Closed => {
                let executor = &mut self.executors[at];
                executor.session = None;
                executor.losses += 1;
                let losses = executor.losses;
                let ms = self.rng.between(100, 1_500);
                self.after(ms, Event::ExecutorSubscribes { executor: at });
                self.after(RECOVERY_MS, Event::RecoveryTimeout { executor: at, losses });
            }
        }
    }

    fn executor_launch(&mut self, at: usize, info: &TaskInfo) {
        let id = info.task_id.value.clone();
        if self.executors[at].leaving.is_some() {
            return self.executor_says(at, &id, TaskState::TaskFailed);
        }
        let task: Option<TaskData> = info.data.as_ref().and_then(|data| serde_json::from_slice(&data.0).ok());
        let shared = info.executor.as_ref().and_then(|executor| executor.data.as_ref());
        let shared: Option<ExecutorData> = shared.and_then(|data| serde_json::from_slice(&data.0).ok());
        let (Some(task), Some(shared)) = (task, shared) else {
            return self.violation(format!("the data of {id} cannot be read"));
        };
        if task.version > VERSION || shared.version > VERSION || task.partitions.is_empty() {
            return self.violation(format!("the data of {id} is of version {} or empty", task.version));
        }
        let Some(job) = self.jobs.iter().position(|job| job.name == shared.job.name.0) else { return };
        let result = self.checks.meaning(&shared);
        self.hold(result);
        let executor = &mut self.executors[at];
        if executor.job.is_none() {
            (executor.job, executor.generation) = (Some(job), shared.generation);
            executor.spec = Some(shared.job);
        } else if (executor.job, executor.generation) != (Some(job), shared.generation) {
            let what = format!("I2: {id} of generation {} runs in {}", shared.generation, executor.id);
            return self.violation(what);
        }
        let grace = info
            .kill_policy
            .and_then(|policy| policy.grace_period)
            .map_or(10_000, |g| g.nanoseconds as u64 / 1_000_000);
        let partitions = task.partitions.iter().map(|partition| (*partition, Cursor::default())).collect();
        executor.tasks.insert(id.clone(), Task { partitions, draining: false, grace_ms: grace, records: 0 });
        executor.new_tasks.push(id.clone());
        self.executor_says(at, &id, TaskState::TaskRunning);
    }

    fn executor_says(&mut self, at: usize, task: &str, state: TaskState) {
        let machine = self.executors[at].machine;
        let agent = self.machines[machine].id.clone().unwrap_or_default();
        let mut status = agent_status(task, &agent, &self.executors[at].id, state, None);
        status.uuid = Some(uuid(self.number()));
        self.executors[at].updates.push(status.clone());
        self.tell_own_agent(at, FromExecutor::Update(Box::new(status)));
    }

    fn tell_own_agent(&mut self, at: usize, message: FromExecutor) {
        if let Some(session) = self.executors[at].session {
            self.after(1, Event::FromExecutor { executor: at, session, message });
        }
    }

    fn drain_task(&mut self, at: usize, id: &str, grace_ms: Option<Ms>) {
        let Some(task) = self.executors[at].tasks.get_mut(id) else { return };
        if std::mem::replace(&mut task.draining, true) {
            return;
        }
        let grace = grace_ms.unwrap_or(task.grace_ms).saturating_sub(1_000);
        self.executor_says(at, id, TaskState::TaskKilling);
        self.after(grace, Event::GraceOver { executor: at, task: id.to_owned() });
    }

    /// Its writes are durable, or its time is over.
    fn task_drained(&mut self, at: usize, id: &str) {
        if self.executors[at].tasks.remove(id).is_some() {
            self.executor_says(at, id, TaskState::TaskKilled);
            if self.executors[at].tasks.is_empty() {
                self.leave_executor(at, "all tasks have ended");
            }
        }
    }

    fn leave_executor(&mut self, at: usize, why: &str) {
        if self.executors[at].leaving.is_some() {
            return;
        }
        say!(self, "executor {} leaves: {why}", self.executors[at].id);
        self.executors[at].leaving = Some(self.now + FLUSH_MS);
        for id in self.executors[at].tasks.keys().cloned().collect::<Vec<_>>() {
            self.drain_task(at, &id, Some(FLUSH_MS));
        }
    }

    /// Only a new process can go on: all tasks fail.
    pub(crate) fn engine_fails(&mut self, at: usize) {
        for id in std::mem::take(&mut self.executors[at].tasks).into_keys() {
            self.executor_says(at, &id, TaskState::TaskFailed);
        }
        self.leave_executor(at, "its engine failed");
    }

    pub(crate) fn exit(&mut self, at: usize, status: i32) {
        self.executors[at].die();
        let ms = self.rng.between(2, 40);
        self.after(ms, Event::ExecutorExited { executor: at, status });
    }

    pub(crate) fn pause_executor(&mut self, at: usize, ms: Ms) {
        say!(self, "executor {} is stopped for {ms} ms", self.executors[at].id);
        self.executors[at].paused_until = Some(self.now + ms);
        self.after(ms, Event::Wake { executor: at });
    }

    /// Every second: consume, commit, report; leave when there is nothing left.
    fn beat(&mut self, at: usize) {
        self.consume(at);
        self.report(at);
        let executor = &mut self.executors[at];
        if !executor.tasks.is_empty() {
            executor.idle_since = self.now;
        } else if let Some(end) = executor.leaving {
            if executor.updates.is_empty() || self.now >= end {
                return self.after(1, Event::Exit { executor: at });
            }
        } else if self.now > executor.idle_since + IDLE_MS {
            self.leave_executor(at, "no task for a minute");
        }
        self.after(REPORT_INTERVAL_MS, Event::Beat { executor: at });
    }

    fn write_takes(&mut self) -> Ms {
        match self.is_on(Fault::SlowWrites) && self.rng.chance(50) {
            true => self.rng.between(1_000, 12_000),
            false => self.rng.between(5, 120),
        }
    }
}
