//! A scheduler, its store and a master, all in memory. Every step is checked against the invariants.

mod checks;
mod jobs;
mod master;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_mesos_types::{scheduler::Call, *};
use millstream_protocol::*;
use millstream_spec as spec;
use serde_json::Value;

use self::{
    checks::{check_acknowledgements, check_answers},
    jobs::{does, task_report},
};
pub(super) use self::{
    jobs::{FAILS, STALLS, STOPS, job, job_that, settings, topology},
    master::{Agent, Running},
};
use crate::*;

pub(super) const JOB: &str = "flights";
pub(super) const FRAMEWORK: &str = "framework-1";

pub(super) struct World {
    pub(super) state: State,
    pub(super) store: BTreeMap<String, Value>,
    pub(super) now: Now,
    pub(super) agents: BTreeMap<String, Agent>,
    pub(super) tasks: BTreeMap<String, Running>,
    /// Inputs on their way from the master.
    pub(super) queue: VecDeque<Input>,
    pub(super) calls: Vec<Call>,
    pub(super) audit: Vec<Audit>,
    /// Crash points until the scheduler dies: three in each step that stores or sends something (before the records,
    /// between records and calls, after the calls).
    pub(super) dies_after: Option<usize>,
    pub(super) dead: bool,
    /// The master refuses all operations but launches.
    pub(super) refuses_operations: bool,
    /// Outcomes that have not been acknowledged.
    pub(super) outcomes: BTreeMap<String, OperationStatus>,
    ids: BTreeSet<String>,
    /// What last ran on each partition of each job: blocks of older generations are sealed by newer ones.
    epochs: BTreeMap<(String, i32), ExecutorData>,
    /// Offers that were accepted, whether the ACCEPT arrived or not.
    accepted: BTreeSet<String>,
    numbers: u64,
}

impl World {
    /// Not subscribed yet; three agents of 4 CPUs and 4 GiB, named `agent-1` to `agent-3`.
    pub(super) fn new() -> World {
        let agents = (1..=3).map(|i| (format!("agent-{i}"), Agent { free: (4.0, 4096.0), ..Agent::default() }));
        World {
            state: State::new(settings()),
            store: BTreeMap::new(),
            now: Now { mono_ms: 5_000, wall_ms: 1_700_000_000_000 },
            agents: agents.collect(),
            tasks: BTreeMap::new(),
            queue: VecDeque::new(),
            calls: vec![],
            audit: vec![],
            dies_after: None,
            dead: false,
            refuses_operations: false,
            outcomes: BTreeMap::new(),
            ids: BTreeSet::new(),
            epochs: BTreeMap::new(),
            accepted: BTreeSet::new(),
            numbers: 0,
        }
    }

    /// Subscribed, the job deployed, its topology known.
    pub(super) fn with_job(partitions: i32) -> World {
        let mut world = World::new();
        world.subscribe();
        world.deploy(job());
        world.topology(partitions);
        world
    }

    /// Everything placed, running and reporting.
    pub(super) fn running(partitions: i32) -> World {
        let mut world = World::with_job(partitions);
        world.offer_all();
        world.run_all();
        world.report_all();
        world
    }

    /// One step: records, then calls, then the invariants.
    pub(super) fn input(&mut self, input: Input) -> Effects {
        if self.dead {
            return Effects::default();
        }
        if self.dies_after.is_some() {
            let effects = step(&mut self.state.clone(), input.clone(), self.now);
            let counts = !effects.records.is_empty() || !effects.calls.is_empty();
            if counts && self.dies_here() {
                return Effects::default();
            }
            let effects = self.input_dying_before_calls(input);
            if counts && self.dies_here() {
                return effects;
            }
            effects.calls.iter().for_each(|call| self.obey(call));
            self.dead |= counts && self.dies_here();
            return effects;
        }
        let effects = self.input_dying_before_calls(input);
        for call in &effects.calls {
            self.obey(call);
        }
        effects
    }

    fn dies_here(&mut self) -> bool {
        match &mut self.dies_after {
            Some(0) => (self.dead, self.dies_after) = (true, None),
            Some(points) => *points -= 1,
            None => {}
        }
        self.dead
    }

    /// A step whose records are stored and whose calls are lost.
    pub(super) fn input_dying_before_calls(&mut self, input: Input) -> Effects {
        let (offers, inverse, uuid) = match &input {
            Input::Offers(offers) => (offers.iter().map(|offer| offer.id.clone()).collect(), vec![], None),
            Input::InverseOffers(offers) => (vec![], offers.iter().map(|offer| offer.id.clone()).collect(), None),
            Input::Update(status) => (vec![], vec![], status.uuid.clone()),
            Input::OperationStatus(status) => (vec![], vec![], status.uuid.as_ref().map(|uuid| uuid.value.clone())),
            _ => (vec![], vec![], None),
        };
        let effects = step(&mut self.state, input, self.now);
        for change in &effects.records {
            match &change.value {
                Some(value) => drop(self.store.insert(change.key.clone(), value.clone())),
                None => drop(self.store.remove(&change.key)),
            }
        }
        self.calls.extend(effects.calls.iter().cloned());
        self.audit.extend(effects.audit.iter().cloned());
        check_answers(&effects, &mut self.accepted, offers, inverse);
        check_acknowledgements(&effects, uuid);
        self.check_store();
        assert!(
            self.state.is_subscribed() || effects.calls.is_empty(),
            "calls without a subscription: {:?}",
            effects.calls
        );
        effects
    }

    /// The scheduler dies and comes back from its records.
    pub(super) fn restart(&mut self) {
        let records = self.store.clone();
        self.dead = false;
        self.state = State::restore(settings(), records.clone()).expect("own records");
        assert_eq!(self.state.records(), records);
        self.queue.retain(|input| !matches!(input, Input::Offers(_)));
    }

    pub(super) fn subscribe(&mut self) -> Effects {
        self.input(Input::Subscribed { framework_id: FrameworkId::new(FRAMEWORK) })
    }

    pub(super) fn deploy(&mut self, spec: spec::JobSpec) -> Effects {
        let toml = serde_json::to_string(&spec).expect("a job");
        self.input(Input::Deploy { spec: Box::new(spec), toml, begun: None })
    }

    pub(super) fn topology(&mut self, partitions: i32) -> Effects {
        self.input(Input::Topology { job: JOB.into(), topology: topology(partitions) })
    }

    /// Time passes in ticks, executors report once a second.
    pub(super) fn pass(&mut self, ms: u64) {
        self.pass_with(ms, |world| world.report_all());
    }

    /// Time passes in silence.
    pub(super) fn pass_silently(&mut self, ms: u64) {
        self.pass_with(ms, |_| {});
    }

    fn pass_with(&mut self, ms: u64, mut each_second: impl FnMut(&mut World)) {
        for tick in 1..=ms / TICK_MS {
            self.now.mono_ms += TICK_MS;
            self.now.wall_ms += TICK_MS;
            self.input(Input::Tick);
            if tick % 4 == 0 {
                self.allocate_maintenance();
                each_second(self);
            }
        }
    }

    /// One event with an offer of each agent.
    pub(super) fn offer_all(&mut self) -> Effects {
        let agents = self.agents.iter().filter(|(_, agent)| !agent.draining);
        let agents: Vec<_> = agents.map(|(id, _)| id.clone()).collect();
        let offers = agents.iter().map(|agent| self.offer(agent)).collect();
        self.input(Input::Offers(offers))
    }

    /// What the master has queued arrives.
    pub(super) fn deliver(&mut self) {
        while let Some(input) = self.queue.pop_front() {
            self.input(input);
        }
    }

    /// All launched tasks say RUNNING; those of a job that [`fails`] fail.
    pub(super) fn run_all(&mut self) {
        let staging: Vec<_> = self.tasks.iter().filter(|(_, task)| task.state != TaskState::TaskRunning).collect();
        for (id, fails) in
            staging.into_iter().map(|(id, task)| (id.clone(), does(&task.told, FAILS))).collect::<Vec<_>>()
        {
            self.update(&id, if fails { TaskState::TaskFailed } else { TaskState::TaskRunning }, None);
        }
    }

    /// That many seconds of a cluster in which everything works.
    pub(super) fn live(&mut self, secs: usize) {
        for _ in 0..secs {
            self.deliver();
            self.run_all();
            self.pass(1_000);
            self.offer_all();
        }
        self.deliver();
    }

    /// An update of a task with a new uuid; ended tasks give their room back.
    pub(super) fn update(&mut self, task: &str, state: TaskState, reason: Option<&str>) -> Effects {
        let status = self.status(task, state, reason);
        self.set_state(task, state);
        self.input(Input::Update(status))
    }

    pub(super) fn status(&mut self, task: &str, state: TaskState, reason: Option<&str>) -> TaskStatus {
        self.numbers += 1;
        TaskStatus {
            task_id: TaskId::new(task),
            state,
            message: Some("as it happens".into()),
            source: None,
            reason: reason.map(str::to_owned),
            data: None,
            agent_id: Some(AgentId::new(self.tasks.get(task).map_or("agent-1", |task| &task.agent))),
            executor_id: None,
            timestamp: None,
            uuid: Some(Base64(self.numbers.to_be_bytes().to_vec())),
        }
    }

    pub(super) fn set_state(&mut self, id: &str, state: TaskState) {
        if !state.is_terminal() {
            if let Some(task) = self.tasks.get_mut(id) {
                task.state = state;
            }
            return;
        }
        let Some(task) = self.tasks.remove(id) else { return };
        let agent = self.agents.get_mut(&task.agent).expect("a known agent");
        agent.free = (agent.free.0 + task.cpus, agent.free.1 + task.mem);
        agent.reserved.extend(task.volumes);
        if !self.tasks.values().any(|other| other.executor == task.executor)
            && let Some(info) = agent.executors.remove(&task.executor)
        {
            agent.free.0 += scalar_sum(&info.resources, "cpus");
            agent.free.1 += scalar_sum(&info.resources, "mem");
        }
    }

    /// Every executor with running tasks reports.
    pub(super) fn report_all(&mut self) {
        let executors: BTreeSet<_> = self.tasks.values().map(|task| task.executor.clone()).collect();
        for executor in executors {
            self.report(&executor);
        }
    }

    pub(super) fn report(&mut self, executor: &str) -> Effects {
        let mine = self.tasks.iter().filter(|(_, task)| task.executor == executor);
        let mine: Vec<_> = mine.filter(|(_, task)| task.state == TaskState::TaskRunning).collect();
        let Some(agent_id) = mine.first().map(|(_, task)| task.agent.clone()) else { return Effects::default() };
        let tasks = mine.iter().map(|(id, task)| task_report(id, task)).collect();
        let report = Report { version: VERSION, sequence: 0, metrics_url: "http://127.0.1.1:1".into(), tasks };
        let data = serde_json::to_vec(&report).expect("a report");
        self.input(Input::Message { agent_id, executor_id: executor.into(), data })
    }

    /// A report of one task whose partitions are as `change` makes them; from its own executor.
    pub(super) fn report_that(&mut self, id: &str, change: impl Fn(&mut PartitionReport)) -> Effects {
        let task = &self.tasks[id];
        let (agent_id, executor_id) = (task.agent.clone(), task.executor.clone());
        let mut told = task_report(id, task);
        told.partitions.iter_mut().for_each(change);
        let report =
            Report { version: VERSION, sequence: 0, metrics_url: "http://127.0.1.1:1".into(), tasks: vec![told] };
        let data = serde_json::to_vec(&report).expect("a report");
        self.input(Input::Message { agent_id, executor_id, data })
    }

    /// An executor dies, by this wait status, and its agent says so.
    pub(super) fn crash(&mut self, task: &str, wait_status: i32) -> Effects {
        let (agent, executor) = (self.tasks[task].agent.clone(), self.tasks[task].executor.clone());
        self.set_state(task, TaskState::TaskFailed);
        let effects = self.input(Input::Failure {
            agent_id: Some(agent),
            executor_id: Some(executor),
            status: Some(wait_status),
        });
        let status = self.status(task, TaskState::TaskFailed, Some("REASON_EXECUTOR_TERMINATED"));
        self.input(Input::Update(status));
        effects
    }

    /// The current task of a slot.
    pub(super) fn task_of(&self, slot: u32) -> Option<String> {
        self.state.store.slot(&(JOB.into(), slot)).expect("a slot").task.clone()
    }

    pub(super) fn launches(effects: &Effects) -> Vec<TaskInfo> {
        let mut tasks = vec![];
        for call in &effects.calls {
            if let Call::Accept { accept } = call {
                for operation in &accept.operations {
                    if let OperationKind::Launch { launch } = &operation.kind {
                        tasks.extend(launch.task_infos.clone());
                    }
                }
            }
        }
        tasks
    }

    pub(super) fn kills(effects: &Effects) -> Vec<String> {
        let kills = effects.calls.iter().filter_map(|call| match call {
            Call::Kill { kill } => Some(kill.task_id.value.clone()),
            _ => None,
        });
        kills.collect()
    }

    /// Failures that are held against the job.
    pub(super) fn failures(&self) -> u32 {
        let backoffs = self.state.jobs.get(JOB).into_iter().flat_map(|job| job.backoffs.values());
        backoffs.map(|backoff| backoff.failures).sum()
    }

    /// How many calls of a kind have been sent since the last look.
    pub(super) fn count(&mut self, is: impl Fn(&Call) -> bool) -> usize {
        std::mem::take(&mut self.calls).iter().filter(|call| is(call)).count()
    }
}
