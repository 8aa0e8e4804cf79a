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
    pub(super) volumes: Vec<Resource>,
    /// What its executor was told.
    pub(super) told: ExecutorData,
    pub(super) partitions: Vec<i32>,
}

#[derive(Default)]
pub(super) struct Agent {
    pub(super) free: (f64, f64),
    /// Unreserved, in MiB.
    pub(super) disk: f64,
    /// Reserved disk and volumes that no task holds.
    pub(super) reserved: Vec<Resource>,
    /// An operator drains it: nothing of it is offered.
    pub(super) draining: bool,
    /// Its planned maintenance, and until when the framework does not want to be asked again.
    pub(super) maintenance: Option<(Unavailability, u64)>,
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
                self.allocate_maintenance();
                each_second(self);
            }
        }
    }

    /// The operator plans a maintenance of the agent.
    pub(super) fn plan_maintenance(&mut self, agent: &str, in_secs: u64, secs: u64) {
        let start = TimeInfo { nanoseconds: (self.now.wall_ms + in_secs * 1_000) as i64 * 1_000_000 };
        let duration = Some(DurationInfo { nanoseconds: secs as i64 * 1_000_000_000 });
        self.agents.get_mut(agent).expect("a known agent").maintenance = Some((Unavailability { start, duration }, 0));
    }

    /// As the allocator does: an inverse offer for each agent with planned maintenance and something of the framework on
    /// it, unless a filter holds.
    pub(super) fn allocate_maintenance(&mut self) {
        let now = self.now.mono_ms;
        let asked = self.agents.iter().filter(|(id, agent)| {
            agent.maintenance.is_some_and(|(_, until)| now >= until)
                && self.tasks.values().any(|task| task.agent == **id)
        });
        let asked: Vec<String> = asked.map(|(id, _)| id.clone()).collect();
        if asked.is_empty() || !self.state.is_subscribed() {
            return;
        }
        let offers = asked.iter().map(|agent| self.inverse_offer(agent)).collect();
        let effects = self.input(Input::InverseOffers(offers));
        let answers = effects.calls.iter().filter_map(|call| match call {
            Call::AcceptInverseOffers { accept_inverse_offers: answer } => Some(answer),
            Call::DeclineInverseOffers { decline_inverse_offers: answer } => Some(answer),
            _ => None,
        });
        let refuse_secs = answers.filter_map(|answer| answer.filters?.refuse_seconds).fold(5.0, f64::max);
        for agent in asked {
            if let Some((_, until)) = &mut self.agents.get_mut(&agent).expect("a known agent").maintenance {
                *until = now + (refuse_secs * 1_000.0) as u64;
            }
        }
    }

    pub(super) fn inverse_offer(&mut self, agent: &str) -> InverseOffer {
        self.numbers += 1;
        InverseOffer {
            id: OfferId::new(format!("inverse-{}", self.numbers)),
            framework_id: FrameworkId::new(FRAMEWORK),
            agent_id: Some(AgentId::new(agent)),
            unavailability: self.agents[agent].maintenance.expect("a maintenance").0,
        }
    }

    pub(super) fn last_number(&self) -> u64 {
        self.numbers
    }

    /// DRAIN_AGENT: the agent kills its tasks, which take their time.
    pub(super) fn drain_agent(&mut self, agent: &str, mark_gone: bool) {
        self.agents.get_mut(agent).expect("a known agent").draining = true;
        let (killing, killed) = match mark_gone {
            true => (TaskState::TaskGoneByOperator, TaskState::TaskGoneByOperator),
            false => (TaskState::TaskKilling, TaskState::TaskKilled),
        };
        let here: Vec<_> =
            self.tasks.iter().filter(|(_, task)| task.agent == agent).map(|(id, _)| id.clone()).collect();
        for id in &here {
            let status = self.status(id, killing, Some("REASON_AGENT_DRAINING"));
            self.queue.push_back(Input::Update(status));
        }
        for id in &here {
            let status = self.status(id, killed, Some("REASON_AGENT_DRAINING"));
            self.set_state(id, TaskState::TaskKilled);
            self.queue.push_back(Input::Update(status));
        }
    }

    pub(super) fn offer(&mut self, agent: &str) -> Offer {
        self.numbers += 1;
        let unavailability = self.agents[agent].maintenance.map(|(unavailability, _)| unavailability);
        let (cpus, mem) = self.agents[agent].free;
        let number = agent.trim_start_matches("agent-");
        let disk = self.agents[agent].disk_resources();
        let mut offer: Offer = serde_json::from_value(json!({
            "id": { "value": format!("offer-{}", self.numbers) },
            "framework_id": { "value": FRAMEWORK },
            "agent_id": { "value": agent },
            "hostname": format!("host-{number}"),
            "url": { "scheme": "http", "address": { "ip": format!("127.0.1.{number}"), "port": 5051 } },
            "allocation_info": { "role": "stream" },
            "unavailability": unavailability,
            "attributes": [{ "name": "rack", "type": "TEXT", "text": { "value": format!("r{number}") } }],
            "resources": [
                { "name": "cpus", "type": "SCALAR", "scalar": { "value": cpus }, "allocation_info": { "role": "stream" } },
                { "name": "mem", "type": "SCALAR", "scalar": { "value": mem }, "allocation_info": { "role": "stream" } },
                { "name": "ports", "type": "RANGES", "ranges": { "range": [{ "begin": 1, "end": 9 }] } },
            ],
        }))
        .expect("an offer");
        offer.resources.extend(disk);
        offer
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

    /// The master does what it is told.
    pub(super) fn obey(&mut self, call: &Call) {
        match call {
            Call::Accept { accept } => {
                let mut tasks = accept.operations.iter().filter_map(|operation| match &operation.kind {
                    OperationKind::Launch { launch } => launch.task_infos.first(),
                    _ => None,
                });
                let agent = tasks.next().map(|task| task.agent_id.value.clone());
                for operation in &accept.operations {
                    match &operation.kind {
                        OperationKind::Launch { launch } => {
                            launch.task_infos.iter().for_each(|info| self.launch(info));
                        }
                        _ => self.operate(agent.as_deref(), operation),
                    }
                }
            }
            Call::AcknowledgeOperationStatus { acknowledge_operation_status: acknowledge } => {
                self.outcomes.remove(&acknowledge.operation_id.value);
            }
            Call::ReconcileOperations { reconcile_operations } => {
                for asked in &reconcile_operations.operations {
                    let known = self.outcomes.get(&asked.operation_id.value).cloned();
                    let unknown = OperationStatus {
                        operation_id: Some(asked.operation_id.clone()),
                        state: OperationState::OperationUnknown,
                        message: None,
                        uuid: None,
                        agent_id: asked.agent_id.clone(),
                    };
                    let status = OperationStatus { uuid: None, ..known.unwrap_or(unknown) };
                    self.queue.push_back(Input::OperationStatus(status));
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

    /// RESERVE, CREATE, DESTROY or UNRESERVE. What takes something away names an agent by what it has.
    fn operate(&mut self, agent: Option<&str>, operation: &Operation) {
        self.numbers += 1;
        let with = |agents: &BTreeMap<String, Agent>, resource: &Resource| {
            agents.iter().find(|(_, agent)| agent.reserved.contains(resource)).map(|(id, _)| id.clone())
        };
        let known = match &operation.kind {
            OperationKind::Destroy { destroy } => with(&self.agents, &destroy.volumes[0]),
            OperationKind::Unreserve { unreserve } => with(&self.agents, &unreserve.resources[0]),
            _ => agent.map(str::to_owned),
        };
        let id = known.filter(|_| !self.refuses_operations);
        let agent = id.as_ref().and_then(|id| self.agents.get_mut(id));
        let done = agent.is_some_and(|agent| agent.convert(&operation.kind));
        let status = OperationStatus {
            operation_id: operation.id.clone(),
            state: if done { OperationState::OperationFinished } else { OperationState::OperationError },
            message: None,
            // The master itself refuses, and says so once.
            uuid: done.then(|| Uuid { value: Base64(self.numbers.to_be_bytes().to_vec()) }),
            agent_id: id.map(AgentId::new),
        };
        if let Some(operation_id) = operation.id.as_ref().filter(|_| done) {
            self.outcomes.insert(operation_id.value.clone(), status.clone());
        }
        self.queue.push_back(Input::OperationStatus(status));
    }

    fn launch(&mut self, info: &TaskInfo) {
        let volumes: Vec<_> = info.resources.iter().filter(|resource| resource.name == "disk").cloned().collect();
        let kept = &mut self.agents.get_mut(&info.agent_id.value).expect("a known agent").reserved;
        if volumes.iter().any(|volume| !kept.contains(volume)) {
            let status = self.status(&info.task_id.value, TaskState::TaskError, Some("REASON_TASK_INVALID"));
            return self.queue.push_back(Input::Update(status));
        }
        kept.retain(|resource| !volumes.contains(resource));
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
        let told = info.executor.as_ref().and_then(|executor| executor.data.as_ref()).expect("executor data");
        let told: ExecutorData = serde_json::from_slice(&told.0).expect("executor data");
        let data: TaskData = serde_json::from_slice(&info.data.as_ref().expect("data").0).expect("task data");
        self.check_epoch(&told, &data.partitions);
        let state = TaskState::TaskStaging;
        let running = Running { agent, executor: name, cpus, mem, state, volumes, told, partitions: data.partitions };
        assert!(self.ids.insert(info.task_id.value.clone()), "task id {} was used before", info.task_id);
        self.tasks.insert(info.task_id.value.clone(), running);
    }

    /// Generations never go back on a partition, and one never has two meanings (delivery.md D5).
    fn check_epoch(&mut self, told: &ExecutorData, partitions: &[i32]) {
        for partition in partitions {
            if let Some(last) = self.epochs.insert((told.job.name.0.clone(), *partition), told.clone()) {
                let (old, new) = (&last.job, &told.job);
                let same = (&old.source, &old.columns, &old.transform, &old.sink)
                    == (&new.source, &new.columns, &new.transform, &new.sink);
                let above = last.generation + u64::from(!same);
                assert!(
                    told.generation >= above,
                    "partition {partition}: {} after {}",
                    told.generation,
                    last.generation
                );
            }
        }
    }

    fn end(&mut self, id: &str, state: TaskState) {
        if self.tasks.contains_key(id) {
            let status = self.status(id, state, None);
            self.set_state(id, state);
            self.queue.push_back(Input::Update(status));
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

fn check_acknowledgements(effects: &Effects, uuid: Option<Base64>) {
    for call in &effects.calls {
        let acknowledged = match call {
            Call::Acknowledge { acknowledge } => &acknowledge.uuid,
            Call::AcknowledgeOperationStatus { acknowledge_operation_status: acknowledge } => &acknowledge.uuid,
            _ => continue,
        };
        assert_eq!(Some(acknowledged), uuid.as_ref(), "only what has a uuid is acknowledged");
    }
}

impl Agent {
    fn disk_resources(&self) -> Vec<Resource> {
        let role = Some(AllocationInfo { role: "stream".into() });
        let free = (self.disk > 0.0).then(|| Resource::scalar("disk", self.disk, role));
        free.into_iter().chain(self.reserved.iter().cloned()).collect()
    }

    /// Is it valid? Then it is done.
    fn convert(&mut self, operation: &OperationKind) -> bool {
        let plain = |volume: &Resource| {
            let mut disk = volume.clone();
            disk.rest.remove("disk");
            disk
        };
        let (taken, made) = match operation {
            OperationKind::Reserve { reserve } => (None, Some(reserve.resources[0].clone())),
            OperationKind::Unreserve { unreserve } => (Some(unreserve.resources[0].clone()), None),
            OperationKind::Create { create } => (Some(plain(&create.volumes[0])), Some(create.volumes[0].clone())),
            OperationKind::Destroy { destroy } => (Some(destroy.volumes[0].clone()), Some(plain(&destroy.volumes[0]))),
            OperationKind::Launch { .. } | OperationKind::Unknown => return false,
        };
        let amount = |resource: &Option<Resource>| resource.as_ref().map_or(0.0, |r| r.scalar.expect("disk").value);
        let free = self.disk + amount(&taken) - amount(&made);
        match taken.map(|taken| self.reserved.iter().position(|resource| *resource == taken)) {
            Some(None) => return false,
            Some(Some(at)) => drop(self.reserved.remove(at)),
            None if free < 0.0 => return false,
            None => {}
        }
        self.disk = free;
        self.reserved.extend(made);
        true
    }
}

fn check_answers(
    effects: &Effects,
    accepted: &mut BTreeSet<String>,
    mut offers: Vec<OfferId>,
    mut inverse: Vec<OfferId>,
) {
    let (mut answered, mut answered_inverse) = (vec![], vec![]);
    for call in &effects.calls {
        match call {
            Call::Accept { accept } => {
                answered.extend(accept.offer_ids.clone());
                accepted.extend(accept.offer_ids.iter().map(|id| id.value.clone()));
            }
            // Of a launch that never arrived.
            Call::Decline { decline } if decline.offer_ids.iter().all(|id| accepted.contains(&id.value)) => {}
            Call::Decline { decline } => answered.extend(decline.offer_ids.clone()),
            Call::AcceptInverseOffers { accept_inverse_offers: answer }
            | Call::DeclineInverseOffers { decline_inverse_offers: answer } => {
                answered_inverse.extend(answer.inverse_offer_ids.clone());
            }
            _ => {}
        }
    }
    for ids in [&mut answered, &mut answered_inverse, &mut offers, &mut inverse] {
        ids.sort();
    }
    assert_eq!(answered, offers, "every offer is answered once, in the step that brings it");
    assert_eq!(answered_inverse, inverse, "and so is every inverse offer");
}

/// In a job's SQL: its tasks fail at once, stop at a record, or never get further than waiting for Cassandra.
pub(super) const FAILS: &str = "fails";
pub(super) const STOPS: &str = "stops";
pub(super) const STALLS: &str = "stalls";

/// The job with this SQL.
pub(super) fn job_that(sql: &str) -> spec::JobSpec {
    let mut spec = job();
    spec.transform.sql = format!("SELECT id AS {sql} FROM input");
    spec
}

fn does(told: &ExecutorData, what: &str) -> bool {
    told.job.transform.sql.contains(what)
}

fn task_report(id: &str, task: &Running) -> TaskReport {
    let (status, reason) = match &task.told {
        told if does(told, STOPS) => (PartitionStatus::Stopped, Some("bad record".to_owned())),
        told if does(told, STALLS) => (PartitionStatus::Stalled, Some("Cassandra: no host".to_owned())),
        _ => (PartitionStatus::Running, None),
    };
    let partition = |partition: &i32| PartitionReport {
        partition: *partition,
        position: Some(10),
        durable: Some(7),
        log_end: Some(12),
        lag_ms: Some(40),
        status,
        reason: reason.clone(),
    };
    TaskReport {
        task_id: id.into(),
        partitions: task.partitions.iter().map(partition).collect(),
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
