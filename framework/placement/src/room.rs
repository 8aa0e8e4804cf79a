//! What one agent still has for a task: firm or revocable, reserved or not, with or without the job's executor.

use std::collections::BTreeSet;

use crate::{AgentOffer, Reason, Resources, Revocable, refusal::missing};

/// One agent's offers to one role, less what was taken of them.
#[derive(Debug, Clone)]
pub(crate) struct Room<'a> {
    offer: &'a AgentOffer,
    pub(crate) firm: Resources,
    revocable: Resources,
    executors: BTreeSet<(&'a str, Revocable)>,
}

/// What a task asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) job: &'a str,
    pub(crate) size: Resources,
    /// Of an executor, unless there is one.
    pub(crate) overhead: Resources,
    /// Revocable resources will do.
    pub(crate) revocable: bool,
}

/// What is used first: what is lent, then what is kept for us anyway, then what others could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Revocable,
    Reserved,
    Free,
}

impl Revocable {
    /// All ways to take a task's resources, as many revocable ones as possible first.
    fn choices(allowed: bool) -> &'static [Revocable] {
        const ALL: [Revocable; 4] = [
            Revocable { cpus: true, mem: true },
            Revocable { cpus: true, mem: false },
            Revocable { cpus: false, mem: true },
            Revocable { cpus: false, mem: false },
        ];
        if allowed { &ALL } else { &ALL[3..] }
    }

    /// Whether anything is.
    pub fn any(self) -> bool {
        self.cpus || self.mem
    }
}

impl<'a> Room<'a> {
    pub(crate) fn new(offer: &'a AgentOffer) -> Self {
        let executors = offer.executors_of.iter().map(|executor| (executor.job.as_str(), executor.revocable)).collect();
        Room { offer, firm: offer.resources, revocable: offer.revocable, executors }
    }

    /// What one more task would take: the first way in which it fits.
    pub(crate) fn fit(&self, ask: &Ask<'a>) -> Option<Revocable> {
        let fits = |way: &&Revocable| self.of(**way).covers(&self.need(ask, **way));
        Revocable::choices(ask.revocable).iter().find(fits).copied()
    }

    /// Why it does not fit, if it does not.
    pub(crate) fn missing(&self, ask: &Ask<'a>) -> Option<Reason> {
        let mut nearest: Option<Reason> = None;
        for &way in Revocable::choices(ask.revocable) {
            let reason = missing(&self.need(ask, way), &self.of(way))?;
            nearest = Some(nearest.map_or(reason.clone(), |known| known.or_nearer(reason)));
        }
        nearest
    }

    /// Takes what [`Room::fit`] has found.
    pub(crate) fn take(&mut self, ask: &Ask<'a>, way: Revocable) {
        let left = self.of(way).minus(&self.need(ask, way)).expect("the caller has seen that it fits");
        *(if way.cpus { &mut self.revocable.cpus_milli } else { &mut self.firm.cpus_milli }) = left.cpus_milli;
        *(if way.mem { &mut self.revocable.mem_bytes } else { &mut self.firm.mem_bytes }) = left.mem_bytes;
        (self.firm.disk_bytes, self.firm.ports) = (left.disk_bytes, left.ports);
        self.executors.insert((ask.job, way));
    }

    /// An executor of the job is there, or will be.
    pub(crate) fn has_executor(&self, job: &'a str) -> bool {
        Revocable::choices(true).iter().any(|way| self.executors.contains(&(job, *way)))
    }

    /// What the next task would use; the last when it does not fit at all.
    pub(crate) fn rank(&self, ask: &Ask<'a>) -> Rank {
        match self.fit(ask) {
            Some(way) if way.any() => Rank::Revocable,
            Some(_) if self.reserved_for(ask) > 0 => Rank::Reserved,
            _ => Rank::Free,
        }
    }

    /// How many tasks fit, `most` at most, by what they use.
    pub(crate) fn takes(&self, ask: &Ask<'a>, most: u64) -> [(Rank, u64); 3] {
        let (mut firm, mut revocable) = (self.firm, self.revocable);
        let mut takes = [(Rank::Revocable, 0), (Rank::Reserved, 0), (Rank::Free, 0)];
        let mut left = most;
        for &way in Revocable::choices(ask.revocable) {
            let Some(free) = chosen(&firm, &revocable, way).minus(&self.overhead(ask, way)) else { continue };
            let count = free.times(&ask.size, left);
            if count == 0 {
                continue;
            }
            left -= count;
            if !way.any() {
                let reserved = self.reserved_for(ask).min(count);
                (takes[1].1, takes[2].1) = (reserved, count - reserved);
                break;
            }
            takes[0].1 += count;
            let used = |of: fn(&Resources) -> u64| of(&self.overhead(ask, way)) + count * of(&ask.size);
            let (cpus, mem) = (used(|r| r.cpus_milli), used(|r| r.mem_bytes));
            *(if way.cpus { &mut revocable.cpus_milli } else { &mut firm.cpus_milli }) -= cpus;
            *(if way.mem { &mut revocable.mem_bytes } else { &mut firm.mem_bytes }) -= mem;
            firm.disk_bytes -= used(|r| r.disk_bytes);
            firm.ports -= self.overhead(ask, way).ports + ask.size.ports * count as u32;
        }
        takes
    }

    /// How many further tasks on firm resources would use reserved ones. These go first, in whatever order tasks come.
    fn reserved_for(&self, ask: &Ask<'a>) -> u64 {
        let overhead = self.overhead(ask, Revocable::default());
        let uses = |of: fn(&Resources) -> u64| {
            let taken = of(&self.offer.resources) - of(&self.firm);
            let left = of(&self.offer.reserved).saturating_sub(taken);
            let tasks = left.saturating_sub(of(&overhead)).div_ceil(of(&ask.size).max(1));
            tasks.max(u64::from(left > 0))
        };
        uses(|r| r.cpus_milli).max(uses(|r| r.mem_bytes))
    }

    fn of(&self, way: Revocable) -> Resources {
        chosen(&self.firm, &self.revocable, way)
    }

    fn need(&self, ask: &Ask<'a>, way: Revocable) -> Resources {
        ask.size.plus(&self.overhead(ask, way))
    }

    fn overhead(&self, ask: &Ask<'a>, way: Revocable) -> Resources {
        if self.executors.contains(&(ask.job, way)) { Resources::default() } else { ask.overhead }
    }
}

/// Disk and ports are never revocable.
fn chosen(firm: &Resources, revocable: &Resources, way: Revocable) -> Resources {
    Resources {
        cpus_milli: if way.cpus { revocable.cpus_milli } else { firm.cpus_milli },
        mem_bytes: if way.mem { revocable.mem_bytes } else { firm.mem_bytes },
        ..*firm
    }
}
