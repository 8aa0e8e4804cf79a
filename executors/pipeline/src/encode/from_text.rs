//! Texts as CQL values of other types, where the text is exact.

use std::net::IpAddr;

use millstream_spec::Precision;

use super::{big, plan::TextTarget, wire};
use crate::{
    record::{BadReason, Fault},
    temporal::{self, TemporalError},
};

/// Longest part of a text that is quoted in a message, in characters.
const MAX_QUOTED_CHARS: usize = 40;

const NANOS_PER_SEC: i64 = 1_000_000_000;

pub(super) fn text(text: &str, target: TextTarget, out: &mut Vec<u8>) -> Result<(), Fault> {
    match target {
        TextTarget::Text => out.extend_from_slice(text.as_bytes()),
        TextTarget::Ascii if text.is_ascii() => out.extend_from_slice(text.as_bytes()),
        TextTarget::Ascii => return Err(invalid(text, "ASCII")),
        TextTarget::Uuid => out.extend_from_slice(&uuid(text).ok_or_else(|| invalid(text, "a UUID"))?),
        TextTarget::Timeuuid => {
            let bytes = uuid(text).filter(is_time_based).ok_or_else(|| invalid(text, "a UUID of version 1"))?;
            out.extend_from_slice(&bytes);
        }
        TextTarget::Inet => match text.parse().map_err(|_| invalid(text, "an IP address"))? {
            IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
        },
        TextTarget::Timestamp => {
            let ms = temporal::parse_timestamp_ms(text, Precision::Exact)
                .map_err(|e| temporal_fault(e, text, "an RFC 3339 timestamp"))?;
            out.extend_from_slice(&ms.to_be_bytes());
        }
        TextTarget::Date => {
            wire::date(temporal::parse_date(text).map_err(|e| temporal_fault(e, text, "a date YYYY-MM-DD"))?, out);
        }
        TextTarget::Time => {
            let ns = temporal::parse_time_ns(text, Precision::Exact)
                .map_err(|e| temporal_fault(e, text, "a time HH:MM:SS"))?;
            out.extend_from_slice(&ns.to_be_bytes());
        }
        TextTarget::Decimal => {
            let number = Digits::parse(text).ok_or_else(|| invalid(text, "a decimal number"))?;
            out.extend_from_slice(&number.scale.to_be_bytes());
            big::varint_from_digits(number.negative, &number.digits, out);
        }
        TextTarget::Varint => {
            let number = Digits::parse(text).filter(|n| n.scale == 0).ok_or_else(|| invalid(text, "a whole number"))?;
            big::varint_from_digits(number.negative, &number.digits, out);
        }
        TextTarget::Duration => {
            let (months, days, nanos) = duration(text).ok_or_else(|| invalid(text, "an ISO 8601 duration"))?;
            wire::duration(months, days, nanos, out);
        }
    }
    Ok(())
}

/// Whether a UUID is of version 1, as Cassandra demands of a timeuuid.
pub(super) fn is_time_based(bytes: &[u8; 16]) -> bool {
    bytes[6] >> 4 == 1
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`
fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|at| bytes[*at] != b'-') {
        return None;
    }
    let mut digits = bytes.iter().enumerate().filter(|(at, _)| ![8, 13, 18, 23].contains(at)).map(|(_, digit)| *digit);
    let mut hex = || (digits.next()? as char).to_digit(16);
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = (hex()? * 16 + hex()?) as u8;
    }
    Some(uuid)
}

/// The digits of a decimal number of any length.
struct Digits {
    negative: bool,
    digits: Vec<u8>,
    scale: i32,
}

impl Digits {
    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    fn parse(text: &str) -> Option<Digits> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat().into_bytes();
        let good = !digits.is_empty() && digits.len() <= big::MAX_DIGITS && digits.iter().all(u8::is_ascii_digit);
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        good.then_some(Digits { negative, digits, scale })
    }
}

/// `[-]P[nY][nM][nW][nD][T[nH][nM][n[.f]S]]` as months, days and nanoseconds.
fn duration(text: &str) -> Option<(i32, i32, i64)> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let rest = rest.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let (mut months, mut days, mut nanos) = (0i32, 0i32, 0i64);
    let mut parts = Parts { rest: date, units: "YMWD" };
    while let Some((number, unit)) = parts.next()? {
        let number: i32 = number.parse().ok()?;
        let (total, size) = match unit {
            'Y' => (&mut months, 12),
            'M' => (&mut months, 1),
            'W' => (&mut days, 7),
            _ => (&mut days, 1),
        };
        *total = total.checked_add(number.checked_mul(size)?)?;
    }
    let mut parts = Parts { rest: time, units: "HMS" };
    while let Some((number, unit)) = parts.next()? {
        let part = match unit {
            'H' => number.parse::<i64>().ok()?.checked_mul(3600 * NANOS_PER_SEC)?,
            'M' => number.parse::<i64>().ok()?.checked_mul(60 * NANOS_PER_SEC)?,
            _ => crate::numbers::Decimal::parse(number).ok()?.rescale(9).ok().and_then(|ns| i64::try_from(ns).ok())?,
        };
        nanos = nanos.checked_add(part)?;
    }
    Some((sign * months, sign * days, i64::from(sign) * nanos))
}

/// Numbers with units, each unit at most once and in order.
struct Parts<'a> {
    rest: &'a str,
    units: &'a str,
}

impl<'a> Parts<'a> {
    /// The next number and unit; the outer none for a text that is not in the form.
    #[allow(clippy::option_option)]
    fn next(&mut self) -> Option<Option<(&'a str, char)>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let end = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, rest) = self.rest.split_at(end);
        let unit = rest.chars().next()?;
        let position = self.units.find(unit)?;
        self.rest = &rest[1..];
        self.units = &self.units[position + 1..];
        if number.is_empty() { None } else { Some(Some((number, unit))) }
    }
}

fn temporal_fault(error: TemporalError, text: &str, wanted: &str) -> Fault {
    match error {
        TemporalError::Invalid => invalid(text, wanted),
        TemporalError::TooFine => {
            Fault::new(BadReason::Lossy, format!("{} has digits finer than the column holds", quoted(text)))
        }
    }
}

fn invalid(text: &str, wanted: &str) -> Fault {
    Fault::new(BadReason::InvalidText, format!("{} is not {wanted}", quoted(text)))
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
