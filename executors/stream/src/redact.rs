//! Texts on bad records without what is in the records: whoever may look at a job need not be one who may read its rows.

/// Stands for a value.
const HIDDEN: &str = "…";

/// Behind a number that is a size, and no value.
const UNIT: &str = " bytes";

/// Before a name of the job's between backticks; libraries put values between them, too.
const NAMES: [&str; 2] = ["column ", "field "];

/// The text with every quoted text and every number hidden. A quotation reaches to the last quotation mark of its kind:
/// what it quotes may hold some.
pub(crate) fn redacted(detail: &str) -> String {
    let mut shown = String::with_capacity(detail.len());
    let mut rest = detail;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '`' if NAMES.iter().any(|before| shown.ends_with(before)) => name(rest),
            '`' | '"' | '\'' => {
                let len = rest.rfind(c).unwrap_or_default() + 1;
                shown.extend([c.to_string().as_str(), HIDDEN, c.to_string().as_str()]);
                rest = &rest[len..];
                continue;
            }
            c if c.is_ascii_digit() && !shown.ends_with(|before: char| before.is_alphanumeric() || before == '_') => {
                let len = number(rest);
                if rest[len..].starts_with(UNIT) {
                    len
                } else {
                    shown += HIDDEN;
                    rest = &rest[len..];
                    continue;
                }
            }
            c => c.len_utf8(),
        };
        shown += &rest[..len];
        rest = &rest[len..];
    }
    shown
}

/// Length of a name between backticks.
fn name(text: &str) -> usize {
    text[1..].find('`').map_or(text.len(), |end| end + 2)
}

/// Length of a number, or of what begins like one: a time, an address.
fn number(text: &str) -> usize {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || ".:+-_".contains(c))).unwrap_or(text.len());
    // A sentence may end behind it.
    text[..end].trim_end_matches(['.', ':', '-', '+']).len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_and_names_are_not() {
        for (detail, shown) in [
            (r#"field `a.b2`: expected int, found "hunter2""#, r#"field `a.b2`: expected int, found "…""#),
            (r#"found "with \" and ` in it" there"#, r#"found "…" there"#),
            ("Cannot cast string 'it's hunter2' to value", "Cannot cast string '…' to value"),
            ("unknown variant `hunter2`, expected `a`", "unknown variant `…`"),
            ("column `v1`: 300 is out of range for tinyint", "column `v1`: … is out of range for tinyint"),
            ("-12.5e3 is lossy; 2019-08-07T12:00:00.123Z too.", "-… is lossy; … too."),
            ("Cannot cast string 'hunter2' to value of Int32 type", "Cannot cast string '…' to value of Int32 type"),
            ("the row takes 17000000 bytes, more than 16777216", "the row takes 17000000 bytes, more than …"),
            (r#"expected text, found {"pin":1234,"x":[1,2]}"#, r#"expected text, found {"…":[…,…]}"#),
            ("an end that is missing: \"hunter2", "an end that is missing: \"…\"hunter2"),
            ("ünïcödé 7ö", "ünïcödé …ö"),
        ] {
            assert_eq!(redacted(detail), shown);
        }
    }

    proptest::proptest! {
        /// Whatever the text: nothing breaks, and a canary in quotation marks is not in what is shown.
        #[test]
        fn no_text_breaks_it(before in "[^`]{0,20}", value in "[a-z0-9 '\"`]{0,20}", after in ".{0,20}") {
            for quote in ['"', '\''] {
                let shown = redacted(&format!("{before}{quote}{value}canary{value}{quote}{after}"));
                proptest::prop_assert!(!shown.contains("canary"), "{}", shown);
            }
        }
    }
}
