use std::collections::BTreeMap;

use millstream_mesos_types::{AllocationInfo, Range, Ranges, Resource, ResourceType};

/// Mesos keeps three decimals of a scalar: counted in thousandths, sums are exact.
const THOUSANDTHS: f64 = 1000.0;

/// Least that is worth offering, as Mesos' `min_allocatable_resources`: 0.01 cpus or 32 MiB.
const MIN_CPUS_THOUSANDTHS: u64 = 10;
const MIN_MEM_THOUSANDTHS: u64 = 32_000;

/// Amounts of unreserved resources by name. Names without an amount are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts(BTreeMap<String, Amount>);

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
    #[error("resource {0:?} is reserved, revocable, shared or a set: not offered here")]
    Kind(String),
}

impl Amounts {
    /// Counts resources; several of one name add up.
    pub fn of(resources: &[Resource]) -> Result<Self, AmountError> {
        let mut sum = Self::default();
        for resource in resources {
            let name = resource.name.clone();
            if resource.is_reserved() || resource.is_revocable() || resource.rest.contains_key("shared") {
                return Err(AmountError::Kind(name));
            }
            let amount = match (resource.kind, resource.scalar, &resource.ranges) {
                (ResourceType::Scalar, Some(scalar), _) if scalar.value.is_finite() && scalar.value >= 0.0 => {
                    Amount::Thousandths((scalar.value * THOUSANDTHS).round() as u64)
                }
                (ResourceType::Ranges, _, Some(ranges))
                    if ranges.range.iter().all(|range| range.begin <= range.end) =>
                {
                    let mut list: Vec<_> = ranges.range.iter().map(|range| (range.begin, range.end)).collect();
                    list.sort_unstable();
                    if list.windows(2).any(|pair| pair[1].0 <= pair[0].1) {
                        return Err(AmountError::Value(name));
                    }
                    Amount::Ranges(list)
                }
                (ResourceType::Scalar | ResourceType::Ranges, ..) => return Err(AmountError::Value(name)),
                _ => return Err(AmountError::Kind(name)),
            };
            sum.add(&Self(BTreeMap::from([(name, amount)])));
        }
        Ok(sum)
    }

    /// As Mesos writes them, allocated to `role`.
    pub fn to_resources(&self, role: &str) -> Vec<Resource> {
        let allocation = Some(AllocationInfo { role: role.to_owned() });
        let resource = |(name, amount): (&String, &Amount)| match amount {
            Amount::Thousandths(n) => Resource::scalar(name, *n as f64 / THOUSANDTHS, allocation.clone()),
            Amount::Ranges(list) => {
                let range = list.iter().map(|&(begin, end)| Range { begin, end }).collect();
                Resource {
                    kind: ResourceType::Ranges,
                    scalar: None,
                    ranges: Some(Ranges { range }),
                    ..Resource::scalar(name, 0.0, allocation.clone())
                }
            }
        };
        self.0.iter().map(resource).collect()
    }

    /// As the pages of Mesos show them: scalars as numbers, ranges as text.
    pub fn to_json(&self) -> serde_json::Value {
        let value = |amount: &Amount| match amount {
            Amount::Thousandths(n) => serde_json::json!(*n as f64 / THOUSANDTHS),
            Amount::Ranges(list) => {
                let texts: Vec<_> = list.iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
                serde_json::json!(format!("[{}]", texts.join(", ")))
            }
        };
        let mut map: serde_json::Map<_, _> =
            ["cpus", "disk", "gpus", "mem"].map(|name| (name.to_owned(), serde_json::json!(0.0))).into_iter().collect();
        map.extend(self.0.iter().map(|(name, amount)| (name.clone(), value(amount))));
        map.into()
    }

    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Worth an offer.
    pub fn is_allocatable(&self) -> bool {
        self.thousandths("cpus") >= MIN_CPUS_THOUSANDTHS || self.thousandths("mem") >= MIN_MEM_THOUSANDTHS
    }

    /// A scalar in thousandths; 0 when absent.
    pub fn thousandths(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(Amount::Thousandths(n)) => *n,
            _ => 0,
        }
    }

    /// Everything of `other` is in here.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, wanted)| match (self.0.get(name), wanted) {
            (_, Amount::Thousandths(0)) => true,
            (Some(Amount::Thousandths(have)), Amount::Thousandths(wanted)) => have >= wanted,
            (Some(Amount::Ranges(have)), Amount::Ranges(wanted)) => {
                wanted.iter().all(|w| have.iter().any(|h| h.0 <= w.0 && w.1 <= h.1))
            }
            (_, Amount::Ranges(wanted)) => wanted.is_empty(),
            _ => false,
        })
    }

    /// Puts `other` in.
    pub fn add(&mut self, other: &Self) {
        for (name, more) in &other.0 {
            match (self.0.get_mut(name), more) {
                (Some(Amount::Thousandths(have)), Amount::Thousandths(more)) => *have += more,
                (Some(Amount::Ranges(have)), Amount::Ranges(more)) => {
                    have.extend(more);
                    *have = joined(std::mem::take(have));
                }
                _ => drop(self.0.insert(name.clone(), more.clone())),
            }
        }
        self.drop_zeros();
    }

    /// Takes `other` out; what is not in here is ignored.
    pub fn subtract(&mut self, other: &Self) {
        for (name, less) in &other.0 {
            match (self.0.get_mut(name), less) {
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

    fn drop_zeros(&mut self) {
        self.0.retain(|_, amount| match amount {
            Amount::Thousandths(n) => *n > 0,
            Amount::Ranges(list) => !list.is_empty(),
        });
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
        sum.add(&Amounts(BTreeMap::from([("cpus".into(), Amount::Thousandths(cpus))])));
        for range in ports {
            sum.add(&Amounts(BTreeMap::from([("ports".into(), Amount::Ranges(vec![*range]))])));
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
        let mut reserved = Resource::scalar("cpus", 1.0, None);
        reserved.rest.insert("reservations".into(), serde_json::json!([{ "role": "x" }]));
        assert_eq!(Amounts::of(&[reserved]), Err(AmountError::Kind("cpus".into())));
    }
}
