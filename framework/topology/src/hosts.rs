//! Names of hosts and their addresses: a broker known by name and an agent known by address may be the same host.

use std::{collections::HashMap, net::IpAddr, sync::Mutex, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Name servers that are well answer in milliseconds; a name without addresses is still a name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// On loopback and in a datacenter a connection takes milliseconds; this is for finding out why there is none.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Addresses that are probed at most when nothing answers.
pub(crate) const PROBES_MAX: usize = 5;

/// Resolves names, and keeps the last answer for when there is none: else a hiccup of the name server would look like a
/// host that moved.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    known: Mutex<HashMap<String, Vec<IpAddr>>>,
}

impl Hosts {
    /// The name and its addresses, sorted, each once.
    pub(crate) async fn all_names(&self, host: &str) -> Vec<String> {
        let mut names = vec![host.to_owned()];
        names.extend(self.addresses(host).await.iter().map(IpAddr::to_string));
        names.sort();
        names.dedup();
        names
    }

    pub(crate) async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let found = match timeout(RESOLVE_TIMEOUT, lookup_host((host, 0))).await {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => vec![],
        };
        let mut known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if found.is_empty() {
            return known.get(host).cloned().unwrap_or_default();
        }
        known.insert(host.to_owned(), found.clone());
        found
    }
}

/// Why each address does not answer: `address: cause`. For people, after something failed.
pub(crate) async fn probe(addresses: &[String]) -> Vec<String> {
    let mut causes = vec![];
    for address in addresses.iter().take(PROBES_MAX) {
        let cause = match timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => "accepts connections but does not answer".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
        };
        causes.push(format!("{address}: {cause}"));
    }
    causes
}

/// The host of `host:port` or `host`, without the brackets of an IPv6 address.
pub fn host_of(address: &str) -> &str {
    let host = match address.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (host.ends_with(']') || !host.contains(':')) =>
        {
            host
        }
        _ => address,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses() {
        let hosts = Hosts::default();
        assert_eq!(hosts.all_names("127.0.1.2").await, ["127.0.1.2"]);
        assert!(hosts.all_names("localhost").await.contains(&"127.0.0.1".to_owned()));
        assert_eq!(hosts.all_names("no-such-host.invalid").await, ["no-such-host.invalid"]);
        assert_eq!((host_of("h:1"), host_of("[::1]:9092"), host_of("h")), ("h", "::1", "h"));
        assert_eq!((host_of("fe80::1"), host_of("[::1]")), ("fe80::1", "::1"));
    }

    #[tokio::test]
    async fn a_closed_port_says_so() {
        // Port 1 of an address nobody uses.
        let causes = probe(&["127.9.9.9:1".to_owned()]).await;
        assert!(causes[0].starts_with("127.9.9.9:1: ") && causes[0].contains("refused"), "{causes:?}");
    }
}
