//! The state machine by itself: a scheduler and executors that are lists of events.

mod constraints;
mod drain;
mod frameworks;
mod maintenance;
mod offers;
mod operations;
mod resources;
mod restarts;
mod tasks;

use std::time::Duration;

use millstream_mesos_types::{
    AgentId, Base64, Capability, CommandInfo, DurationInfo, ExecutorId, ExecutorInfo, Filters, FrameworkId,
    FrameworkInfo, KillPolicy, Offer, OfferId, Operation, Resource, TaskId, TaskInfo, TaskState, TaskStatus, executor,
    scheduler::{self, Accept, Acknowledge, Call, Decline, Envelope, Event, Kill, Reconcile, Roles},
};

use super::*;

const TICK: Duration = Duration::from_millis(200);

struct World {
    cluster: Cluster,
    now: Duration,
    streams: u64,
    effects: Vec<Effect>,
}

/// A framework as its scheduler sees it.
struct Scheduler {
    id: FrameworkId,
    stream: StreamId,
}

impl World {
    fn new(agents: usize) -> Self {
        Self::of(&vec!["cpus:4;mem:4096"; agents])
    }

    /// An agent of each of these resources.
    fn of(resources: &[&str]) -> Self {
        let spec = |(index, resources): (usize, &&str)| AgentSpec {
            address: format!("127.0.1.{}", index + 1),
            port: 5051,
            attributes: crate::options::parse_attributes("rack:r%r;broker:%d", index + 1).unwrap(),
            domain: None,
            total: crate::options::parse_resources(resources).unwrap(),
        };
        Self::with(resources.iter().enumerate().map(spec).collect())
    }

    fn with(agents: Vec<AgentSpec>) -> Self {
        let identity = Identity { master_id: "M".into(), port: 5050, seed: 7, started_unix_secs: 1e9 };
        let cluster = Cluster::new(identity, Settings::default(), agents);
        Self { cluster, now: Duration::ZERO, streams: 0, effects: vec![] }
    }

    fn stream(&mut self) -> StreamId {
        self.streams += 1;
        StreamId(self.streams)
    }

    fn subscribe(&mut self, info: FrameworkInfo) -> Scheduler {
        let stream = self.stream();
        let id = info.id.clone();
        let subscribe = scheduler::Subscribe { framework_info: info, ..Default::default() };
        self.cluster.subscribe(self.now, stream, id.as_ref(), subscribe).unwrap();
        let told = self.told(stream);
        let Some(Event::Subscribed { subscribed }) = told.first() else { panic!("{told:?}") };
        Scheduler { id: subscribed.framework_id.clone(), stream }
    }

    /// Time passes in ticks.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.cluster.tick(self.now);
        }
    }

    /// What a scheduler was told since the last time.
    fn told(&mut self, stream: StreamId) -> Vec<Event> {
        self.effects.extend(self.cluster.take_effects());
        let mine = |effect: &mut Effect| matches!(effect, Effect::Tell(to, _) if *to == stream);
        let events = self.effects.extract_if(.., mine);
        events.map(|effect| if let Effect::Tell(_, event) = effect { event } else { unreachable!() }).collect()
    }

    fn told_executor(&mut self, stream: StreamId) -> Vec<executor::Event> {
        self.effects.extend(self.cluster.take_effects());
        let mine = |effect: &mut Effect| matches!(effect, Effect::TellExecutor(to, _) if *to == stream);
        let events = self.effects.extract_if(.., mine);
        events.map(|effect| if let Effect::TellExecutor(_, event) = effect { event } else { unreachable!() }).collect()
    }

    fn updates(&mut self, scheduler: &Scheduler) -> Vec<TaskStatus> {
        let updates = self.told(scheduler.stream).into_iter().filter_map(|event| match event {
            Event::Update { update } => Some(update.status),
            _ => None,
        });
        updates.collect()
    }

    fn offers(&mut self, scheduler: &Scheduler) -> Vec<Offer> {
        self.pass(TICK);
        let offers = self.told(scheduler.stream).into_iter().filter_map(|event| match event {
            Event::Offers { offers } => Some(offers.offers),
            _ => None,
        });
        offers.flatten().collect()
    }

    fn call(&mut self, scheduler: &Scheduler, call: Call) -> Result<(), Refusal> {
        let envelope = Envelope { framework_id: Some(scheduler.id.clone()), call };
        self.cluster.call(self.now, Some(scheduler.stream), envelope)
    }

    /// ACCEPT of one offer with anything.
    fn accept(&mut self, scheduler: &Scheduler, offer: &Offer, operations: Vec<Operation>) {
        let filters = Some(Filters { refuse_seconds: Some(0.0) });
        let accept = Accept { offer_ids: vec![offer.id.clone()], operations, filters };
        self.call(scheduler, Call::Accept { accept }).unwrap();
    }

    fn agent_id(&self, agent: AgentIndex) -> AgentId {
        self.cluster.agents[agent].id.clone()
    }

    fn launch(&mut self, scheduler: &Scheduler, offer: &OfferId, tasks: Vec<TaskInfo>) {
        let accept =
            Accept { offer_ids: vec![offer.clone()], operations: vec![Operation::launch(tasks)], filters: None };
        self.call(scheduler, Call::Accept { accept }).unwrap();
    }

    fn started(&mut self) -> Vec<Start> {
        self.effects.extend(self.cluster.take_effects());
        let starts = self.effects.extract_if(.., |effect| matches!(effect, Effect::Start(_)));
        starts.map(|effect| if let Effect::Start(start) = effect { *start } else { unreachable!() }).collect()
    }

    fn destroyed(&mut self) -> Vec<ContainerId> {
        self.effects.extend(self.cluster.take_effects());
        let destroyed = self.effects.extract_if(.., |effect| matches!(effect, Effect::Destroy(_)));
        destroyed.map(|effect| if let Effect::Destroy(id) = effect { id } else { unreachable!() }).collect()
    }

    fn subscribe_executor(&mut self, scheduler: &Scheduler, agent: AgentIndex) -> StreamId {
        let stream = self.stream();
        let key = (scheduler.id.clone(), ExecutorId::new("e"));
        self.cluster.subscribe_executor(self.now, agent, stream, key, executor::Subscribe::default()).unwrap();
        stream
    }

    fn update(&mut self, scheduler: &Scheduler, agent: AgentIndex, task: &str, state: TaskState, uuid: u8) {
        let update = executor::Update { status: status(task, state, uuid) };
        let call = executor::Call::Update { update };
        let envelope =
            executor::Envelope { executor_id: ExecutorId::new("e"), framework_id: scheduler.id.clone(), call };
        self.cluster.call_executor(self.now, agent, envelope).unwrap();
    }

    fn acknowledge(&mut self, scheduler: &Scheduler, status: &TaskStatus) {
        let acknowledge = Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        self.call(scheduler, Call::Acknowledge { acknowledge }).unwrap();
    }

    /// Another task that is started on any agent with an offer; all others are declined.
    fn running_again(&mut self, scheduler: &Scheduler, id: &str) {
        for offer in self.cluster.offers.keys().cloned().collect::<Vec<_>>() {
            let decline = Decline { offer_ids: vec![offer], filters: Some(Filters { refuse_seconds: Some(0.0) }) };
            self.call(scheduler, Call::Decline { decline }).unwrap();
        }
        let offer = self.offers(scheduler).remove(0);
        self.launch(scheduler, &offer.id, vec![task(&offer, id, 1.0)]);
        assert!(self.updates(scheduler).is_empty(), "nothing is wrong with {id}");
        assert!(self.started().iter().any(|start| start.agent_id == offer.agent_id));
    }

    /// A task that runs on agent 0; returns the executor's stream.
    fn running(&mut self, scheduler: &Scheduler) -> StreamId {
        let offer = self.offers(scheduler).into_iter().find(|offer| offer.hostname == "127.0.1.1").unwrap();
        self.launch(scheduler, &offer.id, vec![task(&offer, "t", 1.0)]);
        let stream = self.subscribe_executor(scheduler, 0);
        self.update(scheduler, 0, "t", TaskState::TaskRunning, 1);
        let update = self.updates(scheduler).remove(0);
        self.acknowledge(scheduler, &update);
        stream
    }
}

fn status(task: &str, state: TaskState, uuid: u8) -> TaskStatus {
    TaskStatus {
        task_id: TaskId::new(task),
        state,
        message: None,
        source: Some("SOURCE_EXECUTOR".into()),
        reason: None,
        data: None,
        agent_id: None,
        executor_id: None,
        timestamp: None,
        uuid: Some(Base64(vec![uuid; 16])),
    }
}

fn framework(role: &str) -> FrameworkInfo {
    let capability = |kind: &str| Capability { kind: kind.into() };
    FrameworkInfo {
        user: "u".into(),
        name: "n".into(),
        roles: vec![role.into()],
        failover_timeout: 60.0,
        capabilities: vec![capability("MULTI_ROLE"), capability("PARTITION_AWARE")],
        ..FrameworkInfo::default()
    }
}

fn task(offer: &Offer, id: &str, cpus: f64) -> TaskInfo {
    let executor = ExecutorInfo {
        kind: Some("CUSTOM".into()),
        executor_id: ExecutorId::new("e"),
        framework_id: None,
        command: Some(CommandInfo { value: Some("true".into()), ..CommandInfo::default() }),
        resources: vec![Resource::scalar("cpus", 0.5, None), Resource::scalar("mem", 32.0, None)],
        name: None,
        data: None,
        shutdown_grace_period: None,
    };
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id),
        agent_id: offer.agent_id.clone(),
        resources: vec![Resource::scalar("cpus", cpus, None)],
        executor: Some(executor),
        data: None,
        kill_policy: None,
    }
}

fn decline(offer: &Offer, refuse_secs: f64) -> Call {
    let filters = Some(Filters { refuse_seconds: Some(refuse_secs) });
    Call::Decline { decline: Decline { offer_ids: vec![offer.id.clone()], filters } }
}

fn kill(task: &str, grace: Option<Duration>) -> Call {
    let grace_period = grace.map(|grace| DurationInfo { nanoseconds: grace.as_nanos() as i64 });
    let kill_policy = grace.map(|_| KillPolicy { grace_period });
    Call::Kill { kill: Kill { task_id: TaskId::new(task), agent_id: None, kill_policy } }
}

fn states(updates: &[TaskStatus]) -> Vec<(TaskState, &str)> {
    updates.iter().map(|update| (update.state, update.reason.as_deref().unwrap_or_default())).collect()
}

/// With a capability more.
fn capable(mut info: FrameworkInfo, what: &str) -> FrameworkInfo {
    info.capabilities.push(Capability { kind: what.into() });
    info
}

/// The same resource, reserved, made persistent or revocable.
fn marked(mut resource: Resource, key: &str, mark: serde_json::Value) -> Resource {
    resource.rest.insert(key.into(), mark);
    resource
}
