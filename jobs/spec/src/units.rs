//! Durations (`"30d"`, `"1m 30s"`) and sizes (`"256MiB"`, `"1.5GB"`).

use std::ops::Range;

/// Why a text is not a duration or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    /// What is wrong.
    pub message: String,
    /// Which bytes of the text.
    pub at: Range<usize>,
}

impl UnitError {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        UnitError { message: message.into(), at }
    }
}

const DURATION_UNITS: [(&str, u64); 7] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

const SIZE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Parses a duration in milliseconds: one or more whole numbers, each with a unit (`ms`, `s`, `m`, `min`, `h`, `d`, `w`).
pub fn parse_duration_ms(text: &str) -> Result<u64, UnitError> {
    let mut total: u64 = 0;
    let mut at = skip_spaces(text, 0);
    if at == text.len() {
        return Err(UnitError::new(0..text.len(), "a duration is missing"));
    }
    while at < text.len() {
        let (number, unit_at) = digits(text, at)?;
        let (factor, end) = unit(text, unit_at, &DURATION_UNITS, "ms, s, m, h, d or w")?;
        let part = number.checked_mul(factor);
        total = part
            .and_then(|p| total.checked_add(p))
            .ok_or_else(|| UnitError::new(at..end, "this duration is too long"))?;
        at = skip_spaces(text, end);
    }
    Ok(total)
}

/// Parses a size in bytes: a number, which may have a fraction, and a unit (`B`, `kB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB`, `TiB`).
pub fn parse_size_bytes(text: &str) -> Result<u64, UnitError> {
    let at = skip_spaces(text, 0);
    if at == text.len() {
        return Err(UnitError::new(0..text.len(), "a size is missing"));
    }
    let (whole, mut next) = digits(text, at)?;
    let mut fraction = "";
    if text[next..].starts_with('.') {
        let (_, end) = digits(text, next + 1)?;
        fraction = &text[next + 1..end];
        next = end;
    }
    let (factor, end) = unit(text, next, &SIZE_UNITS, "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB")?;
    if skip_spaces(text, end) != text.len() {
        return Err(UnitError::new(end..text.len(), "nothing may follow a size"));
    }
    let number = at..next;
    let too_much = || UnitError::new(number.clone(), "this size is too large");
    let whole_bytes = whole.checked_mul(factor).ok_or_else(too_much)?;
    let part_bytes = fraction_of(fraction, factor)
        .ok_or_else(|| UnitError::new(number.clone(), "this is no whole number of bytes"))?;
    whole_bytes.checked_add(part_bytes).ok_or_else(too_much)
}

/// `0.fraction × factor`, if that is a whole number.
fn fraction_of(fraction: &str, factor: u64) -> Option<u64> {
    if fraction.is_empty() {
        return Some(0);
    }
    let digits: u128 = fraction.parse().ok()?;
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(u128::from(factor))?;
    (scaled % scale == 0).then(|| u64::try_from(scaled / scale).ok()).flatten()
}

fn skip_spaces(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start_matches(' ').len()
}

fn digits(text: &str, at: usize) -> Result<(u64, usize), UnitError> {
    let end = at + text[at..].bytes().take_while(u8::is_ascii_digit).count();
    if end == at {
        let wrong = text[at..].chars().next().map_or(0, char::len_utf8);
        return Err(UnitError::new(at..at + wrong, "a number should be here"));
    }
    let number = text[at..end].parse().map_err(|_| UnitError::new(at..end, "this number is too large"))?;
    Ok((number, end))
}

fn unit(text: &str, at: usize, units: &[(&str, u64)], known: &str) -> Result<(u64, usize), UnitError> {
    let start = skip_spaces(text, at);
    let end = start + text[start..].bytes().take_while(u8::is_ascii_alphabetic).count();
    let word = &text[start..end];
    if word.is_empty() {
        return Err(UnitError::new(0..text.len(), format!("a unit is missing: {known}")));
    }
    let factor = units.iter().find(|(name, _)| *name == word).map(|(_, factor)| *factor);
    factor
        .map(|f| (f, end))
        .ok_or_else(|| UnitError::new(start..end, format!("`{word}` is no unit here; known are {known}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration_ms("5s"), Ok(5_000));
        assert_eq!(parse_duration_ms("1m 30s"), Ok(90_000));
        assert_eq!(parse_duration_ms("1h30m"), Ok(5_400_000));
        assert_eq!(parse_duration_ms(" 2 d "), Ok(172_800_000));
        assert_eq!(parse_duration_ms("0s"), Ok(0));
        assert_eq!(parse_duration_ms("5").unwrap_err().at, 0..1);
        assert_eq!(parse_duration_ms("5y").unwrap_err().at, 1..2);
        assert_eq!(parse_duration_ms("-5s").unwrap_err().at, 0..1);
        assert_eq!(parse_duration_ms("").unwrap_err().message, "a duration is missing");
        assert_eq!(parse_duration_ms("99999999999999w").unwrap_err().message, "this duration is too long");
        assert_eq!(parse_duration_ms("99999999999999999999999s").unwrap_err().message, "this number is too large");
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size_bytes("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size_bytes("1GB"), Ok(1_000_000_000));
        assert_eq!(parse_size_bytes("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_size_bytes("512 B"), Ok(512));
        assert_eq!(parse_size_bytes("0.1B").unwrap_err().message, "this is no whole number of bytes");
        assert_eq!(parse_size_bytes("256").unwrap_err().at, 0..3);
        assert_eq!(parse_size_bytes("256 mb").unwrap_err().at, 4..6);
        assert_eq!(parse_size_bytes("1GB 2MB").unwrap_err().message, "nothing may follow a size");
        assert_eq!(parse_size_bytes("99999999999TB").unwrap_err().message, "this size is too large");
        assert_eq!(parse_size_bytes("é").unwrap_err().at, 0..2);
    }
}
