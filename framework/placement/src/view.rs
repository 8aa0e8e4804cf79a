//! What a place costs: one job's data as seen from agents.

use std::collections::{BTreeMap, HashMap};

use crate::{Distances, JobTopology, Place, Request, Tier};

/// Bytes per second that are assumed at least, so that an idle topic still draws its tasks near.
const RATE_MIN: f64 = 1.0;

/// Cost is compared in thousandths: whole numbers make equal costs equal, whatever order they were summed in.
const COST_SCALE: f64 = 1e3;

/// One job's topology with its places numbered.
pub(crate) struct JobView {
    places: Vec<Place>,
    partitions: BTreeMap<i32, Sources>,
    ring: Vec<(usize, f64)>,
    bytes_out_per_byte_in: f64,
    distances: Distances,
}

/// Numbers of the places a partition can be read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sources {
    leader: usize,
    /// Those that serve readers of their own rack.
    followers: Vec<usize>,
}

/// What a request costs at a place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cost {
    /// Bytes × distance per second.
    pub(crate) cost: f64,
    pub(crate) source_tier: Tier,
    pub(crate) sink_tier: Tier,
    pub(crate) bytes_by_tier: BTreeMap<Tier, f64>,
    /// Mean distance of the records: what waiting for a nearer place is about.
    pub(crate) source_distance: f64,
}

impl Cost {
    /// For comparison.
    pub(crate) fn key(&self) -> u64 {
        // A cast from float saturates, and not-a-number becomes 0.
        (self.cost * COST_SCALE).round() as u64
    }
}

impl JobView {
    pub(crate) fn new(topology: Option<&JobTopology>, bytes_out_per_byte_in: f64, distances: Distances) -> Self {
        let mut view = JobView {
            places: vec![],
            partitions: BTreeMap::new(),
            ring: vec![],
            bytes_out_per_byte_in: sane(bytes_out_per_byte_in),
            distances,
        };
        let Some(topology) = topology else { return view };
        let mut numbers: HashMap<Place, usize> = HashMap::new();
        let mut number = |place: &Place| {
            *numbers.entry(place.clone()).or_insert_with(|| {
                view.places.push(place.clone());
                view.places.len() - 1
            })
        };
        for (&partition, replicas) in &topology.partitions {
            // Without a leader nothing can be read, from a follower neither.
            let Some(leader) = &replicas.leader else { continue };
            let mut followers: Vec<usize> =
                replicas.in_sync_followers.iter().filter(|_| topology.follower_fetching).map(&mut number).collect();
            followers.sort_unstable();
            view.partitions.insert(partition, Sources { leader: number(leader), followers });
        }
        view.ring = topology.ring.iter().filter(|r| r.share > 0.0).map(|r| (number(&r.place), r.share)).collect();
        view
    }

    /// Tiers from an agent to every place of the job; agents with equal tiers cost the same.
    ///
    /// Cassandra's rack names repeat in every datacenter: an equal rack in another region is far away. Only where the agent's
    /// fault domain and the job's places use the same names for regions, though; else nothing can be told from them.
    pub(crate) fn tiers(&self, agent: &Place) -> Vec<Tier> {
        let known = agent.region.is_some() && self.places.iter().any(|place| place.region == agent.region);
        let tier = |place: &Place| match agent.tier_to(place) {
            Tier::Rack | Tier::Zone if known && place.region.is_some() && place.region != agent.region => Tier::Any,
            tier => tier,
        };
        self.places.iter().map(tier).collect()
    }

    /// Where a request's partitions can be read, sorted: requests with equal sources cost the same.
    pub(crate) fn sources(&self, request: &Request) -> Vec<Option<&Sources>> {
        let mut sources: Vec<_> = request.partitions.iter().map(|p| self.partitions.get(p)).collect();
        sources.sort_unstable();
        sources
    }

    pub(crate) fn cost(&self, request: &Request, tiers: &[Tier]) -> Cost {
        let rate = sane(request.bytes_in_per_sec).max(RATE_MIN);
        let per_partition = rate / request.partitions.len().max(1) as f64;
        let mut cost = Cost {
            cost: 0.0,
            source_tier: Tier::Host,
            sink_tier: Tier::Any,
            bytes_by_tier: BTreeMap::new(),
            source_distance: 0.0,
        };
        let mut counts: BTreeMap<Tier, usize> = BTreeMap::new();
        for partition in &request.partitions {
            let tier = self.partitions.get(partition).map_or(Tier::Any, |s| s.nearest(tiers));
            *counts.entry(tier).or_default() += 1;
        }
        for (&tier, &count) in &counts {
            let bytes = per_partition * count as f64;
            cost.cost += bytes * self.distances.of(tier);
            cost.source_distance += self.distances.of(tier) * count as f64 / request.partitions.len() as f64;
            cost.source_tier = cost.source_tier.max(tier);
            *cost.bytes_by_tier.entry(tier).or_default() += bytes;
        }
        for &(place, share) in &self.ring {
            let (tier, bytes) = (tiers[place], rate * self.bytes_out_per_byte_in * share);
            cost.cost += bytes * self.distances.of(tier);
            cost.sink_tier = cost.sink_tier.min(tier);
            *cost.bytes_by_tier.entry(tier).or_default() += bytes;
        }
        cost
    }

    /// The least mean distance of the records anywhere on the job's own hosts. A task whose partitions are led from several
    /// hosts is never wholly on one: it makes no sense to wait for that.
    pub(crate) fn least_source_distance(&self, request: &Request) -> f64 {
        let sources: Vec<&Sources> = request.partitions.iter().filter_map(|p| self.partitions.get(p)).collect();
        let mut spots: Vec<usize> =
            sources.iter().flat_map(|s| s.followers.iter().copied().chain([s.leader])).collect();
        spots.sort_unstable();
        spots.dedup();
        let distances =
            spots.into_iter().map(|spot| self.cost(request, &self.tiers(&self.places[spot])).source_distance);
        distances.fold(self.distances.of(Tier::Any), f64::min)
    }
}

impl Sources {
    /// The leader, or an in-sync follower in the reader's rack (or on its host): no other serves it.
    fn nearest(&self, tiers: &[Tier]) -> Tier {
        let followers = self.followers.iter().map(|&f| tiers[f]).filter(|&tier| tier <= Tier::Rack);
        followers.fold(tiers[self.leader], Tier::min)
    }
}

/// Rates come from measurements: what makes no sense counts as nothing.
fn sane(rate: f64) -> f64 {
    if rate.is_finite() { rate.max(0.0) } else { 0.0 }
}
