//! Planned maintenance: schedule, machines down and up. Source: `src/master/{maintenance,http}.cpp` of 1.11.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use millstream_mesos_types::{FrameworkId, Unavailability};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{AgentIndex, Cluster, Refusal, model::Departure};

/// `MachineID`: names an agent's machine only when both fields are as the agent's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineId {
    /// Host name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ip: String,
}

/// `maintenance.Schedule`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// The windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
}

/// `maintenance.Window`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Machines that are away together.
    #[serde(default)]
    pub machine_ids: Vec<MachineId>,
    /// From when, and how long.
    pub unavailability: Unavailability,
}

/// A machine of the schedule.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) down: bool,
    pub(super) unavailability: Unavailability,
    /// What frameworks said last to inverse offers.
    pub(super) answers: BTreeMap<FrameworkId, InverseAnswer>,
}

#[derive(Debug)]
pub(super) struct InverseAnswer {
    pub(super) accepted: bool,
    pub(super) unix_nanos: i64,
}

impl Cluster {
    /// Replaces the schedule. Offers of all its agents are rescinded, so that frameworks hear of it at once.
    pub fn schedule_maintenance(&mut self, now: Duration, schedule: Schedule) -> Result<(), Refusal> {
        self.led(now)?;
        self.check_schedule(&schedule)?;
        let mut wanted: BTreeMap<MachineId, Unavailability> = BTreeMap::new();
        for window in &schedule.windows {
            wanted.extend(window.machine_ids.iter().map(|id| (id.clone(), window.unavailability)));
        }
        let mut changed: BTreeSet<MachineId> = self.machines.keys().cloned().collect();
        self.machines.retain(|id, _| wanted.contains_key(id));
        for (id, unavailability) in wanted {
            let down = self.machines.get(&id).is_some_and(|machine| machine.down);
            self.machines.insert(id.clone(), Machine { down, unavailability, answers: BTreeMap::new() });
            changed.insert(id);
        }
        self.schedule = schedule;
        for agent in 0..self.agents.len() {
            if self.agents[agent].is_registered() && changed.contains(&self.agents[agent].machine()) {
                self.rescind_offers(agent);
                self.rescind_inverse_offers(agent);
                self.frameworks.values_mut().for_each(|framework| framework.inverse_filters.retain(|f| f.0 != agent));
            }
        }
        Ok(())
    }

    /// `/maintenance/schedule`
    pub fn maintenance_schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// `/machine/down`: the agents of machines in the schedule are shut down and removed.
    pub fn machines_down(&mut self, now: Duration, ids: &[MachineId]) -> Result<(), Refusal> {
        self.led(now)?;
        self.check_machines(ids, false)?;
        for id in ids {
            if let Some(machine) = self.machines.get_mut(id) {
                machine.down = true;
            }
            for agent in 0..self.agents.len() {
                if self.agents[agent].is_registered() && self.agents[agent].machine() == *id {
                    self.remove_agent(agent, Departure::Removed, "Operator initiated 'Machine DOWN'");
                }
            }
        }
        Ok(())
    }

    /// `/machine/up`: machines leave the schedule. Their agents come back, empty and under new ids, as if somebody had
    /// started them.
    pub fn machines_up(&mut self, now: Duration, ids: &[MachineId]) -> Result<(), Refusal> {
        self.led(now)?;
        self.check_machines(ids, true)?;
        self.machines.retain(|id, _| !ids.contains(id));
        for window in &mut self.schedule.windows {
            window.machine_ids.retain(|id| !ids.contains(id));
        }
        self.schedule.windows.retain(|window| !window.machine_ids.is_empty());
        for agent in 0..self.agents.len() {
            if ids.contains(&self.agents[agent].machine()) {
                self.restore_agent(now, agent);
            }
        }
        Ok(())
    }

    /// `/maintenance/status`
    pub fn maintenance_status(&self) -> Value {
        let draining = self.machines.iter().filter(|(_, machine)| !machine.down).map(|(id, machine)| {
            let statuses = machine.answers.iter().map(|(framework, answer)| {
                json!({
                    "status": if answer.accepted { "ACCEPT" } else { "DECLINE" },
                    "framework_id": framework,
                    "timestamp": { "nanoseconds": answer.unix_nanos },
                })
            });
            json!({ "id": id, "statuses": statuses.collect::<Vec<_>>() })
        });
        let down = self.machines.iter().filter(|(_, machine)| machine.down).map(|(id, _)| id);
        json!({ "draining_machines": draining.collect::<Vec<_>>(), "down_machines": down.collect::<Vec<_>>() })
    }

    /// The planned maintenance of an agent.
    pub(super) fn unavailability(&self, agent: AgentIndex) -> Option<Unavailability> {
        self.machines.get(&self.agents[agent].machine()).map(|machine| machine.unavailability)
    }

    fn check_schedule(&self, schedule: &Schedule) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        for window in &schedule.windows {
            if window.machine_ids.is_empty() {
                return Err(Refusal::new(400, "List of machines in the maintenance window is empty"));
            }
            if window.unavailability.duration.is_some_and(|duration| duration.nanoseconds < 0) {
                return Err(Refusal::new(400, "Unavailability 'duration' is negative"));
            }
            for id in &window.machine_ids {
                check_machine(id)?;
                if !seen.insert(id) {
                    return Err(refused(id, "appears more than once in the schedule"));
                }
            }
        }
        let lost = self.machines.iter().find(|(id, machine)| machine.down && !seen.contains(id));
        lost.map_or(Ok(()), |(id, _)| Err(refused(id, "is deactivated and cannot be removed from the schedule")))
    }

    fn check_machines(&self, ids: &[MachineId], down: bool) -> Result<(), Refusal> {
        if ids.is_empty() {
            return Err(Refusal::new(400, "List of machines is empty"));
        }
        for (index, id) in ids.iter().enumerate() {
            check_machine(id)?;
            if ids[..index].contains(id) {
                return Err(refused(id, "appears more than once in the schedule"));
            }
            match self.machines.get(id) {
                None => return Err(refused(id, "is not part of a maintenance schedule")),
                Some(machine) if machine.down == down => {}
                Some(_) if down => return Err(refused(id, "is not in DOWN mode and cannot be brought up")),
                Some(_) => return Err(refused(id, "is not in DRAINING mode and cannot be brought down")),
            }
        }
        Ok(())
    }
}

fn check_machine(id: &MachineId) -> Result<(), Refusal> {
    match id.hostname.is_empty() && id.ip.is_empty() {
        true => Err(Refusal::new(400, "Both 'hostname' and 'ip' for a machine are empty")),
        false => Ok(()),
    }
}

fn refused(id: &MachineId, why: &str) -> Refusal {
    Refusal::new(400, format!("Machine '{}' {why}", json!(id)))
}
