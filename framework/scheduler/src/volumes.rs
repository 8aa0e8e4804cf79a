//! Persistent volumes of slots: made with the launch that first wants one, offered back when its task ends, destroyed when
//! nobody wants it any more.
//!
//! RESERVE, CREATE and LAUNCH go in one ACCEPT, so that a task is never without its volume. The reservation carries the
//! framework's and the volume's id as labels: what comes back with our framework's label and is unknown here (its ACCEPT
//! arrived after it was given up for lost) is destroyed as well. So a record may be forgotten at any time.

mod resource;

use std::collections::BTreeSet;

use millstream_mesos_types::{
    Offer, Operation, OperationId, OperationKind, OperationState, Resource, Resources, Volumes,
};

pub(crate) use self::resource::{id_of, is_plain_disk};
use self::resource::{owner_of, reserved, unreserved, volume};
use crate::{
    Audit, Effects, State,
    records::{JobPhase, OperationOf, OperationRecord, SlotKey, VolumeRecord},
    resources::Pool,
};

/// A volume that is given up is looked for this long, as long as the master waits for an agent to register again: offers are
/// asked for until then. One on an agent that comes back later is destroyed when it is offered by chance.
const LOOKED_FOR_MS: u64 = 10 * 60_000;

/// What a launch takes out of the offers for its volume.
pub(crate) enum Taken {
    /// The slot's own, as it was offered.
    Kept { id: String, volume: Resource },
    /// Unreserved disk for a new one.
    Fresh { disk: Resource, size_bytes: u64 },
}

/// The slot's volume, if it is worth going back to: it is there, of the size that is wanted, its agent is not avoided, and
/// no former task of the slot still holds it.
pub(crate) fn home(state: &State, key: &SlotKey, size_bytes: Option<u64>, avoided: &[String]) -> Option<String> {
    let (id, record) = current(state, key)?;
    let held = || state.store.tasks_of(key).any(|(_, task)| task.agent == record.agent);
    let good = Some(record.size_bytes) == size_bytes && record.is_made() && !avoided.contains(&record.agent) && !held();
    good.then(|| id.clone())
}

/// The slot's one volume that is wanted, wherever it is.
pub(crate) fn current<'a>(state: &'a State, key: &SlotKey) -> Option<(&'a String, &'a VolumeRecord)> {
    of_slot(state, key).find(|(_, record)| record.given_up_ms.is_none())
}

/// Takes the slot's volume, else disk for a new one; none when there is neither.
pub(crate) fn take(state: &State, key: &SlotKey, size_bytes: u64, pool: &mut Pool) -> Option<Taken> {
    let live =
        of_slot(state, key).filter(|(_, record)| record.given_up_ms.is_none() && record.size_bytes == size_bytes);
    for (id, _) in live {
        if let Some(volume) = pool.take_volume(id) {
            return Some(Taken::Kept { id: id.clone(), volume });
        }
    }
    Some(Taken::Fresh { disk: pool.take_disk(size_bytes)?, size_bytes })
}

/// Makes what was taken the slot's one volume: stores the intent, and says what must come before the LAUNCH. Others the
/// slot had are given up.
pub(crate) fn claim(
    state: &mut State,
    effects: &mut Effects,
    key: &SlotKey,
    offer: &Offer,
    taken: Option<Taken>,
) -> (Option<Resource>, Vec<Operation>) {
    let (id, resource, operations) = match taken {
        None => (None, None, vec![]),
        Some(Taken::Kept { id, volume }) => (Some(id), Some(volume), vec![]),
        Some(Taken::Fresh { disk, size_bytes }) => {
            let (id, volume, operations) = make(state, effects, key, offer, &disk, size_bytes);
            (Some(id), Some(volume), operations)
        }
    };
    let live =
        of_slot(state, key).filter(|(other, record)| record.given_up_ms.is_none() && Some(*other) != id.as_ref());
    let others: Vec<String> = live.map(|(other, _)| other.clone()).collect();
    for other in others {
        give_up(state, effects, &other);
    }
    (resource, operations)
}

fn make(
    state: &mut State,
    effects: &mut Effects,
    key: &SlotKey,
    offer: &Offer,
    disk: &Resource,
    size_bytes: u64,
) -> (String, Resource, Vec<Operation>) {
    // Other frameworks of the role may have jobs of the same name.
    let framework = state.store.framework().unwrap_or_default().to_owned();
    let id = format!("{}.{}.v{}.{framework}", key.0, key.1, state.store.next_number());
    let reserved = reserved(disk, &state.settings.framework, &framework, &id);
    let volume = volume(&reserved, &id, key.1, state.settings.framework.principal.as_deref());
    let reserve = Resources { resources: vec![reserved] };
    let create = Volumes { volumes: vec![volume.clone()] };
    let (reserve_record, reserve) = operation(state, &id, OperationKind::Reserve { reserve });
    let (create_record, create) = operation(state, &id, OperationKind::Create { create });
    let record = VolumeRecord {
        job: key.0.clone(),
        slot: key.1,
        agent: offer.agent_id.value.clone(),
        host: offer.hostname.clone(),
        size_bytes,
        given_up_ms: None,
        operations: vec![reserve_record, create_record],
    };
    state.store.insert_volume(id.clone(), record);
    let (job, agent) = (key.0.clone(), offer.agent_id.value.clone());
    effects.audit.push(Audit::VolumeMade { job, slot: key.1, volume: id.clone(), agent, size_bytes });
    (id, volume, vec![reserve, create])
}

/// Nobody wants it any more: it is destroyed when it is offered.
fn give_up(state: &mut State, effects: &mut Effects, id: &String) {
    let wall_ms = state.clock.wall_ms;
    let Some(record) = state.store.volume_mut(id) else { return };
    record.given_up_ms = Some(wall_ms);
    let (job, slot, agent) = (record.job.clone(), record.slot, record.agent.clone());
    effects.audit.push(Audit::VolumeGivenUp { job, slot, volume: id.clone(), agent });
    state.given_up.insert(id.clone());
    // Its offer may be hidden by one of our filters.
    state.manners.want();
}

/// Gives up the volumes of slots that will never be filled again: the job is deleted, or was cut anew into fewer slots.
pub(crate) fn review(state: &mut State, effects: &mut Effects, job: &str) {
    let (known, running) = match state.store.job(&job.to_owned()) {
        None => (false, false),
        Some(record) => (true, record.phase == JobPhase::Running),
    };
    let gone = |record: &VolumeRecord| !known || running && state.store.slot(&(job.to_owned(), record.slot)).is_none();
    let live = state.store.volumes_with(format!("{job}.")).filter(|(_, record)| record.given_up_ms.is_none());
    let ids: Vec<String> = live.filter(|(_, record)| gone(record)).map(|(id, _)| id.clone()).collect();
    for id in ids {
        give_up(state, effects, &id);
    }
}

/// An offer of a volume says that it was made, whatever became of the updates.
pub(crate) fn seen(state: &mut State, offers: &[Offer]) {
    if state.store.volumes().is_empty() {
        return;
    }
    for id in offers.iter().flat_map(|offer| &offer.resources).filter_map(id_of) {
        if state.store.volume(&id).is_some_and(|record| !record.is_made())
            && let Some(record) = state.store.volume_mut(&id)
        {
            for operation in record.operations.iter_mut().filter(|operation| operation.of.makes()) {
                operation.outcome = Some(OperationState::OperationFinished);
            }
        }
    }
}

/// DESTROY and UNRESERVE for all that nobody wants in some offers.
pub(crate) fn removals(state: &mut State, effects: &mut Effects, offers: &[Offer]) -> Vec<Operation> {
    let mut operations = vec![];
    for resource in offers.iter().flat_map(|offer| &offer.resources) {
        let Some((framework, id)) = owner_of(resource) else { continue };
        let unwanted = match state.store.volume(&id) {
            Some(record) => record.given_up_ms.is_some(),
            None => state.store.framework() == Some(framework.as_str()),
        };
        if unwanted {
            operations.extend(remove(state, &id, resource));
            effects.audit.push(Audit::VolumeRemoved { volume: id, agent: agent_of(offers) });
        }
    }
    operations
}

fn agent_of(offers: &[Offer]) -> String {
    offers.first().map(|offer| offer.agent_id.value.clone()).unwrap_or_default()
}

fn remove(state: &mut State, id: &String, resource: &Resource) -> Vec<Operation> {
    let mut made = vec![];
    if id_of(resource).is_some() {
        let destroy = Volumes { volumes: vec![resource.clone()] };
        made.push(operation(state, id, OperationKind::Destroy { destroy }));
    }
    let unreserve = Resources { resources: vec![unreserved(resource)] };
    made.push(operation(state, id, OperationKind::Unreserve { unreserve }));
    let (records, operations): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    if let Some(record) = state.store.volume_mut(id) {
        // What was tried before came to nothing: it is offered again.
        record.operations.retain(|operation| operation.of.makes());
        record.operations.extend(records);
    }
    operations
}

/// Mesos allows no slash in an id. The number makes it unique for ever; the volume is all but the last two parts.
fn operation(state: &mut State, volume: &str, kind: OperationKind) -> (OperationRecord, Operation) {
    let of = match kind {
        OperationKind::Create { .. } => OperationOf::Create,
        OperationKind::Destroy { .. } => OperationOf::Destroy,
        OperationKind::Unreserve { .. } => OperationOf::Unreserve,
        OperationKind::Reserve { .. } | OperationKind::Launch { .. } | OperationKind::Unknown => OperationOf::Reserve,
    };
    let id = format!("{volume}.{}.{}", of.as_str(), state.store.next_number());
    let operation = Operation { id: Some(OperationId::new(&id)), kind };
    (OperationRecord { id, of, outcome: None }, operation)
}

/// Takes in the outcome of an operation of the volume, once.
pub(crate) fn outcome(state: &mut State, effects: &mut Effects, volume: &String, operation: &str, new: OperationState) {
    use OperationState::*;
    let Some(record) = state.store.volume(volume) else { return };
    let known = record.operations.iter().find(|known| known.id == operation && known.outcome.is_none());
    let Some(of) = known.map(|known| known.of) else { return };
    let nothing_is_left = match of {
        OperationOf::Reserve => new != OperationFinished,
        OperationOf::Unreserve => new == OperationFinished,
        OperationOf::Create | OperationOf::Destroy => false,
    };
    if nothing_is_left || new == OperationGoneByOperator {
        return forget(state, volume);
    }
    let live = record.given_up_ms.is_none();
    let record = state.store.volume_mut(volume).expect("found above");
    for known in record.operations.iter_mut().filter(|known| known.id == operation) {
        known.outcome = Some(new);
    }
    if of == OperationOf::Create && new != OperationFinished && live {
        // What was reserved for it is offered, and given back then.
        give_up(state, effects, volume);
    }
}

fn forget(state: &mut State, volume: &String) {
    state.store.remove_volume(volume);
    state.given_up.remove(volume);
}

/// Forgets what has been looked for long enough.
pub(crate) fn tick(state: &mut State) {
    let wall_ms = state.clock.wall_ms;
    let over = |id: &&String| {
        let since = state.store.volume(id).and_then(|record| record.given_up_ms);
        since.is_none_or(|since| wall_ms >= since.saturating_add(LOOKED_FOR_MS))
    };
    let over: Vec<String> = state.given_up.iter().filter(over).cloned().collect();
    over.iter().for_each(|id| forget(state, id));
}

/// Ids of the volumes that are given up, after a restart.
pub(crate) fn given_up<'a>(volumes: impl IntoIterator<Item = (&'a String, &'a VolumeRecord)>) -> BTreeSet<String> {
    let given_up = volumes.into_iter().filter(|(_, record)| record.given_up_ms.is_some());
    given_up.map(|(id, _)| id.clone()).collect()
}

fn of_slot<'a>(state: &'a State, key: &SlotKey) -> impl Iterator<Item = (&'a String, &'a VolumeRecord)> {
    state.store.volumes_with(format!("{}.{}.", key.0, key.1))
}
