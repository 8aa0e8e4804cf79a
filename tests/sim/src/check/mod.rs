//! What must hold (faults.md, I1 to I8 as far as they apply), and what must hold in the end.

mod end;
mod records;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_mesos_types::TaskState;
use millstream_protocol::ExecutorData;
use millstream_scheduler::{TICK_MS, records::Aim};

use crate::{Ms, world::World};

/// Shortest time between two REVIVEs.
const REVIVE_EVERY_MS: Ms = 5_000;

/// Calls of one process in a minute, acknowledgements not counted: about twice what the worst of the first 10,000 seeds
/// needs. A loop makes thousands.
const CALLS_PER_MINUTE_MAX: u64 = 600;

/// Launches of one slot in a minute: ends that are nobody's fault are tried again at once, three times; then every
/// failure doubles the pause, which a restart of the scheduler forgets.
const LAUNCHES_PER_MINUTE_MAX: usize = 20;

/// When nothing is wrong any more, a task that the store does not know ends within this: a report, a KILL, the grace.
const UNKNOWN_MAX_MS: Ms = 30_000;

/// A subscribed scheduler replaces an executor that is silent for longer, by its own clock: 30 s for the first report,
/// 3 s later on, and some for the check itself.
const SILENT_MAX_TICKS: u64 = 36_000 / TICK_MS;

/// RECONCILE is repeated until it is answered, with pauses of at most 30 s.
const ASKED_MAX_TICKS: u64 = 36_000 / TICK_MS;

/// Likewise (nothing is wrong any more) an offer is answered within this.
const OFFER_MAX_MS: Ms = 5_000;

/// What the checks remember.
#[derive(Default)]
pub(crate) struct Checks {
    launched: BTreeSet<String>,
    /// Executors, with the first offer of the ACCEPT that names them first.
    executors: BTreeMap<String, String>,
    launches: BTreeMap<String, VecDeque<Ms>>,
    /// Tasks whose record was removed.
    ended: BTreeSet<String>,
    /// What a generation means, by job and generation.
    meanings: BTreeMap<(String, u64), String>,
    last_revive: BTreeMap<u64, Ms>,
    /// Offers that were accepted, whether the ACCEPT arrived or not.
    accepted: BTreeSet<String>,
    calls: BTreeMap<u64, (u64, u64)>,
    unknown_since: BTreeMap<String, Ms>,
    now: Ms,
}

impl Checks {
    pub(crate) fn process_started(&mut self, id: u64) {
        self.calls.insert(id, (0, 0));
    }

    /// A task is launched: its id is new, for ever, and its slot is not launched all the time.
    pub(crate) fn launch(&mut self, id: &str) -> Result<(), String> {
        if !self.launched.insert(id.to_owned()) {
            return Err(format!("I5: task id {id} is used again"));
        }
        let slot = id.rsplit_once('.').map_or(id, |(slot, _)| slot);
        let times = self.launches.entry(slot.to_owned()).or_default();
        times.push_back(self.now);
        while times.front().is_some_and(|at| at + 60_000 < self.now) {
            times.pop_front();
        }
        if times.len() > LAUNCHES_PER_MINUTE_MAX {
            return Err(format!("M14: slot {slot} was launched {} times in a minute", times.len()));
        }
        Ok(())
    }

    /// Has an earlier ACCEPT than the one of this offer brought the executor?
    pub(crate) fn is_from_earlier(&self, executor: &str, offer: &str) -> bool {
        self.executors.get(executor).is_none_or(|first| first != offer)
    }

    /// All executors of one generation do the same to a record.
    pub(crate) fn meaning(&mut self, data: &ExecutorData) -> Result<(), String> {
        let (job, key) = (&data.job, (data.job.name.0.clone(), data.generation));
        let new = format!("{:?} {:?} {:?}", job.source, job.transform, job.sink);
        let known = self.meanings.entry(key).or_insert_with(|| new.clone());
        if *known != new {
            return Err(format!("I2: generation {} of {} has two meanings", data.generation, job.name));
        }
        Ok(())
    }
}

impl World {
    /// A master was asked for a new framework id.
    pub(crate) fn check_new_framework(&mut self, process: u64) {
        let leads = self.leader().is_some_and(|leader| self.processes[leader].id == process);
        let stored = self.store.records.get("framework").and_then(|record| record.get("id")?.as_str());
        if let Some(stored) = stored
            && leads
        {
            let what = format!("M1: a second framework id is asked for though {stored} is stored");
            self.violation(what);
        }
    }

    /// Every second.
    pub(crate) fn check_running(&mut self) {
        self.checks.now = self.now;
        self.check_silence();
        self.check_reconciliation();
        if self.calm_since.is_some_and(|at| self.now > at + 2 * OFFER_MAX_MS) {
            self.check_unknown_tasks();
            self.check_offers();
        }
    }

    /// Executors of tasks that run, whether they were heard (D6).
    fn check_silence(&mut self) {
        let Some(leader) = self.leader().filter(|leader| self.processes[*leader].subscribed.is_some()) else { return };
        let mut watched = BTreeSet::new();
        for (_, value) in self.store.records.range("task/".to_owned().."task0".to_owned()) {
            let Ok(task) = step::read_task(value) else { continue };
            if task.aim != Aim::Condemned && task.state != TaskState::TaskStaging {
                watched.insert(task.executor);
            }
        }
        let process = &mut self.processes[leader];
        process.silent_since.retain(|executor, _| watched.contains(executor));
        let ticks = process.ticks;
        let silent = watched.into_iter().find(|executor| {
            let since = *process.silent_since.entry(executor.clone()).or_insert(ticks);
            ticks > since + SILENT_MAX_TICKS
        });
        if let Some(executor) = silent {
            self.violation(format!("D6: executor {executor} is silent and not replaced"));
        }
    }

    /// Every task that was asked for is asked for again until somebody answers (mesos.md: high availability).
    fn check_reconciliation(&mut self) {
        let Some(leader) = self.leader().filter(|leader| self.processes[*leader].subscribed.is_some()) else { return };
        let process = &mut self.processes[leader];
        process.asked.retain(|task, _| self.store.records.contains_key(&format!("task/{task}")));
        let forgotten = process.asked.iter().find(|(_, ticks)| process.ticks > **ticks + ASKED_MAX_TICKS);
        if let Some((task, _)) = forgotten {
            let what = format!("M7: RECONCILE of {task} is not answered and not repeated");
            self.violation(what);
        }
    }

    fn check_unknown_tasks(&mut self) {
        let Some(leader) = self.leader().filter(|leader| self.processes[*leader].subscribed.is_some()) else {
            return self.checks.unknown_since.clear();
        };
        let framework = self.processes[leader].state.framework_id().map(str::to_owned);
        let epoch = self.epoch();
        let mut unknown = BTreeMap::new();
        for (task, at) in self.alive_tasks() {
            let executor = &self.executors[at];
            let heard = self.machines[executor.machine].is_connected(epoch) && executor.paused_until.is_none();
            let known = self.store.records.contains_key(&format!("task/{task}"));
            if heard && !known && framework.as_ref() == Some(&executor.framework) {
                let since = self.checks.unknown_since.get(&task).copied().unwrap_or(self.now);
                unknown.insert(task, since);
            }
        }
        let overdue = unknown.iter().find(|(_, since)| self.now > **since + UNKNOWN_MAX_MS);
        if let Some((task, since)) = overdue {
            let what = format!("I5: task {task} runs since {since}, and the store does not know it");
            self.violation(what);
        }
        self.checks.unknown_since = unknown;
    }

    fn check_offers(&mut self) {
        // A stream that only one side believes in is noticed by its silence.
        let open = |stream: u64| self.streams.get(&stream).is_some_and(|stream| !stream.half_open);
        let heard = self.leader().and_then(|leader| self.processes[leader].subscribed).is_some_and(open);
        let offers = self.master.iter().filter(|_| heard).flat_map(|master| &master.offers);
        let old =
            offers.filter(|(_, offer)| self.now > offer.at + OFFER_MAX_MS).map(|(id, offer)| (id, offer.at)).next();
        if let Some((id, at)) = old {
            let what = format!("I5: offer {id} is held since {at}");
            self.violation(what);
        }
    }
}
