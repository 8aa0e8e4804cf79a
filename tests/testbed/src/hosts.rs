//! Several hosts on one machine: every address in 127.0.0.0/8 is ours. Agent I, broker I and Cassandra node I all live on
//! 127.0.1.I, which makes a "host" whose locality can be judged.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result, bail};

/// Ports are taken from here up: below the ports that the kernel hands out by itself, so that no outgoing connection
/// takes one between its choice and the server's bind.
const FIRST_PORT: u16 = 15_000;
/// Up to here; Mesos agents offer ports from 31,000.
const PORTS: u16 = 14_000;

/// Ports that Mesos agents offer: above the ones of `millstream local`, and below those that the kernel hands out.
const FIRST_TASK_PORT: u16 = 31_100;
/// Offered by each agent of a cluster.
const TASK_PORTS: u16 = 50;
/// Clusters before the first ports come again.
const TASK_PORT_RANGES: u16 = 32;

/// Hosts in 127.0.1.x; the next ones are 127.0.2.x.
const HOSTS_PER_NET: usize = 250;

/// Address of host `i`, counted from 1.
pub fn host(i: usize) -> String {
    format!("127.0.{}.{}", (i - 1) / HOSTS_PER_NET + 1, (i - 1) % HOSTS_PER_NET + 1)
}

/// Rack of host `i`: r1, r2, r3, r1, …
pub fn rack(i: usize) -> String {
    format!("r{}", (i - 1) % 3 + 1)
}

/// A range of ports for the tasks of one cluster, as in `31100-31149`: clusters that run at once have the same hosts.
pub(crate) fn task_ports() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + std::process::id();
    let begin = FIRST_TASK_PORT + (step % u32::from(TASK_PORT_RANGES)) as u16 * TASK_PORTS;
    format!("{begin}-{}", begin + TASK_PORTS - 1)
}

/// A port that is free on every one of `addresses`.
pub(crate) fn free_port(addresses: &[String]) -> Result<u16> {
    for address in addresses {
        TcpListener::bind((address.as_str(), 0))
            .with_context(|| format!("{address} is not an address of this machine (on Linux all of 127.0.0.0/8 is)"))?;
    }
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that start together begin in different places.
    let start = (std::process::id().wrapping_mul(257) % u32::from(PORTS)) as u16;
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + ((u32::from(start) + u32::from(step)) % u32::from(PORTS)) as u16;
        if addresses.iter().all(|address| TcpListener::bind((address.as_str(), port)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST_PORT} to {} is free on {}", FIRST_PORT + PORTS - 1, addresses.join(", "))
}

/// `wanted`, when it is free on every one of `addresses`, else any that is.
pub(crate) fn free_port_or(wanted: u16, addresses: &[String]) -> Result<u16> {
    let free = addresses.iter().all(|address| TcpListener::bind((address.as_str(), wanted)).is_ok());
    if free { Ok(wanted) } else { free_port(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_on_all_addresses_and_given_out_once() {
        let hosts: Vec<String> = (1..=3).map(host).collect();
        let first = free_port(&hosts).unwrap();
        let _taken = TcpListener::bind((hosts[1].as_str(), first)).unwrap();
        assert_ne!(free_port(&hosts).unwrap(), first);
    }

    #[test]
    fn five_hundred_hosts_have_five_hundred_addresses() {
        assert_eq!(
            [1, 3, 250, 251, 500].map(host),
            ["127.0.1.1", "127.0.1.3", "127.0.1.250", "127.0.2.1", "127.0.2.250"]
        );
    }

    #[test]
    fn racks_repeat() {
        assert_eq!((1..=4).map(rack).collect::<Vec<_>>(), ["r1", "r2", "r3", "r1"]);
    }
}
