//! Who holds how much of a job: caps on the share of one host or rack.

use std::collections::{BTreeMap, HashMap};

use crate::{JobWishes, Place, Problem, Tier};

/// Which names and addresses are the same host.
pub(crate) struct HostIndex<'a> {
    by_name: HashMap<&'a str, usize>,
    parent: Vec<usize>,
}

impl<'a> HostIndex<'a> {
    /// Two places that share a name are one host, also through a third.
    pub(crate) fn new(places: impl IntoIterator<Item = &'a Place>) -> Self {
        let mut index = HostIndex { by_name: HashMap::new(), parent: vec![] };
        for place in places {
            let mut host = None;
            for name in &place.hosts {
                let fresh = index.parent.len();
                let named = *index.by_name.entry(name).or_insert(fresh);
                if named == fresh {
                    index.parent.push(fresh);
                }
                let root = index.root(named);
                let first = *host.get_or_insert(root);
                let (low, high) = (first.min(root), first.max(root));
                index.parent[high] = low;
                host = Some(low);
            }
        }
        index
    }

    /// The host of a place that was among those given; a place without names is a host of its own each time.
    pub(crate) fn of(&mut self, place: &Place) -> usize {
        match place.hosts.first().and_then(|name| self.by_name.get(name.as_str()).copied()) {
            Some(named) => self.root(named),
            None => {
                self.parent.push(self.parent.len());
                self.parent.len() - 1
            }
        }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }
}

/// Partitions one host and one rack may hold, at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) host: Option<usize>,
    pub(crate) rack: Option<usize>,
}

impl Caps {
    /// Shares of a job's `total` partitions, rounded up.
    pub(crate) fn new(wishes: &JobWishes, total: usize) -> Self {
        Caps { host: cap(wishes.max_share_per_host, total), rack: cap(wishes.max_share_per_rack, total) }
    }
}

/// None when the share is no limit.
fn cap(share: f64, total: usize) -> Option<usize> {
    // A share such as 0.1 × 30 must not become 4 by the last bit of a float.
    const ROUNDING: f64 = 1e-9;
    (share < 1.0).then(|| (share.max(0.0) * total as f64 - ROUNDING).ceil().max(1.0) as usize)
}

/// Where an agent is, as numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) host: usize,
    /// None when not known: then no rack cap applies.
    pub(crate) rack: Option<usize>,
}

/// Partitions of each job (by number) on each host and rack; counts what runs and what this plan launches.
#[derive(Debug, Default)]
pub(crate) struct Held {
    by_host: HashMap<(usize, usize), usize>,
    by_rack: HashMap<(usize, usize), usize>,
}

impl Held {
    pub(crate) fn add(&mut self, job: usize, spot: Spot, partitions: usize) {
        *self.by_host.entry((job, spot.host)).or_default() += partitions;
        if let Some(rack) = spot.rack {
            *self.by_rack.entry((job, rack)).or_default() += partitions;
        }
    }

    pub(crate) fn on_host(&self, job: usize, spot: Spot) -> usize {
        self.by_host.get(&(job, spot.host)).copied().unwrap_or(0)
    }

    pub(crate) fn in_rack(&self, job: usize, spot: Spot) -> usize {
        spot.rack.and_then(|rack| self.by_rack.get(&(job, rack))).copied().unwrap_or(0)
    }

    /// The tier whose cap the task would break, host before rack.
    pub(crate) fn broken(&self, caps: &Caps, job: usize, spot: Spot, partitions: usize) -> Option<Tier> {
        if !fits(self.on_host(job, spot), partitions, caps.host) {
            Some(Tier::Host)
        } else if !fits(self.in_rack(job, spot), partitions, caps.rack) {
            Some(Tier::Rack)
        } else {
            None
        }
    }

    /// How far over its caps a job would be there, in thousandths of the cap.
    pub(crate) fn overshoot(&self, caps: &Caps, job: usize, spot: Spot, partitions: usize) -> usize {
        let over = |held: usize, cap: Option<usize>| cap.map_or(0, |cap| (held + partitions) * 1000 / cap);
        over(self.on_host(job, spot), caps.host).max(over(self.in_rack(job, spot), caps.rack))
    }
}

/// An empty host or rack always takes one task, however many partitions that has: else the job would fit nowhere.
fn fits(held: usize, partitions: usize, cap: Option<usize>) -> bool {
    held == 0 || cap.is_none_or(|cap| held + partitions <= cap)
}

/// How many tasks of `partitions` each still fit under a cap.
pub(crate) fn room(held: usize, partitions: usize, cap: Option<usize>) -> u64 {
    match cap {
        None => u64::MAX,
        Some(cap) if partitions == 0 => u64::MAX * u64::from(held <= cap),
        Some(cap) => ((cap.saturating_sub(held) / partitions) as u64).max(u64::from(held == 0)),
    }
}

/// Partitions of each job: what its topic has, or what is placed and asked for when that is not known.
pub(crate) fn totals(problem: &Problem) -> BTreeMap<&str, usize> {
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for request in &problem.requests {
        *totals.entry(&request.job).or_default() += request.partitions.len();
    }
    for placed in &problem.placed {
        *totals.entry(&placed.job).or_default() += placed.partitions;
    }
    for (job, topology) in &problem.topology.jobs {
        if !topology.partitions.is_empty() {
            totals.insert(job, topology.partitions.len());
        }
    }
    totals
}
