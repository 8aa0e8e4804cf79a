//! CPUs and memory, as an agent has them: unreserved and reserved for the framework's role.

use millstream_mesos_types::{AllocationInfo, Resource};
use serde_json::json;

/// Role of the framework.
pub(crate) const ROLE: &str = "stream";

/// Thousandths of a CPU and MiB; `[unreserved, reserved]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    pub(crate) cpus_milli: [u64; 2],
    pub(crate) mem_mib: [u64; 2],
}

impl Amounts {
    /// Nothing reserved.
    pub(crate) fn free(cpus_milli: u64, mem_mib: u64) -> Self {
        Amounts { cpus_milli: [cpus_milli, 0], mem_mib: [mem_mib, 0] }
    }

    /// CPUs and memory of these resources.
    pub(crate) fn of(resources: &[Resource]) -> Self {
        let mut sum = Amounts::default();
        for resource in resources {
            let at = usize::from(resource.is_reserved());
            let value = resource.scalar.map_or(0.0, |scalar| scalar.value);
            match resource.name.as_str() {
                "cpus" => sum.cpus_milli[at] += (value * 1_000.0).round() as u64,
                "mem" => sum.mem_mib[at] += value.round() as u64,
                _ => {}
            }
        }
        sum
    }

    pub(crate) fn plus(mut self, other: &Amounts) -> Self {
        for at in 0..2 {
            self.cpus_milli[at] += other.cpus_milli[at];
            self.mem_mib[at] += other.mem_mib[at];
        }
        self
    }

    /// Never below nothing.
    pub(crate) fn minus(mut self, other: &Amounts) -> Self {
        for at in 0..2 {
            self.cpus_milli[at] = self.cpus_milli[at].saturating_sub(other.cpus_milli[at]);
            self.mem_mib[at] = self.mem_mib[at].saturating_sub(other.mem_mib[at]);
        }
        self
    }

    pub(crate) fn contains(&self, other: &Amounts) -> bool {
        (0..2).all(|at| self.cpus_milli[at] >= other.cpus_milli[at] && self.mem_mib[at] >= other.mem_mib[at])
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
        for at in 0..2 {
            for (name, value) in [("cpus", self.cpus_milli[at] as f64 / 1_000.0), ("mem", self.mem_mib[at] as f64)] {
                if value > 0.0 {
                    let mut resource = Resource::scalar(name, value, allocation());
                    if at == 1 {
                        resource.rest.insert("reservations".into(), json!([{ "type": "STATIC", "role": ROLE }]));
                    }
                    list.push(resource);
                }
            }
        }
        list
    }
}
