//! Cutting what tasks take out of what was offered: exact, in thousandths, as Mesos counts.

use millstream_mesos_types::{Resource, ResourceType, Scalar};
use millstream_placement::Resources;

/// Bytes of a MiB, Mesos' unit of memory.
const MIB: u64 = 1 << 20;

/// What placement may use of these: scalars of `cpus` and `mem` that are unreserved or reserved for the role. Revocable
/// ones are left: a stream's task is no best-effort work.
pub(crate) fn usable<'a>(resources: impl IntoIterator<Item = &'a Resource>, role: &str) -> Resources {
    let mut sum = Resources::default();
    for resource in resources.into_iter().filter(|resource| is_usable(resource, role)) {
        match resource.name.as_str() {
            "cpus" => sum.cpus_milli += thousandths(resource),
            // Rounded down: what tasks take is rounded up to whole MiB.
            "mem" => sum.mem_bytes += thousandths(resource) * MIB / 1_000,
            _ => {}
        }
    }
    sum
}

/// Memory as it is asked of an agent: whole MiB, rounded up.
pub(crate) fn whole_mib(bytes: u64) -> u64 {
    bytes.div_ceil(MIB) * MIB
}

/// What is left of some offers.
pub(crate) struct Pool {
    role: String,
    left: Vec<(Resource, u64)>,
}

impl Pool {
    pub(crate) fn new<'a>(resources: impl IntoIterator<Item = &'a Resource>, role: &str) -> Pool {
        let mut left: Vec<_> = resources
            .into_iter()
            .filter(|resource| is_usable(resource, role))
            .map(|resource| (resource.clone(), thousandths(resource)))
            .collect();
        // What is reserved for us is of no use to others: take it first.
        left.sort_by_key(|(resource, _)| !resource.is_reserved());
        Pool { role: role.into(), left }
    }

    /// Takes `wanted` out, each piece as it was offered but for its amount; none (and nothing taken) when there is not
    /// enough. Disk is never asked for.
    pub(crate) fn take(&mut self, wanted: &Resources) -> Option<Vec<Resource>> {
        let before = self.left.clone();
        let cpus = self.take_scalar("cpus", wanted.cpus_milli);
        let mem = self.take_scalar("mem", wanted.mem_bytes.div_ceil(MIB) * 1_000);
        match (cpus, mem) {
            (Some(cpus), Some(mem)) => Some([cpus, mem].concat()),
            _ => {
                self.left = before;
                None
            }
        }
    }

    fn take_scalar(&mut self, name: &str, mut milli: u64) -> Option<Vec<Resource>> {
        let mut taken = vec![];
        for (resource, left) in self.left.iter_mut().filter(|(resource, _)| resource.name == name) {
            let part = milli.min(*left);
            if part > 0 {
                (*left, milli) = (*left - part, milli - part);
                taken.push(Resource { scalar: Some(Scalar { value: part as f64 / 1_000.0 }), ..resource.clone() });
            }
        }
        debug_assert!(taken.iter().all(|resource| is_usable(resource, &self.role)));
        (milli == 0).then_some(taken)
    }
}

fn is_usable(resource: &Resource, role: &str) -> bool {
    resource.kind == ResourceType::Scalar
        && matches!(resource.name.as_str(), "cpus" | "mem")
        && !resource.is_revocable()
        && reserved_for(resource).is_none_or(|reserved| reserved == role)
}

/// Role of the innermost reservation, in the form of RESERVATION_REFINEMENT.
fn reserved_for(resource: &Resource) -> Option<&str> {
    resource.rest.get("reservations")?.as_array()?.last()?.get("role")?.as_str()
}

fn thousandths(resource: &Resource) -> u64 {
    // Mesos rounds to three decimals; `as` saturates, so that a negative or absurd value is harmless.
    resource.scalar.map_or(0, |scalar| (scalar.value * 1_000.0).round().min(1e12) as u64)
}
