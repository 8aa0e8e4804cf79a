//! The operator API, `POST /api/v1` of a master: what people and tests do to agents.

use std::time::Duration;

use millstream_mesos_types::{AgentId, OperationKind, Resource, Resources};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Amounts, Cluster, MESOS_VERSION, MachineId, QuotaConfig, Refusal, Schedule, calls::DEFAULT_REFUSAL,
    operations::Asker,
};

/// `mesos.v1.master.Call`, as far as it is implemented.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // Mesos' own names say it
pub enum OperatorCall {
    GetHealth,
    GetVersion,
    GetAgents,
    GetMaintenanceSchedule,
    GetMaintenanceStatus,
    GetQuota,
    UpdateMaintenanceSchedule {
        update_maintenance_schedule: NewSchedule,
    },
    StartMaintenance {
        start_maintenance: Machines,
    },
    StopMaintenance {
        stop_maintenance: Machines,
    },
    DrainAgent {
        drain_agent: DrainAgent,
    },
    DeactivateAgent {
        deactivate_agent: OneAgent,
    },
    ReactivateAgent {
        reactivate_agent: OneAgent,
    },
    MarkAgentGone {
        mark_agent_gone: OneAgent,
    },
    ReserveResources {
        reserve_resources: AgentResources,
    },
    UnreserveResources {
        unreserve_resources: AgentResources,
    },
    UpdateQuota {
        update_quota: UpdateQuota,
    },
    #[serde(other)]
    Unknown,
}

/// `Call.UpdateMaintenanceSchedule`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewSchedule {
    /// Replaces the one there was.
    pub schedule: Schedule,
}

/// `Call.StartMaintenance`, `Call.StopMaintenance`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machines {
    /// Which.
    #[serde(default)]
    pub machines: Vec<MachineId>,
}

/// `Call.DrainAgent`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainAgent {
    /// Which.
    pub agent_id: AgentId,
    /// Cuts the tasks' own graces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_grace_period: Option<ProtoDuration>,
    /// It will not come back once it is drained.
    #[serde(default)]
    pub mark_gone: bool,
}

/// `google.protobuf.Duration`, written as an object here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtoDuration {
    /// Seconds.
    #[serde(default)]
    pub seconds: u64,
    /// Nanoseconds besides.
    #[serde(default)]
    pub nanos: u32,
}

/// `Call.DeactivateAgent`, `Call.ReactivateAgent`, `Call.MarkAgentGone`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneAgent {
    /// Which.
    pub agent_id: AgentId,
}

/// `Call.ReserveResources`, `Call.UnreserveResources`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentResources {
    /// Where.
    pub agent_id: AgentId,
    /// What, with the reservation that is made or taken away.
    #[serde(default)]
    pub resources: Vec<Resource>,
}

/// `Call.UpdateQuota`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateQuota {
    /// By role.
    #[serde(default)]
    pub quota_configs: Vec<QuotaConfig>,
}

/// What an operator is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// 200, with a body when something was asked.
    Ok(Option<Value>),
    /// 202: the agent will do it.
    Accepted,
}

impl Cluster {
    /// One call of an operator.
    pub fn operate(&mut self, now: Duration, call: OperatorCall) -> Result<Answer, Refusal> {
        use OperatorCall::*;
        self.led(now)?;
        let answer = |kind: &str, key: &str, body: Value| Ok(Answer::Ok(Some(json!({ "type": kind, key: body }))));
        match call {
            GetHealth => return answer("GET_HEALTH", "get_health", json!({ "healthy": true })),
            GetVersion => {
                let info = json!({ "version": MESOS_VERSION });
                return answer("GET_VERSION", "get_version", json!({ "version_info": info }));
            }
            GetAgents => return answer("GET_AGENTS", "get_agents", self.agents_view()),
            GetMaintenanceSchedule => {
                let body = json!({ "schedule": self.maintenance_schedule() });
                return answer("GET_MAINTENANCE_SCHEDULE", "get_maintenance_schedule", body);
            }
            GetMaintenanceStatus => {
                let body = json!({ "status": self.maintenance_status() });
                return answer("GET_MAINTENANCE_STATUS", "get_maintenance_status", body);
            }
            GetQuota => {
                let configs: Vec<_> = self.quota().collect();
                return answer("GET_QUOTA", "get_quota", json!({ "status": { "configs": configs } }));
            }
            UpdateMaintenanceSchedule { update_maintenance_schedule } => {
                self.schedule_maintenance(now, update_maintenance_schedule.schedule)?;
            }
            StartMaintenance { start_maintenance } => self.machines_down(now, &start_maintenance.machines)?,
            StopMaintenance { stop_maintenance } => self.machines_up(now, &stop_maintenance.machines)?,
            DrainAgent { drain_agent } => {
                let grace = drain_agent.max_grace_period.map(|grace| Duration::new(grace.seconds, grace.nanos));
                self.drain_agent(now, &drain_agent.agent_id, grace, drain_agent.mark_gone)?;
            }
            DeactivateAgent { deactivate_agent } => self.deactivate_agent(now, &deactivate_agent.agent_id)?,
            ReactivateAgent { reactivate_agent } => self.reactivate_agent(now, &reactivate_agent.agent_id)?,
            MarkAgentGone { mark_agent_gone } => self.mark_agent_gone(now, &mark_agent_gone.agent_id)?,
            ReserveResources { reserve_resources: AgentResources { agent_id, resources } } => {
                let reserve = Resources { resources };
                return self.operate_on_agent(&agent_id, &OperationKind::Reserve { reserve });
            }
            UnreserveResources { unreserve_resources: AgentResources { agent_id, resources } } => {
                let unreserve = Resources { resources };
                return self.operate_on_agent(&agent_id, &OperationKind::Unreserve { unreserve });
            }
            UpdateQuota { update_quota } => self.update_quota(now, update_quota.quota_configs)?,
            Unknown => return Err(Refusal::new(501, "this call is not implemented")),
        }
        Ok(Answer::Ok(None))
    }

    /// Offers that hold what is needed are rescinded; what is used is not taken from anybody.
    fn operate_on_agent(&mut self, id: &AgentId, operation: &OperationKind) -> Result<Answer, Refusal> {
        let agent = self.registered(id).ok_or_else(|| Refusal::new(400, "No agent found with specified ID"))?;
        let conversion = self.conversion(agent, operation, Asker::Operator);
        let needed = conversion.map_err(|error| Refusal::new(400, error))?.consumed;
        let there: Vec<_> =
            self.offers.iter().filter(|(_, offer)| offer.agent == agent).map(|(id, _)| id.clone()).collect();
        for offer_id in there {
            let free = self.agents[agent].free();
            let helps = |offered: &Amounts| offered.kinds().any(|kind| needed.kinds().any(|other| other == kind));
            if free.contains(&needed) || !self.offers.get(&offer_id).is_some_and(|offer| helps(&offer.resources)) {
                continue;
            }
            if let Some(offer) = self.take_offer(&offer_id) {
                let framework = offer.framework.clone();
                let rescind = millstream_mesos_types::scheduler::Rescind { offer_id };
                self.tell(&framework, millstream_mesos_types::scheduler::Event::Rescind { rescind });
                self.filter(&framework, offer, DEFAULT_REFUSAL);
            }
        }
        let mut free = self.agents[agent].free();
        let applied = self.apply(agent, operation, Asker::Operator, &mut free);
        applied.map(|()| Answer::Accepted).map_err(|error| Refusal::new(409, error))
    }
}
