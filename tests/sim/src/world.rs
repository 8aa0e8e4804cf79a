//! The world of one seed: everything there is, and what happens next.

use std::collections::BTreeMap;

use crate::{
    Ms,
    agent::Machine,
    check::Checks,
    data::Partition,
    event::Event,
    executor::Executor,
    jobs::Job,
    master::{Master, Registry},
    nemesis::{Fault, Plan},
    queue::Queue,
    rng::Rng,
    scheduler::{Process, Store, Stream},
    trace::{Trace, say},
};

/// Longest time a run may need to heal: the longest crash back-off, after the longest filter, and some.
pub(crate) const HEAL_MAX_MS: Ms = 480_000;

/// A run goes on for so long after it has healed, so that what comes late is seen.
const AFTER_HEALING_MS: Ms = 15_000;

/// What is added up over all seeds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) hash: u64,
    pub(crate) steps: u64,
    pub(crate) simulated_ms: Ms,
    pub(crate) healed_in_ms: Ms,
    pub(crate) calls_per_minute_max: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) violation: Option<String>,
}

pub(crate) struct World {
    pub(crate) now: Ms,
    pub(crate) rng: Rng,
    pub(crate) queue: Queue,
    pub(crate) trace: Trace,
    pub(crate) plan: Plan,
    pub(crate) outcome: Outcome,
    /// Numbers for ids of all kinds.
    next_number: u64,
    pub(crate) jobs: Vec<Job>,
    pub(crate) data: Vec<Vec<Partition>>,
    pub(crate) store: Store,
    pub(crate) processes: Vec<Process>,
    pub(crate) streams: BTreeMap<u64, Stream>,
    /// None while the masters elect.
    pub(crate) master: Option<Master>,
    pub(crate) registry: Registry,
    pub(crate) machines: Vec<Machine>,
    /// All executors that ever were, the dead ones too.
    pub(crate) executors: Vec<Executor>,
    pub(crate) checks: Checks,
    /// Faults have ended.
    pub(crate) calm_since: Option<Ms>,
    healed_at: Option<Ms>,
}

impl World {
    pub(crate) fn new(seed: u64, print: bool) -> World {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(&mut rng);
        let machines: Vec<_> = (0..rng.between(3, 5) as usize).map(|at| Machine::new(at, &mut rng)).collect();
        let jobs: Vec<_> = (0..rng.between(2, 3) as usize).map(|at| Job::new(at, machines.len(), &mut rng)).collect();
        let partitions = |job: &Job| job.leaders.iter().map(|_| Partition::new(4, 0)).collect();
        let data = jobs.iter().map(partitions).collect();
        let mut world = World {
            now: 0,
            rng,
            queue: Queue::default(),
            trace: Trace::new(print),
            plan,
            outcome: Outcome { seed, ..Outcome::default() },
            next_number: 0,
            jobs,
            data,
            store: Store::default(),
            processes: vec![],
            streams: BTreeMap::new(),
            master: None,
            registry: Registry::default(),
            machines,
            executors: vec![],
            checks: Checks::default(),
            calm_since: None,
            healed_at: None,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.after(10, Event::Elected);
        self.after(20, Event::Start);
        for machine in 0..self.machines.len() {
            let at = self.rng.between(0, 2_000);
            self.after(at, Event::AgentUp { machine });
        }
        self.after(1_000, Event::User);
        self.after(1_000, Event::Check);
        self.after(5_000, Event::Strike);
        self.after(self.plan.calm_at, Event::Calm);
    }

    /// Runs to the end, or to the first violation.
    pub(crate) fn run(mut self) -> Outcome {
        while self.outcome.violation.is_none() {
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            if self.is_over() {
                self.check_end();
                break;
            }
            self.happen(event);
        }
        if let Some(violation) = &self.outcome.violation {
            self.trace.say(self.now, format_args!("VIOLATION {violation}"));
        }
        self.outcome.hash = self.trace.hash();
        self.outcome.simulated_ms = self.now;
        self.outcome
    }

    fn is_over(&mut self) -> bool {
        let Some(calm) = self.calm_since else { return false };
        let is_late = self.now >= calm + HEAL_MAX_MS;
        if !is_late && self.healed_at.is_none_or(|at| self.now < at + AFTER_HEALING_MS) {
            return false;
        }
        if !is_late && self.trouble().is_some() {
            self.healed_at = None; // since the last look
            return false;
        }
        self.outcome.healed_in_ms = self.healed_at.unwrap_or(self.now) - calm;
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Calm => self.calm(),
            Event::Check => self.check(),
            Event::User => self.user(),
            Event::Strike => self.strike(),
            Event::MaintenanceBegins { machine, until } => self.maintenance_begins(machine, until),
            Event::StoreWorks => self.store.fails = false,
            Event::Start
            | Event::Tick { .. }
            | Event::StreamSays { .. }
            | Event::StreamEnds { .. }
            | Event::Subscribe { .. }
            | Event::CallAnswered { .. }
            | Event::StoreRetry { .. }
            | Event::Resume { .. }
            | Event::Deposed { .. }
            | Event::TopologyRead { .. }
            | Event::TakeOver { .. } => self.scheduler_event(event),
            Event::Elected
            | Event::SubscribeArrives { .. }
            | Event::CallArrives { .. }
            | Event::Processes { .. }
            | Event::StreamGone { .. }
            | Event::Heartbeat { .. }
            | Event::Allocate { .. }
            | Event::ReregistrationOver { .. }
            | Event::PingsMissed { .. }
            | Event::ToMaster { .. } => self.master_event(event),
            Event::ToAgent { .. }
            | Event::Register { .. }
            | Event::AgentUp { .. }
            | Event::AgentRecovered { .. }
            | Event::Heal { .. }
            | Event::RetryUpdate { .. }
            | Event::RegistrationTimeout { .. }
            | Event::ShutdownTimeout { .. }
            | Event::FromExecutor { .. }
            | Event::ExecutorExited { .. }
            | Event::DrainOver { .. } => self.agent_event(event),
            Event::ExecutorStarts { .. }
            | Event::ToExecutor { .. }
            | Event::ExecutorSubscribes { .. }
            | Event::Beat { .. }
            | Event::Wake { .. }
            | Event::RecoveryTimeout { .. }
            | Event::GraceOver { .. }
            | Event::Exit { .. }
            | Event::Lands { .. } => self.executor_event(event),
        }
    }

    fn check(&mut self) {
        self.check_running();
        if self.calm_since.is_some() {
            match self.trouble() {
                None => drop(self.healed_at.get_or_insert(self.now)),
                Some(_) => self.healed_at = None,
            }
        }
        self.after(1_000, Event::Check);
    }

    /// What must not be. The first one ends the run.
    pub(crate) fn violation(&mut self, what: String) {
        self.outcome.violation.get_or_insert(what);
    }

    pub(crate) fn hold(&mut self, result: Result<(), String>) {
        if let Err(what) = result {
            self.violation(what);
        }
    }

    pub(crate) fn after(&mut self, ms: Ms, event: Event) {
        self.queue.push(self.now + ms, event);
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn count(&mut self, fault: &'static str) {
        *self.outcome.faults.entry(fault).or_default() += 1;
        say!(self, "FAULT {fault}");
    }

    /// One way over the network.
    pub(crate) fn latency(&mut self) -> Ms {
        if self.calm_since.is_none() && self.rng.chance(self.plan.slow_per_mille) {
            *self.outcome.faults.entry("slow packet").or_default() += 1;
            return self.rng.between(200, 2_500);
        }
        self.rng.between(1, 6)
    }

    pub(crate) fn is_on(&self, fault: Fault) -> bool {
        self.calm_since.is_none() && self.plan.kinds.contains(&fault)
    }

    /// Executors' tasks that are alive: id → executor.
    pub(crate) fn alive_tasks(&self) -> BTreeMap<String, usize> {
        let alive = self.executors.iter().enumerate().filter(|(_, executor)| executor.is_alive());
        alive.flat_map(|(at, executor)| executor.tasks.keys().map(move |id| (id.clone(), at))).collect()
    }
}

/// A connection keeps the order of what is sent on it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ordered(Ms);

impl Ordered {
    /// When what is sent now arrives.
    pub(crate) fn arrival(&mut self, at: Ms) -> Ms {
        self.0 = self.0.max(at);
        self.0
    }
}
