//! What the pages of master and agents show, with the names Mesos gives the fields.

use millstream_mesos_types::{Attribute, FrameworkId, TaskId};
use serde_json::{Map, Value, json};

use super::{
    AgentIndex, Cluster, ExecutorKey,
    model::{Agent, Draining, Executor},
};

/// The version of Mesos whose API is spoken.
pub const MESOS_VERSION: &str = "1.11.0";
const CAPABILITIES: [&str; 6] = [
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
];

impl Cluster {
    /// `/state` of the master.
    pub fn state_view(&self) -> Value {
        let address = format!("127.0.0.1:{}", self.identity.port);
        let registered = self.agents.iter().filter(|agent| agent.is_registered()).count();
        let active = self.agents.iter().filter(|agent| agent.is_active()).count();
        json!({
            "version": MESOS_VERSION,
            "id": self.identity.master_id,
            "pid": format!("master@{address}"),
            "hostname": "127.0.0.1",
            "start_time": self.identity.started_unix_secs,
            "elected_time": self.identity.started_unix_secs,
            "leader": format!("master@{address}"),
            "leader_info": {
                "id": self.identity.master_id, "pid": format!("master@{address}"), "hostname": "127.0.0.1",
                "port": self.identity.port,
            },
            "activated_slaves": active,
            "deactivated_slaves": registered - active,
            "unreachable_slaves": self.agents.len() - registered,
            "flags": {},
            "slaves": self.slaves(),
            "frameworks": self.frameworks.keys().map(|id| self.framework_view(id)).collect::<Vec<_>>(),
            "completed_frameworks": self.removed.views().collect::<Vec<_>>(),
            "unregistered_frameworks": [],
        })
    }

    /// `/slaves` of the master.
    pub fn slaves_view(&self) -> Value {
        json!({ "slaves": self.slaves(), "recovered_slaves": [] })
    }

    /// `/state` of an agent.
    pub fn agent_view(&self, index: AgentIndex) -> Value {
        let agent = &self.agents[index];
        let mut view = slave(agent);
        let frameworks = self.frameworks.iter().map(|(id, framework)| {
            let theirs = agent.executors.iter().filter(|(key, _)| key.0 == *id);
            json!({
                "id": id.value, "name": framework.info.name, "user": framework.info.user,
                "roles": framework.roles(), "checkpoint": framework.info.checkpoint,
                "failover_timeout": framework.info.failover_timeout, "hostname": framework.info.hostname,
                "executors": theirs.map(|(key, executor)| self.agent_executor_view(key, executor)).collect::<Vec<_>>(),
                "completed_executors": [],
            })
        });
        view.insert("frameworks".into(), frameworks.collect::<Vec<_>>().into());
        view.insert("completed_frameworks".into(), json!([]));
        view.insert("master_hostname".into(), json!("127.0.0.1"));
        view.into()
    }

    /// `/containers` of an agent.
    pub fn containers_view(&self, index: AgentIndex) -> Value {
        let container = |(key, executor): (&ExecutorKey, &Executor)| {
            json!({
                "container_id": executor.container.0, "executor_id": key.1.value, "framework_id": key.0.value,
                "executor_name": executor.info.name, "source": key.1.value,
                "status": { "container_id": { "value": executor.container.0 }, "executor_pid": executor.pid },
            })
        };
        self.agents[index].executors.iter().map(container).collect::<Vec<_>>().into()
    }

    pub(super) fn framework_view(&self, id: &FrameworkId) -> Value {
        let Some(framework) = self.frameworks.get(id) else { return Value::Null };
        let executors = self.agents.iter().flat_map(|agent| {
            let theirs = agent.executors.iter().filter(|(key, _)| key.0 == *id);
            theirs.map(|(key, executor)| executor_view(agent, key, executor))
        });
        let mut used = super::Amounts::default();
        let mut offered = super::Amounts::default();
        for task in framework.tasks.values().filter(|task| !super::is_over(task.latest)) {
            used.add(&task.resources);
        }
        for executor in self.agents.iter().flat_map(|agent| &agent.executors).filter(|(key, _)| key.0 == *id) {
            used.add(&executor.1.resources);
        }
        let known = framework.tasks.iter().filter(|(_, task)| self.agents[task.agent].is_registered());
        let tasks = known.map(|(task, _)| self.task_view(id, task));
        let offers: Vec<_> = self.offers.iter().filter(|(_, offer)| offer.framework == *id).collect();
        for (_, offer) in &offers {
            offered.add(&offer.resources);
        }
        json!({
            "id": id.value, "name": framework.info.name, "user": framework.info.user,
            "roles": framework.roles(), "hostname": framework.info.hostname,
            "principal": framework.info.principal, "webui_url": framework.info.webui_url,
            "failover_timeout": framework.info.failover_timeout, "checkpoint": framework.info.checkpoint,
            "capabilities": framework.info.capabilities.iter().map(|c| &c.kind).collect::<Vec<_>>(),
            "registered_time": framework.registered_unix_secs,
            "active": framework.stream.is_some(), "connected": framework.stream.is_some(), "recovered": false,
            "used_resources": used.to_json(), "offered_resources": offered.to_json(),
            "offers": offers.iter().map(|(offer, record)| json!({
                "id": offer.value, "framework_id": id.value, "slave_id": self.agents[record.agent].id.value,
                "resources": record.resources.to_json(),
            })).collect::<Vec<_>>(),
            "tasks": tasks.collect::<Vec<_>>(),
            "unreachable_tasks": framework.unreachable.iter().map(|(task, agent)| json!({
                "id": task.value, "slave_id": agent.value, "framework_id": id.value, "state": "TASK_UNREACHABLE",
            })).collect::<Vec<_>>(),
            "completed_tasks": framework.completed,
            "executors": executors.collect::<Vec<_>>(),
        })
    }

    pub(super) fn task_view(&self, id: &FrameworkId, task_id: &TaskId) -> Value {
        let Some(task) = self.frameworks.get(id).and_then(|framework| framework.tasks.get(task_id)) else {
            return Value::Null;
        };
        let agent = &self.agents[task.agent];
        let executor = agent.executors.get(&(id.clone(), task.executor_id.clone()));
        let statuses = task.statuses.iter().map(|status| {
            json!({
                "state": status.state, "timestamp": status.timestamp, "source": status.source,
                "reason": status.reason, "message": status.message,
                "container_status": {
                    "container_id": { "value": executor.map(|executor| &executor.container.0) },
                    "executor_pid": executor.and_then(|executor| executor.pid),
                },
            })
        });
        json!({
            "id": task_id.value, "name": task.info.name, "framework_id": id.value,
            "executor_id": task.executor_id.value, "slave_id": agent.id.value, "role": task.role,
            "state": task.latest, "resources": task.resources.to_json(),
            "statuses": statuses.collect::<Vec<_>>(),
        })
    }

    fn agent_executor_view(&self, key: &ExecutorKey, executor: &Executor) -> Value {
        let tasks = executor.tasks.iter().map(|task| self.task_view(&key.0, task));
        json!({
            "id": key.1.value, "name": executor.info.name, "source": key.1.value, "role": executor.role,
            "container": executor.container.0, "pid": executor.pid, "resources": executor.resources.to_json(),
            "tasks": tasks.collect::<Vec<_>>(),
            "queued_tasks": executor.queued.iter().map(|task| &task.task_id.value).collect::<Vec<_>>(),
            "completed_tasks": [],
        })
    }

    /// `GET_AGENTS` of the operator API.
    pub(super) fn agents_view(&self) -> Value {
        let registered = self.agents.iter().filter(|agent| agent.is_registered());
        let view = |agent: &Agent| {
            json!({
                "agent_info": {
                    "id": agent.id, "hostname": agent.address, "port": agent.port, "attributes": agent.attributes,
                    "resources": agent.initial.unallocated(), "domain": agent.domain,
                },
                "active": agent.is_active(), "deactivated": agent.deactivated, "version": MESOS_VERSION,
                "pid": format!("slave(1)@{}:{}", agent.address, agent.port),
                "registered_time": { "nanoseconds": (agent.registered_unix_secs * 1e9) as i64 },
                "total_resources": agent.total.unallocated(), "allocated_resources": agent.used.unallocated(),
                "offered_resources": agent.offered.unallocated(),
                "capabilities": CAPABILITIES.map(|kind| json!({ "type": kind })),
                "drain_info": agent.draining.as_ref().map(drain_info),
            })
        };
        json!({ "agents": registered.map(view).collect::<Vec<_>>() })
    }

    fn slaves(&self) -> Vec<Value> {
        self.agents.iter().filter(|agent| agent.is_registered()).map(|agent| slave(agent).into()).collect()
    }
}

fn slave(agent: &Agent) -> Map<String, Value> {
    let attributes: Map<String, Value> = agent.attributes.iter().map(attribute).collect();
    let roles = agent.total.kinds().map(|kind| kind.reservation_role()).filter(|role| *role != "*");
    let of_role = |role: &str| agent.total.filter(|kind| kind.reservation_role() == role).to_json();
    let reserved: Map<String, Value> = roles.map(|role| (role.to_owned(), of_role(role))).collect();
    let view = json!({
        "id": agent.id.value, "hostname": agent.address, "port": agent.port,
        "pid": format!("slave(1)@{}:{}", agent.address, agent.port),
        "attributes": attributes, "registered_time": agent.registered_unix_secs,
        "resources": agent.total.to_json(), "used_resources": agent.used.to_json(),
        "offered_resources": agent.offered.to_json(), "reserved_resources": reserved,
        "unreserved_resources": agent.total.filter(|kind| kind.reservations.is_empty()).to_json(),
        "active": agent.is_active(), "connected": agent.is_connected(), "deactivated": agent.deactivated,
        "drain_info": agent.draining.as_ref().map(drain_info), "domain": agent.domain,
        "version": MESOS_VERSION, "capabilities": CAPABILITIES,
    });
    match view {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn drain_info(draining: &Draining) -> Value {
    let grace = draining.max_grace.map(|grace| json!({ "seconds": grace.as_secs(), "nanos": grace.subsec_nanos() }));
    let state = if draining.drained { "DRAINED" } else { "DRAINING" };
    json!({ "state": state, "config": { "max_grace_period": grace, "mark_gone": draining.mark_gone } })
}

fn attribute(attribute: &Attribute) -> (String, Value) {
    let text = attribute.text.as_ref().map(|text| json!(text.value));
    (attribute.name.clone(), text.or_else(|| attribute.scalar.map(|scalar| json!(scalar.value))).unwrap_or_default())
}

fn executor_view(agent: &Agent, key: &ExecutorKey, executor: &Executor) -> Value {
    json!({
        "executor_id": key.1.value, "framework_id": key.0.value, "slave_id": agent.id.value,
        "name": executor.info.name, "source": key.1.value, "container": executor.container.0, "pid": executor.pid,
        "type": executor.info.kind, "role": executor.role, "resources": executor.resources.to_json(),
    })
}
