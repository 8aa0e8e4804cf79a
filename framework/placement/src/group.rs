//! Divides a topic's partitions into tasks.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{JobTopology, spread::HostIndex};

/// Divides the partitions into tasks whose sizes differ by at most one, so that partitions whose leaders are on the same
/// host (or else in the same rack) fall into the same task where sizes allow. `None` makes one task per partition; a count
/// is brought into 1..=partitions. Tasks are ascending by their first partition, partitions ascending within a task.
pub fn group_partitions(topology: &JobTopology, count: Option<usize>) -> Vec<Vec<i32>> {
    let total = topology.partitions.len();
    if total == 0 {
        return vec![];
    }
    let tasks = count.unwrap_or(total).clamp(1, total);
    let small = total / tasks;
    let mut larger_left = total % tasks;
    let mut smaller_left = tasks - larger_left;

    let mut groups: Vec<Vec<i32>> = Vec::with_capacity(tasks);
    let mut rest: Vec<i32> = vec![];
    for bucket in by_leader_host(topology) {
        let (larger, smaller) = best_cut(bucket.len(), small, larger_left, smaller_left);
        larger_left -= larger;
        smaller_left -= smaller;
        let mut bucket = bucket.into_iter();
        for size in std::iter::repeat_n(small + 1, larger).chain(std::iter::repeat_n(small, smaller)) {
            groups.push(bucket.by_ref().take(size).collect());
        }
        rest.extend(bucket);
    }
    // What did not fill whole tasks is cut in order of rack and host, so that neighbours stay together.
    let mut rest = rest.into_iter();
    for size in std::iter::repeat_n(small + 1, larger_left).chain(std::iter::repeat_n(small, smaller_left)) {
        groups.push(rest.by_ref().take(size).collect());
    }
    for group in &mut groups {
        group.sort_unstable();
    }
    groups.sort_unstable();
    debug_assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), total);
    debug_assert!(groups.len() == tasks && groups.iter().all(|g| g.len() == small || g.len() == small + 1));
    groups
}

/// Partitions by leader host, ordered by rack and host; those without a leader come last, together.
fn by_leader_host(topology: &JobTopology) -> Vec<Vec<i32>> {
    let mut hosts = HostIndex::new(topology.partitions.values().filter_map(|r| r.leader.as_ref()));
    let mut buckets: BTreeMap<(bool, Option<&str>, usize), Vec<i32>> = BTreeMap::new();
    for (&partition, replicas) in &topology.partitions {
        let key = match &replicas.leader {
            Some(place) => (false, place.rack.as_deref(), hosts.of(place)),
            None => (true, None, 0),
        };
        buckets.entry(key).or_default().push(partition);
    }
    buckets.into_values().collect()
}

/// How many larger and smaller tasks to cut from one host's partitions so that the fewest are left over.
fn best_cut(partitions: usize, small: usize, larger_left: usize, smaller_left: usize) -> (usize, usize) {
    (0..=larger_left.min(partitions / (small + 1)))
        .map(|larger| {
            let after = partitions - larger * (small + 1);
            let smaller = smaller_left.min(after / small);
            (after - smaller * small, Reverse(larger), smaller)
        })
        .min()
        .map_or((0, 0), |(_, Reverse(larger), smaller)| (larger, smaller))
}
