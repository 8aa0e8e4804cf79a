//! "Did you mean": the names nearest to one that is not there.

/// At most this many names are shown.
const SHOWN_MAX: usize = 3;

/// The names that may have been meant, nearest first: few edits away, or one contained in the other.
pub(crate) fn nearest(name: &str, candidates: impl IntoIterator<Item = String>) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut scored: Vec<(usize, String)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let edits = edits(&lower, &other);
            let related = other.contains(&lower) || lower.contains(&other);
            (edits <= lower.chars().count().div_ceil(3) || related).then_some((edits, candidate))
        })
        .collect();
    scored.sort();
    scored.into_iter().take(SHOWN_MAX).map(|(_, candidate)| candidate).collect()
}

/// `did you mean `a` or `b`?`, or `otherwise` when nothing is near.
pub(crate) fn did_you_mean(nearest: &[String], otherwise: String) -> String {
    if nearest.is_empty() {
        return otherwise;
    }
    let quoted: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
    format!("did you mean {}?", quoted.join(" or "))
}

/// Inserts, deletes and replacements between two texts.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
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
    fn near_names_only() {
        let topics = || ["flights", "flights-dlq", "orders"].map(str::to_owned);
        assert_eq!(nearest("flihgts", topics()), ["flights"]);
        assert_eq!(nearest("Flights", topics()), ["flights", "flights-dlq"]);
        assert_eq!(did_you_mean(&nearest("payments", topics()), "create it".into()), "create it");
        assert_eq!(did_you_mean(&nearest("order", topics()), String::new()), "did you mean `orders`?");
    }
}
