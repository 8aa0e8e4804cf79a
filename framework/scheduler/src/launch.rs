//! From a planned launch to the intent in the store and the TaskInfo in the ACCEPT.

use millstream_mesos_types::{
    AgentId, Base64, CommandInfo, DurationInfo, Environment, ExecutorId, ExecutorInfo, KillPolicy, Offer, Operation,
    TaskId, TaskInfo, TaskState, Uri, Variable,
};
use millstream_placement::{JobTopology, Launch, Place, Revocable, Tier};
use millstream_protocol::{ExecutorData, Location, TaskData, VERSION};

use crate::{
    Audit, Effects, ExecutorProgram, State, kept,
    offers::{self, view},
    reconcile::LAUNCH_TIMEOUT_MS,
    records::{Aim, ExecutorRecord, SlotKey, TaskRecord},
    resources::{Pool, first_port, revocable_of},
    rollout::Wanted,
    state::{ExecutorWatch, TaskWatch},
    volumes,
};

/// Stores the intent and makes the task, with the operations that must come before it; none when (against the plan) it does
/// not fit or is not wanted any more.
pub(crate) fn launch(
    state: &mut State,
    effects: &mut Effects,
    key: &SlotKey,
    planned: &Launch,
    offer: &Offer,
    place: &Place,
    pool: &mut Pool,
) -> Option<(TaskInfo, Vec<Operation>)> {
    let job = state.store.job(&key.0)?.clone();
    let slot = state.store.slot(key).filter(|slot| slot.task.is_none())?.clone();
    let (wanted, slot_version) = (job.wanted(&slot), slot.version);
    let mut resources = pool.take(&offers::task_resources(wanted.spec), planned.revocable)?;
    let volume = match wanted.spec.tasks.volume_bytes {
        Some(size_bytes) => Some(volumes::take(state, key, size_bytes, pool)?),
        None => None,
    };
    let agent = offer.agent_id.value.clone();

    let known = state.store.executors_on(&agent).find(|(_, record)| {
        record.job == key.0
            && (record.version, record.generation) == (wanted.version, wanted.generation)
            && !record.lost
            && revocable_of(&record.info.resources) == planned.revocable
    });
    let (executor, info) = match known {
        Some((id, record)) => (id.clone(), record.info.clone()),
        None => new_executor(state, key, &wanted, offer, place, planned.revocable, pool)?,
    };
    let (volume, operations) = volumes::claim(state, effects, key, offer, volume);
    resources.extend(volume);
    let id = format!("{}.{}.{}", key.0, key.1, state.store.next_number());
    let (now, wall_ms) = (state.now(), state.clock.wall_ms);
    let data =
        TaskData { version: VERSION, partitions: slot.partitions.clone(), stops: kept::stops(&slot, wanted.version) };
    state.store.insert_task(
        id.clone(),
        TaskRecord {
            job: key.0.clone(),
            slot: key.1,
            generation: wanted.generation,
            partitions: slot.partitions,
            agent: agent.clone(),
            executor: executor.clone(),
            state: TaskState::TaskStaging,
            aim: Aim::Run,
            launched_ms: wall_ms,
            deadline_ms: wall_ms + LAUNCH_TIMEOUT_MS,
            source_tier: planned.source_tier,
            sink_tier: planned.sink_tier,
            last_uuid: None,
        },
    );
    let slot = state.store.slot_mut(key).expect("found above");
    (slot.task, slot.since_ms, slot.version) = (Some(id.clone()), wall_ms, wanted.version);
    let changed = slot_version != wanted.version;
    slot.stops.retain(|kept| kept.version == wanted.version);
    state.pending.remove(key);
    if let Some(wish) = state.slots.get_mut(key) {
        wish.wait = None;
        if changed {
            // Its crashes were another version's.
            wish.crashes = Default::default();
        }
    }
    let deadline = Some(now + LAUNCH_TIMEOUT_MS);
    state.tasks.insert(id.clone(), TaskWatch { launch_deadline: deadline, unwell_since: now, ..TaskWatch::default() });
    state.attention.insert(id.clone());
    state.executors.entry(executor.clone()).or_default().tasks.insert(id.clone());
    effects.audit.push(Audit::TaskLaunched {
        job: key.0.clone(),
        slot: key.1,
        task: id.clone(),
        executor,
        agent: agent.clone(),
        source_tier: planned.source_tier,
        sink_tier: planned.sink_tier,
    });
    let info = TaskInfo {
        name: format!("{} {}", key.0, key.1),
        task_id: TaskId::new(id),
        agent_id: AgentId::new(agent),
        resources,
        executor: Some(info),
        data: Some(json(&data)),
        kill_policy: Some(KillPolicy { grace_period: Some(grace(state)) }),
    };
    Some((info, operations))
}

fn new_executor(
    state: &mut State,
    key: &SlotKey,
    job: &Wanted<'_>,
    offer: &Offer,
    place: &Place,
    revocable: Revocable,
    pool: &mut Pool,
) -> Option<(String, ExecutorInfo)> {
    let overhead = offers::job_wishes(job.spec, &state.settings).executor_overhead;
    let resources = pool.take(&overhead, revocable)?;
    let location = location(offer, place, state.topologies.get(&key.0));
    let data = ExecutorData {
        version: VERSION,
        job: job.spec.clone(),
        generation: job.generation,
        location: location.clone(),
        metrics_port: first_port(&resources),
        metrics_sha256: state.settings.metrics_sha256.clone(),
    };
    let id = format!("{}.g{}.{}", key.0, job.generation, state.store.next_number());
    let info = ExecutorInfo {
        kind: Some("CUSTOM".into()),
        executor_id: ExecutorId::new(&id),
        framework_id: state.store.framework().map(millstream_mesos_types::FrameworkId::new),
        command: Some(CommandInfo { user: job.spec.tasks.user.clone(), ..command(state) }),
        resources,
        name: Some(format!("millstream {}", key.0)),
        data: Some(json(&data)),
        shutdown_grace_period: Some(grace(state)),
    };
    let record = ExecutorRecord {
        job: key.0.clone(),
        generation: job.generation,
        version: job.version,
        agent: offer.agent_id.value.clone(),
        place: place.clone(),
        location,
        info: info.clone(),
        lost: false,
    };
    state.store.insert_executor(id.clone(), record);
    state.executors.insert(id.clone(), ExecutorWatch { watched_from: state.now(), ..ExecutorWatch::default() });
    Some((id, info))
}

/// Name of a fetched program in the sandbox.
const FETCHED: &str = "millstream-executor";

/// Only `RUST_LOG` in the environment: secrets never travel (invariant 7). No shell but for the checksum, which Mesos'
/// fetcher does not know.
fn command(state: &State) -> CommandInfo {
    let log = Variable { name: "RUST_LOG".into(), value: Some(state.settings.executor_log.clone()) };
    let command = match &state.settings.executor {
        ExecutorProgram::Path(path) => CommandInfo {
            value: Some(path.clone()),
            shell: Some(false),
            arguments: vec![path.clone()],
            ..CommandInfo::default()
        },
        ExecutorProgram::Fetched { uri, sha256 } => CommandInfo {
            value: Some(format!("echo '{sha256}  {FETCHED}' | sha256sum --check --strict && exec ./{FETCHED}")),
            shell: Some(true),
            uris: vec![Uri {
                value: uri.clone(),
                executable: true,
                extract: false,
                cache: true,
                output_file: Some(FETCHED.into()),
            }],
            ..CommandInfo::default()
        },
    };
    CommandInfo { environment: Some(Environment { variables: vec![log] }), ..command }
}

/// Where the executor is, for `client.rack` and the local datacenter: what the broker and the Cassandra node of the same
/// host say of themselves, else those of the same rack, else the agent's own attributes.
fn location(offer: &Offer, place: &Place, topology: Option<&JobTopology>) -> Location {
    let replicas = topology.into_iter().flat_map(|topology| topology.partitions.values());
    let brokers = replicas.flat_map(|replicas| replicas.leader.iter().chain(&replicas.in_sync_followers));
    let nodes = topology.into_iter().flat_map(|topology| &topology.ring).map(|share| &share.place);
    let broker = brokers.min_by_key(|other| place.tier_to(other));
    // The nearest node's datacenter is the right one even when nothing ties the agent to it: writes must go somewhere.
    let node = nodes.min_by_key(|other| place.tier_to(other));
    let near_rack = |found: Option<&Place>| found.filter(|other| place.tier_to(other) <= Tier::Rack)?.rack.clone();
    Location {
        host: offer.hostname.clone(),
        address: view::ip(offer).unwrap_or(&offer.hostname).to_owned(),
        kafka_rack: near_rack(broker).or_else(|| place.rack.clone()),
        cassandra_rack: near_rack(node).or_else(|| place.rack.clone()),
        cassandra_dc: node.and_then(|node| node.region.clone()).or_else(|| place.region.clone()),
    }
}

fn grace(state: &State) -> DurationInfo {
    DurationInfo { nanoseconds: i64::try_from(state.settings.grace_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000) }
}

fn json(value: &impl serde::Serialize) -> Base64 {
    Base64(serde_json::to_vec(value).expect("plain structs with text keys always become JSON"))
}
