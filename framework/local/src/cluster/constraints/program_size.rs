//! How many instructions RE2 makes of a regex: exactly for lists of literals, else an estimate that is rather too high, as
//! RE2 simplifies more. The costs were measured on a Mesos 1.11.0.

use std::{iter::Peekable, str::Chars};

/// Begin, end and what fails between.
const FRAME: usize = 4;
/// Any character as ranges of UTF-8 bytes.
const ANY_CHAR: usize = 8;
/// `\w`, `\s`: so many ranges.
const NAMED_CLASS: usize = 3;
/// RE2 itself allows no more repetitions.
const MAX_REPEAT: usize = 1000;

/// Of a regex that is known to be valid.
pub(super) fn estimate(pattern: &str) -> usize {
    let size = match literals(pattern) {
        Some(alternatives) => factored(&alternatives),
        None => alternation(&mut pattern.chars().peekable()),
    };
    FRAME.saturating_add(size)
}

/// The alternatives of a regex that has nothing but literals.
fn literals(pattern: &str) -> Option<Vec<Vec<char>>> {
    let mut alternatives = vec![vec![]];
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        let literal = match char {
            '|' => {
                alternatives.push(vec![]);
                continue;
            }
            '\\' => chars.next().filter(char::is_ascii_punctuation)?,
            '(' | ')' | '[' | ']' | '{' | '}' | '.' | '*' | '+' | '?' | '^' | '$' => return None,
            char => char,
        };
        alternatives.last_mut()?.push(literal);
    }
    Some(alternatives)
}

/// RE2 takes out what neighbours begin with, and makes a class of neighbours that are single characters.
fn factored(alternatives: &[Vec<char>]) -> usize {
    let mut size = 0;
    let mut class: Vec<char> = vec![];
    for group in alternatives.chunk_by(|a, b| !a.is_empty() && a.first() == b.first()) {
        if let [single] = group
            && single.len() == 1
        {
            class.push(single[0]);
            continue;
        }
        size += ranges(&mut class);
        size += match group {
            [alone] => alone.iter().map(|char| char.len_utf8()).sum::<usize>().max(1),
            _ => {
                let common =
                    (0..).take_while(|at| group.iter().all(|one| one.get(*at).is_some_and(|c| *c == group[0][*at])));
                let common = common.count();
                let rests: Vec<_> = group.iter().map(|one| one[common..].to_vec()).collect();
                group[0][..common].iter().map(|char| char.len_utf8()).sum::<usize>() + factored(&rests)
            }
        };
    }
    size + ranges(&mut class)
}

/// How many ranges these characters are; empties them.
fn ranges(class: &mut Vec<char>) -> usize {
    class.sort_unstable();
    class.dedup();
    let all = std::mem::take(class);
    let gaps = all.windows(2).filter(|pair| pair[1] as u32 != pair[0] as u32 + 1).count();
    if all.is_empty() { 0 } else { gaps + 1 }
}

fn alternation(chars: &mut Peekable<Chars>) -> usize {
    let mut size = 0_usize;
    while let Some(char) = chars.next() {
        let atom = match char {
            ')' => break,
            '|' => 0,
            '(' => group(chars),
            '[' => class(chars),
            '.' => ANY_CHAR,
            '\\' => escape(chars),
            char => char.len_utf8(),
        };
        size = size.saturating_add(repeated(chars, atom));
    }
    size
}

fn group(chars: &mut Peekable<Chars>) -> usize {
    if chars.next_if_eq(&'?').is_none() {
        return alternation(chars).saturating_add(2);
    }
    // Flags and name up to their end; `(?i)` has nothing else.
    match chars.find(|char| matches!(char, ':' | '>' | ')')) {
        Some(')') | None => 0,
        Some('>') => alternation(chars).saturating_add(2),
        Some(_) => alternation(chars),
    }
}

fn class(chars: &mut Peekable<Chars>) -> usize {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut size = 0_usize;
    let mut inner = 0;
    let mut is_end_of_range = false;
    // A bracket at the very beginning is a member.
    if chars.next_if_eq(&']').is_some() {
        size += 1;
    }
    while let Some(char) = chars.next() {
        match char {
            ']' if inner == 0 => break,
            ']' => inner -= 1,
            '[' => inner += 1,
            '-' => is_end_of_range = true,
            '\\' => size += escape(chars),
            _ if std::mem::take(&mut is_end_of_range) => {}
            _ => size += 1,
        }
    }
    if negated { ANY_CHAR + size } else { size.max(1) }
}

fn escape(chars: &mut Peekable<Chars>) -> usize {
    match chars.next() {
        Some('w' | 's') => NAMED_CLASS,
        Some('D' | 'W' | 'S') => ANY_CHAR + NAMED_CLASS,
        _ => 1,
    }
}

/// With `*`, `+`, `?` and `{n,m}`, each also lazy.
fn repeated(chars: &mut Peekable<Chars>, atom: usize) -> usize {
    let size = match chars.peek() {
        Some('*' | '+' | '?') => {
            chars.next();
            atom.saturating_add(1)
        }
        Some('{') => {
            let bounds: String = chars.by_ref().take_while(|char| *char != '}').collect();
            let numbers = bounds.split(|char: char| !char.is_ascii_digit()).filter_map(|text| text.parse().ok());
            let numbers: Vec<usize> = numbers.map(|number: usize| number.min(MAX_REPEAT)).collect();
            let least = numbers.first().copied().unwrap_or(1);
            let optional = numbers.last().copied().unwrap_or(1).saturating_sub(least);
            // Without an upper bound the last one goes round.
            let endless = usize::from(bounds.ends_with(','));
            let all = atom.saturating_mul(least).saturating_add(endless);
            all.saturating_add(atom.saturating_add(1).saturating_mul(optional))
        }
        _ => return atom,
    };
    chars.next_if_eq(&'?');
    size
}

#[cfg(test)]
mod tests {
    use super::estimate;

    /// What a Mesos 1.11.0 said in its refusals.
    #[test]
    fn the_size_is_that_of_re2() {
        let words: Vec<_> = (0..30)
            .map(|i: u32| {
                [i, i * 7, i * 11].map(|n| char::from_u32(97 + n % 26).unwrap()).iter().collect::<String>() + "b"
            })
            .collect();
        let measured = [
            ("a".repeat(100), 104),
            (".".repeat(20), 164),
            ("[a-z]".repeat(100), 104),
            (r"\w".repeat(40), 124),
            (r"\.".repeat(100), 104),
            ("a?".repeat(60), 124),
            ("(a)".repeat(60), 184),
            ("(?:ab|c)".repeat(40), 124),
            ("[a-cx-z]".repeat(60), 124),
            ("a{120}".into(), 124),
            ("(ab){50}".into(), 204),
            ("a{0,100}".into(), 204),
            ("é".repeat(60), 124),
            (words.join("|"), 124),
        ];
        for (pattern, size) in measured {
            assert_eq!(estimate(&pattern), size, "{pattern}");
        }
    }

    #[test]
    fn hosts_share_what_they_begin_with() {
        let hosts: Vec<_> = (0..60).map(|i| format!("host{i:02}")).collect();
        assert!(estimate(&hosts.join("|")) <= 100, "as Mesos takes it");
        assert_eq!(estimate("r1|r2|r3|x"), 4 + 2 + 1);
        assert_eq!(estimate("host1|host10"), 4 + 5 + 2);
    }
}
