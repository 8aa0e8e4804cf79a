//! A function call whose result is bounded before it is made, and that never gives NULL for a date it cannot compute.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Float64Type},
};
use datafusion_common::{DataFusionError, Result, ScalarValue, config::ConfigOptions, internal_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::{
    amplify::{self, Cost},
    inner::as_inner,
};
use crate::record::{BadReason, Fault};

/// Functions over dates and times. When all arguments have a value so has the result, or the record is bad.
const TEMPORAL: [&str; 16] = [
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "make_time",
    "to_char",
    "to_date",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
];

/// The greatest float that a number of nanoseconds can be made of, in seconds either way of 1970: 292 years.
const MAX_NANO_SECS: f64 = 9_223_372_036.0;

/// A call that is checked before and after.
#[derive(Debug)]
pub(crate) struct Call {
    inner: Arc<dyn PhysicalExpr>,
    config: Arc<ConfigOptions>,
}

impl Call {
    /// `inner` is a [`ScalarFunctionExpr`], `config` the one it was made with.
    pub(crate) fn new(inner: Arc<dyn PhysicalExpr>, config: Arc<ConfigOptions>) -> Self {
        Call { inner, config }
    }

    /// Of constants alone.
    pub(crate) fn cost(&self, row: &RecordBatch) -> Result<Cost> {
        let function = self.function()?;
        let args = function.args().iter().map(|arg| arg.evaluate(row)).collect::<Result<Vec<_>>>()?;
        amplify::cost_of_call(function.fun().name(), &args)
    }

    pub(crate) fn name(&self) -> String {
        self.function().map_or_else(|_| "a call".to_owned(), |function| format!("{}()", function.fun().name()))
    }

    fn function(&self) -> Result<&ScalarFunctionExpr> {
        let function = self.inner.downcast_ref::<ScalarFunctionExpr>();
        function.ok_or_else(|| DataFusionError::Internal("a checked call is no call".to_owned()))
    }
}

impl PhysicalExpr for Call {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let function = self.function()?;
        let rows = batch.num_rows();
        let args = function.args().iter().map(|arg| arg.evaluate(batch)).collect::<Result<Vec<_>>>()?;
        let name = function.fun().name();
        // Over literals alone the call is made once, whatever the number of rows.
        let constant = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        amplify::check_call(name, &args, if constant { 1 } else { rows })?;
        if name == "to_timestamp" {
            check_nanos(&args)?;
        }
        let given = if TEMPORAL.contains(&name) { args.clone() } else { vec![] };
        let fields = function.args().iter().map(|arg| arg.return_field(batch.schema_ref()));
        let value = function.fun().invoke_with_args(ScalarFunctionArgs {
            args,
            arg_fields: fields.collect::<Result<_>>()?,
            number_rows: rows,
            return_field: self.inner.return_field(batch.schema_ref())?,
            config_options: Arc::clone(&self.config),
        })?;
        let value = plain(value, constant, rows)?;
        if !given.is_empty() {
            check_known(name, &given, &value)?;
        }
        Ok(value)
    }

    as_inner!();

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.inner.children()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = Arc::clone(&self.inner).with_new_children(children)?;
        Ok(Arc::new(Call::new(inner, Arc::clone(&self.config))))
    }
}

impl Eq for Call {}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Hash for Call {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

/// The result over scalars alone may come as an array of one value, which stands for all rows.
fn plain(value: ColumnarValue, constant: bool, rows: usize) -> Result<ColumnarValue> {
    match value {
        ColumnarValue::Array(array) if array.len() == rows => Ok(ColumnarValue::Array(array)),
        ColumnarValue::Array(array) if constant && array.len() == 1 => {
            ScalarValue::try_from_array(&array, 0).map(ColumnarValue::Scalar)
        }
        ColumnarValue::Array(array) => internal_err!("a function gave {} values for {rows} rows", array.len()),
        scalar => Ok(scalar),
    }
}

/// Floats beyond what nanoseconds hold would be cut to the farthest time that is held.
fn check_nanos(args: &[ColumnarValue]) -> Result<()> {
    let Some(seconds) = args.first().filter(|arg| arg.data_type().is_floating()) else { return Ok(()) };
    let seconds = seconds.clone().cast_to(&DataType::Float64, None)?.into_array(1)?;
    let seconds = seconds.as_primitive::<Float64Type>();
    match seconds.iter().flatten().find(|value| value.is_nan() || value.abs() > MAX_NANO_SECS) {
        None => Ok(()),
        Some(value) => {
            Err(out_of_range(format!("to_timestamp({value}) is outside of 1677 to 2262; use to_timestamp_millis()")))
        }
    }
}

fn check_known(name: &str, args: &[ColumnarValue], value: &ColumnarValue) -> Result<()> {
    let rows = match value {
        ColumnarValue::Scalar(value) if !value.is_null() => return Ok(()),
        ColumnarValue::Scalar(_) => 1,
        ColumnarValue::Array(array) if array.logical_null_count() == 0 => return Ok(()),
        ColumnarValue::Array(array) => array.len(),
    };
    let nulls = value.clone().into_array(rows)?;
    let args = args.iter().map(|arg| arg.clone().into_array(rows)).collect::<Result<Vec<_>>>()?;
    if (0..rows).any(|row| nulls.is_null(row) && args.iter().all(|arg| !arg.is_null(row))) {
        return Err(out_of_range(format!("{name}() has no answer: the time is outside of what it computes with")));
    }
    Ok(())
}

fn out_of_range(detail: String) -> DataFusionError {
    DataFusionError::External(Box::new(Fault::new(BadReason::OutOfRange, detail)))
}
