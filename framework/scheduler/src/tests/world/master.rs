//! The master and its agents.

use std::collections::BTreeMap;

use millstream_mesos_types::{scheduler::Call, *};
use millstream_protocol::*;
use serde_json::json;

use super::{FRAMEWORK, World};
use crate::*;

/// A task as the master knows it.
#[derive(Debug, Clone)]
pub(in crate::tests) struct Running {
    pub(in crate::tests) agent: String,
    pub(in crate::tests) executor: String,
    pub(in crate::tests) cpus: f64,
    pub(in crate::tests) mem: f64,
    pub(in crate::tests) state: TaskState,
    pub(in crate::tests) volumes: Vec<Resource>,
    /// What its executor was told.
    pub(in crate::tests) told: ExecutorData,
    pub(in crate::tests) partitions: Vec<i32>,
}

#[derive(Default)]
pub(in crate::tests) struct Agent {
    pub(in crate::tests) free: (f64, f64),
    /// Unreserved, in MiB.
    pub(in crate::tests) disk: f64,
    /// Reserved disk and volumes that no task holds.
    pub(in crate::tests) reserved: Vec<Resource>,
    /// An operator drains it: nothing of it is offered.
    pub(in crate::tests) draining: bool,
    /// Its planned maintenance, and until when the framework does not want to be asked again.
    pub(in crate::tests) maintenance: Option<(Unavailability, u64)>,
    pub(in crate::tests) executors: BTreeMap<String, ExecutorInfo>,
}

impl World {
    /// The operator plans a maintenance of the agent.
    pub(in crate::tests) fn plan_maintenance(&mut self, agent: &str, in_secs: u64, secs: u64) {
        let start = TimeInfo { nanoseconds: (self.now.wall_ms + in_secs * 1_000) as i64 * 1_000_000 };
        let duration = Some(DurationInfo { nanoseconds: secs as i64 * 1_000_000_000 });
        self.agents.get_mut(agent).expect("a known agent").maintenance = Some((Unavailability { start, duration }, 0));
    }

    /// As the allocator does: an inverse offer for each agent with planned maintenance and something of the framework on
    /// it, unless a filter holds.
    pub(in crate::tests) fn allocate_maintenance(&mut self) {
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

    pub(in crate::tests) fn inverse_offer(&mut self, agent: &str) -> InverseOffer {
        self.numbers += 1;
        InverseOffer {
            id: OfferId::new(format!("inverse-{}", self.numbers)),
            framework_id: FrameworkId::new(FRAMEWORK),
            agent_id: Some(AgentId::new(agent)),
            unavailability: self.agents[agent].maintenance.expect("a maintenance").0,
        }
    }

    pub(in crate::tests) fn last_number(&self) -> u64 {
        self.numbers
    }

    /// DRAIN_AGENT: the agent kills its tasks, which take their time.
    pub(in crate::tests) fn drain_agent(&mut self, agent: &str, mark_gone: bool) {
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

    pub(in crate::tests) fn offer(&mut self, agent: &str) -> Offer {
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

    /// The master does what it is told.
    pub(in crate::tests) fn obey(&mut self, call: &Call) {
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

    fn end(&mut self, id: &str, state: TaskState) {
        if self.tasks.contains_key(id) {
            let status = self.status(id, state, None);
            self.set_state(id, state);
            self.queue.push_back(Input::Update(status));
        }
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
