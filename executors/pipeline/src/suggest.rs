//! "Did you mean": the nearest known name.

/// Longest name that is compared, in bytes: longer than any that could be meant.
const MAX_NAME_BYTES: usize = 256;

/// A remedy naming the candidate nearest to `name`, when one is near enough to be a slip.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let lower = name.to_lowercase();
    let allowed = name.chars().count().div_ceil(3);
    let (nearest, _) = candidates
        .map(|candidate| (candidate, distance(&lower, &candidate.to_lowercase())))
        .filter(|(_, distance)| *distance <= allowed)
        .min_by_key(|(_, distance)| *distance)?;
    Some(format!("did you mean `{nearest}`?"))
}

/// Edits (insert, delete, replace) between two texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_slip_but_nothing_far_away() {
        let known = ["carrier", "dep_delay", "origin"];
        assert_eq!(did_you_mean("carier", known.into_iter()).as_deref(), Some("did you mean `carrier`?"));
        assert_eq!(did_you_mean("Origin", known.into_iter()).as_deref(), Some("did you mean `origin`?"));
        assert_eq!(did_you_mean("x", known.into_iter()), None);
    }
}
