use super::*;

#[test]
fn one_task_per_partition_by_default() {
    assert_eq!(group_partitions(&topology(3, 3, false), None), [[0], [1], [2]]);
    assert!(group_partitions(&JobTopology::default(), Some(4)).is_empty());
}

#[test]
fn partitions_of_one_leader_stay_together() {
    assert_eq!(group_partitions(&topology(9, 3, false), Some(3)), [[0, 3, 6], [1, 4, 7], [2, 5, 8]]);
    assert_eq!(
        group_partitions(&topology(9, 3, false), Some(6))
            .iter()
            .filter(|g| g.iter().all(|p| p % 3 == g[0] % 3))
            .count(),
        6,
        "three pairs and three singles, none mixed"
    );
}

#[test]
fn sizes_differ_by_one_at_most_and_counts_are_brought_into_range() {
    let sizes = |partitions, hosts, count| {
        let mut sizes: Vec<usize> =
            group_partitions(&topology(partitions, hosts, false), Some(count)).iter().map(Vec::len).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(10, 3, 4), [2, 2, 3, 3]);
    assert_eq!(sizes(8, 3, 3), [2, 3, 3]);
    assert_eq!(sizes(3, 3, 99), [1, 1, 1]);
    assert_eq!(sizes(3, 3, 0), [3]);
}

#[test]
fn what_is_left_over_joins_its_rack() {
    // Hosts h1 and h4 are both in r1, h2 in r2: each leads 3 partitions, tasks take 2.
    let mut topology = topology(9, 1, false);
    for (partition, host) in (0..9).zip([1, 2, 4].into_iter().cycle()) {
        topology.partitions.insert(partition, Replicas { leader: Some(place(host)), in_sync_followers: vec![] });
    }
    topology.partitions.remove(&8);
    topology.partitions.remove(&7);
    // h1: 0 3 6, h2: 1 4, h4: 2 5
    assert_eq!(group_partitions(&topology, Some(4)), [vec![0, 3], vec![1, 4], vec![2, 5], vec![6]]);
    topology.partitions.insert(8, Replicas { leader: Some(place(4)), in_sync_followers: vec![] });
    assert_eq!(group_partitions(&topology, Some(4)), [[0, 3], [1, 4], [2, 5], [6, 8]]);
}

#[test]
fn partitions_without_a_leader_get_a_task_too() {
    let mut topology = topology(4, 2, false);
    topology.partitions.insert(1, Replicas::default());
    let groups = group_partitions(&topology, Some(2));
    let mut all: Vec<i32> = groups.concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert!(groups.contains(&vec![0, 2]));
}
