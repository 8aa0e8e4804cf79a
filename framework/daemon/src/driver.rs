//! The loop: one input, one step; its records are durable before any of its calls leaves.

mod calls;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use millstream_mesos::scheduler::{Config as SessionConfig, DisconnectReason, Events, Session, SessionEvent};
use millstream_mesos_types::scheduler::Event;
use millstream_scheduler::{Audit, Input, RecordChange, Reply, State, TICK_MS, step};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior},
};

use crate::{
    RunError, audit, chain,
    clock::Clock,
    metrics::Metrics,
    store::{StateStore, StoreError},
    watchers::{News, Watchers},
};
use calls::Calls;

/// Pause before a failed store is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// A store that has not answered for so long shows as one that fails; it is waited for all the same.
const STORE_SLOW: Duration = Duration::from_secs(2);
/// The same reason why there is no subscription is said again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Most events that wait and are taken in before a tick; ticks must come all the same.
const HEARD_BEFORE_TICK: usize = 1_000;

/// What is asked of the driver from outside.
pub(crate) enum Ask {
    /// To look at the state.
    Read(Box<dyn FnOnce(&Seen<'_>) + Send>),
    /// To do something; answered once it is durable.
    Act {
        /// What.
        input: Box<Input>,
        /// Only as long as this holds.
        only_if: Option<Condition>,
        /// None when it does not hold: nothing was done.
        answer: oneshot::Sender<Option<Reply>>,
    },
}

/// What must hold of the state.
pub(crate) type Condition = Box<dyn FnOnce(&Seen<'_>) -> bool + Send>;

/// What a reader sees.
pub(crate) struct Seen<'a> {
    pub(crate) state: &'a State,
    /// Job → why its topology cannot be read at the moment.
    pub(crate) topology_errors: &'a BTreeMap<String, String>,
}

/// How the process is doing, readable without the driver.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    pub(crate) store_fails: AtomicBool,
    pub(crate) master: Mutex<Option<String>>,
    pub(crate) trouble: Mutex<Option<String>>,
}

impl Vitals {
    fn set(slot: &Mutex<Option<String>>, value: Option<String>) {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    pub(crate) fn get(slot: &Mutex<Option<String>>) -> Option<String> {
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) struct Driver {
    state: State,
    store: Arc<dyn StateStore>,
    metrics: Arc<Metrics>,
    vitals: Arc<Vitals>,
    session: SessionConfig,
    clock: Clock,
    topology_errors: BTreeMap<String, String>,
    /// When it was last said that there is no subscription.
    trouble_said: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        state: State,
        store: Arc<dyn StateStore>,
        metrics: Arc<Metrics>,
        vitals: Arc<Vitals>,
        session: SessionConfig,
    ) -> Self {
        let topology_errors = BTreeMap::new();
        Driver { state, store, metrics, vitals, session, clock: Clock::start(), topology_errors, trouble_said: None }
    }

    /// Runs until the master ends the subscription for good. May be dropped at any time: that is a crash, and every step
    /// bears one.
    pub(crate) async fn run(mut self, asks: mpsc::Receiver<Ask>) -> RunError {
        let Err(error) = self.decide(asks).await;
        error
    }

    async fn decide(&mut self, mut asks: mpsc::Receiver<Ask>) -> Result<Infallible, RunError> {
        let (mut watchers, mut topologies) = Watchers::new();
        watchers.set(self.state.watched_jobs());
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut events, mut calls) = self.connect();
        loop {
            let jobs_changed = tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.event(event, &mut events, &mut calls).await?,
                    None => return Err(RunError::Session(DisconnectReason::Closed)),
                },
                Some(change) = topologies.recv() => match watchers.current(change) {
                    Some((job, news)) => self.news(job, news, &mut calls).await,
                    None => false,
                },
                Some(ask) = asks.recv() => self.ask(ask, &mut calls).await,
                _ = tick.tick() => {
                    // What was said before is heard before anybody is called silent.
                    let heard = self.hear(&mut events, &mut calls).await?;
                    heard | self.input(Input::Tick, &mut calls).await.jobs_changed
                }
            };
            if jobs_changed {
                watchers.set(self.state.watched_jobs());
            }
        }
    }

    /// Takes in what has arrived already, up to a limit.
    async fn hear(&mut self, events: &mut Events, calls: &mut Calls) -> Result<bool, RunError> {
        let mut jobs_changed = false;
        for _ in 0..HEARD_BEFORE_TICK {
            match events.next().now_or_never() {
                Some(Some(event)) => jobs_changed |= self.event(event, events, calls).await?,
                Some(None) => return Err(RunError::Session(DisconnectReason::Closed)),
                None => break,
            }
        }
        Ok(jobs_changed)
    }

    fn connect(&self) -> (Events, Calls) {
        let (events, caller) = Session::connect(self.session.clone(), self.state.subscribe());
        (events, Calls::new(caller, self.metrics.clone()))
    }

    async fn event(&mut self, event: SessionEvent, events: &mut Events, calls: &mut Calls) -> Result<bool, RunError> {
        match event {
            SessionEvent::Subscribed { subscribed, master } => {
                tracing::info!(%master, framework = %subscribed.framework_id, "subscribed");
                Vitals::set(&self.vitals.master, Some(master));
                Vitals::set(&self.vitals.trouble, None);
                calls.new_stream();
                Ok(self.input(Input::Subscribed { framework_id: subscribed.framework_id }, calls).await.jobs_changed)
            }
            SessionEvent::Event(event) => self.mesos_event(event, calls).await,
            SessionEvent::Malformed { detail } => {
                tracing::warn!(detail, "an event of the master could not be read");
                self.metrics.malformed_event();
                Ok(false)
            }
            SessionEvent::Disconnected { reason, retry_in } => self.disconnected(reason, retry_in, events, calls).await,
        }
    }

    async fn mesos_event(&mut self, event: Event, calls: &mut Calls) -> Result<bool, RunError> {
        match Input::from_event(event) {
            Some(input) => Ok(self.input(input, calls).await.jobs_changed),
            None => Ok(false),
        }
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason,
        retry_in: Option<Duration>,
        events: &mut Events,
        calls: &mut Calls,
    ) -> Result<bool, RunError> {
        let trouble = Some(reason.to_string());
        // Not at each try, but often enough that whoever looks at the log sees it.
        let said = self.trouble_said.filter(|at| at.elapsed() < SAY_AGAIN);
        if said.is_none() || Vitals::get(&self.vitals.trouble) != trouble {
            self.trouble_said = Some(Instant::now());
            if reason.needs_a_person() {
                tracing::error!(%reason, "no subscription, and this will not pass by itself");
            } else {
                tracing::warn!(%reason, "no subscription; trying again");
            }
        }
        Vitals::set(&self.vitals.trouble, trouble);
        if self.state.is_subscribed() {
            self.input(Input::Disconnected, calls).await;
        }
        match reason {
            // Only this message means that the id is used up (dcos-flink-service#44); all others are a person's business.
            DisconnectReason::Error(message) if message.contains("Framework has been removed") => {
                tracing::error!("the master has removed this framework with all its tasks; subscribing as a new one");
                let changed = self.input(Input::FrameworkRemoved, calls).await.jobs_changed;
                (*events, *calls) = self.connect();
                Ok(changed)
            }
            reason if retry_in.is_none() => Err(RunError::Session(reason)),
            _ => Ok(false),
        }
    }

    async fn news(&mut self, job: String, news: News, calls: &mut Calls) -> bool {
        match news {
            News::Topology(topology) => {
                self.topology_errors.remove(&job);
                self.input(Input::Topology { job, topology }, calls).await.jobs_changed
            }
            News::LogEnds(ends) => self.input(Input::LogEnds { job, ends }, calls).await.jobs_changed,
            News::Gone(reason) => self.input(Input::SourceGone { job, reason }, calls).await.jobs_changed,
            News::Failed(error) => {
                let error = chain(&error);
                if self.topology_errors.get(&job) != Some(&error) {
                    tracing::warn!(job, error, "topology cannot be read");
                }
                self.metrics.topology_error(&job);
                self.topology_errors.insert(job, error);
                false
            }
        }
    }

    async fn ask(&mut self, ask: Ask, calls: &mut Calls) -> bool {
        match ask {
            Ask::Read(read) => {
                read(&Seen { state: &self.state, topology_errors: &self.topology_errors });
                false
            }
            Ask::Act { input, only_if, answer } => {
                let seen = Seen { state: &self.state, topology_errors: &self.topology_errors };
                if !only_if.is_none_or(|only_if| only_if(&seen)) {
                    let _ = answer.send(None);
                    return false;
                }
                let done = self.input(*input, calls).await;
                if let Some(reply) = done.reply {
                    // The person may have hung up; what was asked for is done all the same.
                    let _ = answer.send(Some(reply));
                }
                done.jobs_changed
            }
        }
    }

    /// One frame: step, store, send, tell.
    async fn input(&mut self, input: Input, calls: &mut Calls) -> Done {
        let effects = step(&mut self.state, input, self.clock.now());
        self.persist(effects.records).await;
        for call in effects.calls {
            calls.send(call).await;
        }
        let mut jobs_changed = false;
        for audit in &effects.audit {
            if let Audit::JobDeleted { job } = audit {
                self.topology_errors.remove(job);
            }
            jobs_changed |= changes_jobs(audit);
            self.metrics.audit(audit);
            audit::log(audit);
        }
        Done { reply: effects.reply, jobs_changed }
    }

    /// Stores records, however long it takes: without them nothing may be done, and tasks run on meanwhile (faults.md, M15).
    async fn persist(&self, records: Vec<RecordChange>) {
        if records.is_empty() {
            return;
        }
        loop {
            let result = self.stored(&records).await;
            self.metrics.stored(records.len());
            match result {
                Ok(()) => return self.vitals.store_fails.store(false, Ordering::Relaxed),
                Err(error) => {
                    self.metrics.store_failed();
                    self.vitals.store_fails.store(true, Ordering::Relaxed);
                    tracing::error!(error = chain(&error), "the state store fails; nothing is decided until it works");
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        }
    }

    async fn stored(&self, records: &[RecordChange]) -> Result<(), StoreError> {
        let mut applied = self.store.apply(records);
        match tokio::time::timeout(STORE_SLOW, &mut applied).await {
            Ok(result) => result,
            Err(_) => {
                self.vitals.store_fails.store(true, Ordering::Relaxed);
                tracing::warn!("the state store does not answer; nothing is decided until it does");
                applied.await
            }
        }
    }
}

struct Done {
    reply: Option<Reply>,
    jobs_changed: bool,
}

/// Whether the set of watched jobs may be another one now.
fn changes_jobs(audit: &Audit) -> bool {
    matches!(
        audit,
        Audit::JobDeployed { .. }
            | Audit::JobStarted { .. }
            | Audit::JobStopped { .. }
            | Audit::JobDeleted { .. }
            | Audit::JobDraining { .. }
            | Audit::RolledBack { .. }
    )
}
