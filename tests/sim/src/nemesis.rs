//! What goes wrong, and when. Each seed has its own mix of kinds: a fault that never comes alone hides others.

use std::collections::BTreeSet;

use crate::{
    Ms,
    event::Event,
    jobs::{Ask, Wanted},
    master::Admission,
    rng::Rng,
    scheduler::CrashPoint,
    trace::say,
    world::World,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    MasterFailover,
    MasterDiesAfter202,
    AcceptLost,
    RegistryForgets,
    SchedulerCrash,
    SchedulerPause,
    SchedulerTakenOver,
    StreamCut,
    StreamHalfOpen,
    StoreFails,
    AgentRestart,
    AgentCut,
    AgentOff,
    AgentGone,
    Maintenance,
    Drain,
    ExecutorCrash,
    ExecutorPause,
    EngineFails,
    BadBinary,
    Rescind,
    Revoke,
    OthersTake,
    Teardown,
    MessagesLost,
    SlowLinks,
    LeaderMoves,
    PartitionsGrow,
    WallClock,
    SlowWrites,
}

use Fault::*;

const ALL: [Fault; 30] = [
    MasterFailover,
    MasterDiesAfter202,
    AcceptLost,
    RegistryForgets,
    SchedulerCrash,
    SchedulerPause,
    SchedulerTakenOver,
    StreamCut,
    StreamHalfOpen,
    StoreFails,
    AgentRestart,
    AgentCut,
    AgentOff,
    AgentGone,
    Maintenance,
    Drain,
    ExecutorCrash,
    ExecutorPause,
    EngineFails,
    BadBinary,
    Rescind,
    Revoke,
    OthersTake,
    Teardown,
    MessagesLost,
    SlowLinks,
    LeaderMoves,
    PartitionsGrow,
    WallClock,
    SlowWrites,
];

/// When all is calm people wait so long before they look whether what they deployed was taken back.
const LOOKS_AGAIN_MS: Ms = 60_000;

/// The mix of a seed.
pub(crate) struct Plan {
    pub(crate) kinds: BTreeSet<Fault>,
    /// Faults end then.
    pub(crate) calm_at: Ms,
    /// Longest time between two strikes.
    pause_max_ms: Ms,
    pub(crate) slow_per_mille: u64,
    pub(crate) message_loss_per_mille: u64,
    pub(crate) wall_skew_ms: i64,
    /// A job whose executors cannot start, until then.
    pub(crate) bad_binary: Option<(usize, Ms)>,
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng) -> Plan {
        let often = rng.between(150, 650);
        let kinds: BTreeSet<Fault> = ALL.into_iter().filter(|_| rng.chance(often)).collect();
        let slow_per_mille = if kinds.contains(&SlowLinks) { rng.between(5, 60) } else { 0 };
        Plan {
            kinds,
            calm_at: rng.between(80_000, 180_000),
            pause_max_ms: rng.between(1_500, 10_000),
            slow_per_mille,
            message_loss_per_mille: rng.between(20, 300),
            wall_skew_ms: 0,
            bad_binary: None,
        }
    }
}

impl World {
    /// Something goes wrong, and again after a while.
    pub(crate) fn strike(&mut self) {
        if self.calm_since.is_some() {
            return;
        }
        let kinds: Vec<Fault> = self.plan.kinds.iter().copied().collect();
        if let Some(kind) = self.rng.pick(&kinds).copied() {
            match kind {
                MasterFailover | MasterDiesAfter202 | RegistryForgets | StreamCut | StreamHalfOpen | Rescind
                | Teardown => {
                    self.strike_masters(kind);
                }
                SchedulerCrash | SchedulerPause | StoreFails | WallClock => self.strike_schedulers(kind),
                AgentRestart | AgentCut | AgentOff | AgentGone | Maintenance | Drain | Revoke => {
                    self.strike_agents(kind)
                }
                ExecutorCrash | ExecutorPause | EngineFails | BadBinary => self.strike_executors(kind),
                LeaderMoves | PartitionsGrow => self.strike_topics(kind),
                // These are on all the time.
                SchedulerTakenOver | AcceptLost | OthersTake | MessagesLost | SlowLinks | SlowWrites => {}
            }
        }
        let ms = self.rng.between(100, self.plan.pause_max_ms);
        self.after(ms, Event::Strike);
    }

    fn strike_masters(&mut self, kind: Fault) {
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        let stream = self.rng.pick(&streams).copied();
        let Some(master) = &mut self.master else { return };
        match kind {
            MasterFailover => {
                self.count("master failover");
                self.master_dies();
            }
            MasterDiesAfter202 => master.dies_after_202 = true,
            RegistryForgets => {
                // `--registry_max_agent_age`, early: their tasks are TASK_UNKNOWN now, and may come back all the same.
                let before = self.registry.agents.len();
                self.registry.agents.retain(|_, known| known.admission != Admission::Unreachable);
                if self.registry.agents.len() < before {
                    self.count("registry forgets unreachable agents");
                }
            }
            StreamCut => {
                if let Some(stream) = stream.filter(|stream| !self.streams[stream].half_open) {
                    self.count("stream cut");
                    let epoch = self.streams[&stream].epoch;
                    self.cut_stream(stream);
                    let ms = self.latency();
                    self.after(ms, Event::StreamGone { epoch, stream });
                }
            }
            StreamHalfOpen => {
                if let Some(known) = stream.and_then(|stream| self.streams.get_mut(&stream)) {
                    known.half_open = true;
                    self.count("stream half-open");
                }
            }
            Rescind => {
                let offers: Vec<String> = master.offers.keys().cloned().collect();
                if !offers.is_empty() {
                    self.count("offers rescinded");
                }
                offers.iter().for_each(|offer| self.take_back(offer, true));
            }
            _ => {
                let connected = master.frameworks.iter().find(|(_, framework)| framework.stream.is_some());
                // Rare: it ends everything there is.
                if let Some(id) = connected.map(|(id, _)| id.clone())
                    && self.rng.chance(250)
                {
                    self.count("framework removed by an operator");
                    self.teardown(&id);
                }
            }
        }
    }

    fn strike_schedulers(&mut self, kind: Fault) {
        let ids: Vec<u64> = self.processes.iter().map(|process| process.id).collect();
        let Some(id) = self.rng.pick(&ids).copied() else { return };
        let Some(at) = self.process(id) else { return };
        match kind {
            SchedulerCrash => {
                use CrashPoint::*;
                let points = [BeforeStep, BeforeStore, BeforeCalls, BetweenCalls, AfterCalls];
                self.processes[at].crash_at = self.rng.pick(&points).copied();
            }
            SchedulerPause => {
                let long = self.rng.chance(300);
                let ms = if long { self.rng.between(6_500, 20_000) } else { self.rng.between(300, 5_000) };
                self.count("scheduler paused");
                self.pause(id, ms);
            }
            StoreFails => {
                self.count("store fails");
                self.store.fails = true;
                let ms = self.rng.between(500, 8_000);
                self.after(ms, Event::StoreWorks);
            }
            _ => {
                self.count("wall clock jumps");
                self.plan.wall_skew_ms = self.rng.between(0, 7_200_000) as i64 - 3_600_000;
            }
        }
    }

    fn strike_agents(&mut self, kind: Fault) {
        let machine = self.rng.below(self.machines.len() as u64) as usize;
        let known = &self.machines[machine];
        if !known.up || known.off || known.cut {
            return;
        }
        match kind {
            AgentRestart => {
                self.count("agent restarts");
                let ms = self.rng.between(300, 9_000);
                self.agent_down(machine, ms);
            }
            AgentCut => {
                self.count("agent cut off");
                let long = self.rng.chance(400);
                let ms = if long { self.rng.between(20_000, 60_000) } else { self.rng.between(500, 15_000) };
                self.cut(machine, ms);
            }
            AgentOff => {
                let back = self.rng.chance(700).then(|| self.rng.between(3_000, 40_000));
                self.count(if back.is_some() { "machine reboots" } else { "machine lost" });
                self.power_off(machine, back);
            }
            AgentGone => {
                let id = known.id.clone();
                if let (Some(id), true) = (id, self.epoch().is_some()) {
                    self.count("agent marked gone");
                    self.remove_agent(&id, Admission::Gone);
                }
            }
            Maintenance => {
                if known.maintenance.is_none() {
                    self.count("maintenance");
                    let (start, lasts) = (self.now + self.rng.between(5_000, 30_000), self.rng.between(5_000, 30_000));
                    self.machines[machine].maintenance = Some((start, start + lasts));
                    self.queue.push(start, Event::MaintenanceBegins { machine, until: start + lasts });
                }
            }
            Revoke => {
                self.count("revocable resources change");
                self.revoke(machine);
            }
            _ => {
                self.count("agent drained");
                self.drain_agent(machine);
                let ms = self.rng.between(5_000, 40_000);
                self.after(ms, Event::DrainOver { machine });
            }
        }
    }

    pub(crate) fn maintenance_begins(&mut self, machine: usize, until: Ms) {
        if self.machines[machine].maintenance.take().is_some() && self.calm_since.is_none() {
            self.power_off(machine, Some(until.saturating_sub(self.now)));
        }
    }

    fn strike_executors(&mut self, kind: Fault) {
        let alive = |executor: &crate::executor::Executor| executor.is_alive() && executor.paused_until.is_none();
        let all: Vec<usize> = (0..self.executors.len()).filter(|at| alive(&self.executors[*at])).collect();
        let picked = self.rng.pick(&all).copied();
        match (kind, picked) {
            (ExecutorCrash, Some(at)) => {
                self.count("executor crash");
                self.exit(at, 137);
            }
            (ExecutorPause, Some(at)) => {
                self.count("executor stopped (SIGSTOP)");
                let ms = self.rng.between(1_000, 45_000);
                self.pause_executor(at, ms);
            }
            (EngineFails, Some(at)) => {
                self.count("executor's engine fails");
                self.engine_fails(at);
            }
            (BadBinary, _) => {
                let (job, ms) = (self.rng.below(self.jobs.len() as u64) as usize, self.rng.between(2_000, 30_000));
                self.plan.bad_binary = Some((job, self.now + ms));
            }
            _ => {}
        }
    }

    fn strike_topics(&mut self, kind: Fault) {
        let job = self.rng.below(self.jobs.len() as u64) as usize;
        let hosts = self.machines.len() as u64;
        if kind == LeaderMoves {
            self.count("leaders move");
            let partition = self.rng.below(self.jobs[job].leaders.len() as u64) as usize;
            self.jobs[job].leaders[partition] = self.rng.below(hosts) as usize;
        } else if self.jobs[job].leaders.len() < 8 {
            self.count("partition added");
            let host = self.rng.below(hosts) as usize;
            self.jobs[job].leaders.push(host);
            self.data[job].push(crate::data::Partition::new(4, self.now));
        }
        self.topology_changed(job);
    }

    /// Faults end, machines come back, producers stop.
    pub(crate) fn calm(&mut self) {
        say!(self, "CALM");
        self.calm_since = Some(self.now);
        self.plan.bad_binary = None;
        self.store.fails = false;
        if let Some(master) = &mut self.master {
            master.dies_after_202 = false;
        }
        for at in 0..self.processes.len() {
            (self.processes[at].crash_at, self.processes[at].crash_after_calls) = (None, None);
            let process = self.processes[at].id;
            self.after(500, Event::Resume { process });
        }
        for machine in 0..self.machines.len() {
            self.machines[machine].draining = false;
            self.machines[machine].maintenance = None;
            if self.machines[machine].cut {
                self.heal(machine);
            }
            let ms = self.rng.between(500, 5_000);
            self.after(ms, Event::AgentUp { machine });
        }
        for executor in 0..self.executors.len() {
            if self.executors[executor].paused_until.is_some() {
                let ms = self.rng.between(10, 5_000);
                self.executors[executor].paused_until = Some(self.now + ms);
                self.after(ms, Event::Wake { executor });
            }
        }
        let now = self.now;
        self.data.iter_mut().flatten().for_each(|partition| partition.end(now));
        for job in 0..self.jobs.len() {
            let version = self.rng.below(4) as usize;
            self.jobs[job].asking = Some(if self.rng.chance(900) { Ask::Deploy(version) } else { Ask::Stop });
        }
    }

    /// What people do: they ask, ask again until they are answered, and change their minds.
    pub(crate) fn user(&mut self) {
        for job in 0..self.jobs.len() {
            if self.jobs[job].asking.is_none() && self.calm_since.is_none() {
                self.jobs[job].asking = self.new_ask(self.jobs[job].wanted);
            }
            if let (None, Wanted::Running(version), Some(since)) =
                (self.jobs[job].asking, self.jobs[job].wanted, self.calm_since)
                && self.now > since + LOOKS_AGAIN_MS
                && self.was_taken_back(job)
            {
                self.jobs[job].asking = Some(Ask::Deploy(version));
            }
            if let (Some(ask), Some(leader)) = (self.jobs[job].asking, self.leader()) {
                let id = self.processes[leader].id;
                self.deliver(id, crate::scheduler::In::Ask(job, ask));
            }
        }
        let ms = self.rng.between(1_500, 5_000);
        self.after(ms, Event::User);
    }

    fn new_ask(&mut self, wanted: Wanted) -> Option<Ask> {
        let change = self.rng.below(100);
        let version = self.rng.below(4) as usize;
        match wanted {
            Wanted::Gone => (change < 60).then_some(Ask::Deploy(0)),
            Wanted::Stopped if change < 15 => Some(Ask::Delete),
            Wanted::Stopped => (change < 60).then_some(Ask::Deploy(version)),
            Wanted::Running(_) if change < 2 => Some(Ask::Stop),
            Wanted::Running(_) => (change < 7).then_some(Ask::Deploy(version)),
        }
    }
}
