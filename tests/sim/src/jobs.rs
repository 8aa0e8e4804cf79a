//! The jobs of a run: what people deploy, change, stop and delete.

use millstream_placement::{JobTopology, Place, Replicas, RingShare};
use millstream_spec::{JobSpec, TaskCount};
use serde_json::json;

use crate::rng::Rng;

/// What people want of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Running(usize),
    Stopped,
    Gone,
}

/// What somebody asks the scheduler for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Deploy(usize),
    Stop,
    Delete,
}

pub(crate) struct Job {
    pub(crate) name: String,
    /// The versions it is deployed in.
    pub(crate) versions: Vec<JobSpec>,
    pub(crate) wanted: Wanted,
    /// What was asked for and not answered yet.
    pub(crate) asking: Option<Ask>,
    /// It is too large for every agent, so that it must wait quietly.
    pub(crate) never_fits: bool,
    /// Its tasks may use what is lent.
    pub(crate) revocable: bool,
    /// Host of each partition's leader.
    pub(crate) leaders: Vec<usize>,
}

impl Job {
    pub(crate) fn new(index: usize, hosts: usize, rng: &mut Rng) -> Job {
        let name = format!("job-{index}");
        let never_fits = index == 2 && rng.chance(300);
        let revocable = rng.chance(300);
        let partitions = rng.between(2, 5);
        let constraints = match rng.below(4) {
            0 => json!([{ "attribute": "rack", "test": { "in": ["r0", "r1"] } }]),
            1 => json!([{ "attribute": "hostname", "test": { "not_in": ["nowhere"] } }]),
            _ => json!([]),
        };
        let base: JobSpec = serde_json::from_value(json!({
            "name": name,
            "source": { "bootstrap": ["127.0.1.1:9092"], "topic": name, "group": name },
            "columns": [{ "name": "id", "type": "int", "path": ["id"] }],
            "transform": { "sql": "SELECT id, 0 AS version FROM input" },
            "sink": { "contact_points": ["127.0.1.1:9042"], "keyspace": "demo", "table": name },
            "tasks": {
                "cpus": if never_fits { 64.0 } else { rng.between(1, 4) as f64 / 10.0 },
                "mem_bytes": rng.between(1, 4) * (64 << 20),
                "revocable": revocable,
            },
            "placement": {
                "goal": *rng.pick(&["host", "rack", "any"]).expect("three"),
                "max_wait_ms": rng.between(0, 5_000),
                "max_share_per_host": *rng.pick(&[1.0, 1.0, 0.5]).expect("three"),
                "constraints": constraints,
            },
        }))
        .expect("a job of the known form");
        let mut larger = base.clone();
        larger.tasks.mem_bytes += 32 << 20;
        let mut other_meaning = base.clone();
        other_meaning.transform.sql = "SELECT id, 2 AS version FROM input".into();
        let mut fewer = base.clone();
        fewer.tasks.count = TaskCount::Fixed(2);
        let leaders = (0..partitions).map(|_| rng.below(hosts as u64) as usize).collect();
        let versions = vec![base, larger, other_meaning, fewer];
        Job { name, versions, wanted: Wanted::Gone, asking: None, never_fits, revocable, leaders }
    }

    /// As Kafka and Cassandra tell it now.
    pub(crate) fn topology(&self, hosts: usize) -> JobTopology {
        let replicas = |host: &usize| Replicas { leader: Some(place(*host)), in_sync_followers: vec![] };
        JobTopology {
            partitions: (0i32..).zip(self.leaders.iter().map(replicas)).collect(),
            follower_fetching: false,
            ring: (0..hosts).map(|host| RingShare { place: place(host), share: 1.0 / hosts as f64 }).collect(),
        }
    }
}

/// Where the host of this number is.
fn place(host: usize) -> Place {
    Place { hosts: vec![host_name(host)], rack: Some(rack(host)), ..Place::default() }
}

pub(crate) fn host_name(host: usize) -> String {
    format!("host-{host}")
}

pub(crate) fn rack(host: usize) -> String {
    format!("r{}", host % 3)
}
