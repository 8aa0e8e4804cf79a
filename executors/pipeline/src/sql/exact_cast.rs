//! Casts that Arrow makes by rounding or cutting, made exactly: texts and floats to decimals, texts to timestamps.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringArray},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{DataType, FieldRef, Float32Type, Float64Type, Int64Type, Schema, TimeUnit},
};
use datafusion_common::{DataFusionError, Result, ScalarValue, datatype::DataTypeExt};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;

use millstream_spec::Precision;

use crate::{
    numbers::{Decimal, NumberError, power_of_ten},
    record::{BadReason, Fault},
    temporal::{self, TemporalError},
};

/// Longest part of a value that is quoted in a message, in characters.
const MAX_QUOTED_CHARS: usize = 40;

/// A cast whose result stands for exactly what its argument says.
#[derive(Debug, Eq)]
pub(crate) struct ExactCast {
    inner: Arc<dyn PhysicalExpr>,
    to: DataType,
    /// A value that cannot be cast is NULL instead of a failure: TRY_CAST.
    lenient: bool,
}

impl ExactCast {
    /// Whether a cast between the types is one of these.
    pub(crate) fn suits(from: &DataType, to: &DataType) -> bool {
        match to {
            DataType::Decimal128(..) => is_text(from) || matches!(from, DataType::Float32 | DataType::Float64),
            DataType::Timestamp(_, None) => is_text(from),
            _ => false,
        }
    }

    pub(crate) fn new(inner: Arc<dyn PhysicalExpr>, to: DataType, lenient: bool) -> Self {
        ExactCast { inner, to, lenient }
    }

    fn run(&self, values: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self.to {
            DataType::Decimal128(precision, scale) => {
                let read = |text: &str| decimal(text, precision, scale);
                let numbers: Decimal128Array = match values.data_type() {
                    DataType::Float64 => {
                        let floats = values.as_primitive::<Float64Type>();
                        self.each(floats.len(), |row| {
                            floats.is_valid(row).then(|| read(&format!("{:e}", floats.value(row))))
                        })
                    }
                    DataType::Float32 => {
                        let floats = values.as_primitive::<Float32Type>();
                        self.each(floats.len(), |row| {
                            floats.is_valid(row).then(|| read(&format!("{:e}", floats.value(row))))
                        })
                    }
                    _ => {
                        let texts = cast(values, &DataType::Utf8)?;
                        let texts = texts.as_string::<i32>();
                        self.each(texts.len(), |row| texts.is_valid(row).then(|| read(texts.value(row))))
                    }
                }?
                .into_iter()
                .collect();
                Arc::new(numbers.with_precision_and_scale(precision, scale)?)
            }
            DataType::Timestamp(unit, _) => {
                let texts = cast(values, &DataType::Utf8)?;
                let texts = texts.as_string::<i32>();
                let read = |row: usize| texts.is_valid(row).then(|| timestamp(texts.value(row), unit));
                let ticks: Int64Array = self.each(texts.len(), read)?.into_iter().collect();
                cast(&ticks, &self.to)?
            }
            _ => return Err(DataFusionError::Internal(format!("no exact cast to {}", self.to))),
        })
    }

    /// The values of all rows; none for NULL.
    fn each<T>(&self, rows: usize, read: impl Fn(usize) -> Option<Result<T, Fault>>) -> Result<Vec<Option<T>>> {
        let value = |row| match read(row) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) if self.lenient => Ok(None),
            Some(Err(fault)) => Err(DataFusionError::External(Box::new(fault))),
        };
        (0..rows).map(value).collect()
    }
}

pub(crate) fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Fault> {
    let target = || format!("decimal({precision}, {scale})");
    let unscaled =
        Decimal::parse(text.trim()).and_then(|number| number.rescale(scale.into())).map_err(|error| match error {
            NumberError::Invalid => Fault::new(BadReason::Evaluation, format!("{} is not a number", quoted(text))),
            NumberError::TooLarge => {
                Fault::new(BadReason::OutOfRange, format!("{} is out of range for {}", quoted(text), target()))
            }
            NumberError::Lossy => Fault::new(
                BadReason::Lossy,
                format!("a cast would drop digits of {} for {}; use round() or trunc() first", quoted(text), target()),
            ),
        })?;
    match power_of_ten(precision.into()) {
        Some(limit) if unscaled.abs() >= limit => {
            Err(Fault::new(BadReason::OutOfRange, format!("{} is out of range for {}", quoted(text), target())))
        }
        _ => Ok(unscaled),
    }
}

/// Ticks of `unit` since the epoch.
fn timestamp(text: &str, unit: TimeUnit) -> Result<i64, Fault> {
    let text = text.trim();
    let invalid = || Fault::new(BadReason::Evaluation, format!("{} is not a timestamp", quoted(text)));
    let (ms, nanos) = match temporal::parse_timestamp(text, Precision::Exact) {
        Ok(parts) => parts,
        Err(TemporalError::TooFine) => return Err(lossy(text)),
        Err(TemporalError::Invalid) => match temporal::parse_date(text) {
            Ok(days) => (i64::from(days) * temporal::MS_PER_DAY, 0),
            // Arrow knows further forms; those without a point have no digits that could be lost.
            Err(_) if !text.contains('.') => return other_form(text, unit).ok_or_else(invalid),
            Err(_) => return Err(invalid()),
        },
    };
    let out_of_range = || {
        Fault::new(
            BadReason::OutOfRange,
            format!("{} is outside of the years 1677 to 2262 that nanoseconds hold", quoted(text)),
        )
    };
    match unit {
        TimeUnit::Second if ms % 1_000 == 0 && nanos == 0 => Ok(ms / 1_000),
        TimeUnit::Millisecond if nanos == 0 => Ok(ms),
        TimeUnit::Microsecond if nanos % 1_000 == 0 => {
            ms.checked_mul(1_000).and_then(|us| us.checked_add(nanos / 1_000)).ok_or_else(out_of_range)
        }
        TimeUnit::Nanosecond => ms.checked_mul(1_000_000).and_then(|ns| ns.checked_add(nanos)).ok_or_else(out_of_range),
        _ => Err(lossy(text)),
    }
}

fn other_form(text: &str, unit: TimeUnit) -> Option<i64> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let times = cast_with_options(&texts, &DataType::Timestamp(unit, None), &options).ok()?;
    let ticks = cast(&times, &DataType::Int64).ok()?;
    let ticks = ticks.as_primitive::<Int64Type>();
    ticks.is_valid(0).then(|| ticks.value(0))
}

fn lossy(text: &str) -> Fault {
    let detail = format!(
        "a cast would drop digits of {}; TIMESTAMP holds milliseconds, TIMESTAMP(6) microseconds",
        quoted(text)
    );
    Fault::new(BadReason::Lossy, detail)
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

impl PhysicalExpr for ExactCast {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.inner.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(self.run(&values)?),
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&self.run(&value.to_array()?)?, 0)?)
            }
        })
    }

    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.lenient || self.inner.nullable(schema)?)
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(self.to.clone().into_nullable_field_ref())
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(ExactCast::new(children.swap_remove(0), self.to.clone(), self.lenient)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for ExactCast {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to && self.lenient == other.lenient && self.inner.eq(&other.inner)
    }
}

impl Hash for ExactCast {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.to.hash(state);
        self.lenient.hash(state);
        self.inner.hash(state);
    }
}

impl fmt::Display for ExactCast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exact_cast({} as {})", self.inner, self.to)
    }
}
