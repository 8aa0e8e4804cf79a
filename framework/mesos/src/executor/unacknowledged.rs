use std::collections::VecDeque;

use millstream_mesos_types::{Base64, TaskId, TaskInfo, executor::Update};

/// What the agent has not acknowledged, oldest first. Bounded by the tasks launched and the states each goes through.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    tasks: Vec<TaskInfo>,
    updates: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    update: Update,
    /// Travelled on the present subscription (in SUBSCRIBE or as UPDATE).
    sent: bool,
}

impl Unacknowledged {
    pub(super) fn launched(&mut self, task: TaskInfo) {
        self.tasks.push(task);
    }

    pub(super) fn add(&mut self, update: Update) {
        self.updates.push_back(Pending { update, sent: false });
    }

    /// Forgets the update, and its task: the agent knows it now.
    pub(super) fn acknowledge(&mut self, task_id: &TaskId, uuid: &Base64) {
        self.tasks.retain(|task| task.task_id != *task_id);
        self.updates.retain(|pending| pending.update.status.uuid.as_ref() != Some(uuid));
    }

    /// All of it, for SUBSCRIBE.
    pub(super) fn all(&mut self) -> (Vec<TaskInfo>, Vec<Update>) {
        for pending in &mut self.updates {
            pending.sent = true;
        }
        (self.tasks.clone(), self.updates.iter().map(|pending| pending.update.clone()).collect())
    }

    /// The oldest update that has not been sent on this subscription.
    pub(super) fn next_unsent(&self) -> Option<&Update> {
        self.updates.iter().find(|pending| !pending.sent).map(|pending| &pending.update)
    }

    pub(super) fn mark_sent(&mut self, uuid: &Option<Base64>) {
        for pending in self.updates.iter_mut().filter(|pending| pending.update.status.uuid == *uuid) {
            pending.sent = true;
        }
    }

    /// Updates that wait for their acknowledgement.
    pub(super) fn len(&self) -> usize {
        self.updates.len()
    }
}
