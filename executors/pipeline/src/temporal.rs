//! Dates and times from text, exactly. No time zones but offsets, no leap seconds: as in CQL.

/// Why a text is not a date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TemporalError {
    /// It is not in the form that is read, or not a day of the calendar.
    Invalid,
    /// It has digits below a millisecond (or nanosecond), which would be lost.
    TooFine,
}

use millstream_spec::Precision;

use TemporalError::Invalid;

/// The milliseconds of the years 0000 to 9999: what the four digits of a year can say. A number beyond them was counted
/// in another unit.
pub(crate) const MS_OF_YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

pub(crate) const MS_PER_DAY: i64 = 86_400_000;
const NANOS_PER_SEC: i64 = 1_000_000_000;
const SECS_PER_DAY: i64 = 86_400;

/// Days since the Unix epoch of `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Result<i32, TemporalError> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else { return Err(Invalid) };
    let year = digits(&[y1, y2, y3, y4])?;
    let (month, day) = (digits(&[m1, m2])?, digits(&[d1, d2])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return Err(Invalid),
    };
    if !(1..=last).contains(&day) {
        return Err(Invalid);
    }
    // Years begin in March here, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Ok((era * 146_097 + day_of_era - 719_468) as i32)
}

/// Nanoseconds since midnight of `HH:MM[:SS[.fffffffff]]` (Java leaves out seconds that are zero).
pub(crate) fn parse_time_ns(text: &str, precision: Precision) -> Result<i64, TemporalError> {
    let (clock, fraction) = text.split_at_checked(8).unwrap_or((text, ""));
    let (hours, minutes, secs) = match *clock.as_bytes() {
        [h1, h2, b':', m1, m2] => (digits(&[h1, h2])?, digits(&[m1, m2])?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (digits(&[h1, h2])?, digits(&[m1, m2])?, digits(&[s1, s2])?),
        _ => return Err(Invalid),
    };
    if hours > 23 || minutes > 59 || secs > 59 {
        return Err(Invalid);
    }
    Ok((hours * 3600 + minutes * 60 + secs) * NANOS_PER_SEC + parse_fraction_ns(fraction, precision)?)
}

/// Milliseconds since the Unix epoch of `YYYY-MM-DDTHH:MM[:SS[.fff]][Z|±HH:MM]` (a space may stand for the T). Without
/// an offset the text is taken as UTC.
pub(crate) fn parse_timestamp_ms(text: &str, precision: Precision) -> Result<i64, TemporalError> {
    let (ms, nanos) = parse_timestamp(text, precision)?;
    if nanos != 0 && precision == Precision::Exact { Err(TemporalError::TooFine) } else { Ok(ms) }
}

/// The same, with the nanoseconds beyond the millisecond.
pub(crate) fn parse_timestamp(text: &str, precision: Precision) -> Result<(i64, i64), TemporalError> {
    let (date, rest) = text.split_at_checked(10).ok_or(Invalid)?;
    let days = i64::from(parse_date(date)?);
    let rest = rest.strip_prefix(['T', 't', ' ']).ok_or(Invalid)?;
    let clock_end = rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at(clock_end);
    let nanos = parse_time_ns(clock, precision)?;
    let offset_secs = match offset {
        "" | "Z" | "z" => 0,
        other => parse_offset_secs(other)?,
    };
    let ms = days * MS_PER_DAY + nanos / 1_000_000 - offset_secs * 1_000;
    // An offset may lead out of the years.
    if MS_OF_YEARS.contains(&ms) { Ok((ms, nanos % 1_000_000)) } else { Err(Invalid) }
}

fn parse_offset_secs(text: &str) -> Result<i64, TemporalError> {
    let (sign, rest) = match text.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return Err(Invalid),
    };
    let (hours, minutes) = match *rest {
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (digits(&[h1, h2])?, digits(&[m1, m2])?),
        [h1, h2] => (digits(&[h1, h2])?, 0),
        _ => return Err(Invalid),
    };
    let secs = hours * 3600 + minutes * 60;
    if minutes > 59 || secs >= SECS_PER_DAY { Err(Invalid) } else { Ok(sign * secs) }
}

/// `.f` to `.fffffffff`, or nothing. Further digits must be zeros, or are cut off.
fn parse_fraction_ns(text: &str, precision: Precision) -> Result<i64, TemporalError> {
    if text.is_empty() {
        return Ok(0);
    }
    let fraction = text.strip_prefix('.').filter(|f| !f.is_empty()).ok_or(Invalid)?;
    let (kept, beyond) = fraction.split_at_checked(9).unwrap_or((fraction, ""));
    if !beyond.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid);
    }
    if precision == Precision::Exact && beyond.bytes().any(|b| b != b'0') {
        return Err(TemporalError::TooFine);
    }
    let value = digits(kept.as_bytes())?;
    Ok(value * 10i64.pow(9 - kept.len() as u32))
}

fn digits(bytes: &[u8]) -> Result<i64, TemporalError> {
    bytes.iter().try_fold(0, |value, byte| match byte {
        b'0'..=b'9' => Ok(value * 10 + i64::from(byte - b'0')),
        _ => Err(Invalid),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_of_rfc_3339() {
        let ms = 1_357_034_400_000;
        for text in [
            "2013-01-01T10:00:00Z",
            "2013-01-01 10:00:00",
            "2013-01-01t05:00:00.000-05:00",
            "2013-01-01T11:00:00+0100",
            "2013-01-01T10:00:00.000000000Z",
            "2013-01-01T10:00Z",
            "2013-01-01T12:00+02:00",
            "2013-01-01 10:00",
            "2013-01-01T10:00:00.000000000000Z",
        ] {
            assert_eq!(parse_timestamp_ms(text, Precision::Exact), Ok(ms), "{text}");
        }
        assert_eq!(parse_timestamp_ms("1969-12-31T23:59:59.999Z", Precision::Exact), Ok(-1));
        assert_eq!(parse_timestamp_ms("2013-01-01T10:00:00.0001Z", Precision::Exact), Err(TemporalError::TooFine));
        assert_eq!(parse_timestamp_ms("2013-01-01T10:00:00.0009999999999Z", Precision::Truncate), Ok(ms));
        assert_eq!(parse_timestamp_ms("1969-12-31T23:59:59.999999Z", Precision::Truncate), Ok(-1), "towards the past");
        assert_eq!(parse_timestamp_ms("9999-12-31T23:59:59.999Z", Precision::Exact), Ok(*MS_OF_YEARS.end()));
        assert_eq!(parse_timestamp_ms("0000-01-01T00:00Z", Precision::Exact), Ok(*MS_OF_YEARS.start()));
        for bad in [
            "",
            "2013-01-01T10Z",
            "2013-01-01T10:0Z",
            "2013-01-01T10:00:Z",
            "2013-01-01T10:00.5Z",
            "2013-01-01T24:00Z",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+00:01",
            "2013-01-01T10:00:00.00x9999999999Z",
            "2013-01-01",
            "2013-02-29T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T23:59:60Z",
            "2013-1-1T00:00:00Z",
            "2013-01-01T00:00:00.Z",
            "2013-01-01T00:00:00 Z",
            "2013-01-01T00:00:00+24:00",
            "2013-01-01T00:00:00é",
            "２013-01-01T00:00:00Z",
            "2013-00-01T00:00:00Z",
            "2013-01-01X00:00:00Z",
        ] {
            assert_eq!(parse_timestamp_ms(bad, Precision::Exact), Err(Invalid), "{bad}");
        }
    }

    #[test]
    fn knows_the_calendar() {
        // Every day from 0000-01-01 to 9999-12-31 in order, against an independent count.
        let mut expected = -719_528;
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Ok(days) = parse_date(&format!("{year:04}-{month:02}-{day:02}")) {
                        assert_eq!(days, expected);
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected, 2_932_897);
    }

    #[test]
    fn times_keep_nanoseconds() {
        assert_eq!(parse_time_ns("00:00:01.5", Precision::Exact), Ok(1_500_000_000));
        assert_eq!(parse_time_ns("23:59:59.999999999", Precision::Exact), Ok(86_399_999_999_999));
        assert_eq!(parse_time_ns("23:59:59.9999999991", Precision::Exact), Err(TemporalError::TooFine));
        assert_eq!(parse_time_ns("23:59:59.9999999999", Precision::Truncate), Ok(86_399_999_999_999));
        assert_eq!(parse_time_ns("10:15", Precision::Exact), Ok(36_900_000_000_000));
        assert_eq!(parse_time_ns("1:00:00", Precision::Exact), Err(Invalid));
    }
}
