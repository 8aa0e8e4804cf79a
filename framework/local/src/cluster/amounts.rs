use std::collections::BTreeMap;

use millstream_mesos_types::{AllocationInfo, Range, Ranges, Resource, ResourceType, Scalar};

mod amount;
mod kind;
#[cfg(test)]
mod tests;

use amount::{Amount, joined, without};
pub(super) use kind::Kind;

/// Mesos keeps three decimals of a scalar: counted in thousandths, sums are exact.
const THOUSANDTHS: f64 = 1000.0;

/// Least that is worth offering, as Mesos' `min_allocatable_resources`: 0.01 cpus or 32 MiB.
const MIN_CPUS_THOUSANDTHS: u64 = 10;
const MIN_MEM_THOUSANDTHS: u64 = 32_000;

/// Amounts of resources by kind. Kinds without an amount are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts(BTreeMap<Kind, Amount>);

/// Why resources cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Negative, infinite or no value at all.
    #[error("resource {0:?} has no valid value")]
    Value(String),
    /// A kind of resource that `local` does not have.
    #[error("resource {0:?} is shared, a set, of a provider or has a strange reservation or disk: not offered here")]
    Kind(String),
}

impl Amounts {
    /// Counts resources; several of one kind add up.
    pub fn of(resources: &[Resource]) -> Result<Self, AmountError> {
        let mut sum = Self::default();
        for resource in resources {
            let amount = Amount::of(resource)?;
            sum.add(&Self(BTreeMap::from([(Kind::of(resource)?, amount)])));
        }
        Ok(sum)
    }

    /// As Mesos writes them, allocated to `role`.
    pub fn to_resources(&self, role: &str) -> Vec<Resource> {
        let allocation = Some(AllocationInfo { role: role.to_owned() });
        self.resources(&allocation)
    }

    /// As Mesos writes what an agent has, allocated to nobody.
    pub fn unallocated(&self) -> Vec<Resource> {
        self.resources(&None)
    }

    /// As the pages of Mesos show them: scalars as numbers, ranges as text, revocable ones apart.
    pub fn to_json(&self) -> serde_json::Value {
        let mut map: serde_json::Map<_, _> =
            ["cpus", "disk", "gpus", "mem"].map(|name| (name.to_owned(), serde_json::json!(0.0))).into_iter().collect();
        let mut names: Vec<(&str, bool)> = self.0.keys().map(|kind| (&*kind.name, kind.revocable)).collect();
        names.dedup();
        for (name, revocable) in names {
            let these = self.filter(|kind| kind.name == name && kind.revocable == revocable);
            let shown = if revocable { format!("{name}_revocable") } else { name.to_owned() };
            let ranges: Vec<_> = these.0.values().filter_map(Amount::ranges).flatten().copied().collect();
            let texts: Vec<_> = joined(ranges).iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
            let value = match texts.is_empty() {
                true => serde_json::json!(these.thousandths(name) as f64 / THOUSANDTHS),
                false => serde_json::json!(format!("[{}]", texts.join(", "))),
            };
            map.insert(shown, value);
        }
        map.into()
    }

    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Worth an offer to those who don't say what is.
    pub fn is_allocatable(&self) -> bool {
        self.thousandths("cpus") >= MIN_CPUS_THOUSANDTHS || self.thousandths("mem") >= MIN_MEM_THOUSANDTHS
    }

    /// The sum of a scalar over all kinds in thousandths; of ranges how many numbers they hold, likewise.
    pub fn thousandths(&self, name: &str) -> u64 {
        let of_name = self.0.iter().filter(|(kind, _)| kind.name == name);
        of_name.map(|(_, amount)| amount.thousandths()).sum()
    }

    /// The kinds there are some of.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.0.keys()
    }

    /// Only what is of some kinds.
    pub fn filter(&self, wanted: impl Fn(&Kind) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(kind, _)| wanted(kind))
                .map(|(kind, amount)| (kind.clone(), amount.clone()))
                .collect(),
        )
    }

    /// The same amounts under other kinds.
    pub fn map_kinds(&self, change: impl Fn(&mut Kind)) -> Self {
        let mut changed = Self::default();
        for (kind, amount) in &self.0 {
            let mut kind = kind.clone();
            change(&mut kind);
            changed.add(&Self(BTreeMap::from([(kind, amount.clone())])));
        }
        changed
    }

    /// Leaves at most so much of what is unreserved and not revocable of a scalar.
    pub fn limit_unreserved(&mut self, name: &str, most_thousandths: u64) {
        if let Some(Amount::Thousandths(have)) = self.0.get_mut(&Kind::plain(name)) {
            *have = (*have).min(most_thousandths);
        }
        self.drop_zeros();
    }

    /// Everything of `other` is in here. A persistent volume is in here whole or not at all.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(kind, wanted)| match (self.0.get(kind), wanted) {
            (_, Amount::Thousandths(0)) => true,
            (Some(have), wanted) if kind.volume.is_some() => have == wanted,
            (Some(Amount::Thousandths(have)), Amount::Thousandths(wanted)) => have >= wanted,
            (Some(Amount::Ranges(have)), Amount::Ranges(wanted)) => {
                wanted.iter().all(|w| have.iter().any(|h| h.0 <= w.0 && w.1 <= h.1))
            }
            (_, Amount::Ranges(wanted)) => wanted.is_empty(),
            _ => false,
        })
    }

    /// Some number of a range is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let ranges = |kind: &Kind| self.0.get(kind).and_then(Amount::ranges);
        other.0.iter().any(|(kind, theirs)| match (ranges(kind), theirs.ranges()) {
            (Some(mine), Some(theirs)) => mine.iter().any(|m| theirs.iter().any(|t| m.0 <= t.1 && t.0 <= m.1)),
            _ => false,
        })
    }

    /// Puts `other` in.
    pub fn add(&mut self, other: &Self) {
        for (kind, more) in &other.0 {
            match (self.0.get_mut(kind), more) {
                (Some(Amount::Thousandths(have)), Amount::Thousandths(more)) => *have += more,
                (Some(Amount::Ranges(have)), Amount::Ranges(more)) => {
                    have.extend(more);
                    *have = joined(std::mem::take(have));
                }
                _ => drop(self.0.insert(kind.clone(), more.clone())),
            }
        }
        self.drop_zeros();
    }

    /// Takes `other` out; what is not in here is ignored.
    pub fn subtract(&mut self, other: &Self) {
        for (kind, less) in &other.0 {
            match (self.0.get_mut(kind), less) {
                (Some(Amount::Thousandths(have)), Amount::Thousandths(less)) => *have = have.saturating_sub(*less),
                (Some(Amount::Ranges(have)), Amount::Ranges(less)) => {
                    for hole in less {
                        *have = have.iter().flat_map(|range| without(*range, *hole)).collect();
                    }
                }
                _ => {}
            }
        }
        self.drop_zeros();
    }

    fn resources(&self, allocation: &Option<AllocationInfo>) -> Vec<Resource> {
        let resource = |(kind, amount): (&Kind, &Amount)| {
            let mut resource = Resource::scalar(&kind.name, 0.0, allocation.clone());
            kind.mark(&mut resource);
            match amount {
                Amount::Thousandths(n) => resource.scalar = Some(Scalar { value: *n as f64 / THOUSANDTHS }),
                Amount::Ranges(list) => {
                    let range = list.iter().map(|&(begin, end)| Range { begin, end }).collect();
                    (resource.kind, resource.scalar) = (ResourceType::Ranges, None);
                    resource.ranges = Some(Ranges { range });
                }
            }
            resource
        };
        self.0.iter().map(resource).collect()
    }

    fn drop_zeros(&mut self) {
        self.0.retain(|_, amount| amount.thousandths() > 0);
    }
}
