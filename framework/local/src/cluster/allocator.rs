use std::collections::BTreeMap;

use millstream_mesos_types::{
    Address, AllocationInfo, FrameworkId, Offer, OfferId, Url,
    scheduler::{Event, Offers},
};

use super::{AgentIndex, Amounts, Cluster, model::OfferRecord};

/// A framework in one of its roles.
type Wanter = (FrameworkId, String);

impl Cluster {
    /// Offers what is free, each agent's to the framework furthest below its share that wants it.
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
            let free = self.agents[agent].free();
            if !self.agents[agent].active || !free.is_allocatable() {
                continue;
            }
            let willing = wanters.iter().filter(|wanter| !self.refuses(wanter, agent, &free));
            let first = willing.min_by(|a, b| shares.rank(a).total_cmp(&shares.rank(b)).then_with(|| a.cmp(b)));
            let Some(wanter) = first.cloned() else { continue };
            shares.add(&wanter, &free);
            let offer = self.make_offer(&wanter, agent, free);
            offers.entry(wanter.0).or_default().push(offer);
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

    fn refuses(&self, (framework, role): &Wanter, agent: AgentIndex, free: &Amounts) -> bool {
        let filters = self.frameworks.get(framework).into_iter().flat_map(|framework| &framework.filters);
        let agent = &self.agents[agent].id;
        let mut matching =
            filters.filter(|filter| filter.agent == *agent && filter.role == *role && filter.until > self.now);
        matching.any(|filter| filter.refused.contains(free))
    }

    fn make_offer(&mut self, (framework, role): &Wanter, agent: AgentIndex, resources: Amounts) -> Offer {
        let id = OfferId::new(self.new_id("O"));
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
            domain: None,
            unavailability: None,
        };
        let made = OfferRecord { framework: framework.clone(), agent, role: role.clone(), resources };
        self.offers.insert(id, made);
        offer
    }
}

/// What roles and frameworks have, against all there is.
struct Shares {
    total: Amounts,
    by_role: BTreeMap<String, Amounts>,
    by_wanter: BTreeMap<Wanter, Amounts>,
}

impl Shares {
    fn of(cluster: &Cluster) -> Self {
        let mut shares = Self { total: Amounts::default(), by_role: BTreeMap::new(), by_wanter: BTreeMap::new() };
        for agent in cluster.agents.iter().filter(|agent| agent.active) {
            shares.total.add(&agent.total);
            for ((framework, _), executor) in &agent.executors {
                shares.add(&(framework.clone(), executor.role.clone()), &executor.resources);
            }
        }
        for (id, framework) in &cluster.frameworks {
            for task in framework.tasks.values().filter(|task| !task.latest.is_terminal()) {
                shares.add(&(id.clone(), task.role.clone()), &task.resources);
            }
        }
        for offer in cluster.offers.values() {
            shares.add(&(offer.framework.clone(), offer.role.clone()), &offer.resources);
        }
        shares
    }

    fn add(&mut self, wanter: &Wanter, amounts: &Amounts) {
        self.by_role.entry(wanter.1.clone()).or_default().add(amounts);
        self.by_wanter.entry(wanter.clone()).or_default().add(amounts);
    }

    /// Lowest first: by the role's dominant share, then by the framework's within it.
    fn rank(&self, wanter: &Wanter) -> f64 {
        // A share is at most 1: the second one never outweighs a difference that matters in the first.
        self.dominant(self.by_role.get(&wanter.1)) + self.dominant(self.by_wanter.get(wanter)) * 1e-6
    }

    fn dominant(&self, amounts: Option<&Amounts>) -> f64 {
        let share = |name| {
            let (have, all) = (amounts.map_or(0, |amounts| amounts.thousandths(name)), self.total.thousandths(name));
            if all == 0 { 0.0 } else { have as f64 / all as f64 }
        };
        f64::max(share("cpus"), share("mem"))
    }
}
