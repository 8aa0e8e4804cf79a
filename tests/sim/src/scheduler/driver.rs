//! One input, one step; its records are durable before any of its calls leaves. Any of it may be the last.

use millstream_mesos_types::scheduler::Event as MesosEvent;
use millstream_scheduler::{Audit, Effects, Input, Reply, step};

use super::{CrashPoint, Facts, In};
use crate::{
    event::Event,
    jobs::{Ask, Wanted},
    trace::say,
    world::World,
};

/// Pause before a failed store is tried again.
const STORE_RETRY_MS: u64 = 1_000;

impl World {
    /// Hands something to a process, now or when it can take it.
    pub(crate) fn deliver(&mut self, id: u64, what: In) {
        let Some(at) = self.process(id) else { return };
        let process = &mut self.processes[at];
        if matches!(what, In::Tick) && std::mem::replace(&mut process.tick_waits, true) {
            return; // a missed tick comes once, late
        }
        process.inbox.push_back(what);
        self.drain_inbox(id);
    }

    pub(super) fn drain_inbox(&mut self, id: u64) {
        while let Some(at) = self.process(id) {
            let process = &mut self.processes[at];
            if process.paused || process.blocked.is_some() {
                return;
            }
            let Some(what) = process.inbox.pop_front() else { return };
            self.take(id, at, what);
        }
    }

    fn take(&mut self, id: u64, at: usize, what: In) {
        match what {
            In::Tick => {
                self.processes[at].tick_waits = false;
                self.processes[at].ticks += 1;
                self.notice_silence(at);
                self.input(at, Input::Tick, None);
            }
            In::Says(stream, session, event) => {
                if self.processes[at].session == session {
                    self.says(id, at, stream, *event);
                }
            }
            In::Ends(session) => {
                if self.processes[at].session == session {
                    self.retry_session(at);
                    self.disconnected(at);
                }
            }
            In::Broken(stream) => {
                if self.processes[at].subscribed == Some(stream) {
                    self.drop_stream(at);
                    self.processes[at].inbox.push_front(In::Connect);
                    self.disconnected(at);
                }
            }
            In::Connect => self.connect(id),
            In::Removed => {
                self.processes[at].inbox.push_front(In::Connect);
                self.input(at, Input::FrameworkRemoved, None);
            }
            In::Topology(job, topology) => self.input(at, Input::Topology { job, topology: *topology }, None),
            In::Ask(job, ask) => {
                let name = self.jobs[job].name.clone();
                let input = match ask {
                    Ask::Deploy(version) => {
                        let spec = Box::new(self.jobs[job].versions[version].clone());
                        Input::Deploy { spec, toml: format!("version {version}"), begun: None }
                    }
                    Ask::Stop => Input::Stop { job: name },
                    Ask::Delete => Input::Delete { job: name },
                };
                self.input(at, input, Some((job, ask)));
            }
        }
    }

    fn says(&mut self, id: u64, at: usize, stream: u64, event: MesosEvent) {
        self.processes[at].heard_at = self.now;
        match event {
            MesosEvent::Error { error } => {
                say!(self, "scheduler {id} hears ERROR {}", error.message);
                self.drop_stream(at);
                if error.message.contains("Framework has been removed") {
                    self.processes[at].inbox.push_front(In::Removed);
                    self.disconnected(at);
                } else {
                    self.crash(id, "another scheduler took over");
                }
            }
            event => {
                match &event {
                    MesosEvent::Subscribed { subscribed } => self.stream_opened(at, stream, &subscribed.framework_id),
                    MesosEvent::Message { message } => {
                        let process = &mut self.processes[at];
                        process.silent_since.insert(message.executor_id.value.clone(), process.ticks);
                    }
                    // A task that starts is a sign of life too, and its executor's first report is due from then on.
                    MesosEvent::Update { update } if update.status.uuid.is_some() => {
                        if let Some(executor) = &update.status.executor_id {
                            let process = &mut self.processes[at];
                            process.silent_since.insert(executor.value.clone(), process.ticks);
                        }
                    }
                    _ => {}
                }
                if let Some(input) = Input::from_event(event) {
                    self.input(at, input, None);
                }
            }
        }
    }

    fn disconnected(&mut self, at: usize) {
        if self.processes[at].state.is_subscribed() {
            self.input(at, Input::Disconnected, None);
        }
    }

    /// One frame: step, store, send, tell. `asked`: what somebody waits for.
    fn input(&mut self, at: usize, input: Input, asked: Option<(usize, Ask)>) {
        let id = self.processes[at].id;
        if self.processes[at].crash_at == Some(CrashPoint::BeforeStep) && input != Input::Tick {
            return self.crash_planned(id);
        }
        let facts = Facts::of(&input);
        self.trace_input(id, &input);
        let now = self.clock(at);
        let effects = step(&mut self.processes[at].state, input, now);
        self.outcome.steps += 1;
        self.check_effects(at, &facts, &effects);
        let acts = !effects.records.is_empty() && !effects.calls.is_empty();
        if acts && self.processes[at].crash_at == Some(CrashPoint::BeforeStore) {
            return self.crash_planned(id);
        }
        if self.processes[at].fence != self.store.fence && !effects.records.is_empty() {
            return self.crash(id, "the store is closed to it");
        }
        if self.store.fails && !effects.records.is_empty() {
            // An answer that did not come may still have been a write.
            if self.rng.chance(500) {
                self.stored(id, &effects);
            }
            self.processes[at].blocked = Some((effects, asked));
            return self.after(STORE_RETRY_MS, Event::StoreRetry { process: id });
        }
        self.stored(id, &effects);
        self.act(at, effects, asked);
    }

    pub(super) fn store_retry(&mut self, id: u64) {
        let Some(at) = self.process(id) else { return };
        if self.processes[at].fence != self.store.fence {
            return self.crash(id, "the store is closed to it");
        }
        if self.store.fails || self.processes[at].paused {
            return self.after(STORE_RETRY_MS, Event::StoreRetry { process: id });
        }
        if let Some((effects, asked)) = self.processes[at].blocked.take() {
            self.stored(id, &effects);
            self.act(at, effects, asked);
        }
        self.drain_inbox(id);
    }

    fn stored(&mut self, id: u64, effects: &Effects) {
        if !effects.records.is_empty() {
            self.check_records(&effects.records);
            self.store.apply(&effects.records);
            self.check_store(&effects.records);
            for change in &effects.records {
                say!(self, "scheduler {id} stores {} {}", change.key, change.value.is_some());
            }
        }
    }

    /// What follows when the records are durable.
    fn act(&mut self, at: usize, effects: Effects, asked: Option<(usize, Ask)>) {
        let id = self.processes[at].id;
        let acts = !effects.records.is_empty() && !effects.calls.is_empty();
        if acts && self.processes[at].crash_at == Some(CrashPoint::BeforeCalls) {
            return self.crash_planned(id);
        }
        let (waiting, new) = (self.processes[at].calls.len(), effects.calls.len());
        let dies_after = match self.processes[at].crash_at {
            Some(CrashPoint::BetweenCalls) if new > 1 => Some(self.rng.between(1, new as u64 - 1) as usize),
            Some(CrashPoint::AfterCalls) if acts => Some(new),
            _ => None,
        };
        if let Some(calls) = dies_after {
            self.processes[at].crash_after_calls = Some(waiting + calls);
        }
        if let Some(stream) = self.processes[at].subscribed {
            self.processes[at].calls.extend(effects.calls.into_iter().map(|call| (stream, call)));
        }
        self.tell(id, &effects.audit);
        if let (Some((job, ask)), Some(reply)) = (asked, effects.reply) {
            self.answered(job, ask, &reply);
        }
        self.send_calls(id);
    }

    fn tell(&mut self, id: u64, audits: &[Audit]) {
        let mut jobs_changed = false;
        for audit in audits {
            jobs_changed |= matches!(
                audit,
                Audit::JobDeployed { .. }
                    | Audit::JobStarted { .. }
                    | Audit::JobStopped { .. }
                    | Audit::JobDeleted { .. }
                    | Audit::JobDraining { .. }
            );
            if !matches!(audit, Audit::Report { .. }) {
                say!(self, "scheduler {id} says {audit:?}");
            }
        }
        if jobs_changed {
            self.watch(id);
        }
    }

    fn answered(&mut self, job: usize, ask: Ask, reply: &Reply) {
        if self.jobs[job].asking != Some(ask) {
            return; // it was asked for twice
        }
        say!(self, "{}: {ask:?} is answered {reply:?}", self.jobs[job].name);
        let wanted = match (ask, reply) {
            (Ask::Delete, Reply::NotStopped) => return, // asked again later
            (Ask::Deploy(version), _) => Wanted::Running(version),
            (Ask::Stop, Reply::NoSuchJob) | (Ask::Delete, _) => Wanted::Gone,
            (Ask::Stop, _) => Wanted::Stopped,
        };
        (self.jobs[job].asking, self.jobs[job].wanted) = (None, wanted);
    }

    pub(super) fn crash_planned(&mut self, id: u64) {
        let Some(at) = self.process(id) else { return };
        let point = self.processes[at].crash_at;
        self.count(match point {
            Some(CrashPoint::BeforeStep) => "scheduler crash before a step",
            Some(CrashPoint::BeforeStore) => "scheduler crash before the store",
            Some(CrashPoint::BeforeCalls) => "scheduler crash before the first call",
            Some(CrashPoint::BetweenCalls) => "scheduler crash between two calls",
            Some(CrashPoint::AfterCalls) => "scheduler crash after the last call",
            None => "scheduler crash",
        });
        self.crash(id, "as planned");
    }

    fn trace_input(&mut self, id: u64, input: &Input) {
        match input {
            Input::Tick | Input::Message { .. } | Input::Topology { .. } => {}
            Input::Update(status) => {
                let (task, state, reason) = (&status.task_id, status.state, status.reason.as_deref().unwrap_or("-"));
                say!(self, "scheduler {id} hears UPDATE {task} {state:?} {reason} uuid={}", status.uuid.is_some());
            }
            Input::Offers(offers) => say!(self, "scheduler {id} hears OFFERS {}", offers.len()),
            Input::Deploy { spec, toml, .. } => say!(self, "scheduler {id} is asked to deploy {} {toml}", spec.name),
            input => say!(self, "scheduler {id} hears {input:?}"),
        }
    }
}
