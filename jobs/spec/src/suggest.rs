//! "Did you mean …?"

/// Longest word that is compared, in bytes: longer than any that could be meant.
const MAX_WORD_BYTES: usize = 256;

/// The candidate that `word` was most likely meant to be, if one is near enough to be worth saying.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word = normal(word);
    let best = candidates.into_iter().map(|c| (distance(&word, &normal(c)), c)).min_by_key(|(d, _)| *d)?;
    let (distance, candidate) = best;
    // A third of the letters may be wrong; in a very short word one, but never all of them.
    let bound = (word.chars().count() / 3).max(1);
    let short = word.chars().count().min(candidate.chars().count()) < 2;
    (distance <= bound && !short).then_some(candidate)
}

/// Case and the usual word separators do not count.
fn normal(word: &str) -> String {
    word.to_lowercase().replace(['-', '.', ' '], "_")
}

/// Edit distance in which swapping two neighbours is one edit; a word that continues the other is one away.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                    replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(swap)
                }
            };
        }
    }
    let full = rows[a.len()][b.len()];
    let shorter = a.len().min(b.len());
    if shorter >= 3 && a[..shorter] == b[..shorter] { full.min(1) } else { full }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_and_other_spellings() {
        let keys = ["bootstrap", "topic", "group", "start", "format", "mem", "cpus"];
        assert_eq!(nearest("topik", keys), Some("topic"));
        assert_eq!(nearest("tpoic", keys), Some("topic"));
        assert_eq!(nearest("Topic", keys), Some("topic"));
        assert_eq!(nearest("bootstrap_servers", keys), Some("bootstrap"));
        assert_eq!(nearest("memory", keys), Some("mem"));
        assert_eq!(nearest("cpu", keys), Some("cpus"));
    }

    #[test]
    fn keeps_quiet_when_nothing_is_near() {
        assert_eq!(nearest("whatever", ["topic", "group"]), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
