//! Which bytes of a TOML string literal a part of its value comes from.

use std::ops::Range;

/// Maps `part`, bytes of the *value* of the string literal at `literal`, to bytes of `text`. None when there is no
/// string literal at `literal`. Behind the value's end counts as its end.
pub(crate) fn map(text: &str, literal: Range<usize>, part: Range<usize>) -> Option<Range<usize>> {
    let raw = text.get(literal.clone())?;
    let steps = steps(raw)?;
    let start = source_offset(&steps, part.start);
    // The end is where the last byte's source ends, so that a mark never runs over a following escape or line break.
    let end = if part.end > part.start { source_end(&steps, part.end) } else { start };
    Some(literal.start + start..literal.start + end.max(start))
}

/// One character of the value: its bytes in the value, and the bytes of the literal it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    value: Range<usize>,
    source: Range<usize>,
}

fn source_offset(steps: &[Step], offset: usize) -> usize {
    match steps.iter().find(|s| offset < s.value.end) {
        Some(step) => step.source.start,
        None => steps.last().map_or(0, |s| s.source.end),
    }
}

fn source_end(steps: &[Step], end: usize) -> usize {
    steps.iter().take_while(|s| s.value.start < end).last().map_or(0, |s| s.source.end)
}

/// Reads a literal that the TOML parser has accepted. The last step is empty and stands for the value's end.
fn steps(raw: &str) -> Option<Vec<Step>> {
    let (quotes, escapes) = match raw {
        _ if raw.starts_with("\"\"\"") => (3, true),
        _ if raw.starts_with("'''") => (3, false),
        _ if raw.starts_with('"') => (1, true),
        _ if raw.starts_with('\'') => (1, false),
        _ => return None,
    };
    let end = raw.len().checked_sub(quotes)?;
    let mut at = quotes;
    if quotes == 3 {
        // A line break right behind the opening quotes is not part of the value.
        at += if raw[at..].starts_with("\r\n") { 2 } else { usize::from(raw[at..].starts_with('\n')) };
    }
    let mut steps = Vec::with_capacity(raw.len());
    let mut value = 0;
    while at < end {
        let rest = &raw[at..end];
        let (width, len) = if escapes && rest.starts_with('\\') { escape(rest)? } else { plain(rest)? };
        if width > 0 {
            steps.push(Step { value: value..value + width, source: at..at + len });
        }
        value += width;
        at += len;
    }
    steps.push(Step { value: value..value, source: end..end });
    Some(steps)
}

/// Bytes in the value and in the source of the first character.
fn plain(rest: &str) -> Option<(usize, usize)> {
    let width = rest.chars().next()?.len_utf8();
    Some((width, width))
}

/// Likewise of an escape; a line-ending backslash swallows all white space behind it.
fn escape(rest: &str) -> Option<(usize, usize)> {
    let digits = match rest[1..].chars().next()? {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        c if c.is_whitespace() => {
            return Some((0, rest.len() - rest[1..].trim_start_matches([' ', '\t', '\r', '\n']).len()));
        }
        _ => return Some((1, 2)),
    };
    let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    Some((char::from_u32(code)?.len_utf8(), 2 + digits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::map;

    fn marked(literal: &str, part: std::ops::Range<usize>) -> String {
        let text = format!("sql = {literal}\n");
        text[map(&text, 6..6 + literal.len(), part).expect("a string")].to_owned()
    }

    #[test]
    fn plain_strings_shift_by_their_quote() {
        assert_eq!(marked("\"SELECT a\"", 7..8), "a");
        assert_eq!(marked("'SELECT a'", 0..6), "SELECT");
        assert_eq!(marked("'SELECT a'", 8..8), "");
    }

    #[test]
    fn multi_line_strings_skip_their_first_line_break() {
        assert_eq!(marked("\"\"\"\nSELECT\n  a\"\"\"", 9..10), "a");
        assert_eq!(marked("'''\r\nSELECT\r\n  a'''", 10..11), "a");
    }

    #[test]
    fn escapes_count_as_one_character_of_the_value() {
        assert_eq!(marked(r#""a\tb""#, 1..2), r"\t");
        assert_eq!(marked(r#""a\u00e9b""#, 3..4), "b");
        assert_eq!(marked(r#""\x41\U0001F600\"z""#, 6..7), "z");
    }

    #[test]
    fn a_line_ending_backslash_is_nothing() {
        assert_eq!(marked("\"\"\"SELECT \\\n   a, b\"\"\"", 7..8), "a");
    }

    #[test]
    fn quotes_just_before_the_closing_quotes_belong_to_the_value() {
        assert_eq!(marked("\"\"\"a\"\"\"\"\"", 1..3), "\"\"");
    }

    #[test]
    fn behind_the_end_is_the_end_and_other_values_have_no_map() {
        assert_eq!(marked("'ab'", 1..99), "b");
        assert_eq!(map("n = 12", 4..6, 0..1), None);
    }

    proptest! {
        #[test]
        fn every_character_of_any_string_is_found_where_toml_read_it(value in "[ -~é\n\t\u{1F600}]{0,40}") {
            let text = format!("v = {}", toml::Value::String(value.clone()));
            let table = toml::de::DeTable::parse(&text).unwrap();
            let literal = table.get_ref()["v"].span();
            for (i, c) in value.char_indices() {
                let source = &text[map(&text, literal.clone(), i..i + c.len_utf8()).unwrap()];
                // The writer picks the kind of literal; only in one with escapes a backslash is more than itself.
                let escaped = text[literal.clone()].starts_with('"') && source.starts_with('\\');
                let read = if escaped { format!("v = \"{source}\"").parse::<toml::Table>().unwrap()["v"].as_str().unwrap().to_owned() } else { source.to_owned() };
                prop_assert_eq!(read, c.to_string());
            }
        }
    }
}
