//! One JSON value, as its text, read as one source type: strictly, and without going through a float.

use std::{borrow::Cow, collections::HashSet, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use millstream_spec::{EpochUnit, Precision, SourceType};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    numbers::{Decimal, NumberError, power_of_ten},
    record::{BadReason, Fault},
    temporal::{self, TemporalError},
};

/// Longest part of a value that is quoted in a message, in characters.
const MAX_QUOTED_CHARS: usize = 40;

/// What is wrong with clock digits that are too fine, and the remedy.
const TOO_FINE: &str = ", without digits that would be lost (`precision = \"truncate\"` on the column cuts them off)";

/// One value of one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Slot<'de> {
    Null,
    Boolean(bool),
    /// All whole numbers, timestamps, dates and times.
    Int(i64),
    Double(f64),
    Decimal(i128),
    Text(Cow<'de, str>),
    Blob(Vec<u8>),
    /// Items of a list, or fields of a struct in declared order.
    Items(Vec<Slot<'de>>),
    Map(Vec<(Cow<'de, str>, Slot<'de>)>),
}

/// A value that does not fit its type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    detail: String,
}

impl Mismatch {
    fn new(wanted: impl fmt::Display, json: &str) -> Self {
        Mismatch { detail: format!("expected {wanted}, found {}", quote(json)) }
    }

    /// The failure of the record, with the field's path.
    pub(crate) fn in_field(self, path: &[String]) -> Fault {
        Fault::new(BadReason::TypeMismatch, format!("field `{}`: {}", path.join("."), self.detail))
    }
}

/// Reads `json`, the text of one JSON value, as a value of `ty`. `precision` says what becomes of clock digits that are
/// too fine for it.
pub(crate) fn read<'de>(json: &'de str, ty: &SourceType, precision: Precision) -> Result<Slot<'de>, Mismatch> {
    if json == "null" {
        return Ok(Slot::Null);
    }
    match ty {
        SourceType::Boolean => match json {
            "true" => Ok(Slot::Boolean(true)),
            "false" => Ok(Slot::Boolean(false)),
            _ => Err(Mismatch::new("true or false", json)),
        },
        SourceType::Tinyint => int(json, i8::MIN.into(), i8::MAX.into(), "tinyint"),
        SourceType::Smallint => int(json, i16::MIN.into(), i16::MAX.into(), "smallint"),
        SourceType::Int => int(json, i32::MIN.into(), i32::MAX.into(), "int"),
        SourceType::Bigint => int(json, i64::MIN, i64::MAX, "bigint"),
        SourceType::Float => float(json),
        SourceType::Double => double(json),
        SourceType::Decimal(precision, scale) => decimal(json, *precision, *scale),
        SourceType::Text => Ok(Slot::Text(text(json).ok_or_else(|| Mismatch::new("text", json))?)),
        SourceType::Blob => {
            let bytes = text(json).and_then(|text| STANDARD.decode(text.as_bytes()).ok());
            bytes.map(Slot::Blob).ok_or_else(|| Mismatch::new("base64 text", json))
        }
        SourceType::Timestamp | SourceType::EpochTimestamp(_) if json.starts_with('"') => {
            temporal(json, "a timestamp like 2013-01-01T05:00:00Z", |text| {
                temporal::parse_timestamp_ms(text, precision)
            })
        }
        SourceType::Timestamp => epoch(json, ("milliseconds", 0), precision),
        SourceType::EpochTimestamp(EpochUnit::Seconds) => epoch(json, ("seconds", 3), precision),
        SourceType::EpochTimestamp(EpochUnit::Micros) => epoch(json, ("microseconds", -3), precision),
        SourceType::Date => temporal(json, "a date like 2013-01-01", |text| temporal::parse_date(text).map(i64::from)),
        SourceType::Time => temporal(json, "a time like 05:00:00.123", |text| temporal::parse_time_ns(text, precision)),
        SourceType::List(item) => list(json, item, precision),
        SourceType::Map(value) => map(json, value, precision),
        SourceType::Struct(fields) => structure(json, fields, precision),
    }
}

/// A whole number, also when it is written like 517.0 or 1e3.
fn int(json: &str, min: i64, max: i64, wanted: &str) -> Result<Slot<'static>, Mismatch> {
    let value = match short_int(json) {
        Some(value) => value,
        None => number(json).and_then(Decimal::to_i64).map_err(|_| Mismatch::new(wanted, json))?,
    };
    if (min..=max).contains(&value) { Ok(Slot::Int(value)) } else { Err(Mismatch::new(wanted, json)) }
}

/// The fast way for plain whole numbers of at most 18 digits.
fn short_int(json: &str) -> Option<i64> {
    let (negative, digits) = match json.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let value = digits.iter().try_fold(0i64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + i64::from(digit))
    })?;
    Some(if negative { -value } else { value })
}

/// A number of a unit since 1970 in milliseconds, given how many digits of it are below a whole millisecond count.
fn epoch(json: &str, (name, ms_digits): (&str, i32), precision: Precision) -> Result<Slot<'static>, Mismatch> {
    let mismatch = |what: &str| Mismatch::new(format_args!("{name} since 1970 or RFC 3339 text{what}"), json);
    let ms = number(json).and_then(|number| match precision {
        Precision::Exact => number.rescale(ms_digits),
        Precision::Truncate => number.floor(ms_digits),
    });
    match ms {
        Ok(ms) => match i64::try_from(ms) {
            Ok(ms) if temporal::MS_OF_YEARS.contains(&ms) => Ok(Slot::Int(ms)),
            _ => Err(mismatch(", in the years 0 to 9999")),
        },
        Err(NumberError::Lossy) => Err(mismatch(TOO_FINE)),
        Err(NumberError::TooLarge) => Err(mismatch(", in the years 0 to 9999")),
        Err(NumberError::Invalid) => Err(mismatch("")),
    }
}

fn number(json: &str) -> Result<Decimal, NumberError> {
    Decimal::parse(json)
}

/// The nearest 64-bit float; a number beyond its range is refused.
fn double(json: &str) -> Result<Slot<'static>, Mismatch> {
    match json.parse::<f64>() {
        Ok(value) if value.is_finite() && is_number(json) => Ok(Slot::Double(value)),
        _ => Err(Mismatch::new("double", json)),
    }
}

/// The nearest 32-bit float; rounded once, from the text.
fn float(json: &str) -> Result<Slot<'static>, Mismatch> {
    match json.parse::<f32>() {
        Ok(value) if value.is_finite() && is_number(json) => Ok(Slot::Double(value.into())),
        _ => Err(Mismatch::new("float", json)),
    }
}

/// Whether a JSON text is a number. (Rust's float parser also knows `inf` and `nan`, which JSON does not have.)
fn is_number(json: &str) -> bool {
    matches!(json.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
}

fn decimal(json: &str, precision: u8, scale: i8) -> Result<Slot<'static>, Mismatch> {
    let mismatch = || Mismatch::new(format_args!("decimal({precision}, {scale})"), json);
    let text = if json.starts_with('"') { text(json).ok_or_else(mismatch)? } else { Cow::Borrowed(json) };
    let unscaled = number(&text).and_then(|n| n.rescale(scale.into())).map_err(|_| mismatch())?;
    match power_of_ten(precision.into()) {
        Some(limit) if unscaled.abs() >= limit => Err(mismatch()),
        _ => Ok(Slot::Decimal(unscaled)),
    }
}

/// A JSON string; borrowed unless it has escapes.
fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn temporal(
    json: &str,
    wanted: &str,
    parse: impl Fn(&str) -> Result<i64, TemporalError>,
) -> Result<Slot<'static>, Mismatch> {
    let text = text(json).ok_or_else(|| Mismatch::new(wanted, json))?;
    match parse(&text) {
        Ok(value) => Ok(Slot::Int(value)),
        Err(TemporalError::Invalid) => Err(Mismatch::new(wanted, json)),
        Err(TemporalError::TooFine) => Err(Mismatch::new(format_args!("{wanted}{TOO_FINE}"), json)),
    }
}

fn list<'de>(json: &'de str, item: &SourceType, precision: Precision) -> Result<Slot<'de>, Mismatch> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Mismatch::new("an array", json))?;
    Ok(Slot::Items(items.into_iter().map(|json| read(json.get(), item, precision)).collect::<Result<_, _>>()?))
}

fn map<'de>(json: &'de str, value: &SourceType, precision: Precision) -> Result<Slot<'de>, Mismatch> {
    let pairs: Pairs<'_> = serde_json::from_str(json).map_err(|_| Mismatch::new("an object", json))?;
    pairs.check_unique(json)?;
    let pairs = pairs.0.into_iter().map(|(key, json)| Ok((key, read(json.get(), value, precision)?)));
    Ok(Slot::Map(pairs.collect::<Result<_, _>>()?))
}

fn structure<'de>(
    json: &'de str,
    fields: &[(String, SourceType)],
    precision: Precision,
) -> Result<Slot<'de>, Mismatch> {
    let pairs: Pairs<'_> = serde_json::from_str(json).map_err(|_| Mismatch::new("an object", json))?;
    pairs.check_unique(json)?;
    let values = fields.iter().map(|(name, ty)| match pairs.0.iter().find(|(key, _)| key == name) {
        Some((_, json)) => read(json.get(), ty, precision),
        None => Ok(Slot::Null),
    });
    Ok(Slot::Items(values.collect::<Result<_, _>>()?))
}

/// The fields of an object in order.
struct Pairs<'de>(Vec<(Cow<'de, str>, &'de RawValue)>);

impl Pairs<'_> {
    fn check_unique(&self, json: &str) -> Result<(), Mismatch> {
        let mut seen = HashSet::with_capacity(self.0.len());
        if self.0.iter().all(|(key, _)| seen.insert(key)) {
            Ok(())
        } else {
            Err(Mismatch::new("an object without a field that occurs twice", json))
        }
    }
}

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = vec![];
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    pairs.push((key.0, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

/// An object key; borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn quote(json: &str) -> String {
    let mut quoted: String = json.chars().take(MAX_QUOTED_CHARS).collect();
    if quoted.len() < json.len() {
        quoted.push('…');
    }
    quoted
}
