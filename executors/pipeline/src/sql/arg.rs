//! What is known of the arguments of a call before it is made.

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion_common::Result;
use datafusion_expr::ColumnarValue;

/// An argument, for its length or number in a row.
pub(crate) enum Arg {
    Text(ArrayRef, bool),
    Number(Int64Array, bool),
    /// Bytes of one value, on the average.
    Other(usize),
}

impl Arg {
    pub(super) fn all(values: &[ColumnarValue], rows: usize) -> Result<Vec<Self>> {
        values.iter().map(|value| Arg::new(value, rows)).collect()
    }

    pub(super) fn new(value: &ColumnarValue, rows: usize) -> Result<Self> {
        let (array, scalar) = match value {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        let array = match array.data_type() {
            DataType::Dictionary(_, value) => cast(&array, &value.clone())?,
            _ => array,
        };
        Ok(match array.data_type() {
            ty if ty.is_integer() => {
                Arg::Number(cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone(), scalar)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Arg::Text(array, scalar),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Arg::Text(array, scalar),
            _ => Arg::Other(array.to_data().get_slice_memory_size()? / if scalar { 1 } else { rows.max(1) }),
        })
    }

    /// One value for all rows?
    pub(super) fn is_scalar(&self) -> bool {
        matches!(self, Arg::Text(_, true) | Arg::Number(_, true))
    }

    pub(super) fn bytes(&self, row: usize) -> usize {
        match self {
            Arg::Text(array, scalar) => {
                let row = if *scalar { 0 } else { row };
                match array.data_type() {
                    _ if array.is_null(row) => 0,
                    DataType::Utf8 => array.as_string::<i32>().value_length(row) as usize,
                    DataType::LargeUtf8 => array.as_string::<i64>().value_length(row) as usize,
                    DataType::Utf8View => array.as_string_view().value(row).len(),
                    DataType::Binary => array.as_binary::<i32>().value_length(row) as usize,
                    DataType::LargeBinary => array.as_binary::<i64>().value_length(row) as usize,
                    _ => array.as_binary_view().value(row).len(),
                }
            }
            Arg::Number(..) => size_of::<i64>(),
            Arg::Other(bytes) => *bytes,
        }
    }

    pub(super) fn text(&self, row: usize) -> Option<&str> {
        let Arg::Text(array, scalar) = self else { return None };
        let row = if *scalar { 0 } else { row };
        match array.data_type() {
            _ if array.is_null(row) => None,
            DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
            DataType::Utf8View => Some(array.as_string_view().value(row)),
            _ => None,
        }
    }

    pub(super) fn is_negative(&self, row: usize) -> bool {
        let Arg::Number(numbers, scalar) = self else { return false };
        let row = if *scalar { 0 } else { row };
        !numbers.is_null(row) && numbers.value(row) < 0
    }

    pub(super) fn count(&self, row: usize) -> usize {
        let Arg::Number(numbers, scalar) = self else { return 0 };
        let row = if *scalar { 0 } else { row };
        if numbers.is_null(row) { 0 } else { usize::try_from(numbers.value(row)).unwrap_or(0) }
    }
}
