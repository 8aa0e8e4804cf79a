//! Scheduler processes: the real `step` in a driver loop as `framework/daemon/src/driver.rs` has it, with crashes between
//! any two of its actions, a store that fails and fences, and a session as `framework/mesos` has it.

mod driver;
mod session;

use std::collections::{BTreeMap, VecDeque};

use millstream_mesos_types::scheduler::{Call, Event as MesosEvent, Subscribe};
use millstream_placement::JobTopology;
use millstream_scheduler::{
    Effects, ExecutorProgram, FrameworkSettings, Input, Now, RecordChange, Settings, State, TICK_MS,
};
use millstream_spec::JobSpec;
use serde_json::Value;

use crate::{
    Ms,
    amounts::ROLE,
    event::Event,
    jobs::Ask,
    nemesis::Fault,
    trace::say,
    world::{Ordered, World},
};

/// Where the wall clock stands at the beginning of a run, in milliseconds since the epoch.
const WALL_MS: u64 = 1_700_000_000_000;

/// A leader that is silent for so long loses its ZooKeeper session, and the standby takes over.
const LEADER_SESSION_MS: Ms = 6_000;

/// The state store: atomic, durable, and closed to a process that leads no more.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) records: BTreeMap<String, Value>,
    pub(crate) fails: bool,
    /// Number of the leader whose writes are taken.
    fence: u64,
}

impl Store {
    fn apply(&mut self, changes: &[RecordChange]) {
        for RecordChange { key, value } in changes {
            match value {
                Some(value) => drop(self.records.insert(key.clone(), value.clone())),
                None => drop(self.records.remove(key)),
            }
        }
    }
}

/// An event stream between a process and a master.
pub(crate) struct Stream {
    pub(crate) process: u64,
    /// The attempt that opened it.
    pub(crate) session: u64,
    pub(crate) epoch: u64,
    pub(crate) framework: String,
    /// What is on its way then does not arrive.
    pub(crate) cut_at: Option<Ms>,
    /// Nothing arrives and nobody is told.
    pub(crate) half_open: bool,
    pub(crate) down: Ordered,
}

/// A step that dies on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    BeforeStep,
    BeforeStore,
    BeforeCalls,
    BetweenCalls,
    AfterCalls,
}

/// What waits for the driver.
pub(crate) enum In {
    /// Stream, the attempt that opened it, what it says.
    Says(u64, u64, Box<MesosEvent>),
    Ends(u64),
    /// A call got no answer.
    Broken(u64),
    Removed,
    /// After what came before it is durable.
    Connect,
    Topology(String, Box<JobTopology>),
    Ask(usize, Ask),
    Tick,
}

/// One scheduler process.
pub(crate) struct Process {
    pub(crate) id: u64,
    pub(crate) state: State,
    fence: u64,
    began: Ms,
    paused: bool,
    /// A step whose records cannot be stored yet.
    blocked: Option<(Effects, Option<(usize, Ask)>)>,
    inbox: VecDeque<In>,
    tick_waits: bool,
    /// Ticks it has seen: its own idea of time, which stands still while it is stalled.
    pub(crate) ticks: u64,
    /// Since which tick an executor is silent.
    pub(crate) silent_since: BTreeMap<String, u64>,
    /// Tasks that were asked for and not answered, with the tick of the last time.
    pub(crate) asked: BTreeMap<String, u64>,
    /// Jobs whose topology is read.
    watched: BTreeMap<String, JobSpec>,
    /// The attempt to subscribe that counts.
    session: u64,
    subscribe: Subscribe,
    pub(crate) subscribed: Option<u64>,
    subscribed_at: Ms,
    heard_at: Ms,
    /// SUBSCRIBE is under way.
    subscribing: bool,
    backoff_ms: Ms,
    /// With the stream they were made for.
    calls: VecDeque<(u64, Call)>,
    call_under_way: bool,
    pub(crate) crash_at: Option<CrashPoint>,
    pub(crate) crash_after_calls: Option<usize>,
}

impl World {
    pub(crate) fn scheduler_event(&mut self, event: Event) {
        match event {
            Event::Start => self.start_process(),
            Event::TakeOver { process } => self.take_over(process),
            Event::Tick { process } if self.process(process).is_some() => {
                self.after(TICK_MS, Event::Tick { process });
                self.deliver(process, In::Tick);
            }
            Event::StreamSays { process, stream, event } => {
                let open = self.streams.get(&stream).filter(|s| s.cut_at.is_none_or(|at| at >= self.now));
                if let Some(session) = open.map(|stream| stream.session) {
                    self.deliver(process, In::Says(stream, session, event));
                }
            }
            Event::StreamEnds { process, session, stream } => {
                drop(stream.and_then(|stream| self.streams.remove(&stream)));
                self.deliver(process, In::Ends(session));
            }
            Event::Subscribe { process, session } => self.subscribe(process, session),
            Event::CallAnswered { process, stream, answer } => self.call_answered(process, stream, answer),
            Event::StoreRetry { process } => self.store_retry(process),
            Event::Resume { process } => {
                if let Some(at) = self.process(process) {
                    // What was sent meanwhile lies in the socket: nobody was silent.
                    (self.processes[at].paused, self.processes[at].heard_at) = (false, self.now);
                    say!(self, "scheduler {process} resumes");
                    if !self.leads(process) {
                        let ms = self.rng.between(1, 1_000);
                        self.after(ms, Event::Deposed { process });
                    }
                    self.drain_inbox(process);
                }
            }
            Event::Deposed { process } => self.crash(process, "its ZooKeeper session has expired"),
            Event::TopologyRead { process, job } => self.topology_read(process, &job),
            _ => {}
        }
    }

    pub(crate) fn process(&self, id: u64) -> Option<usize> {
        self.processes.iter().position(|process| process.id == id)
    }

    /// The process that may store.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.processes.iter().position(|process| process.fence == self.store.fence)
    }

    fn leads(&self, id: u64) -> bool {
        self.leader().is_some_and(|at| self.processes[at].id == id)
    }

    /// The standby leads when the leader is silent.
    fn take_over(&mut self, id: u64) {
        if self.process(id).is_some_and(|at| self.processes[at].paused) && self.leads(id) {
            self.count("scheduler taken over while paused");
            self.start_process();
        }
    }

    fn start_process(&mut self) {
        let id = self.number();
        self.store.fence += 1;
        let state = match State::restore(settings(), self.store.records.clone()) {
            Ok(state) => state,
            Err(error) => return self.violation(format!("the stored state cannot be taken over: {error}")),
        };
        say!(self, "scheduler {id} starts with {} records", self.store.records.len());
        let fresh = Process {
            id,
            subscribe: state.subscribe(),
            state,
            fence: self.store.fence,
            began: self.now,
            paused: false,
            blocked: None,
            inbox: VecDeque::new(),
            tick_waits: false,
            ticks: 0,
            silent_since: BTreeMap::new(),
            asked: BTreeMap::new(),
            watched: BTreeMap::new(),
            session: 0,
            subscribed: None,
            subscribed_at: 0,
            heard_at: self.now,
            subscribing: false,
            backoff_ms: 0,
            calls: VecDeque::new(),
            call_under_way: false,
            crash_at: None,
            crash_after_calls: None,
        };
        self.processes.push(fresh);
        self.checks.process_started(id);
        self.watch(id);
        self.connect(id);
        self.after(TICK_MS, Event::Tick { process: id });
    }

    /// Kills a process. A supervisor starts the next one, unless another leads already.
    pub(crate) fn crash(&mut self, id: u64, why: &str) {
        let Some(at) = self.process(id) else { return };
        let led = self.leads(id);
        say!(self, "scheduler {id} dies: {why}");
        self.processes.remove(at);
        let theirs: Vec<u64> =
            self.streams.iter().filter(|(_, s)| s.process == id).map(|(stream, _)| *stream).collect();
        for stream in theirs {
            if let Some(Stream { epoch, half_open, .. }) = self.streams.remove(&stream) {
                // A half-open connection stays open at the master.
                let ms = self.latency();
                if !half_open {
                    self.after(ms, Event::StreamGone { epoch, stream });
                }
            }
        }
        if led {
            let ms = self.rng.between(300, 6_000);
            self.after(ms, Event::Start);
        }
    }

    /// Stops a process for a while (SIGSTOP, a stalled machine).
    pub(crate) fn pause(&mut self, id: u64, ms: Ms) {
        let Some(at) = self.process(id) else { return };
        self.processes[at].paused = true;
        say!(self, "scheduler {id} pauses for {ms} ms");
        self.after(ms, Event::Resume { process: id });
        if self.is_on(Fault::SchedulerTakenOver) && ms > LEADER_SESSION_MS {
            self.after(LEADER_SESSION_MS, Event::TakeOver { process: id });
        }
    }

    /// Reads the topology of the jobs that are watched now and were not before.
    fn watch(&mut self, id: u64) {
        let Some(at) = self.process(id) else { return };
        let jobs = self.processes[at].state.watched_jobs();
        let wanted: BTreeMap<_, _> = jobs.into_iter().map(|spec| (spec.name.0.clone(), spec)).collect();
        let known = std::mem::replace(&mut self.processes[at].watched, wanted.clone());
        for (job, _) in wanted.into_iter().filter(|(name, spec)| known.get(name) != Some(spec)) {
            let ms = self.rng.between(30, 1_500);
            self.after(ms, Event::TopologyRead { process: id, job });
        }
    }

    fn topology_read(&mut self, id: u64, name: &str) {
        let watched = self.process(id).is_some_and(|at| self.processes[at].watched.contains_key(name));
        if let Some(job) = self.jobs.iter().find(|job| job.name == name && watched) {
            let topology = job.topology(self.machines.len());
            self.deliver(id, In::Topology(name.to_owned(), Box::new(topology)));
        }
    }

    /// Leaders have moved or partitions were added: every watch sees it within its interval.
    pub(crate) fn topology_changed(&mut self, job: usize) {
        let ids: Vec<u64> = self.processes.iter().map(|process| process.id).collect();
        for process in ids {
            let (ms, job) = (self.rng.between(100, 10_000), self.jobs[job].name.clone());
            self.after(ms, Event::TopologyRead { process, job });
        }
    }

    pub(crate) fn clock(&self, at: usize) -> Now {
        let wall_ms = WALL_MS.saturating_add_signed(self.plan.wall_skew_ms) + self.now;
        Now { mono_ms: self.now - self.processes[at].began, wall_ms }
    }
}

/// As a cluster's operator would set it, but for the drain's grace.
fn settings() -> Settings {
    let framework = FrameworkSettings { role: ROLE.into(), ..FrameworkSettings::default() };
    let executor = ExecutorProgram::Path("/opt/millstream-executor".into());
    Settings { framework, executor, executor_port: true, ..Settings::default() }
}

/// What an input brings, as far as it is checked.
pub(crate) struct Facts {
    pub(crate) offers: Vec<String>,
    /// Task and uuid.
    pub(crate) update: Option<(String, Option<Vec<u8>>)>,
    pub(crate) is_subscription: bool,
}

impl Facts {
    fn of(input: &Input) -> Facts {
        let offers = match input {
            Input::Offers(offers) => offers.iter().map(|offer| offer.id.value.clone()).collect(),
            _ => vec![],
        };
        let update = match input {
            Input::Update(status) => {
                Some((status.task_id.value.clone(), status.uuid.as_ref().map(|uuid| uuid.0.clone())))
            }
            _ => None,
        };
        Facts { offers, update, is_subscription: matches!(input, Input::Subscribed { .. }) }
    }
}
