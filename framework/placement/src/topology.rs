//! Where the bytes are: Kafka replicas and the Cassandra ring, as a watched value.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How near two places are. Ordered: nearer is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The same host.
    Host,
    /// The same rack.
    Rack,
    /// The same zone.
    Zone,
    /// The same region.
    Region,
    /// Anywhere.
    Any,
}

/// Where something is. What is not known is `None` and never equal to anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// All names and addresses of the host.
    pub hosts: Vec<String>,
    /// Rack, as Kafka's `broker.rack`, Cassandra's rack or the agent's attribute `rack` call it.
    pub rack: Option<String>,
    /// Zone of the fault domain.
    pub zone: Option<String>,
    /// Region of the fault domain; Cassandra's datacenter.
    pub region: Option<String>,
}

/// A snapshot of Kafka and Cassandra metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// Per job: the job's own view of its topic and keyspace.
    pub jobs: BTreeMap<String, JobTopology>,
}

/// What one job's topic and keyspace look like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobTopology {
    /// Partition → replicas. Keys are contiguous from 0.
    pub partitions: BTreeMap<i32, Replicas>,
    /// Brokers serve `client.rack` readers from an in-sync follower of that rack (`RackAwareReplicaSelector`).
    pub follower_fetching: bool,
    /// Cassandra nodes that hold data of the keyspace.
    pub ring: Vec<RingShare>,
}

/// One partition's replicas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Replicas {
    /// Where the leader is; none while there is none.
    pub leader: Option<Place>,
    /// Where the in-sync followers are.
    pub in_sync_followers: Vec<Place>,
}

/// One Cassandra node and how much of the keyspace it holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RingShare {
    /// Where the node is; `region` is its datacenter.
    pub place: Place,
    /// Part of the keyspace's rows this node is a replica of, 0 to 1.
    pub share: f64,
}
