use std::collections::BTreeMap;

use millstream_mesos_types::{
    Address, AllocationInfo, FrameworkId, Offer, OfferId, Url,
    scheduler::{Event, Offers},
};

use super::{
    AgentIndex, Amounts, Cluster,
    model::{Framework, OfferRecord},
    shares::Shares,
};

/// A framework in one of its roles.
pub(super) type Wanter = (FrameworkId, String);

impl Cluster {
    /// Offers what is free, each agent's to the framework furthest below its share that wants it; what that one may not
    /// have (reserved for others, revocable) to the next.
    pub(super) fn allocate(&mut self) {
        let wanters = self.wanters();
        if wanters.is_empty() || self.agents.is_empty() {
            return;
        }
        let mut shares = Shares::of(self);
        let mut offers: BTreeMap<FrameworkId, Vec<Offer>> = BTreeMap::new();
        self.first_agent = (self.first_agent + 1) % self.agents.len();
        for step in 0..self.agents.len() {
            let agent = (self.first_agent + step) % self.agents.len();
            if !self.agents[agent].is_active() {
                continue;
            }
            while let Some((wanter, resources)) = self.next_offer(&wanters, agent, &shares) {
                shares.add(&wanter, &resources);
                let offer = self.make_offer(&wanter, agent, resources);
                offers.entry(wanter.0).or_default().push(offer);
            }
        }
        for (framework, offers) in offers {
            self.tell(&framework, Event::Offers { offers: Offers { offers } });
        }
    }

    fn wanters(&self) -> Vec<Wanter> {
        let connected = self.frameworks.iter().filter(|(_, framework)| framework.stream.is_some());
        let roles = connected.flat_map(|(id, framework)| {
            let wanted = framework.roles().into_iter().filter(|role| !framework.suppressed.contains(role));
            wanted.map(|role| (id.clone(), role))
        });
        roles.collect()
    }

    fn next_offer(&self, wanters: &[Wanter], agent: AgentIndex, shares: &Shares) -> Option<(Wanter, Amounts)> {
        let free = self.agents[agent].free();
        if free.is_empty() {
            return None;
        }
        let willing = wanters.iter().filter_map(|wanter| {
            let framework = self.frameworks.get(&wanter.0)?;
            let part = self.part_for(framework, &wanter.1, agent, &free, shares);
            let wanted = is_enough(framework, &wanter.1, &part) && !self.refuses(framework, &wanter.1, agent, &part);
            wanted.then_some((wanter, part))
        });
        let first = willing.min_by(|(a, _), (b, _)| shares.rank(a).total_cmp(&shares.rank(b)).then_with(|| a.cmp(b)));
        first.map(|(wanter, part)| (wanter.clone(), part))
    }

    /// What of an agent's free resources a framework may have in a role.
    fn part_for(
        &self,
        framework: &Framework,
        role: &str,
        agent: AgentIndex,
        free: &Amounts,
        shares: &Shares,
    ) -> Amounts {
        let agent = &self.agents[agent];
        let gpus = agent.total.thousandths("gpus") > 0 && !framework.is_capable_of("GPU_RESOURCES");
        if gpus || framework.constraints.exclude(role, agent) {
            return Amounts::default();
        }
        let (revocable, refined) =
            (framework.is_capable_of("REVOCABLE_RESOURCES"), framework.is_capable_of("RESERVATION_REFINEMENT"));
        let mut part = free.filter(|kind| {
            kind.is_allocatable_to(role) && (revocable || !kind.revocable) && (refined || kind.reservations.len() <= 1)
        });
        self.keep_within_quota(role, &mut part, shares);
        part
    }

    fn refuses(&self, framework: &Framework, role: &str, agent: AgentIndex, part: &Amounts) -> bool {
        let agent = &self.agents[agent].id;
        let mut matching = framework
            .filters
            .iter()
            .filter(|filter| filter.agent == *agent && filter.role == role && filter.until > self.now);
        matching.any(|filter| filter.refused.contains(part))
    }

    fn make_offer(&mut self, (framework, role): &Wanter, agent: AgentIndex, resources: Amounts) -> Offer {
        let id = OfferId::new(self.new_id("O"));
        let unavailability = self.unavailability(agent);
        let record = &mut self.agents[agent];
        record.offered.add(&resources);
        let address =
            Address { hostname: Some(record.address.clone()), ip: Some(record.address.clone()), port: record.port };
        let offer = Offer {
            id: id.clone(),
            framework_id: framework.clone(),
            agent_id: record.id.clone(),
            hostname: record.address.clone(),
            url: Some(Url { scheme: "http".into(), address, path: Some("/slave(1)".into()) }),
            resources: resources.to_resources(role),
            attributes: record.attributes.clone(),
            executor_ids: record.executors.keys().filter(|key| key.0 == *framework).map(|key| key.1.clone()).collect(),
            allocation_info: Some(AllocationInfo { role: role.clone() }),
            domain: record.domain.clone(),
            unavailability,
        };
        let made = OfferRecord { framework: framework.clone(), agent, role: role.clone(), resources };
        self.offers.insert(id, made);
        offer
    }
}

/// As the framework says for the role, else as the master's own minimum.
fn is_enough(framework: &Framework, role: &str, part: &Amounts) -> bool {
    let filters = framework.info.offer_filters.get(role);
    let Some(minimum) = filters.and_then(|filters| filters.min_allocatable_resources.as_ref()) else {
        return part.is_allocatable();
    };
    let holds = |name: &String, least: f64| part.thousandths(name) as f64 >= (least * 1000.0).round();
    let mut alternatives = minimum.quantities.iter();
    !part.is_empty()
        && (minimum.quantities.is_empty()
            || alternatives.any(|all| all.quantities.iter().all(|(name, least)| holds(name, least.value))))
}
