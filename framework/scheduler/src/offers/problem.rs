//! What waits, as placement's problem.

use std::collections::BTreeMap;

use millstream_placement::{
    AgentOffer, Constraint, ConstraintTest, JobWishes, PlacedTask, Problem, Request, Resources, Tier, Topology,
};
use millstream_spec as spec;

use crate::{State, jobs, records::SlotKey, resources::whole_mib, rollout::Wanted, volumes};

/// Bytes per second of a partition nobody has measured yet. Only its ratio to other jobs' matters.
const GUESSED_BYTES_PER_SEC: f64 = 100_000.0;

/// What is wanted now, and what is offered.
pub(crate) fn problem(state: &State, offers: Vec<AgentOffer>) -> Problem {
    let now = state.now();
    let mut waiting: Vec<_> = state.pending.iter().filter_map(|key| Some((state.slots.get(key)?.since, key))).collect();
    waiting.sort_unstable();
    let requests: Vec<_> = waiting.into_iter().filter_map(|(_, key)| request(state, key, now)).collect();
    let mut jobs = BTreeMap::new();
    let mut topology = Topology::default();
    let mut placed = vec![];
    for request in &requests {
        let Some(key) = parse_request(&request.id).filter(|_| !jobs.contains_key(&request.job)) else { continue };
        let Some(wanted) = wanted(state, &key) else { continue };
        jobs.insert(request.job.clone(), wishes(state, wanted.spec));
        if let Some(known) = state.topologies.get(&key.0) {
            topology.jobs.insert(request.job.clone(), known.clone());
        }
        // Caps hold for all tasks of a job, of whatever version.
        placed.extend(state.store.slots_of(&key.0).filter_map(|(_, slot)| {
            let task = state.store.task(slot.task.as_ref()?)?;
            let place = state.store.executor(&task.executor)?.place.clone();
            Some(PlacedTask { job: request.job.clone(), place, partitions: slot.partitions.len() })
        }));
    }
    Problem {
        now_ms: now,
        placed,
        jobs,
        requests,
        offers,
        topology,
        distances: state.settings.distances,
        launches_max: state.settings.launches_max,
    }
}

/// A job's wishes as placement knows them.
pub(crate) fn wishes(state: &State, spec: &spec::JobSpec) -> JobWishes {
    let reports = state.store.slots_of(&spec.name.0).filter_map(|(_, slot)| {
        let report = state.tasks.get(slot.task.as_ref()?)?.report.as_ref()?;
        Some((report.bytes_in, report.bytes_out))
    });
    let (bytes_in, bytes_out) = reports.fold((0, 0), |sum, report| (sum.0 + report.0, sum.1 + report.1));
    let ratio = if bytes_in == 0 { 1.0 } else { bytes_out as f64 / bytes_in as f64 };
    JobWishes { bytes_out_per_byte_in: ratio, ..job_wishes(spec, &state.settings) }
}

/// The wishes of a job that has not run yet.
pub fn job_wishes(spec: &spec::JobSpec, settings: &crate::Settings) -> JobWishes {
    let placement = &spec.placement;
    JobWishes {
        goal: tier(placement.goal),
        max_share_per_host: placement.max_share_per_host,
        max_share_per_rack: placement.max_share_per_rack,
        constraints: placement.constraints.iter().map(constraint).collect(),
        executor_overhead: Resources {
            cpus_milli: settings.executor_cpus_milli,
            mem_bytes: whole_mib(settings.executor_mem_bytes),
            disk_bytes: 0,
            ports: u32::from(settings.executor_port),
        },
        bytes_out_per_byte_in: 1.0,
        roles: vec![settings.framework.role.clone()],
    }
}

/// What one task of a job takes besides the executor, rounded as Mesos counts.
pub fn task_resources(spec: &spec::JobSpec) -> Resources {
    Resources {
        cpus_milli: (spec.tasks.cpus * 1_000.0).round() as u64,
        mem_bytes: whole_mib(spec.tasks.mem_bytes),
        disk_bytes: whole_mib(spec.tasks.volume_bytes.unwrap_or(0)),
        ports: 0,
    }
}

/// Bytes per second to reckon with for this many partitions nobody has measured.
pub fn guessed_bytes_per_sec(partitions: usize) -> f64 {
    GUESSED_BYTES_PER_SEC * partitions as f64
}

fn request(state: &State, key: &SlotKey, now: u64) -> Option<Request> {
    let (wanted, slot, wish) = (wanted(state, key)?, state.store.slot(key)?, state.slots.get(key)?);
    let avoid = wish.avoid.iter().filter(|(_, until)| *until > now);
    let avoid_agents: Vec<String> = avoid.map(|(agent, _)| agent.clone()).collect();
    Some(Request {
        id: format!("{}/{}", key.0, key.1),
        job: wanted.placed_as(),
        partitions: slot.partitions.clone(),
        resources: task_resources(wanted.spec),
        bytes_in_per_sec: wish.bytes_per_sec.unwrap_or_else(|| guessed_bytes_per_sec(slot.partitions.len())),
        wait_from_ms: wish.since,
        deadline_ms: wish.since + wanted.spec.placement.max_wait_ms,
        not_before_ms: jobs::slot_not_before(state, key, wanted.version),
        volume: volumes::home(state, key, wanted.spec.tasks.volume_bytes, &avoid_agents),
        avoid_agents,
        revocable: wanted.spec.tasks.revocable,
    })
}

/// What the slot runs or shall run.
pub(crate) fn wanted<'a>(state: &'a State, key: &SlotKey) -> Option<Wanted<'a>> {
    Some(state.store.job(&key.0)?.wanted(state.store.slot(key)?))
}

pub(super) fn parse_request(id: &str) -> Option<SlotKey> {
    let (job, index) = id.rsplit_once('/')?;
    Some((job.into(), index.parse().ok()?))
}

/// The tier a job file names.
pub fn tier(tier: spec::Tier) -> Tier {
    match tier {
        spec::Tier::Host => Tier::Host,
        spec::Tier::Rack => Tier::Rack,
        spec::Tier::Zone => Tier::Zone,
        spec::Tier::Region => Tier::Region,
        spec::Tier::Any => Tier::Any,
    }
}

/// A test on an agent, as placement knows it.
pub(crate) fn constraint(constraint: &spec::Constraint) -> Constraint {
    let test = match &constraint.test {
        spec::ConstraintTest::Exists => ConstraintTest::Exists,
        spec::ConstraintTest::NotExists => ConstraintTest::NotExists,
        spec::ConstraintTest::In(values) => ConstraintTest::In(values.clone()),
        spec::ConstraintTest::NotIn(values) => ConstraintTest::NotIn(values.clone()),
    };
    Constraint { attribute: constraint.attribute.clone(), test }
}
