//! How near the broker is that serves a partition.

use std::sync::{PoisonError, RwLock};

use millstream_protocol::Location;
use millstream_spec::{JobSpec, Tier};

/// What is known about brokers, seen from where this executor is.
#[derive(Debug)]
pub struct Brokers {
    location: Location,
    /// None until the cluster was asked.
    known: RwLock<Option<Vec<Broker>>>,
}

#[derive(Debug)]
struct Broker {
    /// All names and addresses of its host.
    hosts: Vec<String>,
    rack: Option<String>,
}

impl Brokers {
    /// Nothing is known yet but where this executor is.
    pub fn new(location: Location) -> Self {
        Brokers { location, known: RwLock::new(None) }
    }

    /// Asks the cluster, once. Without an answer, hosts are compared by the names brokers go by.
    pub async fn learn(&self, job: &JobSpec) {
        let mut brokers = vec![];
        match millstream_topology::snapshot(job).await {
            Ok(topology) => {
                let replicas = topology.partitions.into_values();
                let places =
                    replicas.flat_map(|replicas| replicas.leader.into_iter().chain(replicas.in_sync_followers));
                brokers.extend(places.map(|place| Broker { hosts: place.hosts, rack: place.rack }));
            }
            Err(error) => tracing::warn!(%error, "racks of brokers are unknown"),
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(brokers);
    }

    /// The tier of the broker at `address` (`host:port`); none while it is not known.
    pub fn tier(&self, address: &str, is_leader: bool) -> Option<Tier> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if self.is_here(host) {
            return Some(Tier::Host);
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let broker = known.as_ref()?.iter().find(|broker| broker.hosts.iter().any(|name| name == host));
        Some(match broker {
            Some(broker) if broker.hosts.iter().any(|name| self.is_here(name)) => Tier::Host,
            Some(broker) if broker.rack.is_some() && broker.rack == self.location.kafka_rack => Tier::Rack,
            // Brokers name a follower only to readers of its rack (KIP-392).
            None if !is_leader => Tier::Rack,
            _ => Tier::Any,
        })
    }

    fn is_here(&self, host: &str) -> bool {
        !host.is_empty() && (host == self.location.host || host == self.location.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_known_by_name_address_and_rack() {
        let location = Location {
            host: "agent-1".into(),
            address: "10.0.0.1".into(),
            kafka_rack: Some("r1".into()),
            ..Location::default()
        };
        let brokers = Brokers::new(location);
        assert_eq!(brokers.tier("10.0.0.1:9092", true), Some(Tier::Host));
        assert_eq!(brokers.tier("kafka-1:9092", true), None);
        let broker = |hosts: &[&str], rack: &str| Broker {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            rack: Some(rack.into()),
        };
        *brokers.known.write().unwrap() =
            Some(vec![broker(&["kafka-1", "10.0.0.1"], "r1"), broker(&["kafka-2"], "r1"), broker(&["kafka-3"], "r3")]);
        assert_eq!(brokers.tier("kafka-1:9092", true), Some(Tier::Host));
        assert_eq!(brokers.tier("kafka-2:9092", true), Some(Tier::Rack));
        assert_eq!(brokers.tier("kafka-3:9092", true), Some(Tier::Any));
        assert_eq!(brokers.tier("[::1]:9092", false), Some(Tier::Rack));
        assert_eq!(brokers.tier("new:9092", true), Some(Tier::Any));
    }
}
