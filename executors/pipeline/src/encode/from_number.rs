//! Numbers as CQL numbers: in range and without loss.

use super::{plan::NumberTarget, wire};
use crate::{
    numbers::{Decimal, NumberError},
    record::{BadReason, Fault},
};

/// Largest power of ten that a 64-bit float holds exactly.
const MAX_EXACT_POWER: u8 = 22;

/// Whole numbers up to this are exact as 64-bit floats.
const MAX_EXACT_INT: u128 = 1 << 53;

/// Limits of `i64` as floats: the first is exact, the second just above.
const I64_LIMITS: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;

pub(super) fn int(value: i64, target: NumberTarget, out: &mut Vec<u8>) -> Result<(), Fault> {
    match target {
        NumberTarget::Bigint => out.extend_from_slice(&value.to_be_bytes()),
        NumberTarget::Int => {
            out.extend_from_slice(&i32::try_from(value).map_err(|_| range(value, "int"))?.to_be_bytes())
        }
        NumberTarget::Smallint => {
            out.extend_from_slice(&i16::try_from(value).map_err(|_| range(value, "smallint"))?.to_be_bytes());
        }
        NumberTarget::Tinyint => {
            out.extend_from_slice(&i8::try_from(value).map_err(|_| range(value, "tinyint"))?.to_be_bytes());
        }
        NumberTarget::Varint => wire::varint(value.into(), out),
        NumberTarget::Decimal => wire::decimal(value.into(), 0, out),
        NumberTarget::Double => {
            let float = value as f64;
            if float as i128 != i128::from(value) {
                return Err(lossy(value, "double"));
            }
            out.extend_from_slice(&float.to_be_bytes());
        }
        NumberTarget::Float => {
            let float = value as f32;
            if float as i128 != i128::from(value) {
                return Err(lossy(value, "float"));
            }
            out.extend_from_slice(&float.to_be_bytes());
        }
    }
    Ok(())
}

pub(super) fn float(value: f64, target: NumberTarget, out: &mut Vec<u8>) -> Result<(), Fault> {
    if !value.is_finite() {
        return Err(Fault::new(BadReason::OutOfRange, format!("{value} is not a finite number")));
    }
    match target {
        NumberTarget::Double => out.extend_from_slice(&value.to_be_bytes()),
        NumberTarget::Float => {
            let float = value as f32;
            if !float.is_finite() {
                return Err(range(value, "float"));
            }
            out.extend_from_slice(&float.to_be_bytes());
        }
        whole => {
            if value.fract() != 0.0 {
                return Err(Fault::new(BadReason::Lossy, format!("{value} is not a whole number")));
            }
            if !I64_LIMITS.contains(&value) {
                return Err(range(value, "bigint"));
            }
            return int(value as i64, whole, out);
        }
    }
    Ok(())
}

pub(super) fn decimal(unscaled: i128, scale: i8, target: NumberTarget, out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = Decimal { unscaled, scale: scale.into() };
    match target {
        NumberTarget::Decimal => wire::decimal(unscaled, scale.into(), out),
        NumberTarget::Double => out.extend_from_slice(&nearest_double(value).to_be_bytes()),
        NumberTarget::Float => {
            let nearest: f32 = value.to_string().parse().map_err(|_| range(value, "float"))?;
            out.extend_from_slice(&nearest.to_be_bytes());
        }
        NumberTarget::Varint => wire::varint(whole(value)?, out),
        NumberTarget::Tinyint | NumberTarget::Smallint | NumberTarget::Int | NumberTarget::Bigint => {
            let whole = i64::try_from(whole(value)?).map_err(|_| range(value, "bigint"))?;
            return int(whole, target, out);
        }
    }
    Ok(())
}

fn whole(value: Decimal) -> Result<i128, Fault> {
    value.rescale(0).map_err(|error| match error {
        NumberError::Lossy => Fault::new(BadReason::Lossy, format!("{value} is not a whole number")),
        NumberError::TooLarge | NumberError::Invalid => range(value, "varint"),
    })
}

fn nearest_double(value: Decimal) -> f64 {
    match u8::try_from(value.scale) {
        // Both operands are exact, so that the division rounds once.
        Ok(scale) if scale <= MAX_EXACT_POWER && value.unscaled.unsigned_abs() <= MAX_EXACT_INT => {
            value.unscaled as f64 / 10f64.powi(scale.into())
        }
        _ => value.to_string().parse().expect("a decimal prints as a number"),
    }
}

fn range(value: impl std::fmt::Display, ty: &str) -> Fault {
    Fault::new(BadReason::OutOfRange, format!("{value} is out of range for {ty}"))
}

fn lossy(value: impl std::fmt::Display, ty: &str) -> Fault {
    Fault::new(BadReason::Lossy, format!("{value} would be rounded by {ty}"))
}
