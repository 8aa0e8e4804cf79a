//! A scheduler, its store and a master, all in memory. Every step is checked against the invariants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_mesos_types::{scheduler::Call, *};
use millstream_placement::{JobTopology, Place, Replicas};
use millstream_protocol::*;
use millstream_spec as spec;
use serde_json::{Value, json};

use crate::{records::*, *};

pub(super) const JOB: &str = "flights";
pub(super) const FRAMEWORK: &str = "framework-1";

/// A task as the master knows it.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) agent: String,
    pub(super) executor: String,
    pub(super) cpus: f64,
    pub(super) mem: f64,
    pub(super) state: TaskState,
}

#[derive(Default)]
pub(super) struct Agent {
    pub(super) free: (f64, f64),
    pub(super) executors: BTreeMap<String, ExecutorInfo>,
}

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
    ids: BTreeSet<String>,
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
            ids: BTreeSet::new(),
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
        let effects = self.input_dying_before_calls(input);
        for call in &effects.calls {
            self.obey(call);
        }
        effects
    }

    /// A step whose records are stored and whose calls are lost.
    pub(super) fn input_dying_before_calls(&mut self, input: Input) -> Effects {
        let (offers, uuid) = match &input {
            Input::Offers(offers) => (offers.clone(), None),
            Input::Update(status) => (vec![], status.uuid.clone()),
            _ => (vec![], None),
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
        self.check_answers(&effects, &offers);
        self.check_acknowledgements(&effects, uuid);
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
        self.state = State::restore(settings(), records.clone()).expect("own records");
        assert_eq!(self.state.records(), records);
        self.queue.retain(|input| !matches!(input, Input::Offers(_)));
    }

    pub(super) fn subscribe(&mut self) -> Effects {
        self.input(Input::Subscribed { framework_id: FrameworkId::new(FRAMEWORK) })
    }

    pub(super) fn deploy(&mut self, spec: spec::JobSpec) -> Effects {
        let toml = serde_json::to_string(&spec).expect("a job");
        self.input(Input::Deploy { spec: Box::new(spec), toml })
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
                each_second(self);
            }
        }
    }

    pub(super) fn offer(&mut self, agent: &str) -> Offer {
        self.numbers += 1;
        let (cpus, mem) = self.agents[agent].free;
        let number = agent.trim_start_matches("agent-");
        serde_json::from_value(json!({
            "id": { "value": format!("offer-{}", self.numbers) },
            "framework_id": { "value": FRAMEWORK },
            "agent_id": { "value": agent },
            "hostname": format!("host-{number}"),
            "url": { "scheme": "http", "address": { "ip": format!("127.0.1.{number}"), "port": 5051 } },
            "allocation_info": { "role": "stream" },
            "attributes": [{ "name": "rack", "type": "TEXT", "text": { "value": format!("r{number}") } }],
            "resources": [
                { "name": "cpus", "type": "SCALAR", "scalar": { "value": cpus }, "allocation_info": { "role": "stream" } },
                { "name": "mem", "type": "SCALAR", "scalar": { "value": mem }, "allocation_info": { "role": "stream" } },
                { "name": "ports", "type": "RANGES", "ranges": { "range": [{ "begin": 1, "end": 9 }] } },
            ],
        }))
        .expect("an offer")
    }

    /// One event with an offer of each agent.
    pub(super) fn offer_all(&mut self) -> Effects {
        let agents: Vec<_> = self.agents.keys().cloned().collect();
        let offers = agents.iter().map(|agent| self.offer(agent)).collect();
        self.input(Input::Offers(offers))
    }

    /// What the master has queued arrives.
    pub(super) fn deliver(&mut self) {
        while let Some(input) = self.queue.pop_front() {
            self.input(input);
        }
    }

    /// All launched tasks say RUNNING.
    pub(super) fn run_all(&mut self) {
        let staging: Vec<_> = self.tasks.iter().filter(|(_, task)| task.state != TaskState::TaskRunning).collect();
        for id in staging.into_iter().map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.update(&id, TaskState::TaskRunning, None);
        }
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
        let tasks = mine.iter().map(|(id, _)| task_report(id)).collect();
        let report = Report { version: VERSION, sequence: 0, metrics_url: "http://127.0.1.1:1".into(), tasks };
        let data = serde_json::to_vec(&report).expect("a report");
        self.input(Input::Message { agent_id, executor_id: executor.into(), data })
    }

    /// The master does what it is told.
    fn obey(&mut self, call: &Call) {
        match call {
            Call::Accept { accept } => {
                for operation in &accept.operations {
                    if let OperationKind::Launch { launch } = &operation.kind {
                        launch.task_infos.iter().for_each(|info| self.launch(info));
                    }
                }
            }
            Call::Kill { kill } => self.end(&kill.task_id.value, TaskState::TaskKilled),
            Call::Shutdown { shutdown } => {
                let executor = &shutdown.executor_id.value;
                let tasks = self.tasks.iter().filter(|(_, task)| task.executor == *executor);
                for id in tasks.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                    self.end(&id, TaskState::TaskKilled);
                }
            }
            Call::Reconcile { reconcile } => {
                for task in &reconcile.tasks {
                    let id = &task.task_id.value;
                    let state = self.tasks.get(id).map_or(TaskState::TaskUnknown, |task| task.state);
                    let status = TaskStatus { uuid: None, ..self.status(id, state, Some("REASON_RECONCILIATION")) };
                    self.queue.push_back(Input::Update(status));
                }
            }
            _ => {}
        }
    }

    fn launch(&mut self, info: &TaskInfo) {
        let (cpus, mem) = (scalar_sum(&info.resources, "cpus"), scalar_sum(&info.resources, "mem"));
        let executor = info.executor.clone().expect("a custom executor");
        let agent = self.agents.get_mut(&info.agent_id.value).expect("a known agent");
        let name = executor.executor_id.value.clone();
        match agent.executors.get(&name) {
            Some(known) => assert_eq!(*known, executor, "a running executor's info must not change"),
            None => {
                agent.free.0 -= scalar_sum(&executor.resources, "cpus");
                agent.free.1 -= scalar_sum(&executor.resources, "mem");
                agent.executors.insert(name.clone(), executor);
            }
        }
        agent.free = (agent.free.0 - cpus, agent.free.1 - mem);
        assert!(agent.free.0 > -1e-6 && agent.free.1 > -1e-6, "more launched than offered: {:?}", agent.free);
        let agent = info.agent_id.value.clone();
        let running = Running { agent, executor: name, cpus, mem, state: TaskState::TaskStaging };
        assert!(self.ids.insert(info.task_id.value.clone()), "task id {} was used before", info.task_id);
        self.tasks.insert(info.task_id.value.clone(), running);
    }

    fn end(&mut self, id: &str, state: TaskState) {
        if self.tasks.contains_key(id) {
            let status = self.status(id, state, None);
            self.set_state(id, state);
            self.queue.push_back(Input::Update(status));
        }
    }

    fn check_answers(&mut self, effects: &Effects, offers: &[Offer]) {
        let mut answered = vec![];
        for call in &effects.calls {
            match call {
                Call::Accept { accept } => {
                    answered.extend(accept.offer_ids.clone());
                    self.accepted.extend(accept.offer_ids.iter().map(|id| id.value.clone()));
                }
                // Of a launch that never arrived.
                Call::Decline { decline } if decline.offer_ids.iter().all(|id| self.accepted.contains(&id.value)) => {}
                Call::Decline { decline } => answered.extend(decline.offer_ids.clone()),
                _ => {}
            }
        }
        let mut given: Vec<_> = offers.iter().map(|offer| offer.id.clone()).collect();
        answered.sort();
        given.sort();
        assert_eq!(answered, given, "every offer is answered once, in the step that brings it");
    }

    fn check_acknowledgements(&self, effects: &Effects, uuid: Option<Base64>) {
        for call in &effects.calls {
            if let Call::Acknowledge { acknowledge } = call {
                assert_eq!(Some(&acknowledge.uuid), uuid.as_ref(), "only what has a uuid is acknowledged");
            }
        }
    }

    /// What is stored is what a restart needs, and each partition has at most one current assignment.
    fn check_store(&self) {
        assert_eq!(self.state.records(), self.store, "records and state differ");
        let mut assigned = BTreeSet::new();
        let mut partitions = BTreeSet::new();
        for (key, value) in &self.store {
            let Some(Key::Slot((job, _))) = Key::parse(key) else { continue };
            let slot: SlotRecord = serde_json::from_value(value.clone()).expect("a slot");
            for partition in &slot.partitions {
                assert!(partitions.insert((job.clone(), *partition)), "partition {partition} is in two slots");
            }
            assigned.extend(slot.task);
        }
        for (key, value) in &self.store {
            let Some(Key::Task(id)) = Key::parse(key) else { continue };
            let task: TaskRecord = serde_json::from_value(value.clone()).expect("a task");
            assert_eq!(task.aim != Aim::Condemned, assigned.remove(&id), "task {id} and its slot disagree");
            assert!(self.store.contains_key(&Key::Executor(task.executor).to_string()), "task {id} lacks its executor");
        }
        assert_eq!(assigned, BTreeSet::new(), "slots name tasks that are not there");
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

    /// How many calls of a kind have been sent since the last look.
    pub(super) fn count(&mut self, is: impl Fn(&Call) -> bool) -> usize {
        std::mem::take(&mut self.calls).iter().filter(|call| is(call)).count()
    }
}

fn task_report(id: &str) -> TaskReport {
    let partition: i32 = id.split('.').nth(1).and_then(|slot| slot.parse().ok()).expect("job.slot.number");
    let partition = PartitionReport {
        partition,
        position: Some(10),
        durable: Some(7),
        log_end: Some(12),
        lag_ms: Some(40),
        status: PartitionStatus::Running,
        reason: None,
    };
    TaskReport {
        task_id: id.into(),
        partitions: vec![partition],
        records: 10,
        rows: 7,
        bytes_in: 1_000,
        bytes_in_by_tier: vec![(spec::Tier::Host, 1_000)],
        bytes_out: 2_000,
        bad_records: BadRecordCounts::default(),
        stage_busy_secs: vec![],
    }
}

pub(super) fn settings() -> Settings {
    let framework = FrameworkSettings { role: "stream".into(), ..FrameworkSettings::default() };
    Settings { framework, executor: ExecutorProgram::Path("/opt/millstream-executor".into()), ..Settings::default() }
}

/// A job of one task per partition with 0.5 CPUs and 256 MiB each, that waits at most 5 s for its host.
pub(super) fn job() -> spec::JobSpec {
    serde_json::from_value(json!({
        "name": JOB,
        "source": { "bootstrap": ["127.0.1.1:9092"], "topic": "flights", "group": "flights" },
        "columns": [{ "name": "id", "type": "int", "path": ["id"] }],
        "transform": { "sql": "SELECT id FROM input" },
        "sink": { "contact_points": ["127.0.1.1:9042"], "keyspace": "demo", "table": "flights" },
        "tasks": { "cpus": 0.5, "mem_bytes": 256 << 20 },
    }))
    .expect("a job")
}

/// Leaders go round the three hosts.
pub(super) fn topology(partitions: i32) -> JobTopology {
    let place = |i: i32| Place {
        hosts: vec![format!("host-{i}"), format!("127.0.1.{i}")],
        rack: Some(format!("r{i}")),
        ..Place::default()
    };
    let replicas = |p: i32| Replicas { leader: Some(place(p % 3 + 1)), in_sync_followers: vec![] };
    JobTopology { partitions: (0..partitions).map(|p| (p, replicas(p))).collect(), ..JobTopology::default() }
}
