use std::collections::BTreeMap;

use super::{Amounts, Cluster, allocator::Wanter};

/// What roles and frameworks have, against all there is.
pub(super) struct Shares {
    total: Amounts,
    by_role: BTreeMap<String, Amounts>,
    by_wanter: BTreeMap<Wanter, Amounts>,
}

impl Shares {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let mut shares = Self { total: Amounts::default(), by_role: BTreeMap::new(), by_wanter: BTreeMap::new() };
        for agent in cluster.agents.iter().filter(|agent| agent.is_registered()) {
            shares.total.add(&agent.total);
            for ((framework, _), executor) in &agent.executors {
                shares.add(&(framework.clone(), executor.role.clone()), &executor.resources);
            }
        }
        for (id, framework) in &cluster.frameworks {
            for task in framework.tasks.values().filter(|task| !super::is_over(task.latest)) {
                shares.add(&(id.clone(), task.role.clone()), &task.resources);
            }
        }
        for offer in cluster.offers.values() {
            shares.add(&(offer.framework.clone(), offer.role.clone()), &offer.resources);
        }
        shares
    }

    pub(super) fn add(&mut self, wanter: &Wanter, amounts: &Amounts) {
        self.by_role.entry(wanter.1.clone()).or_default().add(amounts);
        self.by_wanter.entry(wanter.clone()).or_default().add(amounts);
    }

    /// Lowest first: by the role's dominant share, then by the framework's within it.
    pub(super) fn rank(&self, wanter: &Wanter) -> f64 {
        // A share is at most 1: the second one never outweighs a difference that matters in the first.
        self.dominant(self.by_role.get(&wanter.1)) + self.dominant(self.by_wanter.get(wanter)) * 1e-6
    }

    /// What counts against the quota of a role: all that is reserved for it or a role below it, used or not, and of the
    /// unreserved what they have.
    pub(super) fn consumed(&self, role: &str, name: &str) -> u64 {
        let is_of = |other: &str| other == role || other.strip_prefix(role).is_some_and(|rest| rest.starts_with('/'));
        let reserved = self.total.filter(|kind| is_of(kind.reservation_role()) && !kind.revocable);
        let unreserved = self.by_role.iter().filter(|(other, _)| is_of(other)).map(|(_, amounts)| {
            let counted = amounts.filter(|kind| kind.reservations.is_empty() && !kind.revocable);
            counted.thousandths(name)
        });
        reserved.thousandths(name) + unreserved.sum::<u64>()
    }

    fn dominant(&self, amounts: Option<&Amounts>) -> f64 {
        let share = |name| {
            let (have, all) = (amounts.map_or(0, |amounts| amounts.thousandths(name)), self.total.thousandths(name));
            if all == 0 { 0.0 } else { have as f64 / all as f64 }
        };
        f64::max(share("cpus"), share("mem"))
    }
}
