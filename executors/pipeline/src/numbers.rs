//! Exact decimal numbers: text → unscaled value and scale, without ever going through a float.

use std::fmt;

/// `unscaled × 10^-scale`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) unscaled: i128,
    pub(crate) scale: i32,
}

/// Why a number does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// It is not a number.
    Invalid,
    /// It has more digits than fit.
    TooLarge,
    /// Digits would be lost.
    Lossy,
}

/// Largest exponent that is read, either way: what is beyond cannot fit anywhere, and must not overflow on the way.
const MAX_EXPONENT: i32 = 100_000;

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    pub(crate) fn parse(text: &str) -> Result<Decimal, NumberError> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, exponent) = match digits.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&digits[..at], parse_exponent(&digits[at + 1..])?),
            None => (digits, 0),
        };
        let (mut unscaled, mut scale, mut point, mut any) = (0i128, 0i32, false, false);
        for byte in mantissa {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    let digit = i128::from(byte - b'0');
                    match unscaled.checked_mul(10).and_then(|u| u.checked_add(digit)) {
                        Some(next) => {
                            unscaled = next;
                            scale += i32::from(point);
                        }
                        // Zeros after the largest number of digits only move the point.
                        None if digit == 0 => scale -= i32::from(!point),
                        None => return Err(NumberError::TooLarge),
                    }
                }
                b'.' if !point => point = true,
                _ => return Err(NumberError::Invalid),
            }
        }
        if !any {
            return Err(NumberError::Invalid);
        }
        Ok(Decimal { unscaled: if negative { -unscaled } else { unscaled }, scale: scale - exponent })
    }

    /// The unscaled value at another scale, exactly.
    pub(crate) fn rescale(self, scale: i32) -> Result<i128, NumberError> {
        if self.unscaled == 0 {
            return Ok(0);
        }
        let factor = power_of_ten(self.scale.abs_diff(scale));
        if scale >= self.scale {
            factor.and_then(|factor| self.unscaled.checked_mul(factor)).ok_or(NumberError::TooLarge)
        } else {
            match factor {
                Some(factor) if self.unscaled % factor == 0 => Ok(self.unscaled / factor),
                _ => Err(NumberError::Lossy),
            }
        }
    }

    /// The largest unscaled value at another scale that is not above this one.
    pub(crate) fn floor(self, scale: i32) -> Result<i128, NumberError> {
        match self.rescale(scale) {
            Err(NumberError::Lossy) => Ok(match power_of_ten(self.scale.abs_diff(scale)) {
                Some(factor) => self.unscaled.div_euclid(factor),
                // No unscaled value is as large as the factor.
                None => i128::from(self.unscaled >= 0) - 1,
            }),
            other => other,
        }
    }

    /// The value as a whole number.
    pub(crate) fn to_i64(self) -> Result<i64, NumberError> {
        i64::try_from(self.rescale(0)?).map_err(|_| NumberError::TooLarge)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.unscaled.unsigned_abs().to_string();
        let sign = if self.unscaled < 0 { "-" } else { "" };
        match usize::try_from(self.scale) {
            Ok(0) => write!(f, "{sign}{digits}"),
            Ok(scale) if scale < digits.len() => {
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                write!(f, "{sign}{whole}.{fraction}")
            }
            Ok(scale) if scale <= 40 => write!(f, "{sign}0.{digits:0>scale$}"),
            _ => write!(f, "{sign}{digits}e{}", -self.scale),
        }
    }
}

fn parse_exponent(bytes: &[u8]) -> Result<i32, NumberError> {
    let text = std::str::from_utf8(bytes).map_err(|_| NumberError::Invalid)?;
    match text.parse::<i32>() {
        Ok(exponent) if exponent.abs() <= MAX_EXPONENT => Ok(exponent),
        Ok(_) => Err(NumberError::TooLarge),
        Err(error) => match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => Err(NumberError::TooLarge),
            _ => Err(NumberError::Invalid),
        },
    }
}

/// 10^n, when it fits.
pub(crate) fn power_of_ten(n: u32) -> Option<i128> {
    10i128.checked_pow(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (i128, i32) {
        let Decimal { unscaled, scale } = Decimal::parse(text).unwrap();
        (unscaled, scale)
    }

    #[test]
    fn reads_numbers_exactly() {
        assert_eq!(parsed("0"), (0, 0));
        assert_eq!(parsed("-12.50"), (-1250, 2));
        assert_eq!(parsed("1e3"), (1, -3));
        assert_eq!(parsed("1.5E-2"), (15, 3));
        assert_eq!(parsed(&format!("1{}", "0".repeat(50))).0, 10i128.pow(38));
        for bad in ["", "-", ".", "1.2.3", "1e", "x", "1e1.5", "NaN", "0x10", "1_000"] {
            assert_eq!(Decimal::parse(bad), Err(NumberError::Invalid), "{bad}");
        }
        assert_eq!(Decimal::parse("1e999999999999"), Err(NumberError::TooLarge));
        assert_eq!(Decimal::parse(&"9".repeat(60)), Err(NumberError::TooLarge));
    }

    #[test]
    fn rescales_without_loss_or_fails() {
        let decimal = |text| Decimal::parse(text).unwrap();
        assert_eq!(decimal("12.5").rescale(3), Ok(12_500));
        assert_eq!(decimal("12.50").rescale(1), Ok(125));
        assert_eq!(decimal("12.55").rescale(1), Err(NumberError::Lossy));
        assert_eq!(decimal("517.0").to_i64(), Ok(517));
        assert_eq!(decimal("4503599627370497.25").to_i64(), Err(NumberError::Lossy));
        assert_eq!(decimal("1e-99999").to_i64(), Err(NumberError::Lossy));
        assert_eq!(decimal("1e99999").to_i64(), Err(NumberError::TooLarge));
        assert_eq!(decimal("0e99999").to_i64(), Ok(0));
        assert_eq!(decimal("-1.5").floor(0), Ok(-2));
        assert_eq!(decimal("1.599").floor(2), Ok(159));
        assert_eq!(decimal("-1e-50").floor(0), Ok(-1));
        assert_eq!(decimal("1e-50").floor(0), Ok(0));
    }

    #[test]
    fn prints_as_written() {
        for text in ["0", "-1.05", "0.001", "123", "99999999999999999999.5"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
    }
}
