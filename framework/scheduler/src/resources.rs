//! Cutting what tasks take out of what was offered: exact, in thousandths, as Mesos counts, and ports one by one.

use std::collections::BTreeMap;

use millstream_mesos_types::{Range, Ranges, Resource, ResourceType, Scalar};
use millstream_placement::{Resources, Revocable};
use serde_json::Value;

use crate::volumes::{id_of, is_plain_disk};

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

/// What is left of some offers.
#[derive(Clone)]
pub(crate) struct Pool {
    left: Vec<(Resource, Left)>,
    volumes: BTreeMap<String, Resource>,
}

/// What is left of one resource.
#[derive(Debug, Clone)]
enum Left {
    Thousandths(u64),
    Ports(Vec<Range>),
}

impl Pool {
    pub(crate) fn new<'a>(resources: impl IntoIterator<Item = &'a Resource> + Clone, role: &str) -> Pool {
        let volumes = resources.clone().into_iter().filter_map(|resource| Some((id_of(resource)?, resource.clone())));
        let volumes = volumes.collect();
        let usable = resources.into_iter().filter(|resource| is_usable(resource, role));
        let mut left: Vec<_> = usable.map(|resource| (resource.clone(), Left::all(resource))).collect();
        // What is reserved for us is of no use to others: take it first.
        left.sort_by_key(|(resource, _)| !resource.is_reserved());
        Pool { left, volumes }
    }

    /// Takes `wanted` out, each piece as it was offered but for its amount; none (and nothing taken) when there is not
    /// enough. All of one name is revocable, or nothing of it. Disk is not taken here: it must become a volume first.
    pub(crate) fn take(&mut self, wanted: &Resources, revocable: Revocable) -> Option<Vec<Resource>> {
        let before = self.left.clone();
        let cpus = self.take_scalar("cpus", wanted.cpus_milli, revocable.cpus);
        let mem = self.take_scalar("mem", wanted.mem_bytes.div_ceil(MIB) * 1_000, revocable.mem);
        let ports = self.take_ports(u64::from(wanted.ports));
        match (cpus, mem, ports) {
            (Some(cpus), Some(mem), Some(ports)) => Some([cpus, mem, ports].concat()),
            _ => {
                self.left = before;
                None
            }
        }
    }

    /// One piece of unreserved disk of at least this size.
    pub(crate) fn take_disk(&mut self, bytes: u64) -> Option<Resource> {
        let before = self.left.clone();
        let milli = bytes.div_ceil(MIB) * 1_000;
        let Some(taken) = self.take_scalar("disk", milli, false) else {
            self.left = before;
            return None;
        };
        // Pieces of several offers of the agent are alike: Mesos adds them up.
        let piece = taken.into_iter().next()?;
        Some(Resource { scalar: Some(Scalar { value: milli as f64 / 1_000.0 }), ..piece })
    }

    /// A volume as it was offered.
    pub(crate) fn take_volume(&mut self, id: &str) -> Option<Resource> {
        self.volumes.remove(id)
    }

    fn take_scalar(&mut self, name: &str, mut milli: u64, revocable: bool) -> Option<Vec<Resource>> {
        let mut taken = vec![];
        for (resource, left) in &mut self.left {
            let Left::Thousandths(left) = left else { continue };
            let part = milli.min(*left);
            if part > 0 && resource.name == name && resource.is_revocable() == revocable {
                (*left, milli) = (*left - part, milli - part);
                taken.push(Resource { scalar: Some(Scalar { value: part as f64 / 1_000.0 }), ..resource.clone() });
            }
        }
        (milli == 0).then_some(taken)
    }

    /// The lowest ones, those reserved for us before others.
    fn take_ports(&mut self, mut wanted: u64) -> Option<Vec<Resource>> {
        let mut taken = vec![];
        for (resource, left) in &mut self.left {
            let Left::Ports(ranges) = left else { continue };
            let range = cut(ranges, &mut wanted);
            if !range.is_empty() {
                taken.push(Resource { ranges: Some(Ranges { range }), ..resource.clone() });
            }
        }
        (wanted == 0).then_some(taken)
    }
}

impl Left {
    fn all(resource: &Resource) -> Left {
        match resource.kind {
            ResourceType::Ranges => {
                let mut ranges = ranges(resource);
                ranges.sort_unstable_by_key(|range| range.begin);
                Left::Ports(ranges)
            }
            _ => Left::Thousandths(thousandths(resource)),
        }
    }
}

/// Moves up to `wanted` ports from the front of the ranges.
fn cut(ranges: &mut Vec<Range>, wanted: &mut u64) -> Vec<Range> {
    let mut taken = vec![];
    while *wanted > 0 && !ranges.is_empty() {
        let Range { begin, end } = ranges[0];
        let part = (*wanted).min(end - begin + 1);
        taken.push(Range { begin, end: begin + part - 1 });
        *wanted -= part;
        if begin + part > end {
            ranges.remove(0);
        } else {
            ranges[0].begin = begin + part;
        }
    }
    taken
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn scalar(name: &str, milli: u64, rest: Value) -> Resource {
        let mut value = json!({ "name": name, "type": "SCALAR", "scalar": { "value": milli as f64 / 1_000.0 } });
        value.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        serde_json::from_value(value).expect("a resource")
    }

    fn ports(ranges: &[(u64, u64)], rest: Value) -> Resource {
        let range: Vec<_> = ranges.iter().map(|(begin, end)| json!({ "begin": begin, "end": end })).collect();
        let mut value = json!({ "name": "ports", "type": "RANGES", "ranges": { "range": range } });
        value.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        serde_json::from_value(value).expect("a resource")
    }

    fn reserved(roles: &[&str]) -> Value {
        let stack: Vec<_> = roles.iter().map(|role| json!({ "type": "DYNAMIC", "role": role })).collect();
        json!({ "reservations": stack })
    }

    fn cpus(milli: u64) -> Resources {
        Resources { cpus_milli: milli, ..Resources::default() }
    }

    #[test]
    fn the_innermost_reservation_counts_and_an_ancestors_is_ours_too() {
        let all = [
            scalar("cpus", 1, json!({})),
            scalar("cpus", 20, reserved(&["a"])),
            scalar("cpus", 300, reserved(&["a", "a/b"])),
            scalar("cpus", 4_000, reserved(&["a", "a/b", "a/b/c"])),
            scalar("cpus", 50_000, reserved(&["ab"])),
        ];
        let of = |role: &str| {
            let usable = usable(&all, role);
            (usable.firm.cpus_milli, usable.reserved.cpus_milli)
        };
        assert_eq!(of("a/b"), (321, 320));
        assert_eq!(of("a"), (21, 20), "what is reserved below is not ours");
        assert_eq!(of("a/b/c"), (4_321, 4_320));
        assert_eq!(of("x"), (1, 0));
    }

    #[test]
    fn memory_is_rounded_once() {
        let thirds =
            [scalar("mem", 333, json!({})), scalar("mem", 333, reserved(&["a"])), scalar("mem", 334, json!({}))];
        assert_eq!(usable(&thirds, "a").firm.mem_bytes, MIB);
        let wanted = Resources { mem_bytes: MIB, ..Resources::default() };
        assert_eq!(Pool::new(&thirds, "a").take(&wanted, Revocable::default()).expect("all of it").len(), 3);
    }

    #[test]
    fn ports_are_cut_exactly_and_reserved_ones_go_first() {
        let all =
            [ports(&[(31_005, 31_006), (31_000, 31_000)], json!({})), ports(&[(32_000, 32_000)], reserved(&["a"]))];
        assert_eq!(usable(&all, "a").firm.ports, 4);
        assert_eq!(usable(&all, "a").reserved.ports, 1);
        let mut pool = Pool::new(&all, "a");
        let mut next = || {
            let taken = pool.take(&Resources { ports: 1, ..Resources::default() }, Revocable::default())?;
            first_port(&taken)
        };
        assert_eq!([next(), next(), next(), next()], [Some(32_000), Some(31_000), Some(31_005), Some(31_006)]);
        assert_eq!(next(), None);
        let two = Pool::new(&all[..1], "a").take(&Resources { ports: 2, ..Resources::default() }, Revocable::default());
        let range = two.expect("three are there")[0].ranges.clone().expect("ranges").range;
        assert_eq!(range, [Range { begin: 31_000, end: 31_000 }, Range { begin: 31_005, end: 31_005 }]);
    }

    #[test]
    fn what_is_no_port_is_left_out() {
        let odd = ports(&[(0, 5), (9, 8), (65_535, 70_000), (65_535, 65_535)], json!({}));
        assert_eq!(usable([&odd], "a").firm.ports, 1);
        assert_eq!(first_port(&Pool::new([&odd], "a").take_ports(1).expect("one")), Some(65_535));
    }

    #[test]
    fn volumes_are_made_of_plain_unreserved_disk_of_all_offers_of_an_agent() {
        let special = json!({ "source": { "type": "MOUNT", "mount": { "root": "/mnt" } } });
        let all = [
            scalar("disk", 600_000, json!({})),
            scalar("disk", 500_000, json!({})),
            scalar("disk", 4_000_000, json!({ "disk": special })),
            scalar("disk", 4_000_000, reserved(&["a"])),
        ];
        assert_eq!(usable(&all, "a").firm.disk_bytes, 1_100 * MIB);
        assert_eq!(usable(&all, "*").firm.disk_bytes, 0, "nothing can be reserved for it");
        let mut pool = Pool::new(&all, "a");
        assert!(pool.take_disk(1_101 * MIB).is_none());
        let taken = pool.take_disk(1_000 * MIB - 1).expect("there is more");
        assert_eq!((thousandths(&taken), taken.is_reserved()), (1_000_000, false));
        assert!(pool.take_disk(101 * MIB).is_none());
        assert!(pool.take_disk(100 * MIB).is_some());
    }

    #[test]
    fn revocable_and_firm_resources_never_mix() {
        let all = [scalar("cpus", 400, json!({ "revocable": {} })), scalar("cpus", 700, json!({}))];
        let lent = Revocable { cpus: true, mem: false };
        assert_eq!((usable(&all, "a").firm, usable(&all, "a").revocable), (cpus(700), cpus(400)));
        let mut pool = Pool::new(&all, "a");
        assert_eq!(pool.take(&cpus(500), lent), None);
        let taken = pool.take(&cpus(300), lent).expect("400 are there");
        assert!(taken.iter().all(Resource::is_revocable) && revocable_of(&taken) == lent);
        assert!(!pool.take(&cpus(700), Revocable::default()).expect("untouched")[0].is_revocable());
    }

    proptest! {
        /// However it is cut, what is taken adds up to what was asked for, and never to more than there was.
        #[test]
        fn sums_are_exact_in_thousandths(
            offered in prop::collection::vec((0..3_000u64, any::<bool>()), 1..6),
            wanted in prop::collection::vec(1..2_000u64, 1..8),
        ) {
            let rest = |mine| if mine { reserved(&["a"]) } else { json!({}) };
            let all: Vec<_> = offered.iter().map(|(milli, mine)| scalar("cpus", *milli, rest(*mine))).collect();
            let mut left = usable(&all, "a").firm.cpus_milli;
            prop_assert_eq!(left, offered.iter().map(|(milli, _)| milli).sum::<u64>());
            let mut pool = Pool::new(&all, "a");
            for milli in wanted {
                let taken = pool.take(&cpus(milli), Revocable::default());
                prop_assert_eq!(taken.is_some(), milli <= left);
                if let Some(taken) = taken {
                    prop_assert_eq!(taken.iter().map(thousandths).sum::<u64>(), milli);
                    left -= milli;
                }
            }
        }
    }
}
