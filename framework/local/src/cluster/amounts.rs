use std::collections::BTreeMap;

use millstream_mesos_types::{AllocationInfo, Range, Ranges, Resource, ResourceType, Scalar};

mod kind;

pub(super) use kind::Kind;

/// Mesos keeps three decimals of a scalar: counted in thousandths, sums are exact.
const THOUSANDTHS: f64 = 1000.0;

/// Least that is worth offering, as Mesos' `min_allocatable_resources`: 0.01 cpus or 32 MiB.
const MIN_CPUS_THOUSANDTHS: u64 = 10;
const MIN_MEM_THOUSANDTHS: u64 = 32_000;

/// Amounts of resources by kind. Kinds without an amount are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts(BTreeMap<Kind, Amount>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Amount {
    Thousandths(u64),
    /// Ascending, disjoint, both ends included.
    Ranges(Vec<(u64, u64)>),
}

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

impl Amount {
    fn of(resource: &Resource) -> Result<Self, AmountError> {
        let bad = || AmountError::Value(resource.name.clone());
        match (resource.kind, resource.scalar, &resource.ranges) {
            (ResourceType::Scalar, Some(scalar), _) if scalar.value.is_finite() && scalar.value >= 0.0 => {
                Ok(Self::Thousandths((scalar.value * THOUSANDTHS).round() as u64))
            }
            (ResourceType::Ranges, _, Some(ranges)) if ranges.range.iter().all(|range| range.begin <= range.end) => {
                let mut list: Vec<_> = ranges.range.iter().map(|range| (range.begin, range.end)).collect();
                list.sort_unstable();
                if list.windows(2).any(|pair| pair[1].0 <= pair[0].1) { Err(bad()) } else { Ok(Self::Ranges(list)) }
            }
            (ResourceType::Scalar | ResourceType::Ranges, ..) => Err(bad()),
            _ => Err(AmountError::Kind(resource.name.clone())),
        }
    }

    fn ranges(&self) -> Option<&Vec<(u64, u64)>> {
        match self {
            Self::Ranges(list) => Some(list),
            Self::Thousandths(_) => None,
        }
    }

    fn thousandths(&self) -> u64 {
        match self {
            Self::Thousandths(n) => *n,
            Self::Ranges(list) => {
                list.iter().map(|(begin, end)| (end - begin).saturating_add(1).saturating_mul(1000)).sum()
            }
        }
    }
}

/// Sorted, neighbours and overlaps joined.
fn joined(mut list: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    list.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::with_capacity(list.len());
    for (begin, end) in list {
        match out.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => out.push((begin, end)),
        }
    }
    out
}

/// What is left of `range` without `hole`.
fn without(range: (u64, u64), hole: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
    let left = (hole.0 > range.0).then(|| (range.0, range.1.min(hole.0.saturating_sub(1))));
    let right = (hole.1 < range.1).then(|| (range.0.max(hole.1.saturating_add(1)), range.1));
    [left, right].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amounts(cpus: u64, ports: &[(u64, u64)]) -> Amounts {
        let mut sum = Amounts::default();
        sum.add(&Amounts(BTreeMap::from([(Kind::plain("cpus"), Amount::Thousandths(cpus))])));
        for range in ports {
            sum.add(&Amounts(BTreeMap::from([(Kind::plain("ports"), Amount::Ranges(vec![*range]))])));
        }
        sum
    }

    proptest! {
        #[test]
        fn what_is_taken_out_and_put_back_changes_nothing(
            cpus in 0u64..10_000, taken_cpus in 0u64..10_000,
            all in prop::collection::vec((0u64..50, 0u64..5), 0..6),
            taken in prop::collection::vec((0u64..50, 0u64..5), 0..6),
        ) {
            let ranges = |list: &[(u64, u64)]| list.iter().map(|&(begin, len)| (begin, begin + len)).collect::<Vec<_>>();
            let whole = amounts(cpus, &ranges(&all));
            let part = amounts(taken_cpus, &ranges(&taken));
            let mut left = whole.clone();
            left.subtract(&part);
            prop_assert!(whole.contains(&left));
            if whole.contains(&part) {
                prop_assert_eq!(left.is_empty(), whole == part);
                left.add(&part);
                prop_assert_eq!(left, whole);
            }
        }
    }

    #[test]
    fn resources_go_there_and_back() {
        let whole = amounts(1_500, &[(31_000, 31_099)]);
        let resources = whole.to_resources("r");
        assert_eq!(resources[0].allocation_info.as_ref().unwrap().role, "r");
        assert_eq!(Amounts::of(&resources).unwrap(), whole);
        assert_eq!(whole.to_json()["ports"], "[31000-31099]");
        assert_eq!(whole.to_json()["cpus"], 1.5);
    }

    #[test]
    fn what_has_no_amount_is_refused() {
        let bad = |value| Amounts::of(&[Resource::scalar("cpus", value, None)]);
        assert!(bad(-1.0).is_err() && bad(f64::NAN).is_err() && bad(f64::INFINITY).is_err());
        let mut shared = Resource::scalar("disk", 1.0, None);
        shared.rest.insert("shared".into(), serde_json::json!({}));
        assert_eq!(Amounts::of(&[shared]), Err(AmountError::Kind("disk".into())));
    }

    #[test]
    fn reserved_revocable_and_persistent_ones_are_counted_apart() {
        let marked = |name, value, key: &str, mark| {
            let mut resource = Resource::scalar(name, value, None);
            resource.rest.insert(key.into(), mark);
            resource
        };
        let reserved = marked("cpus", 2.0, "reservations", serde_json::json!([{ "type": "STATIC", "role": "a" }]));
        let older = marked("cpus", 1.0, "role", serde_json::json!("a"));
        let revocable = marked("cpus", 4.0, "revocable", serde_json::json!({}));
        let whole = Amounts::of(&[reserved.clone(), older, revocable, Resource::scalar("cpus", 8.0, None)]).unwrap();
        assert_eq!(whole.kinds().count(), 3, "both formats of a reservation are one");
        assert_eq!(whole.thousandths("cpus"), 15_000);
        assert_eq!(Amounts::of(&whole.to_resources("a/b")).unwrap(), whole);
        assert!(!whole.contains(&Amounts::of(&[Resource::scalar("cpus", 8.5, None)]).unwrap()));
        assert_eq!(whole.to_json()["cpus_revocable"], 4.0);
        let of = Kind::of(&reserved).unwrap();
        let fit = ["a", "a/b", "ab", "b", "*"].map(|role| of.is_allocatable_to(role));
        assert_eq!(fit, [true, true, false, false, false]);
    }

    #[test]
    fn a_volume_is_there_whole_or_not_at_all() {
        let volume = |mib| {
            let mut resource = Resource::scalar("disk", mib, None);
            resource.rest.insert("disk".into(), serde_json::json!({ "persistence": { "id": "v" } }));
            Amounts::of(&[resource]).unwrap()
        };
        assert!(volume(64.0).contains(&volume(64.0)));
        assert!(!volume(64.0).contains(&volume(32.0)));
    }
}
