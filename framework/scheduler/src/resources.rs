//! What of some offers may be used, and for whom it is reserved; exact, in thousandths, as Mesos counts.

mod pool;
#[cfg(test)]
mod tests;

use millstream_mesos_types::{Range, Resource, ResourceType};
use millstream_placement::{Resources, Revocable};
use serde_json::Value;

pub(crate) use self::pool::Pool;
use crate::volumes::is_plain_disk;

/// Bytes of a MiB, Mesos' unit of memory.
const MIB: u64 = 1 << 20;

/// What placement may use of some offers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usable {
    /// What nobody takes back.
    pub(crate) firm: Resources,
    /// The part of it that is reserved for the role.
    pub(crate) reserved: Resources,
    /// What may be taken back at any time.
    pub(crate) revocable: Resources,
}

/// Sums of what is unreserved or reserved for the role.
pub(crate) fn usable<'a>(resources: impl IntoIterator<Item = &'a Resource>, role: &str) -> Usable {
    // Memory is summed before it becomes bytes: it is rounded down once, as what tasks take is rounded up to whole MiB.
    let (mut sum, mut mem_milli, mut disk_milli) = (Usable::default(), [0, 0, 0], 0);
    for resource in resources.into_iter().filter(|resource| is_usable(resource, role)) {
        let revocable = resource.is_revocable();
        let reserved = !revocable && resource.is_reserved();
        let mut sums = [(!revocable, &mut sum.firm), (reserved, &mut sum.reserved), (revocable, &mut sum.revocable)];
        for ((_, sum), mem_milli) in sums.iter_mut().zip(&mut mem_milli).filter(|((counts, _), _)| *counts) {
            match resource.name.as_str() {
                "cpus" => sum.cpus_milli += thousandths(resource),
                "mem" => *mem_milli += thousandths(resource),
                // Neither reserved nor revocable.
                "disk" => disk_milli += thousandths(resource),
                _ => sum.ports = sum.ports.saturating_add(count(resource)),
            }
        }
    }
    let bytes = mem_milli.map(|milli| milli * MIB / 1_000);
    (sum.firm.mem_bytes, sum.reserved.mem_bytes, sum.revocable.mem_bytes) = (bytes[0], bytes[1], bytes[2]);
    sum.firm.disk_bytes = disk_milli * MIB / 1_000;
    sum
}

/// Memory as it is asked of an agent: whole MiB, rounded up.
pub(crate) fn whole_mib(bytes: u64) -> u64 {
    bytes.div_ceil(MIB) * MIB
}

/// Which of some resources (an executor's) are revocable.
pub(crate) fn revocable_of(resources: &[Resource]) -> Revocable {
    let any = |name: &str| resources.iter().any(|resource| resource.name == name && resource.is_revocable());
    Revocable { cpus: any("cpus"), mem: any("mem") }
}

/// First of some ports.
pub(crate) fn first_port(resources: &[Resource]) -> Option<u16> {
    let ranges = resources.iter().filter(|resource| resource.name == "ports").filter_map(|r| r.ranges.as_ref());
    ranges.flat_map(|ranges| &ranges.range).find_map(|range| u16::try_from(range.begin).ok())
}

/// Whether what is reserved for a role may be used by another: by itself and by all below it (`a` by `a/b`), as
/// `Resources::isAllocatableTo` in Mesos' `src/common/resources.cpp` has it.
pub fn role_may_use(role: &str, reserved_for: &str) -> bool {
    role.strip_prefix(reserved_for).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_usable(resource: &Resource, role: &str) -> bool {
    let known = match resource.name.as_str() {
        "cpus" | "mem" => resource.kind == ResourceType::Scalar,
        // Only for volumes, and nothing can be reserved for everybody's role.
        "disk" => resource.kind == ResourceType::Scalar && is_plain_disk(resource) && role != "*",
        "ports" => resource.kind == ResourceType::Ranges && !resource.is_revocable(),
        _ => false,
    };
    known && reserved_for(resource).is_none_or(|reserved| role_may_use(role, reserved))
}

/// Role of the innermost reservation, static or dynamic, in the form of RESERVATION_REFINEMENT (a stack, the innermost
/// last); only that one counts (`Resources::reservationRole`).
fn reserved_for(resource: &Resource) -> Option<&str> {
    resource.rest.get("reservations").and_then(Value::as_array)?.last()?.get("role")?.as_str()
}

fn thousandths(resource: &Resource) -> u64 {
    // Mesos rounds to three decimals; `as` saturates, so that a negative or absurd value is harmless.
    resource.scalar.map_or(0, |scalar| (scalar.value * 1_000.0).round().min(1e12) as u64)
}

fn count(resource: &Resource) -> u32 {
    let ports = ranges(resource).iter().map(|range| range.end - range.begin + 1).sum::<u64>();
    u32::try_from(ports).unwrap_or(u32::MAX)
}

/// Ranges of real ports: what Mesos would refuse, or what nothing can listen on, is left out.
fn ranges(resource: &Resource) -> Vec<Range> {
    let is_real = |range: &&Range| 0 < range.begin && range.begin <= range.end && range.end <= u64::from(u16::MAX);
    resource.ranges.iter().flat_map(|ranges| &ranges.range).filter(is_real).copied().collect()
}
