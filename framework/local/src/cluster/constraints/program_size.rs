//! How many instructions RE2 makes of a regex, by estimate.
//!
//! RE2 joins common prefixes and suffixes, which makes fewer of them: what is small enough here is small enough there but
//! for classes of many ranges.

use std::{iter::Peekable, str::Chars};

/// Begin, end and the captures around the whole.
const FRAME: usize = 4;
/// Any character as ranges of UTF-8 bytes.
const ANY_CHAR: usize = 12;
/// RE2 itself allows no more repetitions.
const MAX_REPEAT: usize = 1000;

/// Of a regex that is known to be valid.
pub(super) fn estimate(pattern: &str) -> usize {
    FRAME.saturating_add(alternation(&mut pattern.chars().peekable()))
}

fn alternation(chars: &mut Peekable<Chars>) -> usize {
    let mut size = 0_usize;
    while let Some(char) = chars.next() {
        let atom = match char {
            ')' => break,
            '|' => {
                size = size.saturating_add(1);
                continue;
            }
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
    let mut members = 0_usize;
    let mut inner = 0;
    // A bracket at the very beginning is a member.
    if chars.next_if_eq(&']').is_some() {
        members += 1;
    }
    while let Some(char) = chars.next() {
        match char {
            ']' if inner == 0 => break,
            ']' => inner -= 1,
            '[' => inner += 1,
            '\\' => {
                chars.next();
                members += 1;
            }
            '-' => {}
            _ => members += 1,
        }
    }
    if negated { ANY_CHAR + members } else { members.max(1) }
}

fn escape(chars: &mut Peekable<Chars>) -> usize {
    match chars.next() {
        Some('w' | 's') => 6,
        Some('D' | 'W' | 'S') => ANY_CHAR + 6,
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
            let most = numbers.max().unwrap_or(1_usize).clamp(1, MAX_REPEAT);
            atom.saturating_add(1).saturating_mul(most)
        }
        _ => return atom,
    };
    chars.next_if_eq(&'?');
    size
}

#[cfg(test)]
mod tests {
    use super::estimate;

    #[test]
    fn a_list_of_hosts_counts_all_its_letters() {
        assert_eq!(estimate("abc"), 7);
        assert_eq!(estimate("abc|abd"), 11);
        assert_eq!(estimate("(?:ab|c)*x?"), 4 + 4 + 1 + 2);
        assert_eq!(estimate("[a-z]{1,50}"), 4 + 3 * 50);
        assert_eq!(estimate(r"r\.1"), 7);
        assert!(estimate(&"127.0.1.1|".repeat(20)) > 100);
    }
}
