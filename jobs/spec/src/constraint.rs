//! The grammar of placement constraints: `gpu exists`, `rack in [r1, r2]`, `hostname != bad`.

use std::{fmt, ops::Range};

use crate::{Constraint, ConstraintTest};

/// Why a text is not a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConstraintError {
    /// What is wrong.
    pub message: String,
    /// Which bytes of the text.
    pub at: Range<usize>,
}

/// What can be written, for help texts.
pub const FORMS: &str = "`A exists`, `A not exists`, `A = x`, `A != x`, `A in [x, y]` or `A not in [x, y]`, where A is `hostname`, `zone`, `region` or an agent attribute";

/// Parses a constraint.
pub fn parse(text: &str) -> Result<Constraint, ConstraintError> {
    let tokens = tokens(text)?;
    let mut rest = Rest { tokens: &tokens, end: text.len() };
    let attribute = rest.word("the name of an attribute")?;
    let test = rest.test()?;
    match rest.tokens.first() {
        Some(extra) => Err(error(extra.at.start..text.len(), "nothing may follow the constraint")),
        None => Ok(Constraint { attribute, test }),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Word(String),
    Quoted(String),
    Sign(&'static str),
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

/// Longest first, so that `!=` is not read as `!`.
const SIGNS: [&str; 5] = ["!=", "=", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, ConstraintError> {
    let mut tokens = vec![];
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, len) = if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            (Kind::Sign(sign), sign.len())
        } else if c == '"' || c == '\'' {
            let inner = rest[1..].find(c).ok_or_else(|| error(at..text.len(), "this quotation mark is not closed"))?;
            (Kind::Quoted(rest[1..1 + inner].to_owned()), inner + 2)
        } else {
            let len = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if len == 0 {
                return Err(error(at..at + c.len_utf8(), format!("`{c}` cannot stand here without quotation marks")));
            }
            (Kind::Word(rest[..len].to_owned()), len)
        };
        tokens.push(Token { kind, at: at..at + len });
        at += len;
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-.:/".contains(c)
}

struct Rest<'t> {
    tokens: &'t [Token],
    end: usize,
}

impl<'t> Rest<'t> {
    fn test(&mut self) -> Result<ConstraintTest, ConstraintError> {
        const TEST: &str = "`exists`, `not exists`, `=`, `!=`, `in` or `not in`";
        let first = self.next(TEST)?;
        match &first.kind {
            Kind::Sign("=") => Ok(ConstraintTest::In(vec![self.word("a value")?])),
            Kind::Sign("!=") => Ok(ConstraintTest::NotIn(vec![self.word("a value")?])),
            Kind::Word(w) if w == "exists" => Ok(ConstraintTest::Exists),
            Kind::Word(w) if w == "in" => Ok(ConstraintTest::In(self.list()?)),
            Kind::Word(w) if w == "not" => {
                let second = self.next("`exists` or `in`")?;
                match &second.kind {
                    Kind::Word(w) if w == "exists" => Ok(ConstraintTest::NotExists),
                    Kind::Word(w) if w == "in" => Ok(ConstraintTest::NotIn(self.list()?)),
                    _ => Err(error(second.at.clone(), "`exists` or `in` should be here")),
                }
            }
            _ => Err(error(first.at.clone(), format!("{TEST} should be here"))),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, ConstraintError> {
        self.sign("[")?;
        let mut values = vec![self.word("a value")?];
        loop {
            let next = self.next("`,` or `]`")?;
            match next.kind {
                Kind::Sign("]") => return Ok(values),
                Kind::Sign(",") => values.push(self.word("a value")?),
                _ => return Err(error(next.at.clone(), "`,` or `]` should be here")),
            }
        }
    }

    fn sign(&mut self, sign: &'static str) -> Result<(), ConstraintError> {
        let token = self.next(&format!("`{sign}`"))?;
        if token.kind == Kind::Sign(sign) {
            Ok(())
        } else {
            Err(error(token.at.clone(), format!("`{sign}` should be here")))
        }
    }

    fn word(&mut self, what: &str) -> Result<String, ConstraintError> {
        let token = self.next(what)?;
        match &token.kind {
            Kind::Word(w) => Ok(w.clone()),
            Kind::Quoted(w) if !w.is_empty() => Ok(w.clone()),
            _ => Err(error(token.at.clone(), format!("{what} should be here"))),
        }
    }

    fn next(&mut self, what: &str) -> Result<&'t Token, ConstraintError> {
        let (first, rest) = self
            .tokens
            .split_first()
            .ok_or_else(|| error(self.end..self.end, format!("{what} is missing at the end")))?;
        self.tokens = rest;
        Ok(first)
    }
}

fn error(at: Range<usize>, message: impl Into<String>) -> ConstraintError {
    ConstraintError { message: message.into(), at }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", quoted(&self.attribute))?;
        match &self.test {
            ConstraintTest::Exists => f.write_str("exists"),
            ConstraintTest::NotExists => f.write_str("not exists"),
            ConstraintTest::In(values) => match values.as_slice() {
                [one] => write!(f, "= {}", quoted(one)),
                _ => write!(f, "in [{}]", list(values)),
            },
            ConstraintTest::NotIn(values) => match values.as_slice() {
                [one] => write!(f, "!= {}", quoted(one)),
                _ => write!(f, "not in [{}]", list(values)),
            },
        }
    }
}

fn list(values: &[String]) -> String {
    values.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(", ")
}

fn quoted(word: &str) -> String {
    if !word.is_empty() && word.chars().all(is_word) {
        word.to_owned()
    } else if word.contains('"') {
        format!("'{word}'")
    } else {
        format!("\"{word}\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn test(text: &str) -> ConstraintTest {
        parse(text).unwrap().test
    }

    #[test]
    fn all_forms() {
        let values = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(test("gpu exists"), ConstraintTest::Exists);
        assert_eq!(test("gpu not exists"), ConstraintTest::NotExists);
        assert_eq!(test("rack = r1"), ConstraintTest::In(values(&["r1"])));
        assert_eq!(test("hostname!=bad.example"), ConstraintTest::NotIn(values(&["bad.example"])));
        assert_eq!(test("rack in [r1, 'r 2']"), ConstraintTest::In(values(&["r1", "r 2"])));
        assert_eq!(test("rack not in [r1]"), ConstraintTest::NotIn(values(&["r1"])));
        assert_eq!(parse("rack in [r1, r2]").unwrap().attribute, "rack");
    }

    #[test]
    fn errors_mark_the_place() {
        let at = |text: &str| (parse(text).unwrap_err().at, parse(text).unwrap_err().message);
        assert_eq!(at("rack == r1"), (6..7, "a value should be here".into()));
        assert_eq!(
            at("rack"),
            (4..4, "`exists`, `not exists`, `=`, `!=`, `in` or `not in` is missing at the end".into())
        );
        assert_eq!(at("rack in r1"), (8..10, "`[` should be here".into()));
        assert_eq!(at("rack in []"), (9..10, "a value should be here".into()));
        assert_eq!(at("rack exists now"), (12..15, "nothing may follow the constraint".into()));
        assert_eq!(at("rack = 'r1"), (7..10, "this quotation mark is not closed".into()));
        assert_eq!(at("rack = r*"), (8..9, "`*` cannot stand here without quotation marks".into()));
    }

    proptest! {
        #[test]
        fn a_displayed_constraint_parses_to_itself(attribute in "[a-z_]{1,8}", values in proptest::collection::vec("[a-z0-9 .*']{1,6}", 1..4), not in any::<bool>()) {
            let test = if not { ConstraintTest::NotIn(values) } else { ConstraintTest::In(values) };
            let constraint = Constraint { attribute, test };
            prop_assert_eq!(parse(&constraint.to_string()), Ok(constraint));
        }

        #[test]
        fn no_text_panics_and_marks_stay_inside(text in "\\PC{0,30}") {
            if let Err(e) = parse(&text) {
                prop_assert!(text.get(e.at.clone()).is_some(), "{:?}", e);
            }
        }
    }
}
