use millstream_mesos_types::{
    Address, AgentId, AllocationInfo, Attribute, AttributeConstraint, DurationInfo, FrameworkId, InverseOffer, Offer,
    OfferId, Predicate, Pseudoattribute, RoleConstraints, Selector, Text, TimeInfo, Unavailability, Url,
    scheduler::{Event as MesosEvent, InverseOffers, Offers},
};

use super::{Offered, others_want};
use crate::{
    amounts::{Amounts, ROLE},
    jobs::{host_name, rack},
    world::World,
};

/// Less than this is not offered.
const CPUS_MIN_MILLI: u64 = 10;
const MEM_MIN_MIB: u64 = 32;

/// What a constraint names.
pub(super) enum Named<'a> {
    Hostname,
    Attribute(&'a str),
    /// Region or zone: agents here have none.
    Nothing,
}

/// One group must hold, and in it every constraint. Regular expressions are taken as matching: RE2 is Mesos' own.
pub(super) fn holds(constraints: &RoleConstraints, attribute: impl Fn(&Named<'_>) -> Option<String>) -> bool {
    let constraint_holds = |constraint: &AttributeConstraint| {
        let named = match &constraint.selector {
            Selector::AttributeName(name) => Named::Attribute(name),
            Selector::PseudoattributeType(Pseudoattribute::Hostname) => Named::Hostname,
            Selector::PseudoattributeType(_) => Named::Nothing,
        };
        let found = attribute(&named);
        match &constraint.predicate {
            Predicate::Exists {} => found.is_some(),
            Predicate::NotExists {} => found.is_none(),
            Predicate::TextEquals { value } => found.as_ref() == Some(value),
            Predicate::TextNotEquals { value } => found.as_ref() != Some(value),
            Predicate::TextMatches { .. } => found.is_some(),
            Predicate::TextNotMatches { .. } => true,
        }
    };
    constraints.groups.iter().any(|group| group.attribute_constraints.iter().all(constraint_holds))
}

impl World {
    /// Offers what is free to the framework that wants it.
    pub(super) fn allocate(&mut self) {
        self.others_take_and_give();
        let Some(master) = &self.master else { return };
        let wanting = master.frameworks.iter().find(|(_, framework)| framework.stream.is_some());
        let Some(framework) = wanting.map(|(id, _)| id.clone()) else { return };
        self.ask_back(&framework);
        let Some(master) = &mut self.master else { return };
        let Some(known) = master.frameworks.get_mut(&framework) else { return };
        let now = self.now;
        known.filters.retain(|filter| filter.until > now);
        if known.suppressed {
            return;
        }
        let agents: Vec<String> = master.agents.keys().cloned().collect();
        let offers: Vec<Offer> = agents.iter().filter_map(|agent| self.offer(&framework, agent)).collect();
        if !offers.is_empty() {
            self.tell_framework(&framework, MesosEvent::Offers { offers: Offers { offers } });
        }
    }

    fn offer(&mut self, framework: &str, agent: &str) -> Option<Offer> {
        let mut free = self.free(agent)?;
        let master = self.master.as_ref()?;
        let (known, machine) = (master.frameworks.get(framework)?, master.agents.get(agent)?.machine);
        if !known.revocable {
            free = free.with_revocable(0, 0);
        }
        let is_enough = free.cpus() >= CPUS_MIN_MILLI || free.mem() >= MEM_MIN_MIB;
        let refused = known.filters.iter().any(|filter| filter.agent == agent && filter.refused.contains(&free));
        let wanted = known.may_be_offered(free.cpus(), free.mem(), |named| match named {
            Named::Hostname => Some(host_name(machine)),
            Named::Attribute("rack") => Some(rack(machine)),
            Named::Attribute(_) | Named::Nothing => None,
        });
        if !is_enough || refused || !wanted {
            return None;
        }
        let id = format!("O{}", self.number());
        let offered = Offered { framework: framework.into(), agent: agent.into(), amounts: free, at: self.now };
        self.master.as_mut()?.offers.insert(id.clone(), offered);
        let host = host_name(machine);
        let address = Address { hostname: Some(host.clone()), ip: Some(format!("127.0.1.{machine}")), port: 5051 };
        let text = |name: &str, value: String| Attribute {
            name: name.into(),
            kind: "TEXT".into(),
            text: Some(Text { value }),
            scalar: None,
        };
        Some(Offer {
            id: OfferId::new(id),
            framework_id: FrameworkId::new(framework),
            agent_id: AgentId::new(agent),
            hostname: host,
            url: Some(Url { scheme: "http".into(), address, path: None }),
            resources: free.resources(),
            attributes: vec![text("rack", rack(machine))],
            executor_ids: vec![],
            allocation_info: Some(AllocationInfo { role: ROLE.into() }),
            domain: None,
            unavailability: self.unavailability(machine),
        })
    }

    /// What of an agent is neither used nor offered; none when nothing of it may be offered now.
    pub(super) fn free(&self, agent: &str) -> Option<Amounts> {
        let master = self.master.as_ref()?;
        let known = master.agents.get(agent)?;
        let machine = &self.machines[known.machine];
        if !known.connected || machine.draining {
            return None;
        }
        let mut used = known.others;
        for (_, _, takes) in known.executors.values() {
            used = used.plus(takes);
        }
        for framework in master.frameworks.values() {
            let theirs = framework.tasks.values().filter(|task| task.agent == agent && !task.state.is_terminal());
            used = theirs.fold(used, |sum, task| sum.plus(&task.takes));
        }
        for offer in master.offers.values().filter(|offer| offer.agent == agent) {
            used = used.plus(&offer.amounts);
        }
        Some(machine.total.minus(&used))
    }

    /// Other frameworks come and go.
    fn others_take_and_give(&mut self) {
        let agents: Vec<String> = self.master.iter().flat_map(|master| master.agents.keys().cloned()).collect();
        let want = others_want(self);
        for agent in agents {
            if want && !self.rng.chance(150) {
                continue;
            }
            let Some(free) = self.free(&agent) else { continue };
            let share = if want { self.rng.below(11) } else { 0 };
            let Some(known) = self.master.as_mut().and_then(|master| master.agents.get_mut(&agent)) else { continue };
            let room = known.others.plus(&Amounts::free(free.cpus_milli[0], free.mem_mib[0]));
            let taken = Amounts::free(room.cpus_milli[0] * share / 10, room.mem_mib[0] * share / 10);
            if taken != known.others {
                known.others = taken;
                *self.outcome.faults.entry("resources taken by others").or_default() += u64::from(share > 0);
            }
        }
    }

    fn unavailability(&self, machine: usize) -> Option<Unavailability> {
        let (start, end) = self.machines[machine].maintenance?;
        let wall_ms = self.clock(self.leader()?).wall_ms;
        let start_ms = wall_ms.saturating_add_signed(start as i64 - self.now as i64);
        Some(Unavailability {
            start: TimeInfo { nanoseconds: start_ms as i64 * 1_000_000 },
            duration: Some(DurationInfo { nanoseconds: end.saturating_sub(start) as i64 * 1_000_000 }),
        })
    }

    /// Inverse offers of agents that are planned to go.
    fn ask_back(&mut self, framework: &str) {
        let Some(master) = &self.master else { return };
        let planned = master.agents.iter().filter(|(_, agent)| {
            !agent.asked_back && agent.connected && self.machines[agent.machine].maintenance.is_some()
        });
        let planned: Vec<(String, usize)> = planned.map(|(id, agent)| (id.clone(), agent.machine)).collect();
        let mut inverse_offers = vec![];
        for (agent, machine) in planned {
            let Some(unavailability) = self.unavailability(machine) else { continue };
            let id = OfferId::new(format!("I{}", self.number()));
            if let Some(known) = self.master.as_mut().and_then(|master| master.agents.get_mut(&agent)) {
                known.asked_back = true;
            }
            let (framework_id, agent_id) = (FrameworkId::new(framework), Some(AgentId::new(agent)));
            inverse_offers.push(InverseOffer { id, framework_id, agent_id, unavailability });
        }
        if !inverse_offers.is_empty() {
            let inverse_offers = InverseOffers { inverse_offers };
            self.tell_framework(framework, MesosEvent::InverseOffers { inverse_offers });
        }
    }
}
