//! What holds after every step.

use std::collections::BTreeSet;

use millstream_mesos_types::{scheduler::Call, *};
use millstream_protocol::ExecutorData;

use super::World;
use crate::{records::*, *};

impl World {
    /// What is stored is what a restart needs, and each partition has at most one current assignment.
    pub(super) fn check_store(&self) {
        assert_eq!(self.state.records(), self.store, "records and state differ");
        let mut assigned = BTreeSet::new();
        let mut partitions = BTreeSet::new();
        for (key, value) in &self.store {
            let Some(Key::Slot((job, _))) = Key::parse(key) else { continue };
            let slot: SlotRecord = serde_json::from_value(value.clone()).expect("a slot");
            for partition in &slot.partitions {
                assert!(partitions.insert((job.clone(), *partition)), "partition {partition} is in two slots");
            }
            assigned.extend(slot.task);
        }
        for (key, value) in &self.store {
            let Some(Key::Task(id)) = Key::parse(key) else { continue };
            let task: TaskRecord = serde_json::from_value(value.clone()).expect("a task");
            assert_eq!(task.aim != Aim::Condemned, assigned.remove(&id), "task {id} and its slot disagree");
            assert!(self.store.contains_key(&Key::Executor(task.executor).to_string()), "task {id} lacks its executor");
        }
        assert_eq!(assigned, BTreeSet::new(), "slots name tasks that are not there");
    }

    /// Generations never go back on a partition, and one never has two meanings (delivery.md D5).
    pub(super) fn check_epoch(&mut self, told: &ExecutorData, partitions: &[i32]) {
        for partition in partitions {
            if let Some(last) = self.epochs.insert((told.job.name.0.clone(), *partition), told.clone()) {
                let (old, new) = (&last.job, &told.job);
                let same = (&old.source, &old.columns, &old.transform, &old.sink)
                    == (&new.source, &new.columns, &new.transform, &new.sink);
                let above = last.generation + u64::from(!same);
                assert!(
                    told.generation >= above,
                    "partition {partition}: {} after {}",
                    told.generation,
                    last.generation
                );
            }
        }
    }
}

pub(super) fn check_acknowledgements(effects: &Effects, uuid: Option<Base64>) {
    for call in &effects.calls {
        let acknowledged = match call {
            Call::Acknowledge { acknowledge } => &acknowledge.uuid,
            Call::AcknowledgeOperationStatus { acknowledge_operation_status: acknowledge } => &acknowledge.uuid,
            _ => continue,
        };
        assert_eq!(Some(acknowledged), uuid.as_ref(), "only what has a uuid is acknowledged");
    }
}

pub(super) fn check_answers(
    effects: &Effects,
    accepted: &mut BTreeSet<String>,
    mut offers: Vec<OfferId>,
    mut inverse: Vec<OfferId>,
) {
    let (mut answered, mut answered_inverse) = (vec![], vec![]);
    for call in &effects.calls {
        match call {
            Call::Accept { accept } => {
                answered.extend(accept.offer_ids.clone());
                accepted.extend(accept.offer_ids.iter().map(|id| id.value.clone()));
            }
            // Of a launch that never arrived.
            Call::Decline { decline } if decline.offer_ids.iter().all(|id| accepted.contains(&id.value)) => {}
            Call::Decline { decline } => answered.extend(decline.offer_ids.clone()),
            Call::AcceptInverseOffers { accept_inverse_offers: answer }
            | Call::DeclineInverseOffers { decline_inverse_offers: answer } => {
                answered_inverse.extend(answer.inverse_offer_ids.clone());
            }
            _ => {}
        }
    }
    for ids in [&mut answered, &mut answered_inverse, &mut offers, &mut inverse] {
        ids.sort();
    }
    assert_eq!(answered, offers, "every offer is answered once, in the step that brings it");
    assert_eq!(answered_inverse, inverse, "and so is every inverse offer");
}
