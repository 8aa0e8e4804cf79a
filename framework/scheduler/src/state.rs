//! All the scheduler knows: durable records, and what may be forgotten at a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_mesos_types::{OfferId, TaskState, scheduler::Subscribe};
use millstream_placement::{JobTopology, ReasonKind, Wait};
use millstream_protocol::{PartitionStatus, TaskReport};
use millstream_spec::JobSpec;
use serde_json::Value;

use crate::{
    Audit, Effects, EndCause, Now, Settings, operations,
    reconcile::Reconciliation,
    records::{Aim, JobPhase, SlotKey},
    store::Store,
    views::FailureView,
    volumes,
    wishes::Wishes,
};

/// Longest time between two steps that is believed, in milliseconds (ticks come every 250). What is longer means that
/// the scheduler itself was stopped or starved, and silence during that time is nobody's fault (faults.md E5).
pub(crate) const STEP_GAP_MAX_MS: u64 = 500;

/// Failures a job remembers for `why`.
pub(crate) const FAILURES_KEPT: usize = 20;

/// The scheduler's state. Change it only through [`crate::step`].
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    /// Since when there is a subscription; all offers and timers end with it.
    pub(crate) subscribed_at: Option<u64>,
    /// Since when there is no subscription.
    pub(crate) disconnected_at: Option<u64>,
    pub(crate) topologies: BTreeMap<String, JobTopology>,
    /// Volatile parts by job, slot, task and executor; made when first needed, dropped with their record.
    pub(crate) jobs: BTreeMap<String, JobState>,
    pub(crate) slots: BTreeMap<SlotKey, SlotWish>,
    /// Slots of running jobs that have no task.
    pub(crate) pending: BTreeSet<SlotKey>,
    pub(crate) tasks: BTreeMap<String, TaskWatch>,
    /// Tasks a Tick must look at: launching, draining or condemned ones. The many that just run are left alone.
    pub(crate) attention: BTreeSet<String>,
    pub(crate) executors: BTreeMap<String, ExecutorWatch>,
    /// By agent.
    pub(crate) maintenance: BTreeMap<String, crate::maintenance::Maintenance>,
    pub(crate) manners: crate::manners::Manners,
    pub(crate) reconciliation: Reconciliation,
    pub(crate) operations: operations::Reconciliation,
    /// Volumes that are to be destroyed when they are offered.
    pub(crate) given_up: BTreeSet<String>,
    /// When a KILL or SHUTDOWN was last sent for ids the store does not know.
    pub(crate) strangers: BTreeMap<String, u64>,
    /// Who is silent together with most others, and what is believed because of it.
    pub(crate) hearing: crate::liveness::Hearing,
}

/// Time on the scheduler's own clock, in milliseconds: monotonic, and it stands still while the scheduler was stalled,
/// which moves all deadlines at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    last_mono_ms: Option<u64>,
    pub(crate) now: u64,
    pub(crate) wall_ms: u64,
}

/// What is remembered of a job between failures.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobState {
    /// By version: what was deployed to mend a version that fails must not wait for it.
    pub(crate) backoffs: BTreeMap<u64, Backoff>,
    /// Since when at least one task has run without any failing.
    pub(crate) healthy_since: Option<u64>,
    pub(crate) recent_failures: VecDeque<FailureView>,
    /// Since when a new version lacks slots, because its topic's partitions are not known.
    pub(crate) without_slots_since: Option<u64>,
    /// Ends that an operator wanted; no failures.
    pub(crate) recent_ends: VecDeque<FailureView>,
    /// Partition → log end, as read by the scheduler's own watch.
    pub(crate) log_ends: BTreeMap<i32, i64>,
    /// Why the topic cannot be read by anybody: it is not there.
    pub(crate) source_gone: Option<String>,
}

/// What is remembered of the failures of a version.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    pub(crate) failures: u32,
    /// Its tasks are not launched before.
    pub(crate) not_before: u64,
}

/// What is remembered of a slot, above all while it waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlotWish {
    /// When waiting began; deadlines are counted from here and never reset by partial success (SPARK-18886).
    pub(crate) since: u64,
    pub(crate) avoid: Vec<(String, u64)>,
    /// Ends in a row that were nobody's fault; too many of them count as failures.
    pub(crate) innocent_ends: u32,
    /// Failures on a new version since its turn came, and what the last one was.
    pub(crate) failures: u32,
    pub(crate) last_failure: String,
    pub(crate) wait: Option<Wait>,
    /// When `wait` was said.
    pub(crate) wait_said_at: u64,
    pub(crate) refused: BTreeMap<ReasonKind, usize>,
    pub(crate) bytes_per_sec: Option<f64>,
    /// It is not launched again before: its last task ended by an operator's hand soon after its launch.
    pub(crate) rest_until: u64,
    /// Crashes in a row that came no further, by partition.
    pub(crate) crashes: crate::crashes::Crashes,
}

/// What is watched of a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskWatch {
    /// Launch without an update yet: given up (reconciled) then.
    pub(crate) launch_deadline: Option<u64>,
    /// How often the master was asked what became of the launch.
    pub(crate) launch_asks: u32,
    /// What it was launched on in this process, for the case that the launch never arrives.
    pub(crate) offers: Vec<OfferId>,
    pub(crate) running_since: Option<u64>,
    pub(crate) last_kill: Option<u64>,
    /// KILLs so far.
    pub(crate) kills: u32,
    pub(crate) drain_deadline: Option<u64>,
    pub(crate) report: Option<TaskReport>,
    pub(crate) reported_at: Option<u64>,
    pub(crate) records_per_sec: f64,
    pub(crate) statuses: BTreeMap<i32, PartitionStatus>,
    /// Since when its reports say that all its partitions run; none if the last one does not.
    pub(crate) well_since: Option<u64>,
    /// Otherwise since when they do not.
    pub(crate) unwell_since: u64,
}

/// What is watched of an executor.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecutorWatch {
    pub(crate) tasks: BTreeSet<String>,
    /// Last report within this subscription.
    pub(crate) reported_at: Option<u64>,
    /// Silence before the first report of this subscription counts from here.
    pub(crate) watched_from: u64,
    pub(crate) metrics_url: Option<String>,
    pub(crate) last_shutdown: Option<u64>,
}

/// Why the stored records cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A record of another, newer form.
    #[error("record {key:?} is of no known kind: was the store written by a newer version?")]
    UnknownKey {
        /// Its key.
        key: String,
    },
    /// A record that cannot be read.
    #[error("record {key:?} cannot be read")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl State {
    /// The state of a scheduler that never ran.
    pub fn new(settings: Settings) -> State {
        State::from_store(settings, Store::default())
    }

    /// The state after a restart.
    pub fn restore(
        settings: Settings,
        records: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<State, RestoreError> {
        Ok(State::from_store(settings, Store::restore(records)?))
    }

    fn from_store(settings: Settings, store: Store) -> State {
        let mut state = State {
            settings,
            store,
            clock: Clock::default(),
            subscribed_at: None,
            disconnected_at: Some(CLOCK_START_MS),
            topologies: BTreeMap::new(),
            jobs: BTreeMap::new(),
            slots: BTreeMap::new(),
            pending: BTreeSet::new(),
            tasks: BTreeMap::new(),
            attention: BTreeSet::new(),
            executors: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            manners: Default::default(),
            reconciliation: Default::default(),
            operations: Default::default(),
            given_up: BTreeSet::new(),
            strangers: BTreeMap::new(),
            hearing: Default::default(),
        };
        state.given_up = volumes::given_up(state.store.volumes());
        for (id, task) in state.store.tasks() {
            state.tasks.insert(id.clone(), TaskWatch::default());
            state.executors.entry(task.executor.clone()).or_default().tasks.insert(id.clone());
            if task.aim != Aim::Run || task.state == TaskState::TaskStaging {
                state.attention.insert(id.clone());
            }
        }
        for (key, slot) in state.store.slots() {
            state.slots.insert(key.clone(), SlotWish::default());
            if slot.task.is_none() && state.store.job(&key.0).is_some_and(|job| job.phase == JobPhase::Running) {
                state.pending.insert(key.clone());
            }
        }
        state
    }

    /// All durable records, as [`State::restore`] takes them.
    pub fn records(&self) -> BTreeMap<String, Value> {
        self.store.all()
    }

    /// Our id at the master; for SUBSCRIBE.
    pub fn framework_id(&self) -> Option<&str> {
        self.store.framework()
    }

    /// How to subscribe now. What changes later is said by UPDATE_FRAMEWORK.
    pub fn subscribe(&self) -> Subscribe {
        Wishes::now(self, self.manners.wishes()).subscription(self, !self.wants_offers())
    }

    /// Is there a subscription?
    pub fn is_subscribed(&self) -> bool {
        self.subscribed_at.is_some()
    }

    /// A slot waits for a task, or a volume to be destroyed.
    pub(crate) fn wants_offers(&self) -> bool {
        !self.pending.is_empty() || !self.given_up.is_empty()
    }

    /// What does not change.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The jobs whose topology is to be watched, as they will run next; of stopped ones those that have come somewhere, for
    /// their lag grows.
    pub fn watched_jobs(&self) -> Vec<JobSpec> {
        let live = self.store.jobs().values().filter(|job| job.phase != JobPhase::Stopped || job.left.is_some());
        live.map(|job| job.next.as_ref().map_or(&job.spec, |next| &next.spec).clone()).collect()
    }

    /// Executors that may get further tasks: job and agent of each.
    pub fn executors(&self) -> impl Iterator<Item = (&str, &str)> {
        let live = self.store.executors().values().filter(|record| !record.lost);
        live.map(|record| (record.job.as_str(), record.agent.as_str()))
    }

    /// Moves the clock. The first step after a restart also turns the wall-clock times of the records into times on it.
    pub(crate) fn advance(&mut self, now: Now, effects: &mut Effects) {
        let first = self.clock.last_mono_ms.is_none();
        let passed = now.mono_ms.saturating_sub(self.clock.last_mono_ms.unwrap_or(now.mono_ms));
        self.clock.last_mono_ms = Some(now.mono_ms);
        self.clock.wall_ms = now.wall_ms;
        self.clock.now += passed.min(STEP_GAP_MAX_MS);
        if passed > STEP_GAP_MAX_MS {
            effects.audit.push(Audit::SchedulerStalled { gap_ms: passed });
            self.hearing.stalled(self.clock.now);
        }
        if first {
            // Any start will do; a large one leaves room for what began before the restart.
            self.clock.now = CLOCK_START_MS;
            for (key, wish) in &mut self.slots {
                let since = self.store.slot(key).map_or(now.wall_ms, |slot| slot.since_ms);
                wish.since = CLOCK_START_MS.saturating_sub(now.wall_ms.saturating_sub(since));
            }
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now
    }

    /// Is the task its slot's current one?
    pub(crate) fn is_current(&self, task: &String) -> bool {
        self.store.task(task).is_some_and(|record| record.aim != Aim::Condemned)
    }

    /// The executor's tasks that are their slots' current ones.
    pub(crate) fn current_tasks(&self, executor: &String) -> Vec<String> {
        let tasks = self.executors.get(executor).map(|watch| &watch.tasks);
        tasks.into_iter().flatten().filter(|task| self.is_current(task)).cloned().collect()
    }

    /// Host name of an executor's agent, for people.
    pub(crate) fn host_of(&self, executor: &String) -> String {
        self.store.executor(executor).map(|record| record.location.host.clone()).unwrap_or_default()
    }

    pub(crate) fn remember_failure(&mut self, job: &str, task: &str, host: String, cause: EndCause, message: &str) {
        let at_ms = self.clock.wall_ms;
        let job = self.jobs.entry(job.to_owned()).or_default();
        let failures = if cause.is_operators() { &mut job.recent_ends } else { &mut job.recent_failures };
        failures.push_front(FailureView {
            at_ms,
            task: task.into(),
            host,
            cause: cause.as_str().into(),
            message: message.into(),
        });
        failures.truncate(FAILURES_KEPT);
    }
}

/// Where the scheduler's own clock starts: 30 days, so that waits of the time before a restart fit below it.
const CLOCK_START_MS: u64 = 30 * 86_400_000;
