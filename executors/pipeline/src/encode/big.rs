//! Whole numbers of any length, for the `varint` and `decimal` of CQL that come as text.

use super::wire;

/// Longest number, in digits: more is a mistake, and the conversion below takes quadratic time.
pub(super) const MAX_DIGITS: usize = 2_000;

/// Digits of which an `i128` can hold any.
const SHORT_DIGITS: usize = 38;

/// Writes a whole number of decimal digits as a varint. `digits` are ASCII digits, at most [`MAX_DIGITS`].
pub(super) fn varint_from_digits(negative: bool, digits: &[u8], out: &mut Vec<u8>) {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[zeros..];
    if digits.len() <= SHORT_DIGITS {
        let value = digits.iter().fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        return wire::varint(if negative { -value } else { value }, out);
    }
    let mut magnitude = magnitude(digits);
    if magnitude[0] & 0x80 != 0 {
        magnitude.insert(0, 0);
    }
    if negative {
        negate(&mut magnitude);
        // A power of two may now have one byte too many.
        if magnitude[0] == 0xff && magnitude[1] & 0x80 != 0 {
            magnitude.remove(0);
        }
    }
    out.extend_from_slice(&magnitude);
}

/// The bytes of a positive number, most significant first, without leading zeros.
fn magnitude(digits: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = vec![];
    for digit in digits {
        let mut carry = u16::from(digit - b'0');
        for byte in bytes.iter_mut() {
            let value = u16::from(*byte) * 10 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            bytes.push(carry as u8);
        }
    }
    bytes.reverse();
    bytes
}

fn negate(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    for byte in bytes.iter_mut().rev() {
        let (next, carry) = byte.overflowing_add(1);
        *byte = next;
        if !carry {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        let mut out = vec![];
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        varint_from_digits(negative, digits.as_bytes(), &mut out);
        out
    }

    #[test]
    fn long_numbers_continue_where_short_ones_end() {
        let power = |n: usize| {
            let mut bytes = vec![0; n / 8 + 1];
            bytes[0] = 1 << (n % 8);
            bytes
        };
        // 2^127, 2^128 and 2^136, which no i128 holds.
        assert_eq!(bytes("170141183460469231731687303715884105728"), [&[0][..], &power(127)].concat());
        assert_eq!(bytes("340282366920938463463374607431768211456"), power(128));
        assert_eq!(bytes("87112285931760246646623899502532662132736"), power(136));
        assert_eq!(bytes("-170141183460469231731687303715884105728"), i128::MIN.to_be_bytes());
        assert_eq!(bytes("-170141183460469231731687303715884105729")[..2], [0xff, 0x7f]);
        assert_eq!(bytes("00000000000000000000000000000000000000000000000001"), [1]);
        assert_eq!(bytes("-0"), [0]);
    }
}
