//! Text cases, properties, and a brute-force oracle.

mod cases;
mod grouping;
mod oracle;
mod properties;

use std::collections::BTreeMap;

use crate::*;

const GIB: u64 = 1 << 30;

/// Host `h<n>` in rack `r<(n-1)%3+1>`, as in the demo.
fn place(n: usize) -> Place {
    Place {
        hosts: vec![format!("h{n}"), format!("10.0.0.{n}")],
        rack: Some(format!("r{}", (n - 1) % 3 + 1)),
        zone: None,
        region: None,
    }
}

fn cpus(milli: u64) -> Resources {
    Resources { cpus_milli: milli, mem_bytes: GIB, ..Resources::default() }
}

fn offer(n: usize, cpus_milli: u64) -> AgentOffer {
    AgentOffer {
        agent: format!("a{n}"),
        role: "streams".into(),
        offer_ids: vec![format!("o{n}")],
        place: place(n),
        attributes: BTreeMap::from([("rack".to_owned(), format!("r{}", (n - 1) % 3 + 1))]),
        numbers: Default::default(),
        attributes_without_text: Default::default(),
        resources: Resources { cpus_milli, mem_bytes: 64 * GIB, ..Resources::default() },
        reserved: Resources::default(),
        revocable: Resources::default(),
        volumes: Default::default(),
        executors_of: vec![],
        unavailable_from_ms: None,
    }
}

/// A request made at 0 that waits for 4 s over four steps: host, rack at 1 s, zone at 2 s, region at 3 s, any at 4 s.
fn request(id: &str, partitions: &[i32]) -> Request {
    Request {
        id: id.into(),
        job: "flights".into(),
        partitions: partitions.to_vec(),
        resources: cpus(500),
        bytes_in_per_sec: 1000.0,
        wait_from_ms: 0,
        deadline_ms: 4_000,
        not_before_ms: 0,
        avoid_agents: vec![],
        revocable: false,
        volume: None,
    }
}

/// Partition i is led from host i % hosts + 1, followed by the next host.
fn topology(partitions: usize, hosts: usize, follower_fetching: bool) -> JobTopology {
    let replicas =
        |i: usize| Replicas { leader: Some(place(i % hosts + 1)), in_sync_followers: vec![place((i + 1) % hosts + 1)] };
    JobTopology {
        partitions: (0..partitions).map(|i| (i as i32, replicas(i))).collect(),
        follower_fetching,
        ring: vec![],
    }
}

fn problem(requests: Vec<Request>, offers: Vec<AgentOffer>, topology: JobTopology) -> Problem {
    Problem {
        now_ms: 0,
        jobs: BTreeMap::from([("flights".to_owned(), JobWishes::default())]),
        requests,
        offers,
        placed: vec![],
        topology: Topology { jobs: BTreeMap::from([("flights".to_owned(), topology)]) },
        distances: Distances::default(),
        launches_max: 1000,
    }
}

fn wishes(problem: &mut Problem) -> &mut JobWishes {
    problem.jobs.get_mut("flights").expect("the job of `problem`")
}

/// request@agent, in order.
fn places(plan: &Plan) -> Vec<String> {
    plan.launches.iter().map(|l| format!("{}@{}", l.request, l.agent)).collect()
}
