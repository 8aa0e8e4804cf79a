//! Checks that DataFusion's expressions lack: a value passes through, or its row fails.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::{cast, nullif},
    datatypes::{ArrowNativeTypeOp, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type},
};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;

use super::inner::as_inner;
use crate::{
    numbers::power_of_ten,
    record::{BadReason, Fault},
};

/// What is demanded of every value that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Check {
    /// A quotient of floats is finite. (Inputs always are: JSON knows nothing else.)
    FiniteQuotient,
    /// Another result of float arithmetic is finite.
    Finite,
    /// A float has no fraction.
    Whole,
    /// A decimal has no digits beyond a smaller scale.
    Scale { from: i8, to: i8 },
    /// A timestamp has no ticks below a coarser unit, which has this many of them.
    Ticks(i64),
    /// A date is one that a timestamp of this many ticks a day holds.
    Days { ticks_per_day: i64 },
}

/// An expression whose values are checked.
#[derive(Debug, Eq)]
pub(crate) struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    check: Check,
    /// A value that fails becomes NULL instead: below a TRY_CAST.
    lenient: bool,
}

impl Checked {
    pub(crate) fn new(inner: Arc<dyn PhysicalExpr>, check: Check) -> Self {
        Checked { inner, check, lenient: false }
    }

    /// Values that fail are NULL.
    pub(crate) fn lenient(inner: Arc<dyn PhysicalExpr>, check: Check) -> Self {
        Checked { inner, check, lenient: true }
    }

    fn run(&self, values: ArrayRef) -> Result<ArrayRef> {
        match self.check.run(&values) {
            Ok(()) => Ok(values),
            Err(error) if !self.lenient => Err(error),
            Err(_) => {
                let bad: BooleanArray =
                    (0..values.len()).map(|row| Some(self.check.run(&values.slice(row, 1)).is_err())).collect();
                Ok(nullif(&values, &bad)?)
            }
        }
    }
}

impl Check {
    fn run(self, values: &ArrayRef) -> Result<()> {
        match (self, values.data_type()) {
            (Check::Finite | Check::FiniteQuotient, DataType::Float64) => {
                all(values.as_primitive::<Float64Type>().iter(), f64::is_finite, |_| self.not_finite())
            }
            (Check::Finite | Check::FiniteQuotient, DataType::Float32) => {
                all(values.as_primitive::<Float32Type>().iter(), f32::is_finite, |_| self.not_finite())
            }
            (Check::Whole, DataType::Float64) => {
                all(values.as_primitive::<Float64Type>().iter(), |v| v.fract() == 0.0, fraction)
            }
            (Check::Whole, DataType::Float32) => {
                all(values.as_primitive::<Float32Type>().iter(), |v| v.fract() == 0.0, fraction)
            }
            (Check::Scale { from, to }, DataType::Decimal128(..)) => {
                let Some(unit) = power_of_ten(u32::from(from.abs_diff(to))) else { return Ok(()) };
                all(
                    values.as_primitive::<Decimal128Type>().iter(),
                    |v| v.mod_wrapping(unit) == 0,
                    |v| {
                        let value = crate::numbers::Decimal { unscaled: v, scale: i32::from(from) };
                        Fault::new(
                            BadReason::Lossy,
                            format!("a cast would drop digits of {value}; use round() or trunc() first"),
                        )
                    },
                )
            }
            (Check::Ticks(ticks), DataType::Timestamp(..)) => all(
                cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().iter(),
                |v| v % ticks == 0,
                |_| {
                    let detail = "a cast would drop what a timestamp has below its unit; use date_trunc('millisecond', …) \
                                  or date_trunc('second', …) first";
                    Fault::new(BadReason::Lossy, detail)
                },
            ),
            (Check::Days { ticks_per_day }, DataType::Date32) => all(
                values.as_primitive::<Date32Type>().iter(),
                |v| i64::from(v).checked_mul(ticks_per_day).is_some(),
                |v| {
                    let detail =
                        format!("the date {v} days after 1970 is outside of the years 1677 to 2262 of this function");
                    Fault::new(BadReason::OutOfRange, detail)
                },
            ),
            _ => Ok(()),
        }
    }

    fn not_finite(self) -> Fault {
        match self {
            Check::FiniteQuotient => {
                Fault::new(BadReason::DivisionByZero, "division by zero, or a quotient beyond the range of floats")
            }
            _ => Fault::new(BadReason::Overflow, "float overflow"),
        }
    }
}

fn all<T: Copy>(
    mut values: impl Iterator<Item = Option<T>>,
    good: impl Fn(T) -> bool,
    fault: impl Fn(T) -> Fault,
) -> Result<()> {
    match values.find_map(|value| value.filter(|v| !good(*v))) {
        None => Ok(()),
        Some(bad) => Err(DataFusionError::External(Box::new(fault(bad)))),
    }
}

fn fraction<T: fmt::Display>(value: T) -> Fault {
    Fault::new(
        BadReason::Lossy,
        format!("a cast would drop the fraction of {value}; use round(), floor() or trunc() first"),
    )
}

impl PhysicalExpr for Checked {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.inner.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(self.run(values)?),
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&self.run(value.to_array()?)?, 0)?)
            }
        })
    }

    as_inner!();

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Checked { inner: children.swap_remove(0), check: self.check, lenient: self.lenient }))
    }
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.check == other.check && self.lenient == other.lenient && self.inner.eq(&other.inner)
    }
}

impl Hash for Checked {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.check.hash(state);
        self.lenient.hash(state);
        self.inner.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checked({})", self.inner)
    }
}
