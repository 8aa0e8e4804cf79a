//! Cutting what tasks take out of what was offered, ports one by one.

use std::collections::BTreeMap;

use millstream_mesos_types::{Range, Ranges, Resource, ResourceType, Scalar};
use millstream_placement::{Resources, Revocable};

use super::{MIB, is_usable, ranges, thousandths};
use crate::volumes::id_of;

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
