//! When faults have ended everything must come right, within a named time.

use std::collections::BTreeMap;

use millstream_scheduler::{
    records::{Aim, JobPhase, JobRecord},
    views,
};

use super::step::read_task;
use crate::{
    jobs::Wanted,
    world::{HEAL_MAX_MS, World},
};

impl World {
    /// What is not right yet.
    pub(crate) fn trouble(&self) -> Option<String> {
        let Some(leader) = self.leader() else { return Some("no scheduler leads".into()) };
        let state = &self.processes[leader].state;
        if !state.is_subscribed() {
            return Some("the scheduler is not subscribed".into());
        }
        for (number, job) in self.jobs.iter().enumerate() {
            if let Some(ask) = job.asking {
                return Some(format!("{}: {ask:?} is not answered", job.name));
            }
            let view = views::job(state, &job.name);
            let trouble = match (job.wanted, view) {
                (Wanted::Gone, None) => None,
                (Wanted::Gone, Some(_)) => Some("is still there".into()),
                (_, None) => Some("is not there".into()),
                (Wanted::Stopped, Some(view)) => (view.phase != JobPhase::Stopped).then(|| "is not stopped".into()),
                (Wanted::Running(version), Some(view)) => {
                    let partitions = job.leaders.len();
                    let all = view.running == view.slots && view.partitions == Some(partitions) && view.slots > 0;
                    let waits = job.never_fits && view.waiting == view.slots && view.slots > 0;
                    if view.phase != JobPhase::Running || !self.runs_version(number, version) {
                        Some(format!("does not run version {version}: {}", view.summary))
                    } else if !all && !waits {
                        Some(format!("runs {} of {} tasks: {}", view.running, view.slots, view.summary))
                    } else if waits {
                        None
                    } else if let Some(task) = self.old_task(number, version) {
                        Some(format!("runs {task}, which is not of version {version}"))
                    } else {
                        self.lag(number)
                    }
                }
            };
            if let Some(trouble) = trouble {
                return Some(format!("{} {trouble}", job.name));
            }
        }
        self.wrong_tasks()
    }

    fn runs_version(&self, job: usize, version: usize) -> bool {
        let record = self.store.records.get(&format!("job/{}", self.jobs[job].name));
        let record = record.and_then(|record| serde_json::from_value::<JobRecord>(record.clone()).ok());
        record.is_some_and(|record| record.spec == self.jobs[job].versions[version])
    }

    /// A task that runs another version than is wanted.
    fn old_task(&self, job: usize, version: usize) -> Option<String> {
        let wanted = &self.jobs[job].versions[version];
        let theirs = self.executors.iter().filter(|executor| executor.is_alive() && executor.job == Some(job));
        let old = theirs.filter(|executor| {
            executor
                .spec
                .as_ref()
                .is_some_and(|spec| (&spec.tasks, &spec.transform) != (&wanted.tasks, &wanted.transform))
        });
        old.flat_map(|executor| executor.tasks.keys()).next().cloned()
    }

    /// In the calm: was what people wanted given up? They look, and deploy it again.
    pub(crate) fn was_taken_back(&self, job: usize) -> bool {
        matches!(self.jobs[job].wanted, Wanted::Running(version) if !self.runs_version(job, version))
    }

    /// Tasks that run and should not, or the other way round.
    fn wrong_tasks(&self) -> Option<String> {
        let epoch = self.epoch();
        let alive = self.alive_tasks();
        let mut known = BTreeMap::new();
        for (key, value) in self.store.records.range("task/".to_owned().."task0".to_owned()) {
            let task = read_task(value).ok()?;
            let machine = self.machines.iter().find(|machine| machine.id.as_ref() == Some(&task.agent));
            if task.aim == Aim::Condemned {
                if machine.is_some_and(|machine| machine.is_connected(epoch)) {
                    return Some(format!("{key} is condemned on a connected agent"));
                }
            } else {
                known.insert(key["task/".len()..].to_owned(), task.aim);
            }
        }
        if let Some((task, aim)) = known.iter().find(|(task, _)| !alive.contains_key(*task)) {
            return Some(format!("task {task} ({aim:?}) is in the store and does not run"));
        }
        alive.keys().find(|task| !known.contains_key(*task)).map(|task| format!("task {task} runs and nobody wants it"))
    }

    /// A partition whose table is not the fold of its log yet.
    fn lag(&self, job: usize) -> Option<String> {
        self.data[job].iter().enumerate().find_map(|(at, partition)| {
            let wrong = match partition.is_caught_up(self.now) {
                true => partition.check_fold(self.now).err(),
                false => Some("records are missing".into()),
            };
            wrong.map(|wrong| format!("lags in partition {at}: {wrong}; {}", partition.progress(self.now)))
        })
    }

    pub(crate) fn check_end(&mut self) {
        if let Some(trouble) = self.trouble() {
            self.violation(format!("I6: {HEAL_MAX_MS} ms after the last fault: {trouble}"));
        }
    }
}
