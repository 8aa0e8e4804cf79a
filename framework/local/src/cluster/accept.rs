use std::collections::BTreeSet;

use millstream_mesos_types::{
    FrameworkId, Operation, OperationKind, OperationState, TaskInfo, TaskState, scheduler::Accept,
};

use super::{Cluster, calls::refusal_time, model::OfferRecord, operations::Asker};

/// Longest id, as in Mesos.
const MAX_ID_CHARS: usize = 255;

impl Cluster {
    /// ACCEPT: operations in their order on the sum of the offers, the rest counts as declined.
    pub(super) fn accept(&mut self, id: &FrameworkId, accept: Accept) {
        let mut total = match self.take_offers(id, &accept.offer_ids) {
            Ok(total) => total,
            Err(message) => return self.drop_all(id, accept.operations, &message),
        };
        for operation in accept.operations {
            match operation.kind {
                OperationKind::Launch { launch } if operation.id.is_some() => {
                    let message = "The `id` field cannot be set on LAUNCH operations";
                    for task in launch.task_infos {
                        self.master_status(id, &task, TaskState::TaskError, "REASON_TASK_INVALID", message);
                    }
                }
                OperationKind::Launch { launch } => {
                    launch.task_infos.into_iter().for_each(|task| self.launch_if_valid(id, task, &mut total));
                }
                _ => self.operate_on_offer(id, operation, &mut total),
            }
        }
        self.filter(id, total, refusal_time(accept.filters));
    }

    fn launch_if_valid(&mut self, id: &FrameworkId, task: TaskInfo, total: &mut OfferRecord) {
        match self.validate(id, &task, total) {
            Ok((takes, info)) => {
                total.resources.subtract(&takes.together());
                self.launch(id, task, total, takes, info);
            }
            Err(message) => self.master_status(id, &task, TaskState::TaskError, "REASON_TASK_INVALID", &message),
        }
    }

    fn operate_on_offer(&mut self, id: &FrameworkId, operation: Operation, total: &mut OfferRecord) {
        let Some(info) = self.frameworks.get(id).map(|framework| framework.info.clone()) else { return };
        let asker = Asker::Framework(&info, &total.role);
        let applied = self.apply(total.agent, &operation.kind, asker, &mut total.resources);
        match (applied, operation.id) {
            (Ok(()), Some(operation)) => self.operation_finished(id, operation, total.agent),
            (Err(message), Some(operation)) => {
                self.tell_operation(id, operation, OperationState::OperationError, &message, None);
            }
            (_, None) => {}
        }
    }

    /// What is asked on offers that are no longer valid.
    fn drop_all(&mut self, id: &FrameworkId, operations: Vec<Operation>, message: &str) {
        let aware = self.frameworks.get(id).is_some_and(|framework| framework.is_partition_aware());
        let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
        for operation in operations {
            match (operation.kind, operation.id) {
                (OperationKind::Launch { launch }, _) => {
                    for task in launch.task_infos {
                        self.master_status(id, &task, state, "REASON_INVALID_OFFERS", message);
                    }
                }
                (_, Some(operation)) => {
                    self.tell_operation(id, operation, OperationState::OperationError, message, None);
                }
                (_, None) => {}
            }
        }
    }

    /// All of them, or none with the reason; either way the valid ones are used up.
    fn take_offers(
        &mut self,
        id: &FrameworkId,
        offers: &[millstream_mesos_types::OfferId],
    ) -> Result<OfferRecord, String> {
        let mut error = offers.is_empty().then(|| "No offers specified".to_owned());
        let mut sum: Option<OfferRecord> = None;
        let mut seen = BTreeSet::new();
        for offer_id in offers {
            if !seen.insert(offer_id) {
                error.get_or_insert(format!("Duplicate offer {offer_id} in offer list"));
                continue;
            }
            let valid = self.offers.get(offer_id).is_some_and(|offer| offer.framework == *id);
            let Some(offer) = (if valid { self.take_offer(offer_id) } else { None }) else {
                error.get_or_insert(format!("Offer {offer_id} is no longer valid"));
                continue;
            };
            match &mut sum {
                None => sum = Some(offer),
                Some(sum) if sum.agent == offer.agent && sum.role == offer.role => sum.resources.add(&offer.resources),
                Some(_) => {
                    error.get_or_insert("Aggregated offers must belong to one single agent and role".to_owned());
                }
            }
        }
        match (error, sum) {
            (None, Some(sum)) => Ok(sum),
            (error, _) => Err(error.unwrap_or_default()),
        }
    }
}

/// Ids of all sorts.
pub(super) fn check_id(what: &str, id: &str) -> Result<(), String> {
    let bad_char = |c: char| c == '/' || c == '\\' || c.is_control();
    match id {
        "" => Err(format!("{what} must not be empty")),
        "." | ".." => Err(format!("{what} '{id}' is disallowed")),
        id if id.chars().count() > MAX_ID_CHARS => {
            Err(format!("{what} must not be longer than {MAX_ID_CHARS} characters"))
        }
        id if id.contains(bad_char) => Err(format!("{what} '{id}' contains invalid characters")),
        _ => Ok(()),
    }
}
