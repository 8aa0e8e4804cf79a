use millstream_mesos_types::{Resource, ResourceType};

use super::{AmountError, THOUSANDTHS};

/// How much of a kind there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Amount {
    Thousandths(u64),
    /// Ascending, disjoint, both ends included.
    Ranges(Vec<(u64, u64)>),
}

impl Amount {
    pub(super) fn of(resource: &Resource) -> Result<Self, AmountError> {
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

    pub(super) fn ranges(&self) -> Option<&Vec<(u64, u64)>> {
        match self {
            Self::Ranges(list) => Some(list),
            Self::Thousandths(_) => None,
        }
    }

    /// Of ranges how many numbers they hold.
    pub(super) fn thousandths(&self) -> u64 {
        match self {
            Self::Thousandths(n) => *n,
            Self::Ranges(list) => {
                list.iter().map(|(begin, end)| (end - begin).saturating_add(1).saturating_mul(1000)).sum()
            }
        }
    }
}

/// Sorted, neighbours and overlaps joined.
pub(super) fn joined(mut list: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
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
pub(super) fn without(range: (u64, u64), hole: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
    let left = (hole.0 > range.0).then(|| (range.0, range.1.min(hole.0.saturating_sub(1))));
    let right = (hole.1 < range.1).then(|| (range.0.max(hole.1.saturating_add(1)), range.1));
    [left, right].into_iter().flatten()
}
