//! What the master is told of our wishes, so that it offers nothing useless: least amounts (`offer_filters`), constraints on
//! agents (`offer_constraints`) and capabilities. A pure function of what waits; placement decides all the same, so that
//! leaving something out costs offers and never a place.

mod constraints;

use std::collections::BTreeMap;

use millstream_mesos_types::{
    AttributeConstraint, Capability, ConstraintGroup, FrameworkId, MinAllocatableResources, OfferConstraints,
    OfferFilters, ResourceQuantities, RoleConstraints, Scalar, scheduler::Subscribe,
};
use millstream_placement::Resources;
use millstream_spec::JobSpec;

use crate::{
    State, offers,
    records::{JobPhase, JobRecord},
};

/// Most different sizes of tasks the master is told; it compares each agent with each of them. More become one, the least
/// of each kind.
const SIZES_MAX: usize = 8;

/// Most alternatives of constraints, one for each waiting job that has other ones. More become none at all.
const GROUPS_MAX: usize = 32;

/// Bytes of a MiB, Mesos' unit of memory.
const MIB: u64 = 1 << 20;

/// What we want of the master.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wishes {
    /// Revocable resources are welcome.
    pub(crate) revocable: bool,
    /// Sizes of what waits, none of them as large as another; empty before anything ever waited.
    pub(crate) sizes: Vec<Resources>,
    /// An agent must fulfil all of one group; empty when any agent will do.
    pub(crate) groups: Vec<Vec<AttributeConstraint>>,
}

impl Wishes {
    /// Wishes of now. While nothing waits, sizes and constraints stay as they were: SUPPRESS says that nothing is wanted.
    /// Volumes to be destroyed may be on any agent, however little of it is free.
    pub(crate) fn now(state: &State, last: &Wishes) -> Wishes {
        if !state.given_up.is_empty() {
            return Wishes { revocable: revocable(state), ..Wishes::default() };
        }
        let waiting = waiting(state);
        if waiting.is_empty() {
            return Wishes { revocable: revocable(state), ..last.clone() };
        }
        Wishes {
            revocable: revocable(state),
            sizes: sizes(waiting.iter().map(|spec| size(spec)).collect()),
            groups: groups(&waiting),
        }
    }

    /// SUBSCRIBE, or UPDATE_FRAMEWORK, with these wishes.
    pub(crate) fn subscription(&self, state: &State, suppressed: bool) -> Subscribe {
        let role = &state.settings.framework.role;
        let mut framework_info = crate::framework_info(&state.settings.framework);
        framework_info.id = state.framework_id().map(FrameworkId::new);
        if self.revocable {
            framework_info.capabilities.push(Capability { kind: "REVOCABLE_RESOURCES".into() });
        }
        if !self.sizes.is_empty() {
            let quantities = self.sizes.iter().map(quantities).collect();
            let min_allocatable_resources = Some(MinAllocatableResources { quantities });
            framework_info.offer_filters.insert(role.clone(), OfferFilters { min_allocatable_resources });
        }
        let groups = self.groups.iter().cloned();
        let groups = groups.map(|attribute_constraints| ConstraintGroup { attribute_constraints }).collect::<Vec<_>>();
        let offer_constraints = (!groups.is_empty()).then(|| OfferConstraints {
            role_constraints: BTreeMap::from([(role.clone(), RoleConstraints { groups })]),
        });
        let suppressed_roles = if suppressed { vec![role.clone()] } else { vec![] };
        Subscribe { framework_info, suppressed_roles, offer_constraints }
    }
}

/// Some job that is not stopped allows revocable resources: as it is, as it was and may be again, or as it will be.
fn revocable(state: &State) -> bool {
    let mut live = state.store.jobs().values().filter(|job| job.phase != JobPhase::Stopped);
    let next = |job: &'_ JobRecord| job.next.as_ref().is_some_and(|next| next.spec.tasks.revocable);
    let good = |job: &'_ JobRecord| job.good().is_some_and(|good| good.spec.tasks.revocable);
    live.any(|job| job.spec.tasks.revocable || next(job) || good(job))
}

/// Of each job with a slot that waits.
fn waiting(state: &State) -> Vec<&JobSpec> {
    let mut waiting: Vec<&JobSpec> = vec![];
    for key in &state.pending {
        let (Some(job), Some(slot)) = (state.store.job(&key.0), state.store.slot(key)) else { continue };
        let spec = job.wanted(slot).spec;
        if waiting.last().is_none_or(|last| !std::ptr::eq(*last, spec)) {
            waiting.push(spec);
        }
    }
    waiting
}

/// Without disk: where its volume is, a task needs none.
fn size(spec: &JobSpec) -> Resources {
    Resources { disk_bytes: 0, ..offers::task_resources(spec) }
}

/// Without those another one implies: enough for the larger is enough for the smaller. An executor's own share is left out,
/// since an agent that has one needs only the task.
fn sizes(all: Vec<Resources>) -> Vec<Resources> {
    let mut sizes: Vec<Resources> = vec![];
    for size in all {
        if !sizes.iter().any(|smaller| size.covers(smaller)) {
            sizes.retain(|larger| !larger.covers(&size));
            sizes.push(size);
        }
    }
    sizes.sort_unstable_by_key(|size| (size.cpus_milli, size.mem_bytes));
    if sizes.len() > SIZES_MAX {
        let least = |of: fn(&Resources) -> u64| sizes.iter().map(of).min().unwrap_or(0);
        let (cpus_milli, mem_bytes) = (least(|size| size.cpus_milli), least(|size| size.mem_bytes));
        sizes = vec![Resources { cpus_milli, mem_bytes, ..Resources::default() }];
    }
    sizes
}

fn quantities(size: &Resources) -> ResourceQuantities {
    let cpus = Scalar { value: size.cpus_milli as f64 / 1_000.0 };
    let mem = Scalar { value: size.mem_bytes.div_ceil(MIB) as f64 };
    ResourceQuantities { quantities: BTreeMap::from([("cpus".to_owned(), cpus), ("mem".to_owned(), mem)]) }
}

/// None when one of the jobs would take any agent.
fn groups(waiting: &[&JobSpec]) -> Vec<Vec<AttributeConstraint>> {
    let mut groups = vec![];
    for spec in waiting {
        let group = constraints::of(&spec.placement.constraints);
        if group.is_empty() {
            return vec![];
        }
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    if groups.len() > GROUPS_MAX { vec![] } else { groups }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(cpus_milli: u64, mib: u64) -> Resources {
        Resources { cpus_milli, mem_bytes: mib * MIB, ..Resources::default() }
    }

    #[test]
    fn a_larger_task_adds_nothing_to_a_smaller_one() {
        assert_eq!(sizes(vec![size(500, 256), size(500, 512), size(500, 256)]), [size(500, 256)]);
        assert_eq!(sizes(vec![size(1_000, 64), size(500, 512), size(2_000, 512)]), [size(500, 512), size(1_000, 64)]);
    }

    #[test]
    fn too_many_sizes_become_the_least_of_each_kind() {
        let all = (1..=9).map(|i| size(i * 100, 1_000 - i)).collect();
        assert_eq!(sizes(all), [size(100, 991)]);
        let all: Vec<_> = (1..=8).map(|i| size(i * 100, 1_000 - i)).collect();
        assert_eq!(sizes(all.clone()), all);
    }
}
