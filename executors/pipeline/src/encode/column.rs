//! The values of one batch's column, typed once, written one by one.

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
        IntervalMonthDayNanoArray, PrimitiveArray, StringArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType,
        DurationNanosecondType, DurationSecondType, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
        Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
};

use super::{
    from_number, from_text,
    plan::{BytesTarget, DateTarget, NumberTarget, Plan, TextTarget},
    wire,
};
use crate::record::{BadReason, Fault};

const NS_PER_DAY: i64 = 86_400_000_000_000;
const MS_PER_DAY: i64 = 86_400_000;

/// The values of one batch's column.
pub(crate) struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Boolean(BooleanArray),
    Int(Int64Array, NumberTarget),
    Float(Float64Array, NumberTarget),
    Decimal(Decimal128Array, i8, NumberTarget),
    Text(StringArray, TextTarget),
    Bytes(BinaryArray, BytesTarget),
    Timestamp(Int64Array, TimeUnit),
    Date(Int32Array, DateTarget),
    Time(Int64Array, i64),
    Elapsed(Int64Array, i64),
    Interval(IntervalMonthDayNanoArray),
    List(OffsetBuffer<i32>, Box<Column>),
    Vector(OffsetBuffer<i32>, Box<Column>, usize),
    Map(OffsetBuffer<i32>, Box<Column>, Box<Column>),
    Fields(Vec<Option<Column>>),
}

impl Column {
    /// Panics when `array` is not of the type `plan` was made for: both come from one transform's schema.
    pub(super) fn new(plan: &Plan, array: &ArrayRef) -> Column {
        let values = match plan {
            Plan::Null => Values::Null,
            Plan::Boolean => Values::Boolean(array.as_boolean().clone()),
            Plan::Int(target) => Values::Int(widened::<Int64Type>(array, &DataType::Int64), *target),
            Plan::Float(target) => Values::Float(widened::<Float64Type>(array, &DataType::Float64), *target),
            Plan::Decimal { scale, target } => {
                // An unsigned 64-bit number has at most 20 digits; a decimal stays as it is.
                let decimals = match array.data_type() {
                    DataType::Decimal128(..) => array.as_primitive().clone(),
                    _ => widened::<Decimal128Type>(array, &DataType::Decimal128(20, 0)),
                };
                Values::Decimal(decimals, *scale, *target)
            }
            Plan::Text(target) => Values::Text(array.as_string::<i32>().clone(), *target),
            Plan::Bytes(target) => Values::Bytes(array.as_binary::<i32>().clone(), *target),
            Plan::Timestamp(unit) => Values::Timestamp(ticks(array), *unit),
            Plan::Date(target) => {
                Values::Date(array.as_primitive::<Date32Type>().reinterpret_cast::<Int32Type>(), *target)
            }
            Plan::Time { unit_ns } => Values::Time(ticks(array), *unit_ns),
            Plan::Elapsed { unit_ns } => Values::Elapsed(ticks(array), *unit_ns),
            Plan::Interval => Values::Interval(array.as_primitive::<IntervalMonthDayNanoType>().clone()),
            Plan::List(item) => {
                let list = array.as_list::<i32>();
                Values::List(list.offsets().clone(), Box::new(Column::new(item, list.values())))
            }
            Plan::Vector(item, dimension) => {
                let list = array.as_list::<i32>();
                Values::Vector(list.offsets().clone(), Box::new(Column::new(item, list.values())), *dimension)
            }
            Plan::Map(key, value) => {
                let map = array.as_map();
                let keys = Column::new(key, map.keys());
                Values::Map(map.offsets().clone(), Box::new(keys), Box::new(Column::new(value, map.values())))
            }
            Plan::Fields(fields) => {
                let columns = array.as_struct();
                let field = |(index, plan): &(usize, Plan)| Column::new(plan, columns.column(*index));
                Values::Fields(fields.iter().map(|f| f.as_ref().map(field)).collect())
            }
        };
        Column { nulls: array.logical_nulls(), values }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value of a row that is not NULL, without its length.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &self.values {
            Values::Null => unreachable!("every row of a NULL column is NULL"),
            Values::Boolean(values) => out.push(values.value(row).into()),
            Values::Int(values, target) => return from_number::int(values.value(row), *target, out),
            Values::Float(values, target) => return from_number::float(values.value(row), *target, out),
            Values::Decimal(values, scale, target) => {
                return from_number::decimal(values.value(row), *scale, *target, out);
            }
            Values::Text(values, target) => return from_text::text(values.value(row), *target, out),
            Values::Bytes(values, target) => return bytes(values.value(row), *target, out),
            Values::Timestamp(values, unit) => out.extend_from_slice(&to_ms(values.value(row), *unit)?.to_be_bytes()),
            Values::Date(values, DateTarget::Date) => wire::date(values.value(row), out),
            Values::Date(values, DateTarget::Timestamp) => {
                out.extend_from_slice(&(i64::from(values.value(row)) * MS_PER_DAY).to_be_bytes());
            }
            Values::Time(values, unit_ns) => {
                let ns = values.value(row).checked_mul(*unit_ns).filter(|ns| (0..NS_PER_DAY).contains(ns));
                let ns = ns.ok_or_else(|| Fault::new(BadReason::OutOfRange, "a time outside of the day"))?;
                out.extend_from_slice(&ns.to_be_bytes());
            }
            Values::Elapsed(values, unit_ns) => {
                let ns = values.value(row).checked_mul(*unit_ns);
                wire::duration(
                    0,
                    0,
                    ns.ok_or_else(|| Fault::new(BadReason::OutOfRange, "a duration over 292 years"))?,
                    out,
                );
            }
            Values::Interval(values) => {
                let value = values.value(row);
                let parts = [value.months.into(), value.days.into(), value.nanoseconds];
                if parts.iter().any(|part| *part < 0) && parts.iter().any(|part| *part > 0) {
                    return Err(Fault::new(BadReason::OutOfRange, "a duration with parts of both signs"));
                }
                wire::duration(value.months, value.days, value.nanoseconds, out);
            }
            Values::List(offsets, items) => {
                let items_of_row = range(offsets, row);
                count(items_of_row.len(), out);
                return items_of_row.into_iter().try_for_each(|item| items.write_item(item, out));
            }
            Values::Vector(offsets, items, dimension) => {
                let items_of_row = range(offsets, row);
                if items_of_row.len() != *dimension {
                    let detail = format!("a vector of {} values, not {dimension}", items_of_row.len());
                    return Err(Fault::new(BadReason::OutOfRange, detail));
                }
                return items_of_row.into_iter().try_for_each(|item| {
                    items.check_not_null(item)?;
                    items.write(item, out)
                });
            }
            Values::Map(offsets, keys, values) => {
                let entries = range(offsets, row);
                count(entries.len(), out);
                return entries.into_iter().try_for_each(|entry| {
                    keys.write_item(entry, out)?;
                    values.write_item(entry, out)
                });
            }
            Values::Fields(columns) => {
                return columns.iter().try_for_each(|column| match column {
                    Some(column) if !column.is_null(row) => wire::with_length(out, |out| column.write(row, out)),
                    _ => {
                        wire::null_item(out);
                        Ok(())
                    }
                });
            }
        }
        Ok(())
    }

    /// An item of a collection, after its length.
    fn write_item(&self, item: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.check_not_null(item)?;
        wire::with_length(out, |out| self.write(item, out))
    }

    fn check_not_null(&self, item: usize) -> Result<(), Fault> {
        if self.is_null(item) {
            return Err(Fault::new(BadReason::NullElement, "a collection holds NULL, which Cassandra cannot store"));
        }
        Ok(())
    }
}

/// Values in a wider type that holds all of them.
fn widened<T: ArrowPrimitiveType>(array: &ArrayRef, ty: &DataType) -> PrimitiveArray<T> {
    if array.data_type() == ty {
        return array.as_primitive::<T>().clone();
    }
    cast(array, ty).expect("a number fits a wider type").as_primitive::<T>().clone()
}

/// Times and timestamps as plain numbers in their own unit.
fn ticks(array: &ArrayRef) -> Int64Array {
    fn plain<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Int64Array {
        array.as_primitive::<T>().reinterpret_cast()
    }
    fn wide<T: ArrowPrimitiveType<Native = i32>>(array: &ArrayRef) -> Int64Array {
        array.as_primitive::<T>().unary(i64::from)
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => plain::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => plain::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => plain::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => plain::<TimestampNanosecondType>(array),
        DataType::Time64(TimeUnit::Microsecond) => plain::<Time64MicrosecondType>(array),
        DataType::Time64(_) => plain::<Time64NanosecondType>(array),
        DataType::Time32(TimeUnit::Second) => wide::<Time32SecondType>(array),
        DataType::Time32(_) => wide::<Time32MillisecondType>(array),
        DataType::Duration(TimeUnit::Second) => plain::<DurationSecondType>(array),
        DataType::Duration(TimeUnit::Millisecond) => plain::<DurationMillisecondType>(array),
        DataType::Duration(TimeUnit::Microsecond) => plain::<DurationMicrosecondType>(array),
        _ => plain::<DurationNanosecondType>(array),
    }
}

fn to_ms(value: i64, unit: TimeUnit) -> Result<i64, Fault> {
    let per_ms = match unit {
        TimeUnit::Millisecond => return Ok(value),
        TimeUnit::Second => {
            let too_far = || Fault::new(BadReason::OutOfRange, format!("a timestamp {value} s after 1970"));
            return value.checked_mul(1_000).ok_or_else(too_far);
        }
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1_000_000,
    };
    if value % per_ms != 0 {
        let detail = "a timestamp finer than a millisecond; write date_trunc('millisecond', …)";
        return Err(Fault::new(BadReason::Lossy, detail));
    }
    Ok(value / per_ms)
}

fn bytes(bytes: &[u8], target: BytesTarget, out: &mut Vec<u8>) -> Result<(), Fault> {
    let invalid = |wanted| Err(Fault::new(BadReason::OutOfRange, format!("{} bytes are not {wanted}", bytes.len())));
    match target {
        BytesTarget::Blob => {}
        BytesTarget::Uuid if bytes.len() != 16 => return invalid("a UUID"),
        BytesTarget::Timeuuid if !<&[u8; 16]>::try_from(bytes).is_ok_and(from_text::is_time_based) => {
            return invalid("a UUID of version 1");
        }
        BytesTarget::Inet if !matches!(bytes.len(), 4 | 16) => return invalid("an IP address"),
        BytesTarget::Uuid | BytesTarget::Timeuuid | BytesTarget::Inet => {}
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn range(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    // Offsets of a valid array are ascending and not negative.
    offsets[row] as usize..offsets[row + 1] as usize
}

fn count(items: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(items as i32).to_be_bytes());
}
