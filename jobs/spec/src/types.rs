//! The grammar of source column types: `int`, `decimal(10, 2)`, `list<text>`, `struct<a int, b map<text, double>>`.

use std::{fmt, ops::Range};

use crate::{EpochUnit, SourceType, suggest};

/// Deepest nesting of a type: deeper ones are a mistake, and every reader of types may recurse.
pub const MAX_DEPTH: usize = 8;

/// Most fields of a struct, nested ones not counted: as many as a job has columns.
pub const MAX_FIELDS: usize = 1_000;

/// Most digits of a decimal: what 128 bits hold.
pub const MAX_PRECISION: u8 = 38;

/// Why a text is not a source type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Which bytes of the text.
    pub at: Range<usize>,
}

const SCALARS: [(&str, SourceType); 12] = [
    ("boolean", SourceType::Boolean),
    ("tinyint", SourceType::Tinyint),
    ("smallint", SourceType::Smallint),
    ("int", SourceType::Int),
    ("bigint", SourceType::Bigint),
    ("float", SourceType::Float),
    ("double", SourceType::Double),
    ("text", SourceType::Text),
    ("blob", SourceType::Blob),
    ("timestamp", SourceType::Timestamp),
    ("date", SourceType::Date),
    ("time", SourceType::Time),
];

const PARAMETRIC: [&str; 4] = ["decimal", "list", "map", "struct"];

/// Names other systems use, and what to write here.
const FOREIGN: [(&str, &str); 20] = [
    ("string", "write `text`"),
    ("varchar", "write `text`"),
    ("ascii", "write `text`; an ascii table column takes it"),
    ("str", "write `text`"),
    ("integer", "write `int`"),
    ("int32", "write `int`"),
    ("long", "write `bigint`"),
    ("int64", "write `bigint`"),
    ("short", "write `smallint`"),
    ("byte", "write `tinyint`"),
    ("bool", "write `boolean`"),
    ("bytes", "write `blob`"),
    ("binary", "write `blob`"),
    ("datetime", "write `timestamp`"),
    ("numeric", "write `decimal(precision, scale)`"),
    ("varint", "write `decimal(38, 0)`; a varint table column takes it"),
    ("uuid", "write `text`; a uuid table column takes it"),
    ("timeuuid", "write `text`; a timeuuid table column takes it"),
    ("inet", "write `text`; an inet table column takes it"),
    ("set", "write `list<…>`; a set table column takes it"),
];

/// Parses a type.
pub fn parse(text: &str) -> Result<SourceType, TypeError> {
    let mut parser = Parser { text, at: 0 };
    let parsed = parser.one(0)?;
    parser.spaces();
    if parser.at < text.len() {
        return Err(parser.error(parser.at..text.len(), "nothing may follow the type"));
    }
    Ok(parsed)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn one(&mut self, depth: usize) -> Result<SourceType, TypeError> {
        let start = self.at;
        let word_at = self.word();
        let word = self.text[word_at.clone()].to_ascii_lowercase();
        if word.is_empty() {
            return Err(self.error(word_at, "a type should be here"));
        }
        if depth >= MAX_DEPTH {
            return Err(self.error(start..self.text.len(), format!("types nest at most {MAX_DEPTH} deep")));
        }
        match word.as_str() {
            "decimal" => self.decimal(),
            "timestamp" => self.timestamp(),
            "list" => {
                self.expect('<', "list<text>")?;
                let item = self.one(depth + 1)?;
                self.expect('>', "list<text>")?;
                Ok(SourceType::List(Box::new(item)))
            }
            "map" => self.map(depth),
            "struct" => self.fields(depth),
            _ => match SCALARS.iter().find(|(name, _)| *name == word) {
                Some((_, scalar)) => Ok(scalar.clone()),
                None => Err(self.unknown(word_at, &word)),
            },
        }
    }

    fn decimal(&mut self) -> Result<SourceType, TypeError> {
        const FORM: &str = "decimal(10, 2)";
        let open = self.expect('(', FORM)?;
        let precision_at = self.number();
        self.expect(',', FORM)?;
        let scale_at = self.number();
        self.expect(')', FORM)?;
        let precision = self.text[precision_at.clone()].parse::<u8>().ok().filter(|p| (1..=MAX_PRECISION).contains(p));
        let precision = precision.ok_or_else(|| {
            self.error(precision_at, format!("the precision is a whole number from 1 to {MAX_PRECISION}"))
        })?;
        let scale = self.text[scale_at.clone()].parse::<u8>().ok().filter(|s| *s <= precision);
        let scale = scale.ok_or_else(|| {
            let at = if scale_at.is_empty() { open..self.at } else { scale_at };
            self.error(at, format!("the scale is a whole number from 0 to the precision, here {precision}"))
        })?;
        // At most 38, so it fits.
        Ok(SourceType::Decimal(precision, scale as i8))
    }

    /// `timestamp`, or with the unit that numbers count: `timestamp(s)`.
    fn timestamp(&mut self) -> Result<SourceType, TypeError> {
        const FORM: &str = "timestamp(s), timestamp(ms) or timestamp(us)";
        self.spaces();
        if !self.text[self.at..].starts_with('(') {
            return Ok(SourceType::Timestamp);
        }
        self.expect('(', FORM)?;
        let unit_at = self.word();
        let unit = match self.text[unit_at.clone()].to_ascii_lowercase().as_str() {
            "s" => SourceType::EpochTimestamp(EpochUnit::Seconds),
            "ms" => SourceType::Timestamp,
            "us" => SourceType::EpochTimestamp(EpochUnit::Micros),
            _ => {
                let error = self.error(unit_at, "the unit that numbers count is `s`, `ms` or `us`");
                return Err(TypeError { help: Some(format!("write {FORM}")), ..error });
            }
        };
        self.expect(')', FORM)?;
        Ok(unit)
    }

    fn map(&mut self, depth: usize) -> Result<SourceType, TypeError> {
        const FORM: &str = "map<text, int>";
        self.expect('<', FORM)?;
        self.spaces();
        let key_start = self.at;
        let key = self.one(depth + 1)?;
        if key != SourceType::Text {
            let error = self.error(key_start..self.at, "the keys of a JSON object are text");
            return Err(TypeError {
                help: Some("write `map<text, …>`; a map column with other keys takes it if they can be read".into()),
                ..error
            });
        }
        self.expect(',', FORM)?;
        let value = self.one(depth + 1)?;
        self.expect('>', FORM)?;
        Ok(SourceType::Map(Box::new(value)))
    }

    fn fields(&mut self, depth: usize) -> Result<SourceType, TypeError> {
        const FORM: &str = "struct<a int, b text>";
        self.expect('<', FORM)?;
        let mut fields: Vec<(String, SourceType)> = vec![];
        loop {
            let name_at = self.word();
            let name = self.text[name_at.clone()].to_owned();
            if name.is_empty() {
                return Err(self.error(name_at, "a field name should be here, as in `struct<a int, b text>`"));
            }
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(self.error(name_at, format!("the field `{name}` is there twice")));
            }
            if fields.len() == MAX_FIELDS {
                return Err(self.error(name_at, format!("a struct has at most {MAX_FIELDS} fields")));
            }
            fields.push((name, self.one(depth + 1)?));
            self.spaces();
            if !self.text[self.at..].starts_with(',') {
                break;
            }
            self.at += 1;
        }
        self.expect('>', FORM)?;
        Ok(SourceType::Struct(fields))
    }

    fn spaces(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn word(&mut self) -> Range<usize> {
        self.run(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn number(&mut self) -> Range<usize> {
        self.run(|c| c.is_ascii_digit() || c == '-')
    }

    fn run(&mut self, wanted: impl Fn(char) -> bool) -> Range<usize> {
        self.spaces();
        let start = self.at;
        self.at = self.text.len() - self.text[start..].trim_start_matches(wanted).len();
        start..self.at
    }

    fn expect(&mut self, wanted: char, form: &str) -> Result<usize, TypeError> {
        self.spaces();
        if self.text[self.at..].starts_with(wanted) {
            self.at += wanted.len_utf8();
            return Ok(self.at - wanted.len_utf8());
        }
        let here = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        let error = self.error(self.at..self.at + here, format!("`{wanted}` should be here"));
        Err(TypeError { help: Some(format!("the form is `{form}`")), ..error })
    }

    fn unknown(&self, at: Range<usize>, word: &str) -> TypeError {
        let foreign = FOREIGN.iter().find(|(name, _)| *name == word).map(|(_, help)| (*help).to_owned());
        let names = SCALARS.iter().map(|(name, _)| *name).chain(PARAMETRIC);
        let meant = || suggest::nearest(word, names.clone()).map(|name| format!("did you mean `{name}`?"));
        let known = || format!("known are {}", names.clone().collect::<Vec<_>>().join(", "));
        let help = foreign.or_else(meant).unwrap_or_else(known);
        TypeError { help: Some(help), ..self.error(at, format!("`{word}` is not a type")) }
    }

    fn error(&self, at: Range<usize>, message: impl Into<String>) -> TypeError {
        TypeError { message: message.into(), help: None, at }
    }
}

impl SourceType {
    /// Whether values of it, or parts of them, are times or timestamps.
    pub fn has_clock(&self) -> bool {
        match self {
            SourceType::Timestamp | SourceType::EpochTimestamp(_) | SourceType::Time => true,
            SourceType::List(inner) | SourceType::Map(inner) => inner.has_clock(),
            SourceType::Struct(fields) => fields.iter().any(|(_, field)| field.has_clock()),
            _ => false,
        }
    }
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = SCALARS.iter().find(|(_, scalar)| scalar == self) {
            return f.write_str(name);
        }
        match self {
            SourceType::Decimal(precision, scale) => write!(f, "decimal({precision}, {scale})"),
            SourceType::EpochTimestamp(EpochUnit::Seconds) => f.write_str("timestamp(s)"),
            SourceType::EpochTimestamp(EpochUnit::Micros) => f.write_str("timestamp(us)"),
            SourceType::List(item) => write!(f, "list<{item}>"),
            SourceType::Map(value) => write!(f, "map<text, {value}>"),
            SourceType::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, (name, field)) in fields.iter().enumerate() {
                    write!(f, "{}{name} {field}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
            _ => unreachable!("every scalar is in the table above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_type() -> impl Strategy<Value = SourceType> {
        let scalar = prop_oneof![
            proptest::sample::select(SCALARS.map(|(_, t)| t).to_vec()),
            proptest::sample::select(vec![EpochUnit::Seconds, EpochUnit::Micros]).prop_map(SourceType::EpochTimestamp),
            (1..=MAX_PRECISION).prop_flat_map(|p| (Just(p), 0..=p)).prop_map(|(p, s)| SourceType::Decimal(p, s as i8)),
        ];
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|t| SourceType::List(Box::new(t))),
                inner.clone().prop_map(|t| SourceType::Map(Box::new(t))),
                proptest::collection::btree_map("[a-z_][a-z0-9_]{0,6}", inner, 1..4)
                    .prop_map(|m| SourceType::Struct(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_displayed_type_parses_to_itself(t in any_type()) {
            prop_assert_eq!(parse(&t.to_string()), Ok(t));
        }

        #[test]
        fn no_text_panics_and_marks_stay_inside(text in "\\PC{0,30}") {
            if let Err(e) = parse(&text) {
                prop_assert!(text.get(e.at.clone()).is_some(), "{:?}", e);
            }
        }
    }

    #[test]
    fn spaces_and_case_do_not_matter() {
        let wanted = SourceType::Struct(vec![
            ("a".into(), SourceType::Int),
            ("b".into(), SourceType::Map(Box::new(SourceType::Double))),
        ]);
        assert_eq!(parse(" STRUCT < a int,b Map<text,double> > "), Ok(wanted));
    }

    #[test]
    fn timestamps_name_what_numbers_count() {
        assert_eq!(parse("timestamp ( MS )"), Ok(SourceType::Timestamp));
        assert_eq!(parse("timestamp(ms)").unwrap().to_string(), "timestamp", "as stored before there were units");
        assert_eq!(parse("list<timestamp(s)>").unwrap().to_string(), "list<timestamp(s)>");
        for bad in ["timestamp(ns)", "timestamp()", "timestamp(3)", "timestamp(s", "timestamp(s, ms)"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn width_is_bounded() {
        let wide = |fields: usize| {
            let fields: Vec<String> = (0..fields).map(|i| format!("x{i} int")).collect();
            parse(&format!("struct<{}>", fields.join(", ")))
        };
        assert!(wide(MAX_FIELDS + 1).unwrap_err().message.contains("at most 1000 fields"));
        assert!(wide(MAX_FIELDS).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}int{}", "list<".repeat(MAX_DEPTH), ">".repeat(MAX_DEPTH));
        assert!(parse(&deep).unwrap_err().message.contains("nest"));
        assert!(parse(&deep[5..deep.len() - 1]).is_ok());
    }
}
