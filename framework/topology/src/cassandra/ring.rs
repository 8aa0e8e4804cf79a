//! Who holds how much of a keyspace.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use millstream_placement::{Place, RingShare};
use scylla::{
    client::session::Session,
    cluster::{ClusterState, Node, metadata::Strategy},
    routing::Token,
};

use super::{CassandraError, require_keyspace};
use crate::hosts::{Hosts, host_of};

/// Shares are told in millionths, so that the same ring always gives the same value.
const SHARE_STEPS: f64 = 1e6;

/// The nodes that hold data of the keyspace, with the part of its rows each is a replica of. Sorted by address.
pub(crate) async fn ring(
    session: &Session,
    keyspace: &str,
    contact_points: &[String],
    hosts: &Hosts,
) -> Result<Vec<RingShare>, CassandraError> {
    require_keyspace(session, keyspace).await?;
    let state = session.get_cluster_state();
    let shares = shares(&state, keyspace);

    // Cassandra knows its nodes by address; the job may know them by name, and so may the agents.
    let mut names: HashMap<IpAddr, Vec<String>> = HashMap::new();
    for point in contact_points {
        let host = host_of(point);
        for address in hosts.addresses(host).await {
            names.entry(address).or_default().push(host.to_owned());
        }
    }
    let mut ring: Vec<RingShare> = vec![];
    for node in state.get_nodes_info() {
        let share = shares.get(&address(node)).copied().unwrap_or(0.0);
        if share <= 0.0 {
            continue;
        }
        let mut hosts = names.get(&node.address.ip()).cloned().unwrap_or_default();
        hosts.push(node.address.ip().to_string());
        hosts.sort();
        hosts.dedup();
        let place = Place { hosts, rack: node.rack.clone(), zone: None, region: node.datacenter.clone() };
        ring.push(RingShare { place, share: (share * SHARE_STEPS).round() / SHARE_STEPS });
    }
    ring.sort_by(|a, b| a.place.hosts.cmp(&b.place.hosts));
    Ok(ring)
}

fn shares(state: &ClusterState, keyspace: &str) -> BTreeMap<SocketAddr, f64> {
    let Some(keyspace) = state.get_keyspace(keyspace) else {
        // Just created: the driver has not read it yet. Every node may hold some of it.
        return even(state, |_| 1.0);
    };
    match &keyspace.strategy {
        // With tablets the ring says nothing about who holds what.
        Strategy::NetworkTopologyStrategy { datacenter_repfactors } if keyspace.tablet_based => {
            even(state, |datacenter| {
                datacenter.and_then(|name| datacenter_repfactors.get(name)).copied().unwrap_or(0) as f64
            })
        }
        strategy @ (Strategy::SimpleStrategy { .. } | Strategy::NetworkTopologyStrategy { .. }) => {
            let locator = state.replica_locator();
            // What a token owns does not depend on the table; the driver only asks for it because of tablets.
            let table = scylla::frame::response::result::TableSpec::borrowed("", "");
            let tokens: Vec<Token> = locator.ring().iter().map(|(token, _)| *token).collect();
            owned(&tokens, |token| {
                locator
                    .replicas_for_token(token, strategy, None, &table)
                    .into_iter()
                    .map(|(node, _)| address(node))
                    .collect()
            })
        }
        _ => even(state, |_| 1.0),
    }
}

fn address(node: &Node) -> SocketAddr {
    SocketAddr::new(node.address.ip(), node.address.port())
}

/// Copies in each datacenter, spread evenly over its nodes.
fn even(state: &ClusterState, copies: impl Fn(Option<&str>) -> f64) -> BTreeMap<SocketAddr, f64> {
    let nodes = state.get_nodes_info();
    let share = |datacenter: Option<&str>| {
        let count = nodes.iter().filter(|node| node.datacenter.as_deref() == datacenter).count();
        (copies(datacenter) / count.max(1) as f64).min(1.0)
    };
    nodes.iter().map(|node| (address(node), share(node.datacenter.as_deref()))).collect()
}

/// Each token owns the part of the ring from the token before it (not included) to itself; its replicas hold that part.
fn owned<N: Ord>(tokens: &[Token], replicas: impl Fn(Token) -> Vec<N>) -> BTreeMap<N, f64> {
    const WHOLE: f64 = 18_446_744_073_709_551_616.0; // 2^64
    let mut shares = BTreeMap::new();
    for (number, token) in tokens.iter().enumerate() {
        let before = tokens[number.checked_sub(1).unwrap_or(tokens.len() - 1)];
        // The first token's part goes over the end of the ring; a single token owns all of it.
        let part = match token.value().wrapping_sub(before.value()) as u64 {
            0 => 1.0,
            length => length as f64 / WHOLE,
        };
        for node in replicas(*token) {
            *shares.entry(node).or_insert(0.0) += part;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_ring() {
        let quarter = 1i64 << 62;
        let tokens = [-quarter, 0, quarter].map(Token::new);
        let one = owned(&tokens, |token| vec![if token.value() < 0 { "over the end" } else { "rest" }]);
        assert_eq!((one["over the end"], one["rest"]), (0.5, 0.5));
        let both = owned(&tokens, |_| vec!["a", "b"]);
        assert_eq!((both["a"], both["b"]), (1.0, 1.0));
        assert_eq!(owned(&[Token::new(5)], |_| vec!["a"])["a"], 1.0);
        let uneven = owned(&[Token::new(0), Token::new(quarter)], |token| vec![token.value()]);
        assert_eq!((uneven[&quarter], uneven[&0]), (0.25, 0.75));
    }
}
