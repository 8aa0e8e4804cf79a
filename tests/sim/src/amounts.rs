//! CPUs, memory and ports, as an agent has them: unreserved, reserved for the framework's role, and revocable.

use millstream_mesos_types::{AllocationInfo, Range, Ranges, Resource, ResourceType};
use serde_json::json;

/// Role of the framework.
pub(crate) const ROLE: &str = "stream";

/// The port of the lowest bit.
const FIRST_PORT: u64 = 31_000;

const RESERVED: usize = 1;
const REVOCABLE: usize = 2;
const POOLS: usize = 3;

/// Thousandths of a CPU and MiB, `[unreserved, reserved, revocable]`; ports as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    pub(crate) cpus_milli: [u64; POOLS],
    pub(crate) mem_mib: [u64; POOLS],
    pub(crate) ports: u64,
}

impl Amounts {
    /// CPUs and memory, neither reserved nor revocable.
    pub(crate) fn free(cpus_milli: u64, mem_mib: u64) -> Self {
        Amounts { cpus_milli: [cpus_milli, 0, 0], mem_mib: [mem_mib, 0, 0], ports: 0 }
    }

    /// CPUs, memory and ports of these resources.
    pub(crate) fn of(resources: &[Resource]) -> Self {
        let mut sum = Amounts::default();
        for resource in resources {
            let reserved = if resource.is_reserved() { RESERVED } else { 0 };
            let at = if resource.is_revocable() { REVOCABLE } else { reserved };
            let value = resource.scalar.map_or(0.0, |scalar| scalar.value);
            match resource.name.as_str() {
                "cpus" => sum.cpus_milli[at] += (value * 1_000.0).round() as u64,
                "mem" => sum.mem_mib[at] += value.round() as u64,
                "ports" => {
                    let ranges = resource.ranges.iter().flat_map(|ranges| &ranges.range);
                    let ports = ranges.flat_map(|range| range.begin..=range.end);
                    sum.ports |= ports.fold(0, |bits, port| bits | 1 << (port - FIRST_PORT));
                }
                _ => {}
            }
        }
        sum
    }

    /// The first so many ports.
    pub(crate) fn with_ports(self, count: u32) -> Self {
        Amounts { ports: (1 << count) - 1, ..self }
    }

    /// So much may be taken back at any time.
    pub(crate) fn with_revocable(mut self, cpus_milli: u64, mem_mib: u64) -> Self {
        (self.cpus_milli[REVOCABLE], self.mem_mib[REVOCABLE]) = (cpus_milli, mem_mib);
        self
    }

    pub(crate) fn has_revocable(&self) -> bool {
        self.cpus_milli[REVOCABLE] + self.mem_mib[REVOCABLE] > 0
    }

    /// Has it CPUs of both kinds, or memory? Mesos refuses that for a task with its executor.
    pub(crate) fn mixes_revocable(&self) -> bool {
        let mixes = |amount: &[u64; POOLS]| amount[REVOCABLE] > 0 && amount[0] + amount[RESERVED] > 0;
        mixes(&self.cpus_milli) || mixes(&self.mem_mib)
    }

    pub(crate) fn plus(mut self, other: &Amounts) -> Self {
        for at in 0..POOLS {
            self.cpus_milli[at] += other.cpus_milli[at];
            self.mem_mib[at] += other.mem_mib[at];
        }
        self.ports |= other.ports;
        self
    }

    /// Never below nothing.
    pub(crate) fn minus(mut self, other: &Amounts) -> Self {
        for at in 0..POOLS {
            self.cpus_milli[at] = self.cpus_milli[at].saturating_sub(other.cpus_milli[at]);
            self.mem_mib[at] = self.mem_mib[at].saturating_sub(other.mem_mib[at]);
        }
        self.ports &= !other.ports;
        self
    }

    pub(crate) fn contains(&self, other: &Amounts) -> bool {
        let enough = |at| self.cpus_milli[at] >= other.cpus_milli[at] && self.mem_mib[at] >= other.mem_mib[at];
        (0..POOLS).all(enough) && other.ports & !self.ports == 0
    }

    pub(crate) fn cpus(&self) -> u64 {
        self.cpus_milli.iter().sum()
    }

    pub(crate) fn mem(&self) -> u64 {
        self.mem_mib.iter().sum()
    }

    /// As they are offered.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let allocation = || Some(AllocationInfo { role: ROLE.into() });
        let mut list = vec![];
        for at in 0..POOLS {
            for (name, value) in [("cpus", self.cpus_milli[at] as f64 / 1_000.0), ("mem", self.mem_mib[at] as f64)] {
                if value > 0.0 {
                    let mut resource = Resource::scalar(name, value, allocation());
                    if at == RESERVED {
                        resource.rest.insert("reservations".into(), json!([{ "type": "STATIC", "role": ROLE }]));
                    }
                    if at == REVOCABLE {
                        resource.rest.insert("revocable".into(), json!({}));
                    }
                    list.push(resource);
                }
            }
        }
        let ports = (0..u64::BITS.into()).filter(|bit| self.ports & (1 << bit) != 0).map(|bit| FIRST_PORT + bit);
        let range: Vec<Range> = ports.map(|port| Range { begin: port, end: port }).collect();
        if !range.is_empty() {
            let ranges = (ResourceType::Ranges, None, Some(Ranges { range }));
            let mut resource = Resource::scalar("ports", 0.0, allocation());
            (resource.kind, resource.scalar, resource.ranges) = ranges;
            list.push(resource);
        }
        list
    }
}
